"""Read models: documents that follow from events, and the figures that follow from documents.

A view's documents are fed by one publisher and are keyed by the identity of a thing; a document is
touched only by messages of one partition key. Figures are kept incrementally: what a document
contributes after a batch, less what it contributed before.
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
Figures = Callable[[Document], dict[str, int]]
Then = Callable[[Document, Any], Document]
"""Returns the fields that an event changes, from the document as it was and the event."""

_OF_EVERY_DOCUMENT = {"version": "", "updated_at": "date-time"}


def _nothing(_document: Document) -> dict[str, int]:
    return {}


@dataclass(frozen=True)
class Effect:
    """What an event makes of a document.

    `fields` of the event are copied, `constants` are set, and each list of `append` gets an entry
    of some fields of the event; `then` computes what is left. `writes` names those of its fields
    that no other event has written before. An effect that `begins` a document drops the earlier
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
        """Return the document as it is after the event."""
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
    """Declare that an event begins a document: its data, less what is sealed, and constants."""
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
    """A collection of documents: who reads it, what feeds it, how it is queried, what it counts.

    It is filtered by `filters`, `names`, `days` and `numbers`; by the last three it is also sorted,
    and by the last two a range may be asked for. `worklists` are the days by which those in one
    state are worked through. `search` names the fields in whose words documents are found. `others`
    are events that state the change of another thing, and change this one's document too.
    """

    name: str
    id_field: str
    readers: Roles
    fed_by: tuple[Effect, ...]
    figures: Figures = _nothing
    filters: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    worklists: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    others: tuple[type[Event], ...] = ()
    changes: dict[type[Event], Callable[[Document, Any], Document]] = field(init=False)
    """What each event makes of a document."""
    _updates: dict[tuple[str, ...], Update] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        changes = {each.event: partial(each.apply, self.id_field) for each in self.fed_by}
        object.__setattr__(self, "changes", changes)
        _ = self.table, self.words  # so that the metadata knows them

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
        """What a list is filtered and sorted by."""
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
        """The index of the words in which documents are found."""
        return SearchIndex(self.name, self.table, self.search) if self.search else None

    @cached_property
    def by_id(self) -> Select[Any]:
        """The query for the document with an `id`."""
        return select(self.table.c.doc).where(self.table.c.id == bindparam("id"))

    @cached_property
    def fields(self) -> dict[str, str]:
        """What a document may hold, in a fixed order, each with the format of its JSON shape."""
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
        """The names that a query string may hold."""
        sort, search = (["sort"] if self.sorts else []), (["q"] if self.words else [])
        return [*self.columns, *search, *sort, "limit", "after", "format"]

    def row(self, document: Document) -> dict[str, Any]:
        """Write a document as a row."""
        written = {name: kind.write(document.get(name)) for name, kind in self.columns.items()}
        return {"id": document["id"], **written, "doc": encode(document)}

    def changed(self, before: Document, document: Document) -> dict[str, Any]:
        """Write what differs in the row of a document, and `of` which it is."""
        written = {
            name: kind.write(document.get(name))
            for name, kind in self.columns.items()
            if document.get(name) != before.get(name)
        }
        return {"of": document["id"], **written, "doc": encode(document)}

    def some(self, store: Store) -> Any:
        """Return the query for the documents with some `ids`; always the same one."""
        stored = self.table.c
        return store.statements.build_once(
            f"some {self.name}",
            lambda: select(stored.id, stored.doc).where(store.dialect.in_array(stored.id, "ids")),
        )

    def update(self, names: tuple[str, ...]) -> Update:
        """Return the statement that writes these columns; always the same one."""
        if names not in self._updates:
            self._updates[names] = update(self.table).where(self.table.c.id == bindparam("of"))
        return self._updates[names]
