"""Read models: documents that follow from events, and counters that follow from documents.

A view is fed by one publisher and keyed by the id of a thing; all events of a document have one
partition key. Counters are incremental: the contribution of a document after a batch less that
before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Column, Index, Select, String, Table, Text, Update, bindparam, select, update

from chassis.message import encode
from chassis.storage.store import Store
from contracts.catalogue import sealed_fields
from contracts.message import Event
from services.gateway.resources.columns import CODE, DAY, NAME, NUMBER, Kind
from services.gateway.resources.roles import Roles
from services.gateway.resources.search import SearchIndex
from services.gateway.tables import POSITION, metadata

Document = dict[str, Any]
Contribution = Callable[[Document], dict[str, int]]
Then = Callable[[Document, Any], Document]
"""Returns the changed fields, from the document before the event and the event."""

_OF_EVERY_DOCUMENT = {"version": "", "updated_at": "date-time"}


def _nothing(_document: Document) -> dict[str, int]:
    return {}


@dataclass(frozen=True)
class Effect:
    """The effect of an event on a document.

    `fields` of the event are copied, `constants` are set, and each list of `append` gets an entry
    with some fields of the event; `then` computes the rest. `writes` names the computed fields that
    no other event has written before. An effect that `begins` a document replaces an earlier
    document, unless it `keeps` it.
    """

    event: type[Event]
    fields: tuple[str, ...]
    constants: Mapping[str, Any]
    append: Mapping[str, tuple[str, ...]]
    then: Then | None
    writes: tuple[str, ...]
    begins: bool = False
    keeps: bool = True

    def apply(self, id_field: str, document: Document, event: Event) -> Document:
        """Return the document after the event."""
        data = event.to_data()
        changed = {**document} if self.keeps else {}
        if self.begins:
            changed["id"] = data[id_field]
        for name in self.fields:
            changed[name] = data[name]
        changed.update(self.constants)
        for history, names in self.append.items():
            changed[history] = [*document[history], {name: data[name] for name in names}]
        if self.then:
            changed.update(self.then(document, event))
        return changed


def begins(
    event: type[Event],
    /,
    *,
    then: Then | None = None,
    writes: tuple[str, ...] = (),
    keeps: bool = False,
    **constants: Any,
) -> Effect:
    """Declare that an event begins a document: its unsealed fields, and constants."""
    shown = tuple(name for name in event.names() if name not in sealed_fields(event.type))
    return Effect(event, shown, constants, {}, then, writes, begins=True, keeps=keeps)


def follows(
    event: type[Event],
    /,
    *fields: str,
    append: Mapping[str, tuple[str, ...]] | None = None,
    then: Then | None = None,
    writes: tuple[str, ...] = (),
    **constants: Any,
) -> Effect:
    """Declare that an event changes a document: by some of its fields, and by constants."""
    return Effect(event, fields, constants, append or {}, then, writes)


@dataclass(frozen=True, eq=False)
class View:
    """A collection of documents: its readers, events, queries and counters.

    Lists are filtered by `filters`, `names`, `days` and `numbers`, sorted by the last three, and
    ranged by the last two. `worklists` are the days by which the documents in one state are
    processed. `search` names the fields of the full-text search. `others` are events about another
    thing that also change this one's document.
    """

    name: str
    id_field: str
    readers: Roles
    fed_by: tuple[Effect, ...]
    count: Contribution = _nothing
    filters: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    worklists: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    others: tuple[type[Event], ...] = ()
    changes: dict[type[Event], Callable[[Document, Any], Document]] = field(init=False)
    """The effect of each event on a document."""
    _updates: dict[tuple[str, ...], Update] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        changes = {each.event: partial(each.apply, self.id_field) for each in self.fed_by}
        object.__setattr__(self, "changes", changes)
        _ = self.table, self.words  # registers them with the metadata

    @property
    def path(self) -> str:
        """The path of the list."""
        return f"/v1/{self.name}"

    @property
    def document_path(self) -> str:
        """The path of a document."""
        return f"{self.path}/<id>"

    @cached_property
    def columns(self) -> dict[str, Kind]:
        """The columns by which a list is filtered and sorted."""
        return {
            **dict.fromkeys(self.filters, CODE),
            **dict.fromkeys(self.names, NAME),
            **dict.fromkeys(self.days, DAY),
            **dict.fromkeys(self.numbers, NUMBER),
        }

    @cached_property
    def table(self) -> Table:
        """The table of the documents, with an index for each column and worklist."""
        made = Table(
            self.name,
            metadata,
            Column("position", POSITION, primary_key=True, autoincrement=True),
            Column("id", String(64), unique=True, nullable=False),
            *(Column(column, kind.type) for column, kind in self.columns.items()),
            Column("doc", Text, nullable=False),
            sqlite_autoincrement=True,
        )
        stored = made.c
        for column in self.columns:
            Index(f"{self.name}_by_{column}", stored[column], stored.position)
        for day in self.worklists:
            Index(f"{self.name}_by_state_and_{day}", stored.state, stored[day], stored.position)
        return made

    @cached_property
    def words(self) -> SearchIndex | None:
        """The full-text index, if the view has one."""
        return SearchIndex(self.name, self.table, self.search) if self.search else None

    @cached_property
    def by_id(self) -> Select[Any]:
        """The query for the document with an `id`."""
        return select(self.table.c.doc).where(self.table.c.id == bindparam("id"))

    @cached_property
    def fields(self) -> dict[str, str]:
        """The possible fields of a document, in a fixed order, each with the format of its JSON
        schema."""
        held = {"id": ""}
        for effect in self.fed_by:
            shapes = effect.event.describe()
            for name in (*effect.fields, *effect.constants, *effect.writes):
                is_day = self.columns.get(name) is DAY
                held.setdefault(name, "date" if is_day else shapes.get(name, {}).get("format", ""))
        return {n: f for n, f in held.items() if n not in _OF_EVERY_DOCUMENT} | _OF_EVERY_DOCUMENT

    @property
    def sorts(self) -> list[str]:
        """The fields by which the list may be sorted."""
        return [name for name, kind in self.columns.items() if kind.sorts]

    @property
    def known(self) -> list[str]:
        """The allowed query parameters."""
        sort, search = (["sort"] if self.sorts else []), (["q"] if self.words else [])
        return [*self.columns, *search, *sort, "limit", "after", "format"]

    def row(self, document: Document) -> dict[str, Any]:
        """Return a document as a row."""
        written = {name: kind.write(document.get(name)) for name, kind in self.columns.items()}
        return {"id": document["id"], **written, "doc": encode(document)}

    def changed(self, before: Document, document: Document) -> dict[str, Any]:
        """Return the changed columns of a document's row, and `of`, its id."""
        written = {
            name: kind.write(document.get(name))
            for name, kind in self.columns.items()
            if document.get(name) != before.get(name)
        }
        return {"of": document["id"], **written, "doc": encode(document)}

    def some(self, store: Store) -> Any:
        """Return the query for the documents with some `ids`; a constant object, so it is compiled
        once."""
        stored = self.table.c
        return store.statements.build_once(
            f"some {self.name}",
            lambda: select(stored.id, stored.doc).where(store.dialect.in_array(stored.id, "ids")),
        )

    def update(self, names: tuple[str, ...]) -> Update:
        """Return the statement that writes some columns; a constant object, so it is compiled
        once."""
        if names not in self._updates:
            self._updates[names] = update(self.table).where(self.table.c.id == bindparam("of"))
        return self._updates[names]
