"""Queries of the read models: documents by id, lists in pages, timelines with causes,
statistics."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, null, select, tuple_

from chassis.message import encode
from chassis.runtime.green import Event, Semaphore, pause
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from contracts.catalogue import sealed_fields
from services.gateway.event_log.chain import last_event
from services.gateway.http.request import not_found
from services.gateway.read_models.list_query import ListQuery, Place
from services.gateway.read_models.statistics import statistics
from services.gateway.resources.view import Document, View
from services.gateway.tables import counters, events


class Reads:
    """Answers queries from the gateway's own read models."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._wanted: dict[View, dict[str, Event]] = defaultdict(dict)
        self._turn = Semaphore(1)

    def document(
        self, view: View, identity: str, scope: Sequence[ColumnElement[bool]] = ()
    ) -> str | None:
        """Return a document as JSON text if it is within the scope, else None."""
        if scope:
            with self.store.engine.connect() as connection:
                limited: str | None = connection.scalar(view.by_id.where(*scope), {"id": identity})
                return limited
        come = self._wanted[view].setdefault(identity, Event())
        with self._turn:
            if not come.ready():
                self._find(view)
        text: str | None = come.wait()
        return text

    def _find(self, view: View) -> None:
        """Load all documents requested so far in one query."""
        wanted = self._wanted.pop(view)
        try:
            parameters = {"ids": self.store.dialect.array(wanted)}
            documents = dict(self.store.execute(Statement(view.some(self.store), parameters)))
        except Exception as error:
            for come in wanted.values():
                come.send_exception(error)
            return
        except BaseException:  # the client is gone: the next request loads them
            self._wanted[view] = wanted | self._wanted[view]
            raise
        for identity, come in wanted.items():
            come.send(documents.get(identity))

    def look(
        self, view: View, identity: str, scope: Sequence[ColumnElement[bool]] = ()
    ) -> Document | None:
        """Return a document if it is within the scope, else None."""
        text = self.document(view, identity, scope)
        return json.loads(text) if text else None

    def require(self, view: View, identity: str, scope: Sequence[ColumnElement[bool]] = ()) -> str:
        """Return a document as JSON text; raises `NotFound` if none is within the scope."""
        text = self.document(view, identity, scope)
        if text is None:
            raise not_found(identity, f"the {view.name}")
        return text

    def listing(self, view: View, query: ListQuery) -> tuple[str, str | None]:
        """Return a page of a view as JSON text, and the cursor of the next page or None.

        The page contains everything that follows from the events up to `as_of`.
        """
        with self.store.engine.connect() as connection:
            as_of = last_event(connection)
            rows = self._rows(connection, view, query)
        following = None
        if len(rows) > query.limit:
            last = rows[query.limit - 1]
            following = query.cursor(Place(last.sorted_by, last.position))
        items = ",".join(row.doc for row in rows[: query.limit])
        return (
            f'{{"items":[{items}],"next":{encode(following)},"as_of":{encode(as_of)}}}\n',
            following,
        )

    def pages(self, view: View, query: ListQuery) -> Iterator[list[Document]]:
        """Return all pages of a list, read by cursor; at least one.

        No database resource is held between two pages, and other requests run in between.
        """
        while True:
            with self.store.engine.connect() as connection:
                rows = self._rows(connection, view, query)
            yield [json.loads(row.doc) for row in rows[: query.limit]]
            if len(rows) <= query.limit:
                return
            last = rows[query.limit - 1]
            query = replace(query, after=Place(last.sorted_by, last.position))
            pause(0)

    def is_longer(self, view: View, listing: ListQuery, rows: int) -> bool:
        """Return whether a list has more than `rows` rows."""
        (query,) = self._pages(view, replace(listing, sort=None, descending=False, after=None))
        next_row = query.with_only_columns(view.table.c.position).offset(rows).limit(1)
        with self.store.engine.connect() as connection:
            return connection.scalar(next_row) is not None

    def as_of(self) -> dict[str, Any]:
        """Return the last known event."""
        with self.store.engine.connect() as connection:
            return last_event(connection)

    def _rows(self, connection: Connection, view: View, listing: ListQuery) -> list[Any]:
        """Read the rows of a page, and one more if it exists."""
        rows: list[Any] = []
        near = None
        if listing.words and view.words and listing.sort is None:
            begin = listing.after.position if listing.after else 0
            near = view.words.near(listing.words, begin, self.store.dialect.name)
        if near is not None:
            (query,) = self._pages(view, listing, near)
            rows += connection.execute(query.limit(listing.limit + 1)).all()
            if len(rows) > listing.limit:
                return rows
            rows.clear()
        for query in self._pages(view, listing):
            rows += connection.execute(query.limit(listing.limit + 1 - len(rows))).all()
            if len(rows) > listing.limit:
                break
        return rows

    def _pages(self, view: View, listing: ListQuery, found: Any = None) -> Iterator[Select[Any]]:
        """Return the queries that make up a page, in order: documents without a sort value come
        last."""
        table, after = view.table, listing.after
        position: ColumnElement[Any] = table.c.position
        column = null() if listing.sort is None else table.c[listing.sort]
        query = select(position, table.c.doc, column.label("sorted_by")).where(*listing.conditions)
        if listing.words and view.words:
            rows, place, condition = found or view.words.found(
                listing.words, self.store.dialect.name
            )
            query = query.join(rows, place == position).where(condition)
            position = place
        if listing.sort is None:
            yield _onward(query, listing, {position: after and after.position})
            return
        if after is None or after.value is not None:
            begin = {column: after and after.value, position: after and after.position}
            yield _onward(query.where(column.is_not(None)), listing, begin)
        begin = {position: after.position if after and after.value is None else None}
        yield _onward(query.where(column.is_(None)), listing, begin)

    def timeline(
        self,
        about: ColumnElement[bool],
        limit: int,
        after: int,
        scope: Sequence[ColumnElement[bool]] = (),
    ) -> tuple[dict[str, Any], str | None]:
        """Return a page of events, each with its cause, and the cursor of the next page or None.

        Pages follow the order of arrival, so no later event is missed. Within a page causes precede
        effects. An effect may arrive before a cause that another service published: the page then
        ends before that effect.
        """
        query = select(events).where(about, *scope)
        with self.store.engine.connect() as connection:
            as_of = last_event(connection)
            later = query.where(events.c.position > after).order_by(events.c.position)
            rows = list(connection.execute(later.limit(limit + 1)).all())
            following = None
            if len(rows) > limit:
                del rows[limit:]
                causes = [row.causationid for row in rows if row.causationid]
                late = select(events.c.id).where(
                    events.c.id.in_(causes), about, *scope, events.c.position > rows[-1].position
                )  # fmt: skip
                rows = _parted(rows, {*connection.scalars(late)})
                following = str(rows[-1].position)
        items = [_entry(row) for row in causes_first(rows)]
        return {"items": items, "next": following, "as_of": as_of}, following

    def counted(self, prefix: str) -> dict[str, int]:
        """Return the non-zero counters whose name has a prefix, without the prefix."""
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        query = (
            select(counters.c.name, counters.c.value)
            .where(counters.c.name >= prefix, counters.c.name < last, counters.c.value != 0)
            .order_by(counters.c.name)
        )
        with self.store.engine.connect() as connection:
            rows = connection.execute(query)
            return {row.name.removeprefix(prefix): row.value for row in rows}

    def statistics(self) -> dict[str, Any]:
        """Return the statistics and the event as of which they hold."""
        with self.store.engine.connect() as connection:
            as_of = last_event(connection)
            counted = {row.name: row.value for row in connection.execute(select(counters))}
        return statistics(counted) | {"as_of": as_of}


