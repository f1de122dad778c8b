"""Rebuild of the read models.

The stored events are projected again by the same code into an empty database beside the live one;
then differing documents are repaired while gateways keep projecting. docs/decisions/0013 explains
why nothing is swapped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, TypeVar

from sqlalchemy import Row, Select, bindparam, delete, func, select, text
from sqlalchemy.schema import DropIndex

from chassis.message import Message, Undecodable
from chassis.runtime.green import pause
from chassis.storage import migrations
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.message import Envelope
from services.gateway.read_models.projection import Page
from services.gateway.resources import FED_BY, VIEWS
from services.gateway.resources.view import View
from services.gateway.tables import counters, events

PAGE = 2000
"""Events to project, or documents to compare, in one step."""
IN_ONE_LOCK = 500
"""Documents to repair while gateways wait."""
MANY = 20_000
"""Candidates that may be held in memory before they are compared again."""
TRIES = 10
"""Attempts to get a lock, of about 5 s each on PostgreSQL."""
CHANGED, MISSING, SURPLUS = "changed", "missing", "surplus"

Progress = Callable[[str, int, int], None]
Candidate = tuple[str, str]
"""The view and the id of a document that may differ."""
ResultT = TypeVar("ResultT")


class NotProjectable(Exception):
    """A stored event cannot be projected; the message is one sentence."""


@dataclass
class Found:
    """The result of a rebuild: documents that are `changed`, `missing` or `surplus` in the live
    database."""

    events: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    differing: dict[str, dict[str, str]] = field(default_factory=dict)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Each counter that differed: its value, and the correct value."""
    longest_lock: float = 0.0
    """Longest lock on the gateways, in seconds."""

    @property
    def equal(self) -> bool:
        """Return whether the live read models match the events."""
        return not any(self.differing.values()) and not self.counters


