"""The dialect of PostgreSQL; imported only where it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from sqlalchemy import (
    BIGINT,
    URL,
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    Table,
    Text,
    TextClause,
    any_,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.engine import Compiled
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.types import NullType

from chassis.message import encode
from chassis.storage.postgres_engine import engine_of, pipeline, unbounded
from chassis.storage.statements import Statement, Texts

PIECE = 1 << 20
"""Maximum characters of rows, as JSON, in one statement; a single row may be longer."""
_IDENTITY = (
    "SELECT system_identifier FROM pg_control_system()",
    "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
    "SELECT oid FROM pg_database WHERE datname = current_database()",
)
"""Queries for the ids of the cluster, of its timeline, which changes with a restore or a failover,
and of the database."""


class PostgreSQL:
    """The dialect of PostgreSQL: statements go out together, in few round trips."""

    name = "postgresql"
    is_shared = True
    lock_interval = 0.02
    position = func.strpos

    def __init__(self, url: URL, pool: int) -> None:
        reserved = engine_of(url, 1)
        self.engine = engine_of(url, pool)
        self.engines: tuple[Engine, ...] = (self.engine, reserved)
        self._writer, self._reserved = (
            engine.execution_options(bihuan_write=True, isolation_level="READ COMMITTED")
            for engine in self.engines
        )
        self._texts = Texts(self.engine.dialect)

    def writer(
        self,
        *,
        durable: bool,
        reserved: bool,
    ) -> AbstractContextManager[Engine]:
        """Return the engine for a transaction; the reserved one has a connection of its own."""
        return nullcontext(self._reserved if reserved else self._writer)

    def write_one(self, statement: Statement) -> None:
        """Execute one statement, which commits by itself."""
        with self.engine.connect() as connection:
            self.execute(connection, statement)

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """Open a transaction that changes tables, after those of other processes; its statements
        have no time limit, but wait for a lock at most 5 seconds."""
        with self._writer.begin() as connection, unbounded(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('migrations'))"))
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            yield connection

    def insert(self, table: Table) -> Any:
        """Return an insert that knows `ON CONFLICT`."""
        return insert(table)

    def execute(self, connection: Connection, statement: Statement) -> list[Any]:
        """Execute one statement and return its rows."""
        rows: list[Any] = []
        for compiled in self._compile(statement):
            result = connection.exec_driver_sql(*compiled)
            rows += result if result.returns_rows else ()
        return rows

    def execute_many(
        self,
        connection: Connection,
        statements: Sequence[Statement],
        *,
        flush: Callable[[], None] | None = None,
        commit: bool = False,
    ) -> list[list[Any]]:
        """Execute `flush`, then statements in order, in one round trip; return the rows of each.

        They go directly to the driver: SQLAlchemy's processing of each parameter of each row would
        cost more than the database's. Raises what SQLAlchemy raises.
        """
        compiled = [self._compile(statement) for statement in statements]
        every = [one for several in compiled for one in several]
        results = iter(pipeline(connection, every, flush=flush, commit=commit))
        return [[row for _ in several for row in next(results)] for several in compiled]

    def _compile(self, statement: Statement) -> list[tuple[str, dict[str, Any] | None]]:
        """Return SQL with its parameters; many rows are one parameter, or several to keep each
        small."""
        clause, rows = statement.clause, statement.rows
        if rows is None:
            parameters = statement.parameters
            return [(self._texts.compile(clause, parameters or ()), parameters)]
        if not rows:
            return []
        sql = self._texts.compile(clause, rows[0], for_many)
        return [(sql, {"rows": piece}) for piece in _pieces(rows)]

    def in_array(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that a column holds a value of an array."""
        return column == any_(_array(column, name))

    def not_in_array(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that a column holds no value of an array; it is planned as a hash
        for any number of values."""
        return column.not_in(select(func.unnest(_array(column, name))))

    def array(self, values: Iterable[Any]) -> list[Any]:
        """Return values as an array."""
        return sorted(values)

    def oldest(
        self, query: Select[Any], moment: ColumnElement[float], before: float
    ) -> Select[Any]:
        """Return the query ordered by the index of the moments."""
        return query.where(moment < before)

    def lock_table(self, table: Table, mode: str) -> tuple[Statement, ...]:
        """Return the statement that locks a table."""
        return (Statement(_lock(table.name, mode)),)

    def notify(self, *channels: str) -> None:
        """Notify the other processes of a service."""
        with self.engine.connect() as connection:
            for channel in channels:
                connection.execute(text(f"NOTIFY {channel}"))

    def exists(self) -> bool:
        """Return True: a connection creates no database."""
        return True

    def identity(self) -> tuple[str, list[str]]:
        """Return the database's name; the host, the cluster and its timeline distinguish it from a
        copy, as far as the server permits."""
        url = self.engine.url
        cluster, timeline, database = map(self._fact, _IDENTITY)
        facts = [str(url.host), str(url.database), cluster, timeline, database]
        return f"{url.database} on {url.host}, timeline {timeline.lstrip('0')}", facts

    def _fact(self, question: str) -> str:
        """Return the server's answer; an empty text if it refuses."""
        try:
            with self.engine.connect() as connection:
                return str(connection.scalar(text(question)))
        except (OperationalError, InterfaceError):
            raise
        except DBAPIError:
            return ""

    def secure_delete(self, connection: Connection) -> None:
        """Do nothing: `scrub` removes deleted rows."""

    def scrub(self, table: Table) -> bool:
        """Vacuum the table."""
        with self.engine.connect() as connection:
            connection.execute(text(f"VACUUM {table.name}"))
        return True


def _array(column: ColumnElement[Any], name: str) -> BindParameter[Any]:
    kind = BIGINT if isinstance(column.type, Integer) else Text
    return bindparam(name, type_=ARRAY(kind))


@cache
def _lock(table: str, mode: str) -> TextClause:
    return text(f"LOCK TABLE {table} IN {mode} MODE")


def _pieces(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield rows as JSON, in order, in pieces of limited size."""
    written = encode(rows)
    if len(written) <= PIECE or len(rows) == 1:
        yield written
        return
    half = len(rows) // 2
    yield from _pieces(rows[:half])
    yield from _pieces(rows[half:])


_GIVEN = re.compile(r"%\((\w+)\)s(?:::(?:DOUBLE PRECISION|[A-Z]+))?")


def for_many(compiled: Compiled) -> str:
    """Return a statement for one row as a statement for many, with the parameter `rows` as JSON.

    So one C function encodes the rows, they are sent as one value, and a server function decodes
    them. It may be an INSERT of values, an INSERT of a SELECT, or an UPDATE.
    """
    words, binds = str(compiled), compiled.binds  # type: ignore[attr-defined]
    columns = ", ".join(
        f'"{name}" {_type_of(binds[name], compiled)}'
        for name in dict.fromkeys(_GIVEN.findall(words))
    )
    rows = f"json_to_recordset(%(rows)s::json) AS given ({columns})"
    words = _GIVEN.sub(r'given."\1"', words)
    if " VALUES (" in words:
        head, values, rest = re.split(r" VALUES \(([^)]*)\)", words, maxsplit=1)
        return f"{head} SELECT {values} FROM {rows}{rest}"  # noqa: S608  (a statement of ours)
    if words.startswith("UPDATE"):
        return words.replace(" WHERE ", f" FROM {rows} WHERE ", 1)
    return words.replace(" FROM ", f" FROM {rows}, ", 1)


def _type_of(bind: BindParameter[Any], compiled: Compiled) -> str:
    """Return the type of a parameter; an unknown one is text."""
    known: str = (
        "TEXT" if isinstance(bind.type, NullType) else bind.type.compile(dialect=compiled.dialect)
    )
    return known
