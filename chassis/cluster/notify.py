"""Calls between the replicas of a service: «there is something new», by PostgreSQL's NOTIFY.

A call has no payload and promises nothing: whoever is called looks for itself, and looks now and
then although nobody has called. NOTIFY locks the whole cluster for a moment when it commits, so a
call is made once for all that has come together, and only where another process may be waiting.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from eventlet.hubs import trampoline
from sqlalchemy import make_url

from chassis.logs import log
from chassis.runtime.green import Event, Timeout, pause
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store

LISTEN_AGAIN = 3.0
"""Seconds between attempts to listen, when the database does not answer."""
QUIET = 10.0
"""Seconds without a call after which the connection is tried."""


class Notifier:
    """Calls the other replicas of a service, and hears them."""

    def __init__(self, store: Store, heard: Callable[[str], None], *channels: str) -> None:
        self.store = store
        self.log = log(store.service)
        self._heard = heard
        self._channels = channels
        self._to_call: set[str] = set()
        self._some = Event()

    def notify(self, channel: str) -> None:
        """Have the others called soon."""
        self._to_call.add(channel)
        if not self._some.ready():
            self._some.send()

    def send_all(self) -> None:
        """Make the calls, for ever."""
        while True:
            self._some.wait()
            self._some = Event()
            channels, self._to_call = self._to_call, set()
            try:
                self.store.dialect.notify(*sorted(channels))
            except STORAGE_ERRORS as error:
                self.log.warning("call not made", error=str(error))  # the others look by themselves

    def listen(self) -> None:
        """Listen, for ever."""
        while True:
            try:
                self._listen()
            except (psycopg.Error, OSError) as error:
                self.log.warning("calls not heard", error=str(error))
            pause(LISTEN_AGAIN)

    def _listen(self) -> None:
        where = make_url(self.store.url).set(drivername="postgresql")
        address = where.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            connection.add_notify_handler(lambda notice: self._heard(notice.channel))
            for channel in self._channels:
                connection.execute(f"LISTEN {channel}".encode())
                self._heard(channel)  # something may have been said before
            while True:
                try:
                    trampoline(
                        connection.fileno(), read=True, timeout=QUIET, timeout_exc=TimeoutError
                    )
                except TimeoutError:
                    with Timeout(QUIET, psycopg.OperationalError("the database does not answer")):
                        connection.execute(b"SELECT 1")
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    self._heard(notice.relname.decode())