class Rebuilding:
    """Projects the events of `live` into `beside`, an empty database, and compares the two.

    With `repair`, differing live documents and counters are corrected.
    """

    def __init__(
        self, live: Store, beside: Store, views: Iterable[str] = VIEWS, *, repair: bool
    ) -> None:
        self.live = live
        self.beside = beside
        self.views = {name: VIEWS[name] for name in views}
        self.repair = repair
        self.found = Found(differing={name: {} for name in self.views})
        self._position = 0
        self._compared = False  # from then on a moved document is compared again
        self._candidates: dict[Candidate, None] = {}  # in order of discovery

    def run(self, progress: Progress) -> Found:
        """Run the rebuild; `progress` is called with the step, the amount done and the total."""
        _make_room(self.beside)
        until = self._settled()
        while until > self._position:
            self._project(until, progress)
            behind = self._settled()
            until = behind if behind > until + PAGE else until
        self._compared = True
        for view in self.views.values():
            self._compare(view, progress)
        self._repair_candidates(finish=True)
        return self.found

    # -- projecting

    def _settled(self) -> int:
        """Return the position of the last event that no earlier event can follow."""
        with self.live.engine.connect() as connection:
            return connection.scalar(select(func.max(events.c.position))) or 0

    def _project(self, until: int, progress: Progress = lambda *_: None) -> None:
        """Project the events up to a settled position, page by page."""
        while self._position < until:
            with self.live.engine.connect() as connection:
                rows = connection.execute(_EVENTS, {"after": self._position, "until": until}).all()
            self._project_page([_message(row) for row in rows])
            self._position = rows[-1].position if len(rows) == PAGE else until
            progress("events", self._position, until)

    def _project_page(self, messages: Collection[Message]) -> None:
        with self.beside.write(durable=False) as uow:
            page = Page(self.beside, FED_BY)
            page.load(uow, messages)
            for message in messages:
                _apply(page, message)
            moved = page.write(uow, VIEWS)
            rows = [{"name": name, "value": by} for name, by in moved.items() if by]
            uow.at_end(self.beside.statements.insert_or_add(counters, ["name"]), rows)
        self.found.events += len(messages)
        for message in messages if self._compared else ():
            for view in FED_BY[type(message.payload)]:
                if view.name in self.views:
                    self._candidates[view.name, getattr(message.payload, view.id_field)] = None

    # -- comparing

    def _compare(self, view: View, progress: Progress) -> None:
        """Compare all documents of a view while they change; every difference is only a
        candidate."""
        total, alike = _count(self.beside, view), 0
        self.found.documents[view.name] = total
        for number, rows in enumerate(_pages(self.live, view), 1):
            alike += self._compare_page(view, rows, self.beside)
            progress(view.name, min(number * PAGE, total), total)
        if alike < total:
            for rows in _pages(self.beside, view):
                self._compare_page(view, rows, self.live)

    def _compare_page(self, view: View, rows: Sequence[Row[Any]], other: Store) -> int:
        theirs = _contents(other, view, [row.id for row in rows])
        unlike = [row.id for row in rows if theirs.get(row.id) != row[1:]]
        self._candidates |= dict.fromkeys((view.name, identity) for identity in unlike)
        if len(self._candidates) > MANY:
            self._repair_candidates()
        return len(rows) - len(unlike)

    def _repair_candidates(self, *, finish: bool = False) -> None:
        """Compare candidates again while gateways are locked out, a part at a time."""
        self._project(self._settled())
        self._drop_equal()
        last = not (self._candidates or finish)
        while not last:
            chosen, last = self._alone(lambda uow: self._repair(uow, finish=finish))
            for candidate in chosen:
                del self._candidates[candidate]
            pause(self.live.dialect.lock_interval)

    def _drop_equal(self) -> None:
        """Drop candidates that have become equal, before any gateway is locked out."""
        for view, identities in self._by_view(self._candidates):
            for start in range(0, len(identities), PAGE):
                some = identities[start : start + PAGE]
                live, made = _contents(self.live, view, some), _contents(self.beside, view, some)
                for identity in some:
                    if live.get(identity) == made.get(identity):
                        del self._candidates[view.name, identity]

    def _repair(self, uow: UnitOfWork, *, finish: bool) -> tuple[list[Candidate], bool]:
        """Compare some candidates under the lock, and the counters with the last of them."""
        self._project(self._settled())
        chosen = list(islice(self._candidates, IN_ONE_LOCK))
        for view, identities in self._by_view(chosen):
            self._repair_some(uow, view, identities)
        last = len(chosen) == len(self._candidates)
        if last and finish:
            self._repair_counters(uow)
        return chosen, last

    def _repair_some(self, uow: UnitOfWork, view: View, identities: list[str]) -> None:
        live = _contents(self.live, view, identities)
        made = _contents(self.beside, view, identities)
        unlike = [identity for identity in identities if live.get(identity) != made.get(identity)]
        for identity in unlike:
            how = CHANGED if identity in made else SURPLUS
            self.found.differing[view.name][identity] = how if identity in live else MISSING
        if not self.repair or not unlike:
            return
        right = [i for i in sorted(unlike) if i in made]
        names = [column.name for column in view.table.columns][1:]
        rows = [dict(zip(names, made[i], strict=False)) for i in right]
        statement = self.live.statements.insert_or_replace(view.table, "id", keep=["position"])
        uow.at_end(statement, rows)
        if view.words:
            view.words.write(uow, [(i, made[i][-1]) for i in right])
        _take_away(uow, view, set(unlike) - made.keys())

    def _repair_counters(self, uow: UnitOfWork) -> None:
        live, made = _counters(self.live), _counters(self.beside)
        for name in sorted(live.keys() | made.keys()):
            if live[name] != made[name]:
                self.found.counters[name] = live[name], made[name]
        if self.repair:
            rows = [{"name": n, "value": right} for n, (_, right) in self.found.counters.items()]
            uow.at_end(self.live.statements.insert_or_replace(counters, "name"), rows)

    def _by_view(self, candidates: Iterable[Candidate]) -> list[tuple[View, list[str]]]:
        found: dict[str, list[str]] = {}
        for name, identity in candidates:
            found.setdefault(name, []).append(identity)
        return [(self.views[name], identities) for name, identities in found.items()]

    def _alone(self, do: Callable[[UnitOfWork], ResultT]) -> ResultT:
        """Run `do` in a transaction that locks projecting gateways out.

        A gateway locks `events` before it loads documents, so it never overwrites a repair with an
        older document. `do` runs again if the lock is not granted in time.
        """
        lock = self.live.dialect.lock_table(events, "SHARE ROW EXCLUSIVE")
        for tries in count(1):
            try:
                with self.live.write() as uow:
                    uow.connection()  # SQLite needs no other lock
                    self.live.execute_many(uow, *lock)
                    started = time.monotonic()
                    result = do(uow)
            except STORAGE_ERRORS:
                if tries == TRIES:
                    raise
                pause(1)
            else:
                took = time.monotonic() - started
                self.found.longest_lock = max(self.found.longest_lock, took)
                return result
        raise AssertionError


