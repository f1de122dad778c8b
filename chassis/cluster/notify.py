"""Notifications between the replicas of a service, by PostgreSQL's NOTIFY.

A notification has no payload and may be lost: a replica that receives one reads the database, and
reads it regularly without one too. NOTIFY briefly locks the whole cluster when it commits, so
notifications are combined, and are sent only where another process may be waiting.
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
"""Seconds between attempts to listen while the database does not respond."""
QUIET = 10.0
"""Seconds without a notification after which the connection is checked."""


class Notifier:
    """Notifies the other replicas of a service, and listens to them."""

    def __init__(self, store: Store, on_notified: Callable[[str], None], *channels: str) -> None:
        self.store = store
        self.log = log(store.service)
        self._on_notified = on_notified
        self._channels = channels
        self._to_call: set[str] = set()
        self._some = Event()

    def notify(self, channel: str) -> None:
        """Notify the other replicas soon."""
        self._to_call.add(channel)
        if not self._some.ready():
            self._some.send()

    def send_all(self) -> None:
        """Send the notifications, for ever."""
        while True:
            self._some.wait()
            self._some = Event()
            channels, self._to_call = self._to_call, set()
            try:
                self.store.dialect.notify(*sorted(channels))
            except STORAGE_ERRORS as error:
                self.log.warning("notification not sent", error=str(error))  # the others poll

    def listen(self) -> None:
        """Listen, for ever."""
        while True:
            try:
                self._listen()
            except (psycopg.Error, OSError) as error:
                self.log.warning("not listening for notifications", error=str(error))
            pause(LISTEN_AGAIN)

    def _listen(self) -> None:
        where = make_url(self.store.url).set(drivername="postgresql")
        address = where.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            connection.add_notify_handler(lambda notice: self._on_notified(notice.channel))
            for channel in self._channels:
                connection.execute(f"LISTEN {channel}".encode())
                self._on_notified(channel)  # notifications may have been sent before
            while True:
                try:
                    trampoline(
                        connection.fileno(), read=True, timeout=QUIET, timeout_exc=TimeoutError
                    )
                except TimeoutError:
                    with Timeout(QUIET, psycopg.OperationalError("the database does not respond")):
                        connection.execute(b"SELECT 1")
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    self._on_notified(notice.relname.decode())
