"""Personal data: encrypted before it is stored or sent, decrypted only for those who may see it.

AES-GCM with a fresh nonce; the key id precedes the ciphertext. The keys of a district are in its
key file, one a line: the first seals, all open. A person's data is sealed under that person's own
key, which the district's key wraps. Where uniqueness needs it, a keyed hash (HMAC-SHA-256) stands
for the value; its key stays the same when the others change.

The encryption library takes 12 MB. It is imported where it is used: not every process that imports
this module has a key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chassis.settings import Misconfigured
from contracts.shapes import Sealed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
LENGTH = 32
"""Bytes of a key."""
PRIVATE = 0o600
"""The mode of a new key file."""
HASH = "hash"
"""Prefix of the line with the key of the keyed hashes, if it has its own."""


class CannotOpen(Exception):
    """The key is missing, or the ciphertext has been changed."""


class KeyMissing(CannotOpen):
    """The key of a ciphertext is missing."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the key {key_id} is not here")
        self.key_id = key_id


class KeyFile(NamedTuple):
    """The content of a key file: the keys, of which the first seals, and the key of the keyed
    hashes."""

    keys: tuple[bytes, ...]
    hash_key: bytes

    @classmethod
    def read(cls, path: Path) -> KeyFile:
        """Read a file with one hexadecimal key a line; raises `Misconfigured`.

        Without a line `hash …` the key of the keyed hashes is derived from the last key, which is
        the oldest.
        """
        keys, hashed = [], None
        try:
            for line in filter(None, map(str.strip, path.read_text().split("\n"))):
                if line.startswith(f"{HASH} "):
                    hashed = bytes.fromhex(line.removeprefix(HASH))
                else:
                    keys.append(bytes.fromhex(line))
        except (OSError, ValueError) as error:
            raise Misconfigured(f"The seal key cannot be read: {error}.") from None
        if not keys or any(len(key) != LENGTH for key in (*keys, hashed or keys[0])):
            raise Misconfigured("The seal key must be 32 bytes, written as 64 hexadecimal digits.")
        return cls(tuple(keys), hashed or _derive(keys[-1], b"hash"))

    def write(self, path: Path) -> None:
        """Replace the file atomically; its mode stays."""
        lines = [*(key.hex() for key in self.keys), f"{HASH} {self.hash_key.hex()}"]
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE
        _write(path, "\n".join(lines) + "\n", mode)

    def with_new(self) -> KeyFile:
        """Return a copy with a new first key; the key of the keyed hashes stays."""
        return self._replace(keys=(os.urandom(LENGTH), *self.keys))

    def ids(self) -> list[str]:
        """Return the ids of the keys, the sealing key first."""
        return [key_id(key) for key in self.keys]


class Referring:
    """A keyed hash of data in pieces; a call returns the reference for all of them."""

    def __init__(self, begun: hmac.HMAC) -> None:
        self._begun = begun

    def add(self, piece: bytes) -> None:
        """Add the next piece."""
        self._begun.update(piece)

    def __call__(self) -> str:
        """Return the reference."""
        return self._begun.hexdigest()[:40]


