"""The SQLAlchemy engine of a database URL, and the errors that mean that storage is
unavailable.
"""

from __future__ import annotations

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

STORAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""What a database that is away looks like, and now and then a statement that can never work."""


def engine_of_url(url: str, pool: int, synchronous: str = "FULL") -> Engine:
    """Make the engine of a database, for SQLite or PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        from chassis.storage import sqlite

        return sqlite.engine_of(parsed, synchronous)
    from chassis.storage import postgres

    return postgres.engine_of(parsed, pool)
