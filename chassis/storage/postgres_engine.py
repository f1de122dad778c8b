"""The engine of PostgreSQL: bounded waits, pipelines, and errors by SQLSTATE.

Every wait ends. PostgreSQL cancels long statements, TCP times out for a dead peer, and if something
in between acknowledges everything without responding, the client itself closes the connection.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any

import psycopg
from eventlet.patcher import original
from psycopg.waiting import Ready, Wait
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, InvalidatePoolError, OperationalError

from chassis.runtime.green import wait_for

ANSWER_WITHIN = 30.0
"""Seconds without a response after which a database counts as unavailable: more than any timeout of
its own."""
PING_WITHIN = 5.0
IDLE = 1.0
"""Seconds after which an idle connection is checked before use."""
POOL_WAIT = 5.0
"""Maximum seconds of waiting for a connection when all are in use."""
CONNECT = {
    "connect_timeout": 5,
    "options": "-c statement_timeout=20s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=10s",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_select = original("select")
"""The original module, without green threads: it has `poll`."""


class Bounded(psycopg.Connection[Any]):
    """A connection that is closed when the database does not respond in time."""

    answer_within: float | None = ANSWER_WITHIN
    _corked = False

    def wait(self, gen: Generator[Any, Any, Any], *_: Any, **__: Any) -> Any:
        """Wait for a response; raises `psycopg.OperationalError` if none comes in time."""
        away = psycopg.OperationalError("the database does not respond")
        try:
            return self._converse(gen, away)
        except psycopg.OperationalError as error:
            if error is away:
                self.close()
            raise

    def _converse(self, gen: Generator[Any, Any, Any], late: Exception) -> Any:
        """Continue an exchange with the server whenever the socket is ready.

        psycopg waits for the socket before each command of a pipeline. Usually it is ready, which
        is checked first: other green threads run only while it is not.
        """
        fileno, within = self.pgconn.socket, self.answer_within
        until = None if within is None else time.monotonic() + within
        try:
            wanted = next(gen)
            while True:
                ready = _ready(fileno, wanted) if wanted & Wait.W else 0
                if not ready:
                    self.cork(held=False)
                    left = None if until is None else max(0.0, until - time.monotonic())
                    # both, if both are wanted: a server that waits for the rest of a large
                    # statement sends nothing, and one that sends much reads nothing meanwhile
                    reads, writes = bool(wanted & Wait.R), bool(wanted & Wait.W)
                    wait_for(fileno, read=reads, write=writes, seconds=left, late=late)
                    ready = _ready(fileno, wanted)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def cork(self, *, held: bool) -> None:
        """Hold back writes, or send them: many commands then wake the server once."""
        if held == self._corked or self.closed:
            return
        self._corked = held
        with suppress(OSError):  # not a TCP socket
            line = socket.socket(fileno=self.pgconn.socket)
            try:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, held)
            finally:
                line.detach()


def _ready(fileno: int, wanted: int) -> int:
    """Return whether a socket is ready now for reading, writing or both."""
    poll = _select.poll()
    poll.register(
        fileno, (wanted & Wait.R and _select.POLLIN) | (wanted & Wait.W and _select.POLLOUT)
    )
    ready = 0
    for _, seen in poll.poll(0):
        if seen & ~_select.POLLOUT:  # an end or an error is read too
            ready |= Ready.R
        if seen & _select.POLLOUT:
            ready |= Ready.W
    return ready


def pipeline(
    connection: Connection,
    statements: Sequence[tuple[str, Mapping[str, Any] | None]],
    *,
    flush: Callable[[], None] | None = None,
    commit: bool = False,
) -> list[list[Any]]:
    """Execute statements in one round trip; return the rows of each statement.

    The statements of `flush`, whose results are not needed, go first. With `commit` the transaction
    ends afterwards, if all succeeded. Raises what SQLAlchemy would for the first that fails; those
    after it are not executed.
    """
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            driver.cork(held=True)
            if flush is not None:
                flush()
            cursors = [driver.execute(sql, parameters) for sql, parameters in statements]
            if commit:
                driver.execute("COMMIT")
    except psycopg.Error as error:
        raise _translated(connection, error) from error
    finally:
        driver.cork(held=False)
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


TROUBLE = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57", "58", "XX")
"""Prefixes of the SQLSTATEs that concern the database and not the statement: no connection,
read-only, timeout, transaction rollback, insufficient resources, lock not available, broken.
PostgreSQL 15, appendix A."""
READ_ONLY = "25006"
"""A read-only connection rejects every statement that writes, even when the database is writable
again: it is discarded, with all idle ones."""


def is_trouble(error: BaseException | None) -> bool:
    """Return whether an error of the driver concerns the database itself, by its SQLSTATE, and may
    pass.

    An error without a SQLSTATE is that of a connection that ended or failed.
    """
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(TROUBLE)


def _translated(connection: Connection, error: psycopg.Error) -> Exception:
    """Translate an error of the driver to SQLAlchemy's; invalidate a connection that is broken."""
    driver: Any = connection.connection.driver_connection
    is_read_only = error.sqlstate == READ_ONLY
    if gone := driver.closed or is_read_only:
        connection.invalidate(error)
    if is_read_only:
        connection.engine.dispose()
    if gone or is_trouble(error):
        return OperationalError(None, None, error, connection_invalidated=gone)
    if isinstance(error, psycopg.OperationalError):
        return DataError(None, None, error)
    instance: Callable[..., Exception] = DBAPIError.instance
    return instance(None, None, error, psycopg.Error, dialect=connection.dialect)


