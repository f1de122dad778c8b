"""The feed: every public event, in one order without gaps that never changes.

A page scans a limited number of positions and returns how far it got: so a rare filter costs no
more than a frequent one, and no filter needs an index. docs/feed.md documents it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select
from werkzeug.datastructures import MultiDict

from chassis.message import encode
from chassis.storage.store import Store
from contracts.catalogue import sealed_fields
from rulebook import Rulebook
from services.gateway.event_log.chain import last_event
from services.gateway.http.media_types import JSON
from services.gateway.http.request import IDENTIFIER, BadRequest, once, page_of
from services.gateway.resources import VIEWS
from services.gateway.tables import events

WINDOW = 1000
"""Positions to scan in one query."""
WINDOWS = 20
"""Maximum queries of a page."""
TURNS = 3
"""Concurrent database uses by streams, and likewise by webhooks: requests need connections too."""
HELD = 1000
"""Number of last events among which an event of an unknown enterprise delays the feed."""
FILTERS = ["type", "source", "enterprise", "grid"]
_enterprises = VIEWS["enterprises"].table

Scope = Sequence[ColumnElement[bool]]


@dataclass(frozen=True)
class Wanted:
    """An event filter: all events, or those of some types, sources, an enterprise, a grid."""

    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    enterprise: str | None = None
    grid: str | None = None
    grids: tuple[str, ...] = ()
    """The filtered grid and all nodes below it."""

    def query(self) -> Select[Any]:
        """Return the query for the matching events."""
        query = select(events)
        if self.types:
            query = query.where(events.c.type.in_(self.types))
        if self.sources:
            query = query.where(events.c.source.in_(self.sources))
        if self.enterprise is not None:
            query = query.where(events.c.enterprise_id == self.enterprise)
        if self.grid is not None:
            query = query.join(_enterprises, _enterprises.c.id == events.c.enterprise_id)
            query = query.where(_enterprises.c.grid.in_(self.grids))
        return query


@dataclass(frozen=True)
class FeedPage:
    """Some events in order, the position after which the feed continues, and the last event."""

    rows: Sequence[Row[Any]]
    following: int
    as_of: dict[str, Any]
    ends: bool
    """No more events were available at the time."""


class Feed:
    """Reads stored events from a position on."""

    def __init__(self, store: Store, book: Rulebook, offered: Mapping[str, str | None]) -> None:
        self.store = store
        self.offered = offered
        """The public types, each with its source."""
        self._book = book

    # -- requests

    def parse(
        self, parameters: MultiDict[str, str], also: Sequence[str]
    ) -> tuple[Wanted, int, int]:
        """Parse a query string into filter, page size and position.

        Raises `BadRequest`, which lists every error.
        """
        query = once(parameters, [*also, *FILTERS])
        errors: list[str] = []
        types = self._some(query, "type", self.offered, errors)
        sources = self._some(query, "source", {*filter(None, self.offered.values())}, errors)
        wanted = self.wanted(types, sources, query.get("enterprise"), query.get("grid"), errors)
        try:
            limit, after = page_of(query)
        except BadRequest as error:
            errors.append(error.detail)
        if errors:
            raise BadRequest(" ".join(errors))
        return wanted, limit, after

    def wanted(
        self,
        types: Sequence[str],
        sources: Sequence[str],
        enterprise: str | None,
        grid: str | None,
        errors: list[str],
    ) -> Wanted:
        """Build a filter; append an error sentence for each invalid value."""
        if enterprise is not None and not IDENTIFIER.fullmatch(enterprise):
            errors.append("enterprise must be the id of an enterprise.")
        grids = self.beneath(grid) if grid is not None else ()
        if grid is not None and not grids:
            errors.append(f"Unknown grid {grid}.")
        return Wanted(tuple(types), tuple(sources), enterprise, grid, grids)

    def beneath(self, grid: str) -> tuple[str, ...]:
        """Return a node of the grid and all below it, in any edition of the rulebook, or
        nothing."""
        nodes = {
            code
            for edition in self._book.editions
            for code in edition.grids
            if grid in edition.way_up(code)
        }
        return tuple(sorted(nodes))

    @staticmethod
    def _some(
        query: Mapping[str, str], name: str, allowed: Collection[str], errors: list[str]
    ) -> tuple[str, ...]:
        """Parse one or several comma-separated values; an unknown one is an error."""
        if name not in query:
            return ()
        values = sorted({*query[name].split(",")})
        if unknown := [value for value in values if value not in allowed]:
            errors.append(
                f"Unknown {name} {', '.join(unknown) or '(empty)'}. "
                f"Allowed: {', '.join(sorted(allowed))}."
            )
        return tuple(values)

    # -- pages

    def page(self, wanted: Wanted, after: int, limit: int, scope: Scope = ()) -> FeedPage:
        """Return the events after a position; raises `BadRequest` for a future position."""
        query = wanted.query().where(*scope).order_by(events.c.position)
        with self.store.engine.connect() as connection:
            as_of = last_event(connection)
            end = as_of["position"]
            if after > end:
                raise BadRequest(f"after is {after}, but the last event is {end}.")
            if wanted.grid is not None or scope:
                end = min(end, self._known(connection, after, end))
            width = end - after if wanted.enterprise else WINDOW
            rows, following = _look_through(connection, query, (after, end), limit, width)
        return FeedPage(rows, following, as_of, following >= end)

    @staticmethod
    def _known(connection: Connection, after: int, end: int) -> int:
        """Return the last position before which every enterprise is known.

        An event about an enterprise may arrive before its registration, which another service
        publishes. Until then its grid is unknown, and skipping it would leave a gap.
        """
        here = events.outerjoin(_enterprises, _enterprises.c.id == events.c.enterprise_id)
        first = (
            select(func.min(events.c.position))
            .select_from(here)
            .where(
                events.c.position > max(after, end - HELD),
                events.c.position <= end,
                events.c.enterprise_id.is_not(None),
                _enterprises.c.id.is_(None),
            )
        )
        position: int | None = connection.scalar(first)
        return end if position is None else position - 1

    def event(self, wanted: Wanted, identity: str) -> Row[Any] | None:
        """Return a matching event by its id, or None."""
        query = wanted.query().where(events.c.id == identity)
        with self.store.engine.connect() as connection:
            return connection.execute(query).first()

    def at(self, position: int) -> Row[Any]:
        """Return the event at a position."""
        with self.store.engine.connect() as connection:
            return connection.execute(select(events).where(events.c.position == position)).one()


def _look_through(
    connection: Connection, query: Select[Any], between: tuple[int, int], limit: int, width: int
) -> tuple[list[Row[Any]], int]:
    """Scan window by window until the page is full; return the rows, and the position reached."""
    reached, end = between
    rows: list[Row[Any]] = []
    for _ in range(WINDOWS):
        if reached >= end:
            break
        until = min(reached + width, end)
        window = query.where(events.c.position > reached, events.c.position <= until)
        rows += connection.execute(window.limit(limit - len(rows))).all()
        if len(rows) == limit:
            return rows, rows[-1].position
        reached = until
    return rows, reached


def cloud_event(row: Row[Any]) -> str:
    """Return an event as CloudEvents 1.0 in JSON, with its position, without personal data."""
    attributes = {
        "specversion": "1.0",
        "id": row.id,
        "source": row.source,
        "type": row.type,
        "time": row.time,
        "subject": row.partitionkey,
        "datacontenttype": JSON,
        "partitionkey": row.partitionkey,
        "correlationid": row.correlationid,
        **({"causationid": row.causationid} if row.causationid else {}),
        **({"causationtype": row.causationtype} if row.causationtype else {}),
        "position": row.position,
    }
    return f'{encode(attributes)[:-1]},"data":{_data(row)}}}'


def _data(row: Row[Any]) -> str:
    hidden = sealed_fields(row.type)
    if not hidden:
        body: str = row.body
        return body
    data = json.loads(row.body)
    return encode({name: value for name, value in data.items() if name not in hidden})
