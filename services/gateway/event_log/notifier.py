"""The event notifier: wakes requests that wait for events, immediately for events of this gateway
and soon for those of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chassis.runtime.green import Event, Timeout
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from services.gateway.event_log.chain import END

LOOK_EVERY = 0.25
"""Polling interval, in seconds, for events that another gateway has stored."""


class EventNotifier:
    """Holds the last position and the requests that wait for the next."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.position = 0
        self.closed = False
        self._watchers = 0
        self._next = Event()
        self._call = Event()

    def notify(self, position: int) -> None:
        """Publish that the events up to a position are readable."""
        if position > self.position:
            self.position = position
            self._wake()

    def wait(self, after: int, seconds: float) -> None:
        """Wait for an event after a position, until a timeout or until closed."""
        if self.position <= after and not self.closed:
            with Timeout(seconds, exception=False):
                self._next.wait()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Poll the database within this context."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    def called(self) -> None:
        """Poll soon: another gateway has sent a notification."""
        if not self._call.ready():
            self._call.send()

    def look(self) -> None:
        """Poll while somebody waits, for events that others have stored; does nothing in a single
        process."""
        while self.store.dialect.is_shared:
            with Timeout(LOOK_EVERY, exception=False):
                self._call.wait()
            self._call = Event()
            if not self._watchers:
                continue
            try:
                with self.store.engine.connect() as connection:
                    self.notify(connection.scalar(END) or 0)
            except STORAGE_ERRORS:
                continue  # it is polled again soon; an error here would end the process

    def close(self) -> None:
        """Wake every waiting request."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        known, self._next = self._next, Event()
        known.send()
