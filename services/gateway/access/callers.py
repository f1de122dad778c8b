"""Who calls: roles, and how far each reaches.

A caller is known by a token; what it may do follows from its roles (`permissions`) and from what
the token ties it to: the enterprise to what is its own, officers to their grids.
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
"""Characters; with what goes before and after it is stored in 400."""


class Unauthenticated(Rejected):
    """A bearer token that is valid here is needed."""

    status = 401


class Forbidden(Rejected):
    """The caller may not do this."""

    status = 403


@dataclass(frozen=True)
class Caller:
    """Somebody with a valid token.

    `grids` are nodes of the grid tree, with all below them; the district's own code is the whole of
    it. `enterprises` are ids, credit codes or registration numbers. One who `speaks_for_others`, a
    desk's or a department's system, may say in `by` which of its people acts; for all others `by`
    is who they are. `issuer` is who vouches for the caller, and empty where that is the district's
    own issuer, or the only one: a subject is one and the same person only within an issuer.
    """

    subject: str
    roles: frozenset[Role]
    grids: frozenset[str] = frozenset()
    enterprises: frozenset[str] = frozenset()
    speaks_for_others: bool = False
    issuer: str = ""

    @property
    def known_as(self) -> str:
        """The name under which is kept whose something is: no two callers have the same.

        Of the district's own it is the subject itself, of others it is derived from issuer and
        subject, and so it is of a subject that looks like one that is derived.
        """
        if not self.issuer and not _DERIVED.fullmatch(self.subject):
            return self.subject
        return f"~{_digest(self.issuer, self.subject)}"

    def principal(self, allowed: Iterable[Role]) -> Principal:
        """Give the caller in those of its roles that are allowed; raises `Forbidden` without."""
        roles = self.roles & frozenset(allowed)
        if not roles:
            raise Forbidden(f"That takes one of the roles {', '.join(sorted(allowed)) or '-'}.")
        return Principal(self, roles)


@dataclass(frozen=True)
class Principal:
    """A caller in the roles in which it does one thing; `reach` is how far these go."""

    caller: Caller
    roles: frozenset[Role]
    level: frozenset[ScopeLevel] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", frozenset(role.level for role in self.roles))

    @property
    def everywhere(self) -> bool:
        """Whether nothing in the district is out of reach."""
        return ScopeLevel.DISTRICT in self.level

    def signs(self, said: Any) -> str:
        """Tell who acts, where the request may say so; raises `Forbidden` for somebody else."""
        me = self.caller.subject
        if said is None or said == me or self.caller.speaks_for_others:
            return me if said is None else said
        raise Forbidden(
            "Only a caller that speaks for others may name somebody else.",
            errors=[{"pointer": "#/by", "detail": f"must be {me}, or be left out"}],
        )


def caller_of(request: Request) -> Caller:
    """Give who asks; the door has let nobody in without."""
    caller: Caller = request.environ[ENVIRON]
    return caller


class Scope(NamedTuple):
    """Under what a request is kept, so that it is known again: its route, caller and key.

    `before` is how an earlier version wrote that, where it could mean another caller too.
    """

    text: str
    before: str | None = None

    def of(self, what: str, after: str = "") -> Scope:
        """Give the scope of one kind of records, and of a part of the request."""
        before = f"{what} {self.before}{after}" if self.before else None
        return Scope(f"{what} {self.text}{after}", before)


def scope_of(caller: Caller, path: str, key: str) -> Scope:
    """Keep the key of one route and one caller apart from that of every other.

    A space ends the path, which has none, and another the caller, whose own are escaped. What is
    too long to be stored begins with %, as no path does.
    """
    name = caller.known_as.replace("%", "%25").replace(" ", "%20")
    text = f"{path} {name} {key}"
    if len(text) > _LONGEST_SCOPE:
        text = f"%{_digest(path, name, key)}"
    before = f"{path} {caller.subject} {key}"
    return Scope(text, before if before != text else None)


def _digest(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=24).hexdigest()
