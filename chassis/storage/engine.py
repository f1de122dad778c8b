"""The dialect of a database, and the errors that mean that storage is unavailable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chassis.storage.statements import Statement

STORAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""The errors of an unavailable database; some may also come from a statement that can never
work."""


class Dialect(Protocol):
    """The differences between SQLite and PostgreSQL, and the engines."""

    name: str
    engine: Engine
    """For reads, and for single statements that commit by themselves."""
    engines: tuple[Engine, ...]
    """All engines, to dispose of at the end."""
    is_shared: bool
    """Whether several processes may use this database."""
    lock_interval: float
    """Seconds for which a lock is left free, so that a waiting process gets it."""
    position: Any
    """The function that finds the position of a text in another, counted from 1."""

    def writer(self, *, durable: bool, reserved: bool) -> AbstractContextManager[Engine]:
        """Return the engine for one transaction that writes."""

    def write_one(self, statement: Statement) -> None:
        """Execute one statement that writes, in a transaction that need not be durable."""

    def exclusive(self) -> AbstractContextManager[Connection]:
        """Open a transaction that changes tables, while no other process changes them."""

    def insert(self, table: Table) -> Any:
        """Return an insert that knows `ON CONFLICT`."""

    def execute(self, connection: Connection, statement: Statement) -> list[Any]:
        """Execute one statement and return its rows."""

    def execute_many(
        self,
        connection: Connection,
        statements: Sequence[Statement],
        *,
        flush: Callable[[], None] | None = None,
        commit: bool = False,
    ) -> list[list[Any]]:
        """Execute `flush`, then statements in order; return the rows of each statement.

        With `commit` the transaction may end with them. Raises what SQLAlchemy raises.
        """

    def in_array(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that a column holds a value of the array parameter `name`: the same
        clause for any number of values."""

    def not_in_array(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that a column holds no value of the array parameter `name`."""

    def array(self, values: Iterable[Any]) -> Any:
        """Return values as an array parameter."""

    def oldest(
        self, query: Select[Any], moment: ColumnElement[float], before: float
    ) -> Select[Any]:
        """Return the query for the oldest rows first, in a way that the table's indexes support."""

    def lock_table(self, table: Table, mode: str) -> tuple[Statement, ...]:
        """Return the statements that lock a table, if a transaction that writes does not lock it
        anyway."""

    def notify(self, *channels: str) -> None:
        """Notify the other processes of a service, if there may be any."""

    def exists(self) -> bool:
        """Return whether the database exists; on SQLite a connection would create it."""

    def identity(self) -> tuple[str, list[str]]:
        """Return the readable name of the database, and the facts that distinguish it from a
        copy."""

    def secure_delete(self, connection: Connection) -> None:
        """Overwrite the rows that this connection deletes, if the database can."""

    def scrub(self, table: Table) -> bool:
        """Remove deleted rows of a table from the files; return whether no trace is left."""


def dialect_of(url: str, pool: int) -> Dialect:
    """Return the dialect of a database, with new engines."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        from chassis.storage.sqlite import SQLite

        return SQLite(parsed)
    from chassis.storage.postgres import PostgreSQL

    return PostgreSQL(parsed, pool)
