"""Tokens: JSON Web Tokens (RFC 7519), signed with EdDSA or RS256, and the keys that verify them.

Keys come from any OpenID provider, as a JWKS in a file or at a URL, or from the district's own
issuer. They are fetched again when they are old and when a token names an unknown key, with a
minimum interval.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWK, PyJWKSet

from chassis.http.fetch import NotFetched, fetch
from chassis.logs import log
from chassis.settings import Misconfigured, Settings
from services.gateway.access.callers import Caller, Unauthenticated
from services.gateway.resources.roles import Role

ALGORITHMS = ("EdDSA", "RS256")
ISSUER = "bihuan"
"""The issuer claim of the district's own issuer."""
OLD_AFTER = 600.0
"""Maximum age of fetched keys, in seconds."""
ASK_EVERY = 10.0
"""Minimum interval between fetches for unknown keys, in seconds."""
REMEMBERED, HEAVIEST = 10_000, 16 * 1024 * 1024
"""Size of the cache of verified tokens: entries, and characters in total."""
LEEWAY = 30.0
"""Allowed clock skew between issuer and district, in seconds."""
_TIMES = ("exp", "nbf", "iat")
_JUDGED_HERE: dict[str, Any] = {f"verify_{name}": False for name in _TIMES}

Keys = Mapping[str, PyJWK]


class Issuer:
    """Signs the district's own tokens with an Ed25519 key; `now` returns the time."""

    def __init__(self, seed: bytes, audience: str = ISSUER) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(public).hexdigest()[:16]
        self.audience = audience
        self._public = {"kty": "OKP", "crv": "Ed25519", "x": _base64(public)}
        self.now: Callable[[], float] = time.time

    @classmethod
    def from_file(cls, path: Path, audience: str, *, create: bool) -> Issuer:
        """Read the key, 64 hexadecimal digits, from a file; an embedded district creates the
        file."""
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(os.urandom(32).hex())
            part.replace(path)
        try:
            seed = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError) as error:
            raise Misconfigured(f"The issuer's key cannot be read: {error}.") from None
        if len(seed) != 32:
            raise Misconfigured("The issuer's key must be written as 64 hexadecimal digits.")
        return cls(seed, audience)

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JWKS."""
        use = {"kid": self.key_id, "alg": "EdDSA", "use": "sig"}
        return {"keys": [self._public | use]}

    def issue(self, caller: Caller, seconds: float) -> str:
        """Return a signed token for a caller, valid for some seconds."""
        now = int(self.now())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": self.audience,
            "sub": caller.subject,
            "iat": now,
            "exp": now + int(seconds),
            "roles": sorted(caller.roles),
        }
        if caller.grids:
            claims["grids"] = sorted(caller.grids)
        if caller.enterprises:
            claims["enterprises"] = sorted(caller.enterprises)
        if caller.speaks_for_others:
            claims["speaks_for_others"] = True
        return jwt.encode(claims, self._key, "EdDSA", headers={"kid": self.key_id})


class Trust:
    """The name and the current keys of one trusted issuer."""

    def __init__(self, issuer: str, fetch: Callable[[], dict[str, Any]]) -> None:
        self.issuer = issuer
        self._fetch = fetch
        self._keys: Keys = {}
        self._asked = float("-inf")

    def key(self, key_id: str) -> PyJWK | None:
        """Return a key by its id; fetches the keys if they are old or the id is unknown."""
        age = time.monotonic() - self._asked
        if age > OLD_AFTER or (key_id not in self._keys and age > ASK_EVERY):
            self._asked = time.monotonic()
            self._keys = self._read() or self._keys
        return self._keys.get(key_id)

    def _read(self) -> Keys:
        """Fetch the keys; keeps the earlier ones if the fetch fails."""
        try:
            key_set = PyJWKSet.from_dict(self._fetch())
        except (NotFetched, jwt.PyJWTError) as error:
            log("gateway").warning("keys not read", error=str(error))
            return {}
        return {key.key_id: key for key in key_set.keys if key.key_id}


class Verifier:
    """Verifies tokens; `now` returns the time.

    The first trusted issuer is the one whose subjects are used without a prefix.
    """

    def __init__(self, trusted: list[Trust], audience: str, roles: str) -> None:
        self._trusted = {trust.issuer: trust for trust in trusted}
        self._home = trusted[0].issuer
        self._audience = audience
        self._roles = roles.split(".")
        self.now: Callable[[], float] = time.time
        self._known: dict[str, tuple[float, Caller]] = {}
        self._weight = 0

    def caller(self, token: str) -> Caller:
        """Return the caller that a token names; raises `Unauthenticated` with the reason."""
        remembered = self._known.get(token)
        if remembered and remembered[0] > self.now():
            return remembered[1]
        claims = self._claims(token)
        caller = self._caller(claims)
        if len(self._known) >= REMEMBERED or self._weight > HEAVIEST:
            self._known.clear()
            self._weight = 0
        self._weight += len(token)
        self._known[token] = min(int(claims["exp"]), self.now() + OLD_AFTER), caller
        return caller

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            head = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
            trust = self._trusted.get(str(unverified.get("iss")))
            if trust is None:
                raise Unauthenticated("The token's issuer is not trusted.")
            key = trust.key(str(head.get("kid", "")))
            if key is None:
                raise Unauthenticated("The token is signed with an unknown key.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=trust.issuer,
                options=cast("Any", {"require": ["exp", "sub", "iss", "aud"], **_JUDGED_HERE}),
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"The token is not valid: {error}.") from None
        self._judge_times(claims)
        return claims

    def _judge_times(self, claims: Mapping[str, Any]) -> None:
        """Reject a token that has expired or is not yet valid, by the district's clock."""
        try:
            times = {name: int(claims[name]) for name in _TIMES if name in claims}
        except (TypeError, ValueError, OverflowError):
            names = ", ".join(_TIMES)
            raise Unauthenticated(f"The token is not valid: {names} are integers.") from None
        if times.pop("exp") <= self.now() - LEEWAY:
            raise Unauthenticated("The token is not valid: it has expired.")
        if times and max(times.values()) > self.now() + LEEWAY:
            raise Unauthenticated("The token is not valid: it is not yet valid.")

    def _caller(self, claims: dict[str, Any]) -> Caller:
        found: Any = claims
        for step in self._roles:
            found = found.get(step) if isinstance(found, dict) else None
        known = {role.value for role in Role}
        roles = frozenset(Role(name) for name in _texts(found) if name in known)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= 64 or subject.isspace():
            raise Unauthenticated("The token's sub must be a text of 1 to 64 characters.")
        return Caller(
            subject,
            roles,
            frozenset(_texts(claims.get("grids"))),
            frozenset(_texts(claims.get("enterprises"))),
            claims.get("speaks_for_others") is True,
            "" if claims["iss"] == self._home else claims["iss"],
        )


