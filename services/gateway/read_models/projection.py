"""Projection: how a batch of events changes the documents of the read models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from chassis.message import Message
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.message import Change, Event
from services.gateway.resources.view import Document, View

Changed = tuple[Document | None, Document]
"""A document before the batch, if it existed, and after it."""


class Page:
    """The documents that a batch touches: loaded together, changed in memory, written together."""

    def __init__(self, store: Store, views: dict[type[Event], list[View]]) -> None:
        self._store = store
        self._views = views
        self._before: dict[tuple[str, str], Document | None] = {}
        self._now: dict[tuple[str, str], Document] = {}

    def load(self, uow: UnitOfWork, messages: Iterable[Message], *first: Statement) -> None:
        """Load every document that the messages may change, after executing `first`."""
        wanted: dict[View, set[str]] = {}
        for message in messages:
            for view in self._views.get(type(message.payload), ()):
                wanted.setdefault(view, set()).add(getattr(message.payload, view.id_field))
        statements = [
            Statement(view.some(self._store), {"ids": self._store.dialect.array(identities)})
            for view, identities in wanted.items()
        ]
        answers = self._store.execute_many(uow, *first, *statements)[len(first) :]
        for (view, identities), rows in zip(wanted.items(), answers, strict=True):
            found = {identity: json.loads(doc) for identity, doc in rows}
            for identity in identities:
                self._before[view.name, identity] = found.get(identity)
                if identity in found:
                    self._now[view.name, identity] = found[identity]

    def apply(self, message: Message) -> None:
        """Change the documents that a message concerns."""
        event = message.payload
        for view in self._views.get(type(event), ()):
            key = view.name, getattr(event, view.id_field)
            document = view.changes[type(event)](self._now.get(key, {}), event)
            if "id" in document:
                if isinstance(event, Change) and type(event) not in view.others:
                    document["version"] = event.version
                document["updated_at"] = message.envelope.time
                self._now[key] = document

    def write(self, uow: UnitOfWork, views: dict[str, View]) -> Counter[str]:
        """Write the changed documents; return the change of each counter."""
        moved: Counter[str] = Counter()
        changed: dict[str, list[Changed]] = {}
        for key, document in self._now.items():
            view, before = views[key[0]], self._before.get(key)
            if document is before:
                continue
            changed.setdefault(view.name, []).append((before, document))
            moved.update(view.count(document))
            if before:
                moved.subtract(view.count(before))
        for name, documents in changed.items():
            write_documents(self._store, uow, views[name], documents)
        return moved


def write_documents(store: Store, uow: UnitOfWork, view: View, changed: Iterable[Changed]) -> None:
    """Write documents, each with its previous state if it existed.

    Of an existing document only changed columns are written: each written column costs an index
    entry, even with an unchanged value.
    """
    new: list[dict[str, Any]] = []
    updates: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    documents = sorted(changed, key=lambda pair: pair[1]["id"])
    for before, document in documents:
        if before is None:
            new.append(view.row(document))
        else:
            row = view.changed(before, document)
            updates.setdefault(tuple(row), []).append(row)
    uow.at_end(store.statements.insert_or_replace(view.table, "id", keep=["position"]), new)
    for names, rows in updates.items():
        uow.at_end(view.update(names), rows)
    if view.words:
        renamed = [after for before, after in documents if view.words.differ(before, after)]
        view.words.write(uow, [(each["id"], view.words.of(each)) for each in renamed])
