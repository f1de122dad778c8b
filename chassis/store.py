"""A service's own database: outbox, inbox and letters, and the unit of work that writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic

from eventlet.semaphore import Semaphore
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    MetaData,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as lite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from typing_extensions import TypeVar

from chassis import migrations
from chassis.aggregate import Aggregate
from chassis.clocks import DatabaseClock
from chassis.errors import NotFound
from chassis.ids import new_id
from chassis.message import Message, encode
from chassis.tables import carriage, deployment, message_of, outbox, row_of
from contracts.message import RULE, Act, Contract, Envelope

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Days are Shanghai's, which has kept UTC+8 without daylight saving since 1991."""

STORAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""What a database that is away looks like, and now and then a statement that can never work."""


@dataclass(frozen=True)
class Ask:
    """A statement, and what it is given: parameters of its own, or many rows.

    Rows are of plain text and numbers, all with the same names. Each statement is built once: its
    text is remembered by it, and by the names.
    """

    statement: Any
    given: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None


Worded = tuple[str, dict[str, Any] | None]
"""A statement as text, and its parameters."""

LOOK_PAST = 100_000
"""Unsent rows that are looked at, at the most, for some whose keys are not held back."""
PIECE = 1 << 20
"""Characters of rows, as JSON, that one statement is given; a single row may be more."""


State = TypeVar("State", default=Any)
Kind = TypeVar("Kind", bound=Aggregate)
Payload = TypeVar("Payload", bound=Contract)


class Work(Session, Generic[State]):
    """One transaction of a service: state changes, the facts they state, and the message handled.

    `now` and `today` are the time of the message in hand: the moment at which the outside gave its
    cause. So the same facts lead to the same loop, however late or often they are delivered.
    """

    state: State
    """What the handlers of a transaction share, as their service makes it in `before_batch`."""
    loaded: list[Any]
    """Objects that the identity map, which is weak, keeps until the transaction ends."""
    asks_resend: bool = False
    """Whether something is to be sent again: the relay looks for it after the commit."""
    source: str = ""
    message: Message
    outgoing: list[Message]
    clock: Callable[[], float] = time.time
    """Tells the time by the database's clock (s since 1970), which dates what is stored."""
    closing: list[Ask]
    """What is written at the end of the transaction, in this order, before the outbox."""

    def __init__(self, source: str, **kwargs: Any) -> None:
        super().__init__(expire_on_commit=False, **kwargs)
        self.source = source
        self.state = None  # type: ignore[assignment]  # until `before_batch`
        self.loaded = []
        self.outgoing = []
        self.closing = []

    def flush(self, objects: Any = None) -> None:
        """Write what has changed; PostgreSQL is not waited for in between."""
        if self.is_changed and self.connection().dialect.name == "postgresql":
            from chassis.postgres import journey

            journey(self.connection(), [], first=partial(super().flush, objects))
        elif self.is_changed:
            super().flush(objects)

    def write_last(self) -> None:
        """Write what has changed, in a journey that goes on."""
        super().flush()

    @property
    def is_changed(self) -> bool:
        """Whether there may be something to write."""
        return not self._is_clean()

    def at_end(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        """Have one statement executed for many rows at the end of the transaction."""
        if rows:
            self.closing.append(Ask(statement, rows=rows))

    @property
    def now(self) -> datetime:
        """The moment of the message in hand."""
        moment: datetime = self.message.moment
        return moment

    @property
    def today(self) -> date:
        """The day of the message in hand, in Shanghai."""
        return self.now.astimezone(SHANGHAI).date()

    def record(self, payload: Payload, *, identity: str | None = None) -> Payload:
        """Put an event or a command in the outbox, as an effect of the message in hand."""
        cause = self.message.envelope
        envelope = Envelope(
            identity or new_id(self.clock()),
            self.source,
            payload.type,
            cause.time,
            payload.key,
            cause.correlationid,
            cause.id,
            cause.type,
            cause.traceparent,
        )
        self.outgoing.append(Message.of(payload, envelope))
        return payload

    def cause_of(self, event: Contract) -> dict[str, str]:
        """Return the type of an event, who asked for what led to it, and when."""
        by = getattr(self.message.fact, "by", RULE)
        return {"what": event.type, "by": by, "at": self.message.envelope.time}

    def add_new(self, aggregate: Aggregate) -> Any:
        """Add a new aggregate, and return the first event that it has recorded."""
        recorded = len(self.outgoing)
        self.add(aggregate)
        return self.outgoing[recorded].fact

    def require(self, kind: type[Kind], identity: str, *, seen_by: Act | None = None) -> Kind:
        """Load an aggregate; raises `NotFound`, and `Changed` if it is not as `seen_by` saw it."""
        found = self.get(kind, identity)
        if found is None:
            raise NotFound(f"There is no {kind.__name__.lower()} {identity}.")
        if seen_by is not None:
            found.as_seen(seen_by)
        return found

    def held(self, kind: type[Any], identity: str) -> Any:
        """Return an aggregate that this transaction has loaded or stored, without a query."""
        key = kind.__mapper__.identity_key_from_primary_key((identity,))
        return self.identity_map.get(key)

    def get_or_none(self, kind: type[Any], identity: str | None) -> Any:
        """Load an aggregate by its identity, if there is one."""
        return None if identity is None else self.get(kind, identity)


@event.listens_for(Work, "after_attach")
def _say_what_waited(session: Work, instance: Any) -> None:
    if isinstance(instance, Aggregate):
        for fact in instance.unsaid():
            instance.say(session, fact)


class Store:
    """The database of one service, over so many connections at the most, and one for leases."""

    def __init__(self, service: str, url: str, *metadata: MetaData, pool: int = 12) -> None:
        self.service = service
        self.url = url
        self.engine = _engine(url, pool)
        self.metadata = (carriage, *metadata)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.clock = DatabaseClock(service, self.engine)
        self.now = self.clock.now
        self._writing = Semaphore(1) if self.is_sqlite else None
        writing = {} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}
        self._writer = self.engine.execution_options(bihuan_write=True, **writing)
        self._marking = _engine(url, pool, "NORMAL") if self.is_sqlite else self.engine
        self._marker = self._marking.execution_options(bihuan_write=True, **writing)
        self._leasing = self.engine if self.is_sqlite else _engine(url, 1)
        self._leaser = self._leasing.execution_options(bihuan_write=True, **writing)
        self.last_seq_at_start = 0
        self._has_failed = False
        self._texts: dict[Any, str] = {}
        self._built: dict[Any, Any] = {}

    @cached_property
    def migrations(self) -> Path:
        """The folder with the migrations of the service."""
        return migrations.folder_of(self.service)

    def create(self) -> None:
        """Bring the tables up to this version, all of them where there is none yet."""
        migrations.apply(self)
        self._look_back()

    def check(self) -> None:
        """Refuse tables that are not up to this version, and a clock that is wrong; raises
        `Misconfigured`."""
        migrations.check(self)
        self.clock.refuse()
        self._look_back()

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Open a transaction that changes tables: no other process changes them meanwhile."""
        with self._writer.begin() as connection:
            if self.is_sqlite:
                yield connection
                return
            from chassis.postgres import patiently

            with patiently(connection):
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('migrations'))"))
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                yield connection

    def _look_back(self) -> None:
        with self.engine.connect() as connection:
            self.last_seq_at_start = connection.scalar(select(func.max(outbox.c.seq))) or 0

    def built(self, known: Any, build: Callable[[], Any]) -> Any:
        """Give the statement that is known by this name, which is built once."""
        if known not in self._built:
            self._built[known] = build()
        return self._built[known]

    def insert_new(self, table: Table) -> Any:
        """Build an insert that leaves an existing row alone."""
        return self.built(table, lambda: self._insert(table).on_conflict_do_nothing())

    def _insert(self, table: Table) -> Any:
        return (lite if self.is_sqlite else postgresql).insert(table)

    def insert_or_replace(self, table: Table, key: str, *, keep: Iterable[str] = ()) -> Any:
        """Build an insert that replaces the row with the same key, except the columns to keep."""
        kept = {key, *keep}
        return self._upsert(
            table,
            (key,),
            ("replace", *keep),
            lambda new: {c.name: new[c.name] for c in table.c if c.name not in kept},
        )

    def insert_or_add(self, table: Table, keys: list[str]) -> Any:
        """Build an insert that adds its numbers to those of the row with the same keys."""
        return self._upsert(
            table,
            tuple(keys),
            ("add",),
            lambda new: {c.name: c + new[c.name] for c in table.c if c.name not in keys},
        )

    def insert_or_advance(self, table: Table, key: str, moment: str) -> Any:
        """Build an insert that, of the row with the same key, only ever advances the moment that
        is written there as text."""

        def build() -> Any:
            new = (made := self._insert(table)).excluded[moment]
            later = cast(new, Float) > cast(table.c[moment], Float)
            return made.on_conflict_do_update(index_elements=[key], set_={moment: new}, where=later)

        return self.built((table, key, moment), build)

    def _upsert(
        self,
        table: Table,
        keys: tuple[str, ...],
        way: tuple[str, ...],
        values: Callable[[Any], dict[str, Any]],
    ) -> Any:
        """Build the statement once for a table, its keys and the way in which they meet."""

        def build() -> Any:
            statement = self._insert(table)
            return statement.on_conflict_do_update(
                index_elements=list(keys), set_=values(statement.excluded)
            )

        return self.built((table, keys, way), build)

    @contextmanager
    def write(self, *, durable: bool = True, apart: bool = False) -> Iterator[Work]:
        """Open a transaction that writes; it commits at the end, with its outbox, or not at all.

        On SQLite one at a time: a green thread that yields inside one would stall the process.
        What need not outlive a power cut by itself is not `durable`: it reaches the disk with the
        next transaction that is. On PostgreSQL what goes `apart` has a connection that nothing else
        uses: it waits for none of those that handlers hold.
        """
        engine = self._leaser if apart else self._writer if durable else self._marker
        if self._writing is not None:
            self._writing.acquire()
        try:
            with Work(self.service, bind=engine) as work:
                work.clock = self.now
                yield work
                self._close(work)
                work.commit()
        except STORAGE_ERRORS:
            self._has_failed = True
            raise
        finally:
            if self._writing is not None:
                self._writing.release()

    def writes(self) -> bool:
        """Tell whether the database answers and takes what is written: the last that was to be,
        else something that is written now."""
        if not self._has_failed:
            return self.answers()
        try:
            row = {"name": "written at", "value": str(self.now())}
            with self.write() as work:
                work.execute(self.insert_or_replace(deployment, "name"), row)
        except Exception:
            return False
        self._has_failed = False
        return True

    def seconds(self, work: Session) -> float:
        """Ask the database's clock (s since 1970), by which the leases of all replicas go."""
        return self.clock.read(work)

    def new_id(self) -> str:
        """Make an identity of a row whose age may be judged by it."""
        return new_id(self.now())

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads."""
        with Session(self.engine) as session:
            yield session

    def _close(self, work: Work) -> None:
        """Write what was left for the end, and the outbox; PostgreSQL commits on the same way."""
        if self.is_sqlite:
            work.flush()
        asked = list(work.closing)
        if work.outgoing:
            now = self.now()
            rows = [row_of(message) | {"written_at": now} for message in work.outgoing]
            asked.append(Ask(_POST, rows=rows))
        if self.is_sqlite:
            if asked:
                self.ask(work, *asked)
        elif asked or work.is_changed:
            from chassis.postgres import journey

            words = [each for one in self._in_words(asked) for each in one]
            journey(work.connection(), words, first=work.write_last, commit=True)

    def ask(self, work: Session, *asked: Ask) -> list[list[Any]]:
        """Execute statements in order and give the rows of each; PostgreSQL does it in one journey.

        They go to the driver as they are: SQLAlchemy's work on each parameter of each row would
        cost more than the database's own. Raises what SQLAlchemy raises.
        """
        connection = work.connection()
        if not self.is_sqlite:
            from chassis.postgres import journey

            worded = self._in_words(asked)
            found = iter(journey(connection, [each for one in worded for each in one]))
            return [[row for _ in one for row in next(found)] for one in worded]
        return [self._answer(connection, ask) for ask in asked]

    def _answer(self, connection: Connection, ask: Ask) -> list[Any]:
        if ask.rows and not getattr(ask.statement, "_returning", ()):
            connection.exec_driver_sql(self.text_of(ask.statement, ask.rows[0]), ask.rows)
            return []
        found = connection.execute(ask.statement, ask.rows or ask.given)
        return list(found) if found.returns_rows else []

    def rows(self, ask: Ask) -> list[Any]:
        """Execute a statement by itself and give its rows."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                return self._answer(connection, ask)
            (worded,) = self._in_words([ask])
            return [row for words in worded for row in connection.exec_driver_sql(*words)]

    def _in_words(self, asked: Iterable[Ask]) -> list[list[Worded]]:
        """Give each statement in PostgreSQL's words; many rows are one parameter, or some, so that
        none is very large."""
        from chassis.postgres import at_once

        made: list[list[Worded]] = []
        for ask in asked:
            if ask.rows is None:
                made.append([(self.text_of(ask.statement, ask.given or ()), ask.given)])
            elif ask.rows:
                text = self.text_of(ask.statement, ask.rows[0], at_once)
                made.append([(text, {"rows": piece}) for piece in _pieces(ask.rows)])
            else:
                made.append([])
        return made

    def write_rows(self, work: Session, statement: Any, rows: list[dict[str, Any]]) -> None:
        """Execute one statement for many rows, now."""
        if rows:
            self.ask(work, Ask(statement, rows=rows))

    def one_of(self, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
        """Build the condition that a column holds one of the values given as `some_of` gives them:
        a statement that is the same however many there are."""
        if self.is_sqlite:
            each = func.json_each(bindparam(name, type_=Text)).table_valued("value")
            return column.in_(select(each.c.value))
        return column == any_(bindparam(name, type_=postgresql.ARRAY(Text)))

    def some_of(self, values: Iterable[str]) -> Any:
        """Give values to a condition that was built with `one_of`."""
        return encode(sorted(values)) if self.is_sqlite else sorted(values)

    def text_of(
        self, statement: Any, names: Iterable[str], change: Callable[[Any], str] = str
    ) -> str:
        """Give a statement in the words of this database, for parameters of these names."""
        known = statement, change, *names
        if known not in self._texts:
            compiled = statement.compile(dialect=self.engine.dialect, column_keys=[*names])
            self._texts[known] = change(compiled)
        return self._texts[known]

    def unsent(self, most: int, but: Collection[str] = ()) -> list[Message]:
        """Read the oldest unsent rows of the outbox, but those of some keys, which are looked past:
        `LOOK_PAST` rows at the most."""
        query, given = _UNSENT, {"most": most}
        if but:
            query, given = (
                self.built("unsent but", self._unsent_but),
                given | {"but": self.some_of(but)},
            )
        with self.engine.connect() as connection:
            return [message_of(row) for row in connection.execute(query, given)]

    def _unsent_but(self) -> Any:
        looked = _UNSENT.limit(LOOK_PAST).subquery()
        free = ~self.one_of(looked.c.partitionkey, "but")
        if not self.is_sqlite:  # which is hashed, by a plan for any number of them too
            each = func.unnest(bindparam("but", type_=postgresql.ARRAY(Text)))
            free = looked.c.partitionkey.not_in(select(each))
        return select(looked).where(free).order_by(looked.c.seq).limit(bindparam("most"))

    def unsent_of(self, seqs: Collection[int]) -> list[Message]:
        """Read those of these rows of the outbox that are not sent, the oldest first."""
        query = select(outbox).where(outbox.c.sent_at.is_(None), outbox.c.seq.in_(seqs))
        with self.engine.connect() as connection:
            return [message_of(row) for row in connection.execute(query.order_by(outbox.c.seq))]

    def mark_sent(self, messages: list[Message]) -> None:
        """Note that messages are safe with their receivers; if that is lost they are sent again."""
        now = self.now()
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                seqs = [message.seq for message in messages]
                connection.exec_driver_sql(_MARK_ALL_SENT, {"sent": seqs, "now": now})
            return
        rows = [{"sent": message.seq, "now": now} for message in messages]
        with self.write(durable=False) as work:
            self.write_rows(work, _MARK_SENT, rows)

    def backlog(self) -> tuple[int, float]:
        """Count the unsent rows, and tell the age of the oldest in seconds."""
        with self.engine.connect() as connection:
            count, oldest = connection.execute(
                text("SELECT count(*), min(written_at) FROM outbox WHERE sent_at IS NULL")
            ).one()
        return count, self.now() - oldest if oldest else 0.0

    def answers(self) -> bool:
        """Tell whether the database answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(select(1))
        except Exception:
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        for engine in (self.engine, self._marking, self._leasing):
            engine.dispose()


def _pieces(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Write rows as JSON, in pieces that are not very large, and in their order."""
    written = encode(rows)
    if len(written) <= PIECE or len(rows) == 1:
        yield written
        return
    half = len(rows) // 2
    yield from _pieces(rows[:half])
    yield from _pieces(rows[half:])


_POST = insert(outbox)
_UNSENT = (
    select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.seq).limit(bindparam("most"))
)
_MARK_SENT = (
    update(outbox).where(outbox.c.seq == bindparam("sent")).values(sent_at=bindparam("now"))
)
_MARK_ALL_SENT = "UPDATE outbox SET sent_at = %(now)s WHERE seq = ANY(%(sent)s)"


def _engine(url: str, pool: int, synchronous: str = "FULL") -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        from chassis import sqlite

        return sqlite.engine_of(parsed, synchronous)
    from chassis import postgres

    return postgres.engine_of(parsed, pool)
