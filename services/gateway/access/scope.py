"""Access scope: which documents and events a caller sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, or_, select
from werkzeug.wrappers import Request

from contracts.message import Command
from rulebook import Rulebook
from services.gateway.access.callers import Forbidden, Principal
from services.gateway.resources import FED_BY, VIEWS
from services.gateway.resources.roles import DEPARTMENT, Role, ScopeLevel
from services.gateway.resources.view import View
from services.gateway.tables import events

Conditions = list[ColumnElement[bool]]
ACCESS = "bihuan.access_scope"
"""Key of the request environment that holds the caller's scope."""


class AccessScope:
    """The scope of a caller in one request; `book` has the grid tree."""

    def __init__(self, book: Rulebook, principal: Principal) -> None:
        self.principal = principal
        self.grids = nodes_below(book, principal.caller.grids)
        self._of_views: dict[str, Conditions] = {}

    def of(self, view: View) -> Conditions:
        """Return the conditions under which a document is visible, for a query of the view's
        table."""
        if self.principal.everywhere:
            return []
        if view.name not in self._of_views:
            self._of_views[view.name] = self._limits(view)
        return self._of_views[view.name]

    def _limits(self, view: View) -> Conditions:
        ways: Conditions = []
        if ScopeLevel.GRID in self.principal.level and self.grids:
            ways.append(_lies_in(view, self.grids))
        if ScopeLevel.OWN in self.principal.level and self.principal.caller.enterprises:
            ways.append(_belongs(view, self.principal.caller.enterprises))
        return [or_(*ways)] if ways else [false()]

    def of_events(self) -> Conditions:
        """Return the conditions under which an event is visible, for a query of the stored events.

        A role sees the events behind the documents that it may read; a department sees all public
        events.
        """
        ways: Conditions = []
        caller, grids = self.principal.caller, self.grids
        for role in caller.roles:
            if role is DEPARTMENT:
                return []
            kinds = events.c.type.in_(sorted(seen_by(role)))
            if role.level is ScopeLevel.DISTRICT:
                ways.append(kinds)
            elif role.level is ScopeLevel.GRID and grids:
                ways.append(and_(kinds, events.c.enterprise_id.in_(_enterprises_in(grids))))
            elif role.level is ScopeLevel.OWN and caller.enterprises:
                own = events.c.enterprise_id.in_(_owned(caller.enterprises))
                ways.append(and_(kinds, own, events.c.complaint_id.is_(None)))
        return [or_(*ways)] if ways else [false()]

    def judge(self, command: type[Command], data: Mapping[str, Any], *, new: bool) -> None:
        """Check where a command puts a thing and to whom it belongs; raises `Forbidden`.

        Existing things that the command names were already looked up within the scope.
        """
        principal, place = self.principal, data.get("grid")
        if principal.everywhere:
            return
        places = new and "grid" in command.names()
        if ScopeLevel.GRID in principal.level and (
            place in self.grids if place is not None else not places
        ):
            return
        if ScopeLevel.OWN in principal.level:
            named = {data.get("credit_code"), data.get("registration_number")} - {None}
            if not new or (named and named <= principal.caller.enterprises):
                return
        raise Forbidden("The thing is outside the caller's scope.")


def access_of(request: Request) -> AccessScope:
    """Return the scope of a request."""
    seen: AccessScope = request.environ[ACCESS]
    return seen


def nodes_below(book: Rulebook, grids: Collection[str]) -> frozenset[str]:
    """Return these nodes of the grid tree and all below them; the district's code means all
    nodes."""
    if book.district.code in grids:
        return frozenset(book.grids)
    return frozenset(code for code in book.grids if not {*grids}.isdisjoint(book.way_up(code)))


def seen_by(role: Role) -> set[str]:
    """Return the types of events that a role sees: those of the lists that it may read."""
    return {
        kind.type for kind, views in FED_BY.items() if any(role in view.readers for view in views)
    }


def _lies_in(view: View, grids: Collection[str]) -> ColumnElement[bool]:
    columns = view.table.c
    if "grid" in view.columns:
        return columns.grid.in_(sorted(grids))
    if "enterprise_id" in view.columns:
        return columns.enterprise_id.in_(_enterprises_in(grids))
    return false()


def _belongs(view: View, enterprises: Iterable[str]) -> ColumnElement[bool]:
    columns = view.table.c
    if view is VIEWS["enterprises"]:
        return _is_one_of(enterprises)
    if view is VIEWS["policies"]:
        return columns.holder_id.in_(_owned(enterprises))
    if "enterprise_id" not in view.columns:
        return false()
    own = columns.enterprise_id.in_(_owned(enterprises))
    return and_(own, columns.complaint_id.is_(None)) if "complaint_id" in view.columns else own


def _is_one_of(enterprises: Iterable[str]) -> ColumnElement[bool]:
    columns, named = VIEWS["enterprises"].table.c, sorted(enterprises)
    return or_(
        columns.id.in_(named),
        columns.credit_code.in_(named),
        columns.registration_number.in_(named),
    )


def _owned(enterprises: Iterable[str]) -> Select[Any]:
    return select(VIEWS["enterprises"].table.c.id).where(_is_one_of(enterprises))


def _enterprises_in(grids: Collection[str]) -> Select[Any]:
    columns = VIEWS["enterprises"].table.c
    return select(columns.id).where(columns.grid.in_(sorted(grids)))
