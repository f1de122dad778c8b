"""Permissions: the endpoints that each role may use, derived from the declarations.

An undeclared route is forbidden. docs/roles.md is generated from this table, and a test requests
every route with every role.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from services.gateway.resources import (
    BATCHES,
    DISCLOSURES,
    OPERATIONS,
    POSTS,
    SHEETS,
    SUBLISTS,
    TIMELINES,
    VIEWS,
)
from services.gateway.resources.roles import Roles

_NO_ROLES: Roles = frozenset()


def allowed(method: str, path: str) -> Roles:
    """Return the roles that may use a route; none for an undeclared route."""
    return routes_and_roles().get((method, path), _NO_ROLES)


@cache
def routes_and_roles() -> Mapping[tuple[str, str], Roles]:
    """Return the roles of every route that needs a token, by method and path."""
    table = {("POST", each.path): each.roles for each in (*POSTS, *SHEETS, *DISCLOSURES)}
    table |= {("POST", post.batch_path): post.roles for post in BATCHES}
    table |= {("GET", view.path): view.readers for view in VIEWS.values()}
    table |= {("GET", view.document_path): view.readers for view in VIEWS.values()}
    table |= {("GET", each.path): each.roles for each in (*TIMELINES, *SUBLISTS)}
    return table | {(one.method, one.path): one.roles for one in OPERATIONS if one.needs_a_token}
