"""Callers: their roles and their scope.

A token names the caller. What a caller may do follows from its roles (`permissions`) and from what
the token assigns to it: an enterprise its own data, officers their grids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from werkzeug.wrappers import Request

from chassis.errors import Rejected
from services.gateway.resources.roles import Role, ScopeLevel

ENVIRON = "bihuan.caller"
_DERIVED = re.compile(r"~[0-9a-f]{48}")
_LONGEST_SCOPE = 380
"""Longest subject, in characters; with its prefix and suffix it is stored in 400."""


class Unauthenticated(Rejected):
    """A valid bearer token is needed."""

    status = 401


class Forbidden(Rejected):
    """The caller may not do this."""

    status = 403


@dataclass(frozen=True)
class Caller:
    """The holder of a valid token.

    `grids` are nodes of the grid tree, each with all nodes below; the district's code means all.
    `enterprises` are ids, credit codes or registration numbers. A caller with `speaks_for_others`,
    such as the system of a desk or a department, may name the acting person in `by`; for all others
    `by` is the caller. `issuer` is empty for the district's own issuer, or the only one: a subject
    is unique only within an issuer.
    """

    subject: str
    roles: frozenset[Role]
    grids: frozenset[str] = frozenset()
    enterprises: frozenset[str] = frozenset()
    speaks_for_others: bool = False
    issuer: str = ""

    @property
    def known_as(self) -> str:
        """The unique name under which the caller's things are stored.

        For the district's own issuer it is the subject. For other issuers, and for a subject that
        looks derived, it is derived from issuer and subject.
        """
        if not self.issuer and not _DERIVED.fullmatch(self.subject):
            return self.subject
        return f"~{_digest(self.issuer, self.subject)}"

    def principal(self, allowed: Iterable[Role]) -> Principal:
        """Return the caller in those of its roles that are allowed; raises `Forbidden` if there are
        none."""
        roles = self.roles & frozenset(allowed)
        if not roles:
            raise Forbidden(f"Allowed roles: {', '.join(sorted(allowed)) or 'none'}.")
        return Principal(self, roles)


@dataclass(frozen=True)
class Principal:
    """A caller in the roles of one request; `reach` is their widest level."""

    caller: Caller
    roles: frozenset[Role]
    level: frozenset[ScopeLevel] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", frozenset(role.level for role in self.roles))

    @property
    def everywhere(self) -> bool:
        """Whether nothing in the district is out of reach."""
        return ScopeLevel.DISTRICT in self.level

    def signs(self, named: Any) -> str:
        """Return the acting person that a request names, or the caller; raises `Forbidden` if the
        caller may not act for others."""
        me = self.caller.subject
        if named is None or named == me or self.caller.speaks_for_others:
            return me if named is None else named
        raise Forbidden(
            "The caller may not act for another person.",
            errors=[{"pointer": "#/by", "detail": f"must be {me}, or be left out"}],
        )


def caller_of(request: Request) -> Caller:
    """Return the caller of a request; the route has authorized it."""
    caller: Caller = request.environ[ENVIRON]
    return caller


class Scope(NamedTuple):
    """The scope of an idempotency key: its route, caller and key.

    `before` is the ambiguous form of an earlier version.
    """

    text: str
    before: str | None = None

    def of(self, what: str, after: str = "") -> Scope:
        """Return the scope of one kind of records, and of a part of the request."""
        before = f"{what} {self.before}{after}" if self.before else None
        return Scope(f"{what} {self.text}{after}", before)


def scope_of(caller: Caller, path: str, key: str) -> Scope:
    """Return a scope that is unique for route, caller and key.

    A space ends the path, which contains none, and another the caller's name, whose spaces are
    escaped. A scope too long to store is hashed and begins with %, as no path does.
    """
    name = caller.known_as.replace("%", "%25").replace(" ", "%20")
    text = f"{path} {name} {key}"
    if len(text) > _LONGEST_SCOPE:
        text = f"%{_digest(path, name, key)}"
    before = f"{path} {caller.subject} {key}"
    return Scope(text, before if before != text else None)


def _digest(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=24).hexdigest()
