"""A service's own database: outbox, inbox and letters, and the unit of work that writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from eventlet.semaphore import Semaphore
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from chassis import migrations
from chassis.aggregate import Aggregate
from chassis.ids import new_id
from chassis.message import Message
from chassis.tables import carriage, message_of, outbox, row_of
from contracts.message import RULE, Contract, Envelope

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Days are Shanghai's, which has kept UTC+8 without daylight saving since 1991."""

STORAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""What a database that is away looks like, and now and then a statement that can never work."""


class Work(Session):
    """One transaction of a service: state changes, the facts they state, and the message handled.

    `now` and `today` are the time of the message in hand: the moment at which the outside gave its
    cause. So the same facts lead to the same loop, however late or often they are delivered.
    """

    source: str = ""
    message: Message
    outgoing: list[Message]

    def __init__(self, source: str, **kwargs: Any) -> None:
        super().__init__(expire_on_commit=False, **kwargs)
        self.source = source
        self.outgoing = []

    @property
    def now(self) -> datetime:
        """The moment of the message in hand."""
        moment: datetime = self.message.moment
        return moment

    @property
    def today(self) -> date:
        """The day of the message in hand, in Shanghai."""
        return self.now.astimezone(SHANGHAI).date()

    def record(self, fact: Contract, *, identity: str | None = None) -> Message:
        """Put a fact or a command in the outbox, as an effect of the message in hand."""
        cause = self.message.envelope
        made = Message.of(
            fact,
            Envelope(
                identity or new_id(),
                self.source,
                fact.type,
                cause.time,
                fact.key,
                cause.correlationid,
                cause.id,
                cause.type,
                cause.traceparent,
            ),
        )
        self.outgoing.append(made)
        return made

    def cause_of(self, fact: Contract) -> dict[str, str]:
        """Tell what a fact is, who asked for what led to it, and when."""
        by = getattr(self.message.fact, "by", RULE)
        return {"what": fact.type, "by": by, "at": self.message.envelope.time}

    def get_or_none(self, kind: type[Any], identity: str | None) -> Any:
        """Load an aggregate by its identity, if there is one."""
        return None if identity is None else self.get(kind, identity)


@event.listens_for(Work, "after_attach")
def _say_what_waited(session: Work, instance: Any) -> None:
    if isinstance(instance, Aggregate):
        for fact in instance.unsaid():
            instance.say(session, fact)


class Store:
    """The database of one service, over so many connections at the most."""

    def __init__(self, service: str, url: str, *metadata: MetaData, pool: int = 12) -> None:
        self.service = service
        self.url = url
        self.engine = _engine(url, pool)
        self.metadata = (carriage, *metadata)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writing = Semaphore(1) if self.is_sqlite else None
        writing = {} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}
        self._writer = self.engine.execution_options(bihuan_write=True, **writing)
        self._marking = _engine(url, pool, "NORMAL") if self.is_sqlite else self.engine
        self._marker = self._marking.execution_options(bihuan_write=True, **writing)
        self.last_seq_at_start = 0
        self._texts: dict[Any, str] = {}
        self._upserts: dict[tuple[Any, ...], Any] = {}

    @cached_property
    def migrations(self) -> Path:
        """The folder with the migrations of the service."""
        return migrations.folder_of(self.service)

    def create(self) -> None:
        """Bring the tables up to this version, all of them where there is none yet."""
        migrations.apply(self)
        self._look_back()

    def check(self) -> None:
        """Refuse tables that are not up to this version; raises `Misconfigured`."""
        migrations.check(self)
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

    def insert_new(self, table: Table) -> Any:
        """Build an insert that leaves an existing row alone."""
        dialect = sqlite if self.is_sqlite else postgresql
        return dialect.insert(table).on_conflict_do_nothing()

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

    def _upsert(
        self,
        table: Table,
        keys: tuple[str, ...],
        way: tuple[str, ...],
        values: Callable[[Any], dict[str, Any]],
    ) -> Any:
        """Build the statement once for a table, its keys and the way in which they meet."""
        known = table, keys, way
        if known not in self._upserts:
            statement: Any = (sqlite if self.is_sqlite else postgresql).insert(table)
            self._upserts[known] = statement.on_conflict_do_update(
                index_elements=list(keys), set_=values(statement.excluded)
            )
        return self._upserts[known]

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Work]:
        """Open a transaction that writes; it commits at the end, with its outbox, or not at all.

        On SQLite one at a time: a green thread that yields inside one would stall the process.
        What need not outlive a power cut by itself is not `durable`: it reaches the disk with the
        next transaction that is.
        """
        engine = self._writer if durable else self._marker
        if self._writing is not None:
            self._writing.acquire()
        try:
            with Work(self.service, bind=engine) as work:
                yield work
                work.flush()
                self.post(work, work.outgoing)
                work.commit()
        finally:
            if self._writing is not None:
                self._writing.release()

    def seconds(self, work: Session) -> float:
        """Tell the time by the database's clock (s since 1970), by which all replicas go."""
        return time.time() if self.is_sqlite else float(work.scalar(_CLOCK) or 0.0)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads."""
        with Session(self.engine) as session:
            yield session

    def write_rows(self, work: Session, statement: Any, rows: list[dict[str, Any]]) -> None:
        """Execute one statement for many rows of plain text and numbers, all with the same names.

        The statement is turned into text once, and the rows go to the driver as they are:
        SQLAlchemy's work on each parameter of each row would cost more than the database's own.
        """
        if rows:
            work.connection().exec_driver_sql(self.text_of(statement, rows[0]), rows)

    def text_of(self, statement: Any, names: Iterable[str]) -> str:
        """Give a statement in the words of this database, for parameters of these names."""
        if statement not in self._texts:
            compiled = statement.compile(dialect=self.engine.dialect, column_keys=list(names))
            self._texts[statement] = str(compiled)
        return self._texts[statement]

    def post(self, work: Session, outgoing: list[Message]) -> None:
        """Write messages to the outbox, in order."""
        if outgoing:
            now = time.time()
            rows = [row_of(message) | {"written_at": now} for message in outgoing]
            self.write_rows(work, _POST, rows)

    def unsent(self, most: int) -> list[Message]:
        """Read the oldest unsent rows of the outbox."""
        with self.engine.connect() as connection:
            rows = connection.execute(_UNSENT, {"most": most})
            return [message_of(row) for row in rows]

    def mark_sent(self, messages: list[Message]) -> None:
        """Note that messages are safe with their receivers; if that is lost they are sent again."""
        now = time.time()
        rows = [{"sent": message.seq, "now": now} for message in messages]
        with self.write(durable=False) as work:
            self.write_rows(work, _MARK_SENT, rows)

    def backlog(self) -> tuple[int, float]:
        """Count the unsent rows, and tell the age of the oldest in seconds."""
        with self.engine.connect() as connection:
            count, oldest = connection.execute(
                text("SELECT count(*), min(written_at) FROM outbox WHERE sent_at IS NULL")
            ).one()
        return count, time.time() - oldest if oldest else 0.0

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
        self.engine.dispose()
        self._marking.dispose()


_CLOCK = text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)")
_POST = insert(outbox)
_UNSENT = (
    select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.seq).limit(bindparam("most"))
)
_MARK_SENT = (
    update(outbox).where(outbox.c.seq == bindparam("sent")).values(sent_at=bindparam("now"))
)


def _engine(url: str, pool: int, synchronous: str = "FULL") -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            paramstyle="named",
            connect_args={"check_same_thread": False, "timeout": 10},
        )
        event.listen(engine, "connect", partial(_prepare_sqlite, synchronous))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    from chassis.postgres import engine_of

    return engine_of(parsed, pool)


def _prepare_sqlite(synchronous: str, connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the begin event below says what kind of transaction
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-8000")


def _begin_sqlite(connection: Any) -> None:
    if connection.get_execution_options().get("bihuan_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
