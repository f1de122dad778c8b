"""Personal data: sealed before it is stored or sent, opened only where it may be seen.

AES-GCM with a fresh nonce; the key's id stands in front, so that keys can be rotated. Where
uniqueness needs one, a keyed hash (HMAC-SHA-256) stands for the value.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.settings import Misconfigured
from contracts.shapes import Sealed

NONCE = 12


class CannotOpen(Exception):
    """The key is gone, or what was sealed has been changed."""


class Seal:
    """Seals and opens with one key of 32 bytes; everything else is derived from it."""

    def __init__(self, key: bytes) -> None:
        self.key_id = hashlib.sha256(b"id" + key).hexdigest()[:8]
        self._cipher = AESGCM(_derive(key, b"seal"))
        self._hash_key = _derive(key, b"hash")

    @classmethod
    def from_file(cls, path: Path, *, create: bool) -> Seal:
        """Read the key, hexadecimal, from a file; an embedded district makes its own."""
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = path.with_name(f"{path.name}.{os.getpid()}")
            descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(os.urandom(32).hex())
            whole.replace(path)
        try:
            key = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError) as error:
            raise Misconfigured(f"The seal key cannot be read: {error}.") from None
        if len(key) != 32:
            raise Misconfigured("The seal key must be 32 bytes, written as 64 hexadecimal digits.")
        return cls(key)

    def seal(self, clear: str) -> Sealed:
        """Encrypt; the same text looks different each time."""
        nonce = os.urandom(NONCE)
        box = nonce + self._cipher.encrypt(nonce, clear.encode(), self.key_id.encode())
        return Sealed(f"{self.key_id}.{base64.urlsafe_b64encode(box).decode()}")

    def open(self, sealed: Sealed) -> str:
        """Decrypt; raises `CannotOpen`."""
        key_id, _, box = sealed.partition(".")
        try:
            raw = base64.urlsafe_b64decode(box)
            if key_id != self.key_id:
                raise CannotOpen(f"the key {key_id} is not here")
            return self._cipher.decrypt(raw[:NONCE], raw[NONCE:], key_id.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("what was sealed has been changed") from error

    def reference(self, clear: str) -> str:
        """Give the keyed hash that stands for a value, the same each time."""
        return hmac.new(self._hash_key, clear.encode(), hashlib.sha256).hexdigest()[:40]


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"bihuan " + purpose).derive(key)
