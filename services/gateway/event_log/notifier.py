"""News: wakes those who wait for events, at once for what this gateway keeps, and soon for what
another has kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chassis.runtime.green import Event, Timeout
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from services.gateway.event_log.chain import END

LOOK_EVERY = 0.25
"""Seconds between looks at the database, for what another gateway has kept."""


class EventNotifier:
    """Knows the last position, and who waits for the next."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.position = 0
        self.closed = False
        self._watchers = 0
        self._next = Event()
        self._call = Event()

    def tell(self, position: int) -> None:
        """Say that the events up to a position are there."""
        if position > self.position:
            self.position = position
            self._wake()

    def wait(self, after: int, seconds: float) -> None:
        """Wait until there is an event after a position, at the most so long, or until closed."""
        if self.position <= after and not self.closed:
            with Timeout(seconds, exception=False):
                self._next.wait()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Have the database looked at while this goes on."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    def called(self) -> None:
        """Look soon: another gateway has called."""
        if not self._call.ready():
            self._call.send()

    def look(self) -> None:
        """Look, as long as somebody watches, for what others have kept; alone there are none."""
        while self.store.dialect.is_shared:
            with Timeout(LOOK_EVERY, exception=False):
                self._call.wait()
            self._call = Event()
            if not self._watchers:
                continue
            try:
                with self.store.engine.connect() as connection:
                    self.tell(connection.scalar(END) or 0)
            except STORAGE_ERRORS:
                continue  # the next look is soon; an error here would end the process

    def close(self) -> None:
        """Let everybody go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        known, self._next = self._next, Event()
        known.send()
