"""How a service talks to PostgreSQL; imported only where there is one.

Every wait ends. PostgreSQL ends what takes long, TCP gives a dead peer up, and where something in
between acknowledges everything and answers nothing, the client itself closes the connection.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from eventlet import Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError, OperationalError

ANSWER_WITHIN = 30.0
"""Seconds within which a database answers, or is away: more than any bound of its own."""
PING_WITHIN = 5.0
IDLE = 1.0
"""Seconds after which a connection that nobody used is asked whether it still works."""
POOL_WAIT = 5.0
"""Seconds that are waited for a connection when all are in use."""
CONNECT = {
    "connect_timeout": 5,
    "options": "-c statement_timeout=20s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=10s",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Bounded(psycopg.Connection[Any]):
    """A connection that is closed when the database does not answer in time."""

    answer_within: float | None = ANSWER_WITHIN

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer; raises `psycopg.OperationalError` when none comes in time."""
        away = psycopg.OperationalError("the database does not answer")
        try:
            with Timeout(self.answer_within, away):
                return super().wait(gen, *args, **kwargs)
        except psycopg.OperationalError as error:
            if error is away:
                self.close()
            raise


def engine_of(url: URL, pool: int) -> Engine:
    """Make the engine of a database, with so many connections at the most."""
    kept = max(1, pool // 2)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",  # a read is one journey, without BEGIN and ROLLBACK
        pool_size=kept,
        max_overflow=pool - kept,
        pool_timeout=POOL_WAIT,
        pool_use_lifo=True,  # those that are in use stay so, and need no question
        connect_args=CONNECT,
    )
    event.listen(
        engine, "do_connect", lambda _d, _r, words, named: Bounded.connect(*words, **named)
    )
    event.listen(engine, "checkin", _note_when)
    event.listen(engine, "checkout", partial(_ask_if_idle, engine))
    event.listen(engine, "handle_error", _name_what_is_away, retval=True)
    return engine


def _note_when(_connection: Any, record: Any) -> None:
    record.info["left_at"] = time.monotonic()


def _ask_if_idle(engine: Engine, connection: Bounded, record: Any, _proxy: Any) -> None:
    """Before the use of a connection that was idle: does it work? If not, none of its age does."""
    if time.monotonic() - record.info.get("left_at", float("inf")) <= IDLE:
        return
    connection.answer_within = PING_WITHIN
    try:
        engine.dialect.do_ping(connection)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise InvalidatePoolError(str(error)) from error
    connection.answer_within = ANSWER_WITHIN


def _name_what_is_away(context: Any) -> Exception | None:
    """Call whatever ended a connection by one name, as the driver does not."""
    said = context.sqlalchemy_exception
    if not context.is_disconnect or said is None or isinstance(said, OperationalError):
        return None
    return OperationalError(
        context.statement,
        context.parameters,
        context.original_exception,
        connection_invalidated=True,
    )


@contextmanager
def patiently(connection: Connection) -> Iterator[None]:
    """Lift, for a transaction, the bounds on how long its statements may take or wait."""
    driver: Any = connection.connection.driver_connection
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    driver.answer_within = None
    try:
        yield
    finally:
        driver.answer_within = ANSWER_WITHIN
