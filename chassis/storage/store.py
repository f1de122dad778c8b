"""The database of a service, and the units of work that change it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, func, select
from sqlalchemy.orm import Session

from chassis.ids import new_id
from chassis.storage.clock import DatabaseClock
from chassis.storage.engine import STORAGE_ERRORS, dialect_of
from chassis.storage.statements import Statement, Statements
from chassis.storage.tables import chassis_metadata, deployment, outbox
from chassis.storage.unit_of_work import UnitOfWork


class Store:
    """The database of one service, over at most `pool` connections, and one for leases."""

    def __init__(self, service: str, url: str, *metadata: MetaData, pool: int = 12) -> None:
        self.service = service
        self.url = url
        self.metadata = (chassis_metadata, *metadata)
        self.dialect = dialect_of(url, pool)
        self.engine = self.dialect.engine
        self.statements = Statements(self.dialect.insert)
        self.clock = DatabaseClock(service, self.engine)
        self.now = self.clock.now
        self.migrations: Path | None = None
        """The folder with the migrations, if it is not that of the service."""
        self.last_seq_at_start = 0
        """The sequence number of the newest outbox row at the start."""
        self._has_failed = False

    def note_last_seq(self) -> None:
        """Record the newest outbox row, which an earlier process wrote."""
        with self.engine.connect() as connection:
            self.last_seq_at_start = connection.scalar(select(func.max(outbox.c.seq))) or 0

    @contextmanager
    def write(self, *, durable: bool = True, reserved: bool = False) -> Iterator[UnitOfWork]:
        """Open a transaction that writes; it commits at the end, with its outbox, or not at all.

        On SQLite one at a time: a green thread that yields inside one would stall the process. A
        transaction that need not survive a power failure is not `durable`: it reaches the disk with
        the next one that is. On PostgreSQL a `reserved` transaction has a connection apart from the
        pool: it waits for no handler.
        """
        with (
            self._noting_failures(),
            self.dialect.writer(durable=durable, reserved=reserved) as engine,
            UnitOfWork(self.service, self.dialect, self.now, bind=engine) as uow,
        ):
            yield uow
            self._close(uow)
            uow.commit()

    def write_one(self, statement: Statement) -> None:
        """Execute one statement that writes, by itself; a power cut may undo it."""
        with self._noting_failures():
            self.dialect.write_one(statement)

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        try:
            yield
        except STORAGE_ERRORS:
            self._has_failed = True
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads."""
        with Session(self.engine) as session:
            yield session

    def _close(self, uow: UnitOfWork) -> None:
        """Execute the closing statements, and write the outbox; PostgreSQL commits in the same
        round trip."""
        statements = uow.last_statements()
        flush = uow.write_last if uow.is_changed else None
        if statements or flush:
            self.dialect.execute_many(uow.connection(), statements, flush=flush, commit=True)

    def execute(self, statement: Statement) -> list[Any]:
        """Execute a statement by itself and return its rows."""
        with self.engine.connect() as connection:
            return self.dialect.execute(connection, statement)

    def execute_many(self, uow: Session, *statements: Statement) -> list[list[Any]]:
        """Execute statements in order, on PostgreSQL in one round trip; return the rows of each.

        Raises what SQLAlchemy raises.
        """
        return self.dialect.execute_many(uow.connection(), statements)

    def write_rows(self, uow: Session, clause: Any, rows: list[dict[str, Any]]) -> None:
        """Execute one clause for many rows, immediately."""
        if rows:
            self.execute_many(uow, Statement(clause, rows=rows))

    def seconds(self, uow: Session) -> float:
        """Read the database's clock (s since 1970), which the leases of all replicas follow."""
        return self.clock.read(uow)

    def new_id(self) -> str:
        """Return a new id for a row whose age may be judged by it."""
        return new_id(self.now())

    def answers(self) -> bool:
        """Return whether the database responds."""
        try:
            with self.engine.connect() as connection:
                connection.execute(select(1))
        except Exception:
            return False
        return True

    def writes(self) -> bool:
        """Return whether the database responds and accepts writes: by the last write, or, if that
        failed, by a new attempt."""
        if not self._has_failed:
            return self.answers()
        try:
            row = {"name": "written at", "value": str(self.now())}
            with self.write() as uow:
                uow.execute(self.statements.insert_or_replace(deployment, "name"), row)
        except Exception:
            return False
        self._has_failed = False
        return True

    def close(self) -> None:
        """Close every connection."""
        for engine in self.dialect.engines:
            engine.dispose()
