"""The district's own accounts: names and passwords, exchanged for tokens.

Passwords are stored as Argon2id hashes. Verification is costly on purpose, so it runs in threads, a
few at a time, and an account is locked for a while after too many wrong passwords.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Row, select
from werkzeug.wrappers import Request, Response

from chassis.errors import Rejected
from chassis.http.responses import answer
from chassis.runtime.green import Pool, in_thread
from chassis.storage.store import Store
from services.gateway.access.callers import Caller, Unauthenticated
from services.gateway.access.tokens import Issuer
from services.gateway.http.bodies import json_body
from services.gateway.http.request import load
from services.gateway.resources.gateway import LONGEST_PASSWORD, Credentials
from services.gateway.resources.roles import Role
from services.gateway.tables import accounts

GOOD_FOR = 3600.0
"""Lifetime of a token, in seconds."""
SHORTEST, LONGEST = 10, LONGEST_PASSWORD
"""Minimum and maximum length of a password, in characters."""
MOST_WRONG, WAIT = 5, 60.0
"""Wrong passwords before an account is locked, and the seconds of the lock."""
LARGEST = 8 * 1024
"""Largest body of a token request, in bytes; the endpoint is public."""
AT_ONCE = 2
REMEMBERED = 10_000
HASHER = PasswordHasher()


class NoAccounts(Rejected):
    """The district has no accounts of its own; get a token from its identity provider."""

    status = 404


class TooOften(Rejected):
    """Too many wrong passwords; try again in a minute."""

    status = 429


@cache
def _dummy_hash() -> str:
    """Return the hash that is verified for an unknown account, so that timing reveals nothing."""
    return HASHER.hash("nobody has this password, and who is not there takes as long")


class Accounts:
    """Issues tokens for passwords."""

    def __init__(self, store: Store, issuer: Issuer | None) -> None:
        self.store = store
        self.issuer = issuer
        self._pool = Pool(AT_ONCE)
        self._wrong: dict[str, list[float]] = {}
        self._dummy_hash = _dummy_hash()

    def token(self, request: Request) -> Response:
        """Return a token or an error; the error does not reveal whether the account exists."""
        if self.issuer is None:
            raise NoAccounts
        credentials: dict[str, Any] = load(Credentials(), json_body(request, LARGEST))
        name = credentials["account"]
        self._count(name)
        row = self._row(name)
        hashed = row.hash if row else self._dummy_hash
        right = self._pool.spawn(in_thread, _is_right, hashed, credentials["password"]).wait()
        if row is None or not right or row.disabled:
            raise Unauthenticated("The account or the password is wrong.")
        self._wrong.pop(name, None)
        body = {
            "access_token": self.issuer.issue(caller_of(row), GOOD_FOR),
            "token_type": "Bearer",
            "expires_in": int(GOOD_FOR),
        }
        return answer(body, Cache_Control="no-store")

    def _count(self, name: str) -> None:
        """Count an attempt before its verification, so that parallel attempts all count."""
        now = time.monotonic()
        if len(self._wrong) >= REMEMBERED:
            self._wrong.clear()
        recent = [at for at in self._wrong.get(name, ()) if at > now - WAIT]
        if len(recent) >= MOST_WRONG:
            raise TooOften
        self._wrong[name] = [*recent, now]

    def _row(self, name: str) -> Row[Any] | None:
        with self.store.engine.connect() as connection:
            return connection.execute(select(accounts).where(accounts.c.name == name)).first()


def caller_of(row: Any) -> Caller:
    """Return the caller of an account."""
    return Caller(
        row.name,
        frozenset(map(Role, json.loads(row.roles))),
        frozenset(json.loads(row.grids)),
        frozenset(json.loads(row.enterprises)),
        row.speaks_for_others,
    )


def row_of(caller: Caller, password: str) -> dict[str, Any]:
    """Return the row of an account."""
    return {
        "name": caller.subject,
        "hash": HASHER.hash(password),
        "roles": json.dumps(sorted(caller.roles)),
        "grids": json.dumps(sorted(caller.grids)),
        "enterprises": json.dumps(sorted(caller.enterprises)),
        "speaks_for_others": caller.speaks_for_others,
        "disabled": False,
    }


def _is_right(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
