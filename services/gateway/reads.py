"""Reading: documents by id, lists in pages, timelines that name each cause, statistics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, select

from chassis.errors import Rejected
from chassis.message import encode
from chassis.store import Store
from contracts.message import contracts
from services.gateway.model import counters, events
from services.gateway.projections import statistics
from services.gateway.views import Document, View

LARGEST_PAGE = 100
TIMELINE_MOST = 1000


class BadQuery(Rejected):
    """The query string is not acceptable."""

    status = 400


class Reads:
    """Answers queries from the gateway's own read models."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def document(self, view: View, identity: str) -> str | None:
        """Give a document as JSON text, if there is one."""
        with self.store.engine.connect() as connection:
            text: str | None = connection.scalar(view.by_id, {"id": identity})
            return text

    def look(self, view: View, identity: str) -> Document | None:
        """Give a document, if there is one."""
        text = self.document(view, identity)
        return json.loads(text) if text else None

    def listing(self, view: View, args: Mapping[str, str]) -> tuple[str, str | None]:
        """Give a page of a view as JSON text, and the cursor of the next page, if there is one."""
        limit, after = page_of(args)
        table = view.table
        unknown = sorted(set(args) - {*view.filters, "limit", "after"})
        if unknown:
            raise BadQuery(
                f"This list cannot be filtered by {', '.join(unknown)}; it can by "
                f"{', '.join(view.filters)}."
            )
        query = select(table.c.position, table.c.doc).where(
            table.c.position > after,
            *(table.c[name] == args[name] for name in view.filters if name in args),
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


def page_of(args: Mapping[str, str]) -> tuple[int, int]:
    """Read `limit` (1 to 100) and `after`; raises `BadQuery`."""
    try:
        limit, after = int(args.get("limit", "50")), int(args.get("after") or "0")
    except ValueError:
        raise BadQuery("limit is a number from 1 to 100, after is a cursor from an answer.") from None
    if not 1 <= limit <= LARGEST_PAGE or not 0 <= after < 2**63:
        raise BadQuery(f"limit must be from 1 to {LARGEST_PAGE}, after a cursor from an answer.")
    return limit, after


def causes_first(rows: list[Any]) -> list[Any]:
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
        "data": _without_sealed(row.type, json.loads(row.body)),
    }


def _without_sealed(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    shapes = contracts()[kind].describe()
    return {
        name: value for name, value in data.items() if shapes.get(name, {}).get("format") != "sealed"
    }
