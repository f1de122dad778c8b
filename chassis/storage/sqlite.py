"""How a service keeps its data in an SQLite file: everything in one process."""

from __future__ import annotations

from functools import partial
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

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import OperationalError, ProgrammingError

PASSING = {SQLITE_BUSY, SQLITE_LOCKED, SQLITE_NOMEM, SQLITE_FULL, SQLITE_PROTOCOL}
LASTING = {
    SQLITE_READONLY,
    SQLITE_IOERR,
    SQLITE_CORRUPT,
    SQLITE_CANTOPEN,
    SQLITE_NOTADB,
    SQLITE_PERM,
}
"""Codes that tell of the file, and not of what was asked of it: those that a connection gets over,
and those after which it is of no use, also when the file is well again."""


def engine_of(url: URL, synchronous: str) -> Engine:
    """Make the engine of a file; `synchronous` says how surely a commit is on the disk."""
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
    connection.isolation_level = None  # the begin event below says what kind of transaction
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-8000")


def _begin(connection: Any) -> None:
    if connection.get_execution_options().get("bihuan_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _name_by_code(context: Any) -> Exception | None:
    """Call whatever is the file's own trouble by one name, and nothing else by it, as the driver
    does not."""
    said, error = context.sqlalchemy_exception, context.original_exception
    code = getattr(error, "sqlite_errorcode", None)
    if said is None or code is None:
        return None
    code &= 0xFF  # less what it says more exactly
    context.is_disconnect = context.is_disconnect or code in LASTING
    kind = OperationalError if code in PASSING | LASTING else ProgrammingError
    if isinstance(said, OperationalError) == (kind is OperationalError):
        return None
    return kind(
        context.statement,
        context.parameters,
        error,
        connection_invalidated=context.is_disconnect,
    )