def _onward(query: Select[Any], listing: ListQuery, begin: Mapping[Any, Any]) -> Select[Any]:
    """Order by these columns, and start after these values if there are any."""
    columns, values = [*begin], [*begin.values()]
    if values[-1] is not None:
        here = tuple_(*columns) if len(columns) > 1 else columns[0]
        there = tuple(values) if len(columns) > 1 else values[0]
        query = query.where(here < there if listing.descending else here > there)
    return query.order_by(*(c.desc() if listing.descending else c for c in columns))


def _parted(rows: list[Any], late: set[str]) -> list[Any]:
    """End a page before the first effect whose cause arrives later, unless the page would be
    empty."""
    ends = (number for number, row in enumerate(rows) if number and row.causationid in late)
    end = next(ends, len(rows))
    if end == len(rows):
        return rows
    return _parted(rows[:end], late | {row.id for row in rows[end:]})


def causes_first(rows: Sequence[Any]) -> list[Any]:
    """Order events by arrival, but each after its cause and after earlier events of its stream."""
    by_id = {row.id: row for row in rows}
    needs: dict[str, list[Any]] = {}
    last_of: dict[tuple[str, str], Any] = {}
    for row in rows:
        stream = row.source, row.partitionkey
        before = last_of.get(stream), by_id.get(row.causationid)
        needs[row.id] = [one for one in before if one is not None]
        last_of[stream] = row
    ordered: dict[str, Any] = {}
    begun: set[str] = set()
    for row in rows:
        chain = [] if row.id in ordered else [row]
        while chain:
            last = chain[-1].id
            begun.add(last)
            first = next((one for one in needs[last] if one.id not in begun), None)
            if first is not None:
                chain.append(first)
            else:
                ordered[last] = chain.pop()
    return list(ordered.values())


def _entry(row: Any) -> dict[str, Any]:
    return {
        "position": row.position,
        "id": row.id,
        "type": row.type,
        "source": row.source,
        "time": row.time,
        "caused_by": {"id": row.causationid, "type": row.causationtype},
        "data": {
            name: value
            for name, value in json.loads(row.body).items()
            if name not in sealed_fields(row.type)
        },
    }