class Seal:
    """Seals with the first of a district's keys, and opens with any."""

    def __init__(
        self, *keys: bytes, hash_key: bytes | None = None, file: Path | None = None
    ) -> None:
        self._file, self._changed = file, 0
        self._hash_key = hash_key or _derive(keys[-1], b"hash")
        self._take(keys)

    def _look(self) -> None:
        """Read the key file again if it was replaced by another valid one."""
        if self._file is None:
            return
        with suppress(OSError, Misconfigured):
            changed = self._file.stat().st_mtime_ns
            if changed != self._changed:
                self._take(KeyFile.read(self._file).keys)
                self._changed = changed

    def _take(self, keys: Sequence[bytes]) -> None:
        self.key_id = key_id(keys[0])
        self._ciphers = {key_id(key): _cipher(_derive(key, b"seal")) for key in keys}

    @property
    def key_ids(self) -> list[str]:
        """The ids of the keys, the sealing key first."""
        return [*self._ciphers]

    @classmethod
    def from_file(cls, path: Path, *, create: bool) -> Seal:
        """Read the keys from a file; an embedded district creates its own."""
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, os.urandom(LENGTH).hex())
        read = KeyFile.read(path)
        return cls(*read.keys, hash_key=read.hash_key, file=path)

    def seal(self, clear: str) -> Sealed:
        """Encrypt; the result differs each time."""
        self._look()
        return _seal(self._ciphers[self.key_id], self.key_id, clear.encode())

    def open(self, sealed: Sealed) -> str:
        """Decrypt; raises `CannotOpen`."""
        return _text(self._open(sealed))

    def wrap(self, key: PersonKey) -> str:
        """Encrypt a person's key."""
        self._look()
        return _seal(self._ciphers[self.key_id], self.key_id, key.secret, key.id)

    def unwrap(self, identity: str, wrapped: str) -> PersonKey:
        """Decrypt a person's key; raises `CannotOpen`."""
        return PersonKey(identity, self._open(Sealed(wrapped), identity))

    def _open(self, sealed: Sealed, bound: str = "") -> bytes:
        by = key_of(sealed)
        if by not in self._ciphers:
            self._look()  # a key may have been added meanwhile
        if by not in self._ciphers:
            _unboxed(sealed)
            raise KeyMissing(by)
        return _open(self._ciphers[by], sealed, bound)

    def reference(self, clear: str) -> str:
        """Return the keyed hash of a value, the same each time."""
        return self.referring(clear)()

    def referring(self, clear: str) -> Referring:
        """Begin a keyed hash of data in pieces, of which this is the first."""
        return Referring(hmac.new(self._hash_key, clear.encode(), hashlib.sha256))


@dataclass(frozen=True)
class PersonKey:
    """The key of one person's data, which is unreadable without it."""

    id: str = field(default_factory=lambda: os.urandom(12).hex())
    secret: bytes = field(default_factory=lambda: os.urandom(LENGTH), repr=False)

    def seal(self, clear: str) -> Sealed:
        """Encrypt; the result differs each time."""
        return _seal(_cipher(self.secret), self.id, clear.encode())

    def open(self, sealed: Sealed) -> str:
        """Decrypt; raises `CannotOpen`."""
        if key_of(sealed) != self.id:
            raise KeyMissing(key_of(sealed))
        return _text(_open(_cipher(self.secret), sealed))


def key_of(sealed: str) -> str:
    """Return the id of the key of a ciphertext."""
    return sealed.partition(".")[0]


def key_id(key: bytes) -> str:
    """Return the id of a district's key."""
    return hashlib.sha256(b"id" + key).hexdigest()[:8]


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _seal(cipher: AESGCM, by: str, clear: bytes, bound: str = "") -> Sealed:
    nonce = os.urandom(NONCE)
    box = nonce + cipher.encrypt(nonce, clear, (by + bound).encode())
    return Sealed(f"{by}.{base64.urlsafe_b64encode(box).decode()}")


def _open(cipher: AESGCM, sealed: Sealed, bound: str = "") -> bytes:
    from cryptography.exceptions import InvalidTag

    raw = _unboxed(sealed)
    try:
        return cipher.decrypt(raw[:NONCE], raw[NONCE:], (key_of(sealed) + bound).encode())
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("the ciphertext has been changed") from error


def _unboxed(sealed: Sealed) -> bytes:
    try:
        return base64.urlsafe_b64decode(sealed.partition(".")[2])
    except ValueError as error:
        raise CannotOpen("the ciphertext has been changed") from error


def _text(clear: bytes) -> str:
    try:
        return clear.decode()
    except UnicodeDecodeError as error:
        raise CannotOpen("the plaintext is not UTF-8") from error


def _derive(key: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), LENGTH, salt=None, info=b"bihuan " + purpose).derive(key)


def _write(path: Path, text: str, mode: int = PRIVATE) -> None:
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
    except BaseException:
        whole.unlink(missing_ok=True)
        raise
