"""The dialect of SQLite: the data of a service in a file, used by one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sqlite3 import (
    SQLITE_BUSY,
    SQLITE_CANTOPEN,
    SQLITE_CORRUPT,
    SQLITE_FULL,
    SQLITE_IOERR,
    SQLITE_LOCKED,
    SQLITE_NOMEM,
    SQLITE_NOTADB,
    SQLITE_PERM,
    SQLITE_PROTOCOL,
    SQLITE_READONLY,
)
from typing import Any

from eventlet.semaphore import Semaphore
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError, ProgrammingError

from chassis.message import encode
from chassis.storage.statements import Statement, Texts

MACHINE = Path("/etc/machine-id")

PASSING = {SQLITE_BUSY, SQLITE_LOCKED, SQLITE_NOMEM, SQLITE_FULL, SQLITE_PROTOCOL}
LASTING = {
    SQLITE_READONLY,
    SQLITE_IOERR,
    SQLITE_CORRUPT,
    SQLITE_CANTOPEN,
    SQLITE_NOTADB,
    SQLITE_PERM,
}
"""Error codes that concern the file and not the statement: those that a connection survives, and
those after which it is unusable, even when the file is intact again."""


class SQLite:
    """The dialect of SQLite. Green threads write one at a time: one that yields inside a
    transaction would stall the process."""

    name = "sqlite"
    is_shared = False
    lock_interval = 0.1
    """SQLite polls for a lock this often."""
    position = func.instr

    def __init__(self, url: URL) -> None:
        relaxed = engine_of(url, "NORMAL")
        self.engine = engine_of(url, "FULL")
        self.engines: tuple[Engine, ...] = (self.engine, relaxed)
        self._writer = self.engine.execution_options(bihuan_write=True)
        self._relaxed = relaxed.execution_options(bihuan_write=True)
        self._writing = Semaphore(1)
        self._texts = Texts(self.engine.dialect)

    @contextmanager
    def writer(self, *, durable: bool, reserved: bool) -> Iterator[Engine]:
        """Wait until no green thread writes, and return the engine; a transaction that is not
        durable reaches the disk with the next one that is."""
        with self._writing:
            yield self._writer if durable else self._relaxed

    def write_one(self, statement: Statement) -> None:
        """Execute one statement that writes; it reaches the disk with the next transaction."""
        with self._writing, self._relaxed.begin() as connection:
            self.execute(connection, statement)

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """Open a transaction that writes, of which SQLite allows only one."""
        with self._writer.begin() as connection:
            yield connection

    def insert(self, table: Table) -> Any:
        """Return an insert that knows `ON CONFLICT`."""
        return insert(table)

    def execute(self, connection: Connection, statement: Statement) -> list[Any]:
        """Execute one statement; many rows go directly to the driver: SQLAlchemy's processing of
        each parameter would cost more than the database's."""
        clause, rows = statement.clause, statement.rows
        if rows and not getattr(clause, "_returning", ()):
            connection.exec_driver_sql(self._texts.compile(clause, rows[0]), rows)
            return []
        result = connection.execute(clause, rows or statement.parameters)
        return list(result) if result.returns_rows else []

    def execute_many(
        self,
        connection: Connection,
        statements: Sequence[Statement],
        *,
        flush: Callable[[], None] | None = None,
        commit: bool = False,
    ) -> list[list[Any]]:
        """Execute `flush`, then statements in order; return the rows of each statement."""
        if flush is not None:
            flush()
        return [self.execute(connection, statement) for statement in statements]

    def in_array(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that a column holds a value of a JSON array."""
        each = func.json_each(bindparam(name, type_=Text)).table_valued("value")
        return column.in_(select(each.c.value))

    def not_in_array(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that a column holds no value of a JSON array."""
        return ~self.in_array(column, name)

    def array(self, values: Iterable[Any]) -> str:
        """Return values as a JSON array."""
        return encode(sorted(values))

    def oldest(
        self,
        query: Select[Any],
        moment: ColumnElement[float],
        before: float,
    ) -> Select[Any]:
        """Return the query in insertion order: there is no index of the moments."""
        return query.order_by(literal_column("rowid"))

    def lock_table(self, table: Table, mode: str) -> tuple[Statement, ...]:
        """Return no statements: a transaction that writes excludes all others."""
        return ()

    def notify(self, *channels: str) -> None:
        """Do nothing: there is no other process."""

    def exists(self) -> bool:
        """Return whether the file exists."""
        file = self.engine.url.database
        return bool(file) and Path(str(file)).exists()

    def identity(self) -> tuple[str, list[str]]:
        """Return the path of the file; the path, the inode and the machine distinguish it from a
        copy."""
        file = Path(str(self.engine.url.database)).resolve()
        return str(file), [str(file), str(file.stat().st_ino), _machine()]

    def secure_delete(self, connection: Connection) -> None:
        """Overwrite the rows that this connection deletes."""
        connection.exec_driver_sql("PRAGMA secure_delete=ON")

    def scrub(self, table: Table) -> bool:
        """Empty the write-ahead log; return whether no reader prevented it."""
        with self.engine.connect() as connection:
            busy: int = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        return not busy


def _machine() -> str:
    try:
        return MACHINE.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def engine_of(url: URL, synchronous: str) -> Engine:
    """Return the engine of a file; `synchronous` is SQLite's durability setting."""
    engine = create_engine(
        url,
        paramstyle="named",
        connect_args={"check_same_thread": False, "timeout": 10},
    )
    event.listen(engine, "connect", partial(_prepare, synchronous))
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _name_by_code, retval=True)
    return engine


def _prepare(synchronous: str, connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the begin event below chooses the kind of transaction
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-8000")


def _begin(connection: Any) -> None:
    if connection.get_execution_options().get("bihuan_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _name_by_code(context: Any) -> Exception | None:
    """Return an `OperationalError` for errors of the file itself, and only for those, unlike the
    driver."""
    wrapped, error = context.sqlalchemy_exception, context.original_exception
    code = getattr(error, "sqlite_errorcode", None)
    if wrapped is None or code is None:
        return None
    code &= 0xFF  # without the extended part
    context.is_disconnect = context.is_disconnect or code in LASTING
    kind = OperationalError if code in PASSING | LASTING else ProgrammingError
    if isinstance(wrapped, OperationalError) == (kind is OperationalError):
        return None
    return kind(
        context.statement,
        context.parameters,
        error,
        connection_invalidated=context.is_disconnect,
    )
