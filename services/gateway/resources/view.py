"""Read models: documents that follow from events, and the figures that follow from documents.

A view's documents are fed by one publisher and are keyed by the identity of a thing; a document is
touched only by messages of one partition key. Figures are kept incrementally: what a document
contributes after a batch, less what it contributed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Column, Index, String, Table, Text, Update, bindparam, select, update

from chassis.message import encode
from chassis.storage.store import Store
from contracts.catalogue import sealed_fields
from contracts.message import Event
from services.gateway.resources.columns import CODE, DAY, NAME, NUMBER, Kind
from services.gateway.resources.search import Words
from services.gateway.tables import POSITION, metadata

Document = dict[str, Any]
Figures = Callable[[Document], dict[str, int]]
Follow = Callable[[Document, Any], Document]


_OF_EVERY_DOCUMENT = {"version": "", "updated_at": "date-time"}


class Taken(NamedTuple):
    """What a document takes over from an event as it is: these fields, and some constants."""

    kind: type[Event]
    names: tuple[str, ...]
    constants: dict[str, Any]


def _nothing(_document: Document) -> dict[str, int]:
    return {}


class View:
    """A collection of documents: its table, what it can be asked for, and what it counts.

    It is filtered by `filters`, `names`, `days` and `numbers`; by the last three it is also sorted,
    and by the last two a range may be asked for. `worklists` are the days by which those in one
    state are worked through. `search` names the fields in whose words documents are found.
    """

    def __init__(  # noqa: PLR0913  (each is a word of what a list can do)
        self,
        name: str,
        id_field: str,
        filters: Iterable[str],
        figures: Figures = _nothing,
        *,
        names: Iterable[str] = (),
        days: Iterable[str] = (),
        numbers: Iterable[str] = (),
        worklists: Iterable[str] = (),
        search: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.id_field = id_field
        self.figures = figures
        self.columns: dict[str, Kind] = {
            **dict.fromkeys(filters, CODE),
            **dict.fromkeys(names, NAME),
            **dict.fromkeys(days, DAY),
            **dict.fromkeys(numbers, NUMBER),
        }
        self.fields: dict[str, str] = {"id": ""}
        """What a document may hold, in a fixed order, each with the format of its JSON shape."""
        self.changes: dict[type[Event], Follow] = {}
        self.takes: list[Taken] = []
        """What is known of the documents' fields, for those who describe them."""
        self.others: set[type[Event]] = set()
        """Events that state the change of another thing, and change this one's document too."""
        self.table = Table(
            name,
            metadata,
            Column("position", POSITION, primary_key=True, autoincrement=True),
            Column("id", String(64), unique=True, nullable=False),
            *(Column(column, kind.type) for column, kind in self.columns.items()),
            Column("doc", Text, nullable=False),
            sqlite_autoincrement=True,
        )
        stored = self.table.c
        for column in self.columns:
            Index(f"{name}_by_{column}", stored[column], stored.position)
        self.worklists = tuple(worklists)
        for day in self.worklists:
            Index(f"{name}_by_state_and_{day}", stored.state, stored[day], stored.position)
        self.words = Words(name, self.table, search) if search else None
        self.by_id = select(stored.doc).where(stored.id == bindparam("id"))
        self._updates: dict[tuple[str, ...], Update] = {}

    @property
    def sorts(self) -> list[str]:
        """The fields by which the list may be sorted."""
        return [name for name, kind in self.columns.items() if kind.sorts]

    @property
    def known(self) -> list[str]:
        """The names that a query string may hold."""
        sort, search = (["sort"] if self.sorts else []), (["q"] if self.words else [])
        return [*self.columns, *search, *sort, "limit", "after", "format"]

    def _holds(self, kind: type[Event], *names: str) -> None:
        """Note the fields that an event writes in a document."""
        shapes = kind.describe()
        for name in names:
            is_day = self.columns.get(name) is DAY
            shape = "date" if is_day else shapes.get(name, {}).get("format", "")
            self.fields.setdefault(name, shape)
        for name, shape in _OF_EVERY_DOCUMENT.items():  # at the end, whatever comes before
            self.fields.pop(name, None)
            self.fields[name] = shape

    def begins(self, kind: type[Event], /, **constants: Any) -> None:
        """Let an event begin a document: its data, and some constants."""
        sealed = sealed_fields(kind.type)
        self._holds(kind, *(name for name in kind.names() if name not in sealed), *constants)

        def begin(_document: Document, fact: Any) -> Document:
            data = {name: value for name, value in fact.to_data().items() if name not in sealed}
            return {"id": data[self.id_field], **data, **constants}

        self._note(kind, kind.names(), constants)
        self.changes[kind] = begin

    def follows(self, kind: type[Event], /, *taken: str, **constants: Any) -> None:
        """Let an event change a document: some of its data, and some constants."""
        self._holds(kind, *taken, *constants)

        def follow(document: Document, fact: Any) -> Document:
            data = fact.to_data()
            return {**document, **{name: data[name] for name in taken}, **constants}

        self._note(kind, taken, constants)
        self.changes[kind] = follow

    def follows_by(
        self,
        kind: type[Event],
        change: Follow,
        *written: str,
        takes: Iterable[str] = (),
        **constants: Any,
    ) -> None:
        """Let an event change a document by a function of both, which takes over some fields as
        they are and sets these constants; `written` are those that it makes otherwise, as far as no
        other event has written them before."""
        taken = tuple(takes)
        self._holds(kind, *taken, *constants, *written)
        self._note(kind, taken, constants)
        self.changes[kind] = change

    def _note(self, kind: type[Event], names: Iterable[str], constants: dict[str, Any]) -> None:
        shown = tuple(name for name in names if name not in sealed_fields(kind.type))
        self.takes.append(Taken(kind, shown, constants))

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
        """Give the query for the documents with some `ids`; always the same one."""
        stored = self.table.c
        return store.built(
            f"some {self.name}",
            lambda: select(stored.id, stored.doc).where(store.one_of(stored.id, "ids")),
        )

    def update(self, names: tuple[str, ...]) -> Update:
        """Give the statement that writes these columns; always the same one."""
        if names not in self._updates:
            self._updates[names] = update(self.table).where(self.table.c.id == bindparam("of"))
        return self._updates[names]
