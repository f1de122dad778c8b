"""Read models: documents that follow from events, and the figures that follow from documents.

A view's documents are fed by one publisher and are keyed by the identity of a thing; a document is
touched only by messages of one partition key. Figures are kept incrementally: what a document
contributes after a batch, less what it contributed before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from sqlalchemy import Column, Index, String, Table, Text, bindparam, select

from chassis.message import Message, encode
from chassis.store import Store, Work
from contracts.message import Event
from services.gateway.model import POSITION, metadata
from services.gateway.records import sealed_fields

Document = dict[str, Any]
Figures = Callable[[Document], dict[str, int]]
Change = Callable[[Document, Any], Document]
LONGEST = 64
"""Characters of a filter column; an index takes no text of any length."""


def _nothing(_document: Document) -> dict[str, int]:
    return {}


class View:
    """A collection of documents: its table, what it can be filtered by, what it counts."""

    def __init__(
        self, name: str, id_field: str, filters: Iterable[str], figures: Figures = _nothing
    ) -> None:
        self.name = name
        self.id_field = id_field
        self.filters = tuple(filters)
        self.figures = figures
        self.changes: dict[type[Event], Change] = {}
        self.table = Table(
            name,
            metadata,
            Column("position", POSITION, primary_key=True, autoincrement=True),
            Column("id", String(64), unique=True, nullable=False),
            *(Column(column, String(LONGEST)) for column in self.filters),
            Column("doc", Text, nullable=False),
            sqlite_autoincrement=True,
        )
        for column in self.filters:
            Index(f"{name}_by_{column}", self.table.c[column], self.table.c.position)
        self.by_id = select(self.table.c.doc).where(self.table.c.id == bindparam("id"))

    def begins(self, kind: type[Event], /, **constants: Any) -> None:
        """Let an event begin a document: its data, and some constants."""
        sealed = sealed_fields(kind.type)

        def begin(_document: Document, fact: Any) -> Document:
            data = {name: value for name, value in fact.to_data().items() if name not in sealed}
            return {"id": data[self.id_field], **data, **constants}

        self.changes[kind] = begin

    def follows(self, kind: type[Event], /, *taken: str, **constants: Any) -> None:
        """Let an event change a document: some of its data, and some constants."""

        def follow(document: Document, fact: Any) -> Document:
            data = fact.to_data()
            return {**document, **{name: data[name] for name in taken}, **constants}

        self.changes[kind] = follow

    def follows_by(self, kind: type[Event], change: Change) -> None:
        """Let an event change a document by a function of both."""
        self.changes[kind] = change

    def row(self, document: Document) -> dict[str, Any]:
        """Write a document as a row."""
        columns = {name: column_text(document.get(name)) for name in self.filters}
        return {"id": document["id"], **columns, "doc": encode(document)}


def column_text(value: Any) -> str | None:
    """Write a value as a filter column holds it: a long text by its digest."""
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else blake2b(text.encode(), digest_size=24).hexdigest()


class Page:
    """The documents that one batch touches: loaded at once, changed in memory, written at once."""

    def __init__(self, store: Store, views: dict[type[Event], list[View]]) -> None:
        self._store = store
        self._views = views
        self._before: dict[tuple[str, str], Document | None] = {}
        self._now: dict[tuple[str, str], Document] = {}

    def load(self, work: Work, messages: Iterable[Message]) -> None:
        """Load every document that these messages may change."""
        wanted: dict[View, set[str]] = {}
        for message in messages:
            for view in self._views.get(type(message.fact), ()):
                wanted.setdefault(view, set()).add(getattr(message.fact, view.id_field))
        for view, identities in wanted.items():
            table = view.table
            query = select(table.c.id, table.c.doc).where(table.c.id.in_(identities))
            rows = work.connection().execute(query)
            found = {identity: json.loads(doc) for identity, doc in rows}
            for identity in identities:
                self._before[view.name, identity] = found.get(identity)
                if identity in found:
                    self._now[view.name, identity] = found[identity]

    def apply(self, message: Message) -> None:
        """Change the documents that a message is about."""
        fact = message.fact
        for view in self._views.get(type(fact), ()):
            key = view.name, getattr(fact, view.id_field)
            document = view.changes[type(fact)](self._now.get(key, {}), fact)
            if "id" in document:
                document["updated_at"] = message.envelope.time
                self._now[key] = document

    def write(self, work: Work, views: dict[str, View]) -> Counter[str]:
        """Write the changed documents; give by how much each figure moved."""
        moved: Counter[str] = Counter()
        rows: dict[str, list[dict[str, Any]]] = {}
        for key, document in self._now.items():
            view, before = views[key[0]], self._before.get(key)
            if document is before:
                continue
            rows.setdefault(view.name, []).append(view.row(document))
            moved.update(view.figures(document))
            if before:
                moved.subtract(view.figures(before))
        for name, changed in rows.items():
            statement = self._store.insert_or_replace(views[name].table, "id", keep=["position"])
            self._store.write_rows(work, statement, sorted(changed, key=lambda row: row["id"]))
        return moved
