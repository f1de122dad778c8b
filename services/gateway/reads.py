"""Reading: documents by id, lists in pages, timelines that name each cause, statistics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, select
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound, Rejected
from chassis.message import encode
from chassis.store import Store
from services.gateway.figures import statistics
from services.gateway.model import counters, events
from services.gateway.records import sealed_fields
from services.gateway.views import Document, View, column_text

LARGEST_PAGE = 100
_NUMBER = re.compile(r"[0-9]{1,18}")
TIMELINE_MOST = 1000


class BadQuery(Rejected):
    """The query string is not acceptable."""

    status = 400


class NoSuchThing(NotFound):
    """There is no such thing."""


class Reads:
    """Answers queries from the gateway's own read models."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def document(self, view: View, identity: str) -> str | None:
        """Give a document as JSON text, if there is one."""
        with self.store.engine.connect() as connection:
            query = self.store.text_of(view.by_id, ("id",))
            text: str | None = connection.exec_driver_sql(query, {"id": identity}).scalar()
            return text

    def look(self, view: View, identity: str) -> Document | None:
        """Give a document, if there is one."""
        text = self.document(view, identity)
        return json.loads(text) if text else None

    def listing(
        self, view: View, asked: Mapping[str, str], limit: int, after: int
    ) -> tuple[str, str | None]:
        """Give a page of a view as JSON text, and the cursor of the next page, if there is one."""
        table = view.table
        query = select(table.c.position, table.c.doc).where(
            table.c.position > after,
            *(table.c[name] == column_text(asked[name]) for name in view.filters if name in asked),
        )
        with self.store.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.position).limit(limit + 1)).all()
        following = str(rows[limit - 1].position) if len(rows) > limit else None
        items = ",".join(row.doc for row in rows[:limit])
        return f'{{"items":[{items}],"next":{encode(following)}}}\n', following

    def timeline(self, column: ColumnElement[Any], identity: str) -> list[dict[str, Any]]:
        """Give what happened, causes before effects, each entry naming what caused it."""
        with self.store.engine.connect() as connection:
            rows = connection.execute(
                select(events)
                .where(column == identity)
                .order_by(events.c.position)
                .limit(TIMELINE_MOST)
            ).all()
        return [_entry(row) for row in causes_first(rows)]

    def statistics(self) -> dict[str, Any]:
        """Give the figures, and as of which event they hold."""
        with self.store.engine.connect() as connection:
            counted = {row.name: row.value for row in connection.execute(select(counters))}
            last = connection.execute(
                select(events.c.position, events.c.time).order_by(events.c.position.desc()).limit(1)
            ).first()
        return statistics(counted) | {
            "as_of": {
                "position": last.position if last else 0,
                "time": last.time if last else None,
            }
        }


def arguments(given: MultiDict[str, str], filters: Iterable[str] = ()) -> dict[str, str]:
    """Read the query string of a list: each name once, and none but its filters; `BadQuery`."""
    known = [*filters, "limit", "after"]
    if unknown := sorted(given.keys() - {*known}):
        raise BadQuery(f"The list knows no {', '.join(unknown)}; it knows {', '.join(known)}.")
    for name, values in given.lists():
        if len(values) > 1:
            raise BadQuery(f"{name} may be given only once.")
        if "\0" in values[0]:
            raise BadQuery(f"{name} holds a character that nothing holds.")
    return given.to_dict()


def page_of(asked: Mapping[str, str]) -> tuple[int, int]:
    """Read `limit` (1 to 100) and `after`; raises `BadQuery`."""
    limit, after = asked.get("limit", "50"), asked.get("after") or "0"
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= LARGEST_PAGE:
        raise BadQuery(f"limit must be a number from 1 to {LARGEST_PAGE}.")
    if not _NUMBER.fullmatch(after):
        raise BadQuery("after must be a cursor from an answer.")
    return int(limit), int(after)


def next_page(response: Response, request: Request, following: str | None) -> Response:
    """Point to the next page in a Link header (RFC 8288), if there is one."""
    if following:
        query = urlencode(sorted((request.args.to_dict() | {"after": following}).items()))
        response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return response


def causes_first(rows: Sequence[Any]) -> list[Any]:
    """Order events so that none stands before what caused it, and otherwise as they arrived."""
    by_id = {row.id: row for row in rows}
    ordered: dict[str, Any] = {}

    def place(row: Any) -> None:
        chain = [row]
        while (cause := by_id.get(chain[-1].causationid)) is not None and cause.id not in ordered:
            chain.append(cause)
        for link in reversed(chain):
            ordered.setdefault(link.id, link)

    for row in rows:
        place(row)
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