def engine_of(url: URL, pool: int) -> Engine:
    """Return the engine of a database, with at most `pool` connections."""
    kept = max(1, pool * 2 // 3)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",  # a read is one round trip, without BEGIN and ROLLBACK
        pool_size=kept,
        max_overflow=pool - kept,
        pool_timeout=POOL_WAIT,
        pool_use_lifo=True,  # connections in use stay in use, and need no check
        connect_args=CONNECT,
    )
    engine.dialect.use_insertmanyvalues_wo_returning = True  # type: ignore[attr-defined]
    engine.dialect.supports_sane_rowcount = False  # a flush reads no result; aggregates stay
    event.listen(
        engine, "do_connect", lambda _d, _r, words, named: Bounded.connect(*words, **named)
    )
    event.listen(engine, "do_execute", _insert_many)
    event.listen(engine, "checkin", _note_when)
    event.listen(engine, "checkout", partial(_ask_if_idle, engine))
    event.listen(engine, "handle_error", _name_by_state, retval=True)
    return engine


LONG = 4096
"""Characters from which psycopg caches no statement, and parses it each time."""
TEXTS = 4
"""Number of such statements cached here: each number of rows has its own text, of a hundred
thousand characters or more, but under load most batches are full."""
_NAMED = re.compile(r"%\((\w+)\)s")


def _insert_many(cursor: Any, statement: str, rows: Any, context: Any) -> bool | None:
    """Insert many rows by a statement with numbered parameters, which psycopg does not parse."""
    if len(statement) < LONG or not context.isinsert or context.compiled.effective_returning:
        return None
    words, order = _numbered(statement)
    psycopg.RawCursor(cursor.connection).execute(words, [rows[name] for name in order])
    return True


@lru_cache(maxsize=TEXTS)
def _numbered(statement: str) -> tuple[str, list[str]]:
    """Return a statement with numbered parameters, and their names in order."""
    order: list[str] = []

    def number(name: re.Match[str]) -> str:
        order.append(name[1])
        return f"${len(order)}"

    return _NAMED.sub(number, statement).replace("%%", "%"), order


def _note_when(_connection: Any, record: Any) -> None:
    record.info["left_at"] = time.monotonic()


def _ask_if_idle(engine: Engine, connection: Bounded, record: Any, _proxy: Any) -> None:
    """Check an idle connection before use: if it is broken, so are the others of its age."""
    if time.monotonic() - record.info.get("left_at", float("inf")) <= IDLE:
        return
    connection.answer_within = PING_WITHIN
    try:
        engine.dialect.do_ping(connection)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise InvalidatePoolError(str(error)) from error
    connection.answer_within = ANSWER_WITHIN


def _name_by_state(context: Any) -> Exception | None:
    """Return an `OperationalError` for errors of the database itself, and only for those, unlike
    the driver."""
    wrapped, error = context.sqlalchemy_exception, context.original_exception
    if wrapped is None:
        return None
    if getattr(error, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
    kind = OperationalError if context.is_disconnect or is_trouble(error) else DataError
    if isinstance(wrapped, OperationalError) == (kind is OperationalError):
        return None
    return kind(
        context.statement,
        context.parameters,
        error,
        connection_invalidated=context.is_disconnect,
    )


@contextmanager
def unbounded(connection: Connection) -> Iterator[None]:
    """Lift, for a transaction, the bounds on how long its statements may take or wait."""
    driver: Any = connection.connection.driver_connection
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    driver.answer_within = None
    try:
        yield
    finally:
        driver.answer_within = ANSWER_WITHIN