_EVENTS = (
    select(events)
    .where(
        events.c.position > bindparam("after"),
        events.c.position <= bindparam("until"),
        events.c.type.in_([kind.type for kind in FED_BY]),
    )
    .order_by(events.c.position)
    .limit(PAGE)
)


def _make_room(beside: Store) -> None:
    """Create the tables, without filter columns' indexes or search indexes."""
    migrations.apply(beside)
    with beside.write() as uow:
        for view in VIEWS.values():
            for index in view.table.indexes:
                uow.execute(DropIndex(index))
            for statement in view.words.no_index() if view.words else ():
                uow.execute(text(statement))


def _message(row: Row[Any]) -> Message:
    """Return a stored event as the message it was; raises `NotProjectable`."""
    envelope = Envelope(
        row.id, row.source, row.type, row.time, row.partitionkey, row.correlationid,
        row.causationid, row.causationtype,
    )  # fmt: skip
    message = Message(envelope, row.body, f"{row.source}.events", seq=row.position)
    try:
        message.payload  # noqa: B018  (parses the body)
    except Undecodable as error:
        raise NotProjectable(f"Event {row.position} cannot be read: {error}.") from error
    return message


def _apply(page: Page, message: Message) -> None:
    try:
        page.apply(message)
    except Exception as error:
        kind = message.envelope.type
        raise NotProjectable(
            f"Event {message.seq} ({kind}) cannot be projected: {error!r}."
        ) from error


def _count(store: Store, view: View) -> int:
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(view.table)) or 0


def _rows(view: View) -> Select[Any]:
    """Build the query for whole rows: position, id, filter columns, document, search terms."""
    if not view.words:
        return select(view.table)
    words = view.words.table
    joined = view.table.outerjoin(words, words.c.position == view.table.c.position)
    return select(view.table, words.c.words).select_from(joined)


def _take_away(uow: UnitOfWork, view: View, surplus: Collection[str]) -> None:
    """Delete documents that follow from no event, and their search terms."""
    if not surplus:
        return
    gone = view.table.c.id.in_(surplus)
    if view.words:
        words = view.words.table
        uow.execute(
            delete(words).where(words.c.position.in_(select(view.table.c.position).where(gone)))
        )
    uow.execute(delete(view.table).where(gone))


def _pages(store: Store, view: View) -> Iterator[Sequence[Row[Any]]]:
    """Read all documents, page by page."""
    query = _rows(view).order_by(view.table.c.position).limit(PAGE)
    position = 0
    while True:
        with store.engine.connect() as connection:
            rows = connection.execute(query.where(view.table.c.position > position)).all()
        if not rows:
            return
        yield rows
        position = rows[-1].position


def _contents(store: Store, view: View, identities: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """Return the contents of some documents without their positions."""
    query = _rows(view).where(view.table.c.id.in_(identities))
    with store.engine.connect() as connection:
        return {row.id: tuple(row[1:]) for row in connection.execute(query)}


def _counters(store: Store) -> Counter[str]:
    with store.engine.connect() as connection:
        rows = connection.execute(select(counters)).all()
    return Counter({row.name: row.value for row in rows})
