"""What each role may do: which routes it may ask, and how much of what they show it sees.

What is not written here nobody may do. docs/roles.md is generated from it, and a test walks every
route with every role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from services.gateway.access.callers import Role
from services.gateway.resources import BATCHES, OPENINGS, POSTS, SHEETS

ENTERPRISE, GRID_OFFICER, INSPECTOR = Role.ENTERPRISE, Role.GRID_OFFICER, Role.INSPECTOR
AGENCY_HEAD, HOTLINE, INSURER = Role.AGENCY_HEAD, Role.HOTLINE_DESK, Role.INSURER
OFFICE, DEPARTMENT = Role.DISTRICT_OFFICE, Role.DEPARTMENT
OPERATOR, AUDITOR = Role.OPERATOR, Role.AUDITOR
OFFICERS = frozenset({GRID_OFFICER, INSPECTOR, AGENCY_HEAD})
ANY = frozenset(Role)
Roles = frozenset[Role]

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