def issuer_of(settings: Settings) -> Issuer | None:
    """Return the district's own issuer: from its key file, or from the data folder of one
    process."""
    if settings.issuer_key_file:
        file = Path(settings.issuer_key_file)
        return Issuer.from_file(file, settings.token_audience, create=False)
    if settings.amqp_uri or settings.jwks:
        return None
    file = settings.data / "issuer.key"
    return Issuer.from_file(file, settings.token_audience, create=True)


def verifier_of(settings: Settings, own: Issuer | None) -> Verifier:
    """Return the configured verifier; raises `Misconfigured` without a trusted issuer."""
    trusted = [Trust(ISSUER, own.jwks)] if own else []
    if settings.jwks:
        if not settings.token_issuer:
            raise Misconfigured("JWKS needs TOKEN_ISSUER, the issuer whose tokens it verifies.")
        if own and settings.token_issuer == ISSUER:
            raise Misconfigured(f"TOKEN_ISSUER must not be {ISSUER}, the district's own issuer.")
        trusted.append(Trust(settings.token_issuer, partial(fetch, settings.jwks)))
    if not trusted:
        raise Misconfigured("Set JWKS or ISSUER_KEY_FILE: without keys no token can be verified.")
    return Verifier(trusted, settings.token_audience, settings.token_roles)


def _texts(claim: Any) -> list[str]:
    """Return a claim that is a text or a list of texts as a list."""
    if isinstance(claim, str):
        return claim.split()
    return [text for text in claim if isinstance(text, str)] if isinstance(claim, list) else []


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
