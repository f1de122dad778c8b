"""Accounts of the district's own: names and passwords, for which its issuer gives tokens.

Passwords are kept as Argon2id hashes. Looking one takes memory and time on purpose, so it is done
in a thread of its own, a few at once, and a name whose password was wrong too often has to wait.
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
"""Seconds for which a token for a password is good."""
SHORTEST, LONGEST = 10, LONGEST_PASSWORD
"""Characters of a password."""
MOST_WRONG, WAIT = 5, 60.0
"""Wrong passwords of a name, after which it waits for so many seconds."""
LARGEST = 8 * 1024
"""Bytes of a body that asks for a token: anybody may send one."""
AT_ONCE = 2
REMEMBERED = 10_000
HASHER = PasswordHasher()


class NoAccounts(Rejected):
    """The district has no issuer of its own: its callers get their tokens elsewhere."""

    status = 404


class TooOften(Rejected):
    """The password was wrong too often; try again in a minute."""

    status = 429


@cache
def _hash_of_nobody() -> str:
    """Return what a password is compared with where there is no account: that takes as long."""
    return HASHER.hash("nobody has this password, and who is not there takes as long")


class Accounts:
    """Gives tokens for passwords."""

    def __init__(self, store: Store, issuer: Issuer | None) -> None:
        self.store = store
        self.issuer = issuer
        self._pool = Pool(AT_ONCE)
        self._wrong: dict[str, list[float]] = {}
        self._nobody = _hash_of_nobody()

    def token(self, request: Request) -> Response:
        """Answer with a token, or refuse: never whether it was the name that was wrong."""
        if self.issuer is None:
            raise NoAccounts
        asked: dict[str, Any] = load(Credentials(), json_body(request, LARGEST))
        name = asked["account"]
        self._count(name)
        row = self._row(name)
        hashed = row.hash if row else self._nobody
        right = self._pool.spawn(in_thread, _is_right, hashed, asked["password"]).wait()
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
        """Count a try before it is judged, so that many at once are many."""
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
    """Read whom an account stands for."""
    return Caller(
        row.name,
        frozenset(map(Role, json.loads(row.roles))),
        frozenset(json.loads(row.grids)),
        frozenset(json.loads(row.enterprises)),
        row.speaks_for_others,
    )


def row_of(caller: Caller, password: str) -> dict[str, Any]:
    """Write an account as a row."""
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
