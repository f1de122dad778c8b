"""What each role may do: which routes it may ask, and how much of what they show it sees.

What is not written here nobody may do. docs/roles.md is generated from it, and a test walks every
route with every role.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, or_, select

from contracts.message import Command
from rulebook import Rulebook
from services.gateway.callers import Acting, Forbidden, Reach, Role
from services.gateway.model import events
from services.gateway.openings import OPENINGS
from services.gateway.resources import BATCHES, FED_BY, POSTS, SHEETS, VIEWS
from services.gateway.views import View

ENTERPRISE, GRID_OFFICER, INSPECTOR = Role.ENTERPRISE, Role.GRID_OFFICER, Role.INSPECTOR
AGENCY_HEAD, HOTLINE, INSURER = Role.AGENCY_HEAD, Role.HOTLINE_DESK, Role.INSURER
OFFICE, DEPARTMENT = Role.DISTRICT_OFFICE, Role.DEPARTMENT
OPERATOR, AUDITOR = Role.OPERATOR, Role.AUDITOR
OFFICERS = frozenset({GRID_OFFICER, INSPECTOR, AGENCY_HEAD})
ANY = frozenset(Role)
Roles = frozenset[Role]
Conditions = list[ColumnElement[bool]]

READERS: Mapping[str, Roles] = {
    "enterprises": OFFICERS | {ENTERPRISE, HOTLINE, INSURER, OFFICE, AUDITOR},
    "filings": OFFICERS | {ENTERPRISE, OFFICE, AUDITOR},
    "rosters": OFFICERS | {ENTERPRISE, OFFICE, AUDITOR},
    "patrols": OFFICERS | {OFFICE, AUDITOR},
    "plans": OFFICERS | {OFFICE, AUDITOR},
    "visits": OFFICERS | {HOTLINE, OFFICE, AUDITOR},
    "issues": OFFICERS | {ENTERPRISE, OFFICE, AUDITOR},
    "notices": OFFICERS | {ENTERPRISE, OFFICE, AUDITOR},
    "closures": OFFICERS | {ENTERPRISE, OFFICE, AUDITOR},
    "slips": OFFICERS | {ENTERPRISE, HOTLINE, OFFICE, AUDITOR},
    "complaints": {INSPECTOR, AGENCY_HEAD, HOTLINE, OFFICE, AUDITOR},
    "policies": {ENTERPRISE, INSURER, OFFICE, AUDITOR},
    "medics": {INSURER, OFFICE, AUDITOR},
    "uncovered": {INSURER, OFFICE, AUDITOR},
    "claims": {INSURER, OFFICE, AUDITOR},
}
"""Who may read which list, its documents, and the events that made them. An enterprise sees no
visit before it is there, and no complaint: it would know who might have called."""

_DESK = frozenset({HOTLINE, OFFICE})
_ON_SITE = frozenset({GRID_OFFICER, INSPECTOR, AGENCY_HEAD, OFFICE})
_HEADS = frozenset({AGENCY_HEAD, OFFICE})
_CASES = frozenset({AGENCY_HEAD, HOTLINE, OFFICE})
_ENROLS = frozenset({INSURER, OFFICE})

ASKERS: Mapping[str, Roles] = {
    "/v1/enterprises": {ENTERPRISE, GRID_OFFICER, OFFICE},
    "/v1/enterprises/<id>/correction": {GRID_OFFICER, OFFICE},
    "/v1/enterprises/<id>/roster": {ENTERPRISE, GRID_OFFICER, OFFICE},
    "/v1/enterprises/<id>/roster/lines": {ENTERPRISE, GRID_OFFICER, OFFICE},
    "/v1/enterprises/<id>/liaison": _HEADS,
    "/v1/filings": {ENTERPRISE, GRID_OFFICER, OFFICE},
    "/v1/filings/<id>/decision": _HEADS,
    "/v1/filings/<id>/withdrawal": {ENTERPRISE, GRID_OFFICER, OFFICE},
    "/v1/patrols": {INSPECTOR, AGENCY_HEAD, OFFICE},
    "/v1/patrols/plans": _HEADS,
    "/v1/visits": _ON_SITE,
    "/v1/visits/plans": _ON_SITE,
    "/v1/visits/<id>/day": _ON_SITE,
    "/v1/visits/<id>/cancellation": _HEADS,
    "/v1/visits/<id>/part": _ON_SITE,
    "/v1/visits/<id>/signature": _ON_SITE,
    "/v1/notices/<id>/reinspection": _ON_SITE,
    "/v1/notices/<id>/extension": _HEADS,
    "/v1/closures": {INSPECTOR, AGENCY_HEAD, OFFICE},
    "/v1/closures/<id>/lifting": _HEADS,
    "/v1/closures/<id>/reinspection": _ON_SITE,
    "/v1/slips/<id>/acknowledgement": {ENTERPRISE, OFFICE},
    "/v1/complaints": _DESK,
    "/v1/complaints/<id>/acceptance": _DESK,
    "/v1/complaints/<id>/refusal": _DESK,
    "/v1/complaints/<id>/referral": _DESK,
    "/v1/complaints/<id>/comments": _CASES | {INSPECTOR},
    "/v1/complaints/<id>/matching": _DESK,
    "/v1/complaints/<id>/unmatching": _DESK,
    "/v1/complaints/<id>/link": _DESK,
    "/v1/complaints/<id>/unlinking": _DESK,
    "/v1/complaints/<id>/pause": _CASES,
    "/v1/complaints/<id>/resumption": _CASES,
    "/v1/complaints/<id>/extension": _HEADS,
    "/v1/complaints/<id>/mediation": _CASES,
    "/v1/complaints/<id>/case": _HEADS,
    "/v1/complaints/<id>/conclusion": _HEADS,
    "/v1/complaints/<id>/answer": _CASES,
    "/v1/complaints/<id>/reopening": _DESK,
    "/v1/complaints/<id>/rating": _DESK,
    "/v1/medics": _ENROLS,
    "/v1/medics/<id>/correction": _ENROLS,
    "/v1/medics/<id>/withdrawal": _ENROLS,
    "/v1/claims": _ENROLS,
    "/v1/claims/<id>/check": {INSURER},
    "/v1/claims/<id>/decision": {INSURER},
    "/v1/claims/<id>/payment": {INSURER},
    "/v1/complaints/<id>/openings": {AGENCY_HEAD, HOTLINE},
    "/v1/medics/<id>/openings": {INSURER},
    "/v1/claims/<id>/openings": {INSURER},
    "/v1/clock": {OFFICE, OPERATOR},
    "/v1/webhooks": {DEPARTMENT, OFFICE},
}
"""Who may ask for what, by the path of a POST; of a batch it is who may ask for one."""

_READ_SOME_LIST = frozenset().union(*READERS.values())
OTHERS: Mapping[str, Roles] = {
    "/v1/enterprises/<id>/timeline": READERS["enterprises"] - {HOTLINE, INSURER},
    "/v1/enterprises/<id>/rosters": READERS["rosters"],
    "/v1/complaints/<id>/timeline": READERS["complaints"],
    "/v1/officers": {OFFICE, AUDITOR},
    "/v1/checklists": ANY,
    "/v1/statistics": ANY,
    "/v1/events": _READ_SOME_LIST | {DEPARTMENT},
    "/v1/events/stream": _READ_SOME_LIST | {DEPARTMENT},
    "/v1/webhooks": ASKERS["/v1/webhooks"],
    "/v1/webhooks/<id>": ASKERS["/v1/webhooks"],
    "/v1/webhooks/<id>/deliveries": ASKERS["/v1/webhooks"],
    "/v1/exports/<id>": _READ_SOME_LIST,
    "/v1/exports/<id>/file": _READ_SOME_LIST,
    "/v1/commands/<id>": ANY,
    "/v1/commands/<id>/rows": ANY,
}
"""Who may read what is no list of documents, by path."""

OF_NOBODY = frozenset({"/v1/checklists", "/v1/statistics", "/v1/commands/<id>",
                       "/v1/commands/<id>/rows"})  # fmt: skip
"""What shows nothing of any enterprise or grid, and so is alike for all who may read it."""


def allowed(method: str, path: str) -> Roles:
    """Tell which roles may use a route; nobody may use one that is not written down."""
    return frozenset(routes_and_roles().get((method, path), ()))


@cache
def routes_and_roles() -> Mapping[tuple[str, str], Iterable[Role]]:
    """Give every route that somebody may use, by method and path, with the roles that may."""
    table: dict[tuple[str, str], Iterable[Role]] = {}
    for post in (*POSTS, *SHEETS):
        table["POST", post.path] = ASKERS.get(post.path, ())
    for post in BATCHES:
        table["POST", f"{post.path}/batch"] = ASKERS.get(post.path, ())
    for path in ("/v1/clock", "/v1/webhooks", *(opening.path for opening in OPENINGS)):
        table["POST", path] = ASKERS[path]
    for what in ("secret", "disabling", "enabling", "redelivery"):
        table["POST", f"/v1/webhooks/<id>/{what}"] = ASKERS["/v1/webhooks"]
    for name, roles in READERS.items():
        table["GET", f"/v1/{name}"] = table["GET", f"/v1/{name}/<id>"] = roles
    return table | {("GET", path): roles for path, roles in OTHERS.items()}


class Sight:
    """What a caller sees while it does one thing; the grid tree is the rulebook's."""

    def __init__(self, book: Rulebook, acting: Acting) -> None:
        self.acting = acting
        self.grids = nodes_below(book, acting.caller.grids)
        self._of_views: dict[str, Conditions] = {}

    def of(self, view: View) -> Conditions:
        """Give what a document must fulfil to be seen, in a query of the view's table."""
        if self.acting.everywhere:
            return []
        if view.name not in self._of_views:
            self._of_views[view.name] = self._limits(view)
        return self._of_views[view.name]

    def _limits(self, view: View) -> Conditions:
        ways: Conditions = []
        if Reach.GRID in self.acting.reach and self.grids:
            ways.append(_lies_in(view, self.grids))
        if Reach.OWN in self.acting.reach and self.acting.caller.enterprises:
            ways.append(_belongs(view, self.acting.caller.enterprises))
        return [or_(*ways)] if ways else [false()]

    def of_events(self) -> Conditions:
        """Give what an event must fulfil to be seen, in a query of the kept events.

        A role sees the events that make what it may read; a department all that are published.
        """
        ways: Conditions = []
        caller, grids = self.acting.caller, self.grids
        for role in caller.roles:
            if role is DEPARTMENT:
                return []
            kinds = events.c.type.in_(sorted(seen_by(role)))
            if role.reach is Reach.DISTRICT:
                ways.append(kinds)
            elif role.reach is Reach.GRID and grids:
                ways.append(and_(kinds, events.c.enterprise_id.in_(_enterprises_in(grids))))
            elif role.reach is Reach.OWN and caller.enterprises:
                own = events.c.enterprise_id.in_(_owned(caller.enterprises))
                ways.append(and_(kinds, own, events.c.complaint_id.is_(None)))
        return [or_(*ways)] if ways else [false()]

    def judge(self, command: type[Command], data: Mapping[str, Any], *, new: bool) -> None:
        """Judge where a command would put a thing, and whose it makes it; raises `Forbidden`.

        What it names that exists has been looked for among what the caller sees.
        """
        acting, place = self.acting, data.get("grid")
        if acting.everywhere:
            return
        places = new and "grid" in command.names()
        if Reach.GRID in acting.reach and (
            place in self.grids if place is not None else not places
        ):
            return
        if Reach.OWN in acting.reach:
            named = {data.get("credit_code"), data.get("registration_number")} - {None}
            if not new or (named and named <= acting.caller.enterprises):
                return
        raise Forbidden("That lies outside of what the caller is in charge of.")


def nodes_below(book: Rulebook, grids: Collection[str]) -> frozenset[str]:
    """Name these nodes of the grid tree and all below them; the district's code is all of it."""
    if book.district.code in grids:
        return frozenset(book.grids)
    return frozenset(code for code in book.grids if not {*grids}.isdisjoint(book.way_up(code)))


def seen_by(role: Role) -> set[str]:
    """Name the types of the events that a role sees: those that feed a list that it may read."""
    return {
        kind.type
        for kind, views in FED_BY.items()
        if any(role in READERS.get(view.name, ()) for view in views)
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
