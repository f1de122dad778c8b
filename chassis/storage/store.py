"""A service's own database: outbox, inbox and letters, and the unit of work that writes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventlet.semaphore import Semaphore
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    MetaData,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as lite
from sqlalchemy.orm import Session

from chassis.ids import new_id
from chassis.message import Message, encode
from chassis.storage.clock import DatabaseClock
from chassis.storage.engine import STORAGE_ERRORS, engine_of_url
from chassis.storage.tables import carriage, deployment, message_of, outbox, row_of
from chassis.storage.unit_of_work import Ask, Worded, Work

LOOK_PAST = 100_000
"""Unsent rows that are looked at, at the most, for some whose keys are not held back."""
PIECE = 1 << 20
"""Characters of rows, as JSON, that one statement is given; a single row may be more."""


class Store:
    """The database of one service, over so many connections at the most, and one for leases."""

    def __init__(self, service: str, url: str, *metadata: MetaData, pool: int = 12) -> None:
        self.service = service
        self.url = url
        self.engine = engine_of_url(url, pool)
        self.metadata = (carriage, *metadata)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.clock = DatabaseClock(service, self.engine)
        self.now = self.clock.now
        self._writing = Semaphore(1) if self.is_sqlite else None
        writing = {} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}
        self._writer = self.engine.execution_options(bihuan_write=True, **writing)
        self._marking = engine_of_url(url, pool, "NORMAL") if self.is_sqlite else self.engine
        self._marker = self._marking.execution_options(bihuan_write=True, **writing)
        self._leasing = self.engine if self.is_sqlite else engine_of_url(url, 1)
        self._leaser = self._leasing.execution_options(bihuan_write=True, **writing)
        self.migrations: Path | None = None
        """The folder with the migrations, where it is not that of the service."""
        self.last_seq_at_start = 0
        self._has_failed = False
        self._texts: dict[Any, str] = {}
        self._built: dict[Any, Any] = {}

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Open a transaction that changes tables: no other process changes them meanwhile."""
        with self._writer.begin() as connection:
            if self.is_sqlite:
                yield connection
                return
            from chassis.storage.postgres import patiently

            with patiently(connection):
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('migrations'))"))
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                yield connection

    def look_back(self) -> None:
        """Note the newest row of the outbox that was there at the start."""
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
            from chassis.storage.postgres import journey

            words = [each for one in self._in_words(asked) for each in one]
            journey(work.connection(), words, first=work.write_last, commit=True)

    def ask(self, work: Session, *asked: Ask) -> list[list[Any]]:
        """Execute statements in order and give the rows of each; PostgreSQL does it in one journey.

        They go to the driver as they are: SQLAlchemy's work on each parameter of each row would
        cost more than the database's own. Raises what SQLAlchemy raises.
        """
        connection = work.connection()
        if not self.is_sqlite:
            from chassis.storage.postgres import journey

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
        from chassis.storage.postgres import at_once

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
