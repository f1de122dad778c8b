"""How a service talks to PostgreSQL; imported only where there is one.

Every wait ends. PostgreSQL ends what takes long, TCP gives a dead peer up, and where something in
between acknowledges everything and answers nothing, the client itself closes the connection.
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
from sqlalchemy import URL, BindParameter, Connection, Engine, create_engine, event
from sqlalchemy.engine import Compiled
from sqlalchemy.exc import DataError, DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.types import NullType

from chassis.runtime.green import wait_for

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


_select = original("select")
"""The module as it is without green threads: it knows `poll`."""


class Bounded(psycopg.Connection[Any]):
    """A connection that is closed when the database does not answer in time."""

    answer_within: float | None = ANSWER_WITHIN
    _corked = False

    def wait(self, gen: Generator[Any, Any, Any], *_: Any, **__: Any) -> Any:
        """Wait for an answer; raises `psycopg.OperationalError` when none comes in time."""
        away = psycopg.OperationalError("the database does not answer")
        try:
            return self._converse(gen, away)
        except psycopg.OperationalError as error:
            if error is away:
                self.close()
            raise

    def _converse(self, gen: Generator[Any, Any, Any], late: Exception) -> Any:
        """Let a conversation with the server go on whenever the socket is ready.

        psycopg asks before each command of a pipeline whether it may write. It may, as a rule: so
        that is looked at first, and other green threads run only while there is nothing to do.
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
                    # both, where both are wanted: a server that waits for the rest of a large
                    # statement says nothing, and one that says much reads nothing meanwhile
                    reads, writes = bool(wanted & Wait.R), bool(wanted & Wait.W)
                    wait_for(fileno, read=reads, write=writes, seconds=left, late=late)
                    ready = _ready(fileno, wanted)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def cork(self, *, held: bool) -> None:
        """Hold what is written back, or let it go: so many commands wake the server once."""
        if held == self._corked or self.closed:
            return
        self._corked = held
        with suppress(OSError):  # a socket that is none of TCP's
            line = socket.socket(fileno=self.pgconn.socket)
            try:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, held)
            finally:
                line.detach()


def _ready(fileno: int, wanted: int) -> int:
    """Tell for which of reading and writing a socket is ready now."""
    poll = _select.poll()
    poll.register(
        fileno, (wanted & Wait.R and _select.POLLIN) | (wanted & Wait.W and _select.POLLOUT)
    )
    ready = 0
    for _, seen in poll.poll(0):
        if seen & ~_select.POLLOUT:  # an end or an error is read, too
            ready |= Ready.R
        if seen & _select.POLLOUT:
            ready |= Ready.W
    return ready


def journey(
    connection: Connection,
    asked: Sequence[tuple[str, Mapping[str, Any] | None]],
    *,
    first: Callable[[], None] | None = None,
    commit: bool = False,
) -> list[list[Any]]:
    """Execute statements one after the other without waiting in between; give the rows of each.

    What `first` executes, and asks no answer to, goes before them. With `commit` the transaction is
    over afterwards, if all went well. Raises what SQLAlchemy would for the first that fails; those
    after it are not executed.
    """
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            driver.cork(held=True)
            if first is not None:
                first()
            cursors = [driver.execute(words, given) for words, given in asked]
            if commit:
                driver.execute("COMMIT")
    except psycopg.Error as error:
        raise _named(connection, error) from error
    finally:
        driver.cork(held=False)
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


TROUBLE = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57", "58", "XX")
"""Beginnings of the SQLSTATEs that tell of the database, and not of what was asked of it: no
connection, read-only, out of time, undone for others' sake, out of resources, not to be had just
now, broken. PostgreSQL 15, appendix A."""
READ_ONLY = "25006"
"""A connection that may only read says so to each statement that writes, also when the database has
long been writable again: it is thrown away, with all that nobody uses just now."""


def is_trouble(error: BaseException | None) -> bool:
    """Tell whether an error of the driver is the database's own, by its SQLSTATE: what fails so may
    work later. One without a SQLSTATE is the connection's, which ended or never was."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(TROUBLE)


def _named(connection: Connection, error: psycopg.Error) -> Exception:
    """Give an error of the driver the name that we have for it, and throw away a connection that is
    of no use any more."""
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


_GIVEN = re.compile(r"%\((\w+)\)s(?:::(?:DOUBLE PRECISION|[A-Z]+))?")


def at_once(compiled: Compiled) -> str:
    """Turn a statement for one row into one for many, which are its one parameter `rows`: JSON.

    So the rows are written by one C function, sent as one value and read by one of the server's.
    It may be an INSERT of values, an INSERT of a SELECT, or an UPDATE.
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
    """Name the type of a parameter; one of which nothing is known is text."""
    known: str = (
        "TEXT" if isinstance(bind.type, NullType) else bind.type.compile(dialect=compiled.dialect)
    )
    return known


def engine_of(url: URL, pool: int) -> Engine:
    """Make the engine of a database, with so many connections at the most."""
    kept = max(1, pool * 2 // 3)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",  # a read is one journey, without BEGIN and ROLLBACK
        pool_size=kept,
        max_overflow=pool - kept,
        pool_timeout=POOL_WAIT,
        pool_use_lifo=True,  # those that are in use stay so, and need no question
        connect_args=CONNECT,
    )
    engine.dialect.use_insertmanyvalues_wo_returning = True  # type: ignore[attr-defined]
    engine.dialect.supports_sane_rowcount = False  # a flush asks no answer; no aggregate is deleted
    event.listen(
        engine, "do_connect", lambda _d, _r, words, named: Bounded.connect(*words, **named)
    )
    event.listen(engine, "do_execute", _insert_many)
    event.listen(engine, "checkin", _note_when)
    event.listen(engine, "checkout", partial(_ask_if_idle, engine))
    event.listen(engine, "handle_error", _name_by_state, retval=True)
    return engine


LONG = 4096
"""Characters from which on psycopg remembers no statement, and takes it apart each time."""
TEXTS = 4
"""Statements of that kind that are remembered: each number of rows has a text of its own, of a
hundred thousand characters or more, but who has much to do has full batches."""
_NAMED = re.compile(r"%\((\w+)\)s")


def _insert_many(cursor: Any, statement: str, given: Any, context: Any) -> bool | None:
    """Insert many rows by a statement with numbered parameters, which psycopg leaves as it is."""
    if len(statement) < LONG or not context.isinsert or context.compiled.effective_returning:
        return None
    words, order = _numbered(statement)
    psycopg.RawCursor(cursor.connection).execute(words, [given[name] for name in order])
    return True


@lru_cache(maxsize=TEXTS)
def _numbered(statement: str) -> tuple[str, list[str]]:
    """Give a statement with numbers, and the names in their order."""
    order: list[str] = []

    def number(name: re.Match[str]) -> str:
        order.append(name[1])
        return f"${len(order)}"

    return _NAMED.sub(number, statement).replace("%%", "%"), order


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


def _name_by_state(context: Any) -> Exception | None:
    """Call whatever is the database's own trouble by one name, and nothing else by it, as the
    driver does not."""
    said, error = context.sqlalchemy_exception, context.original_exception
    if said is None:
        return None
    if getattr(error, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
    kind = OperationalError if context.is_disconnect or is_trouble(error) else DataError
    if isinstance(said, OperationalError) == (kind is OperationalError):
        return None
    return kind(
        context.statement,
        context.parameters,
        error,
        connection_invalidated=context.is_disconnect,
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
