"""The relay: publishes the outbox, always from the oldest unsent row on."""

from __future__ import annotations

import eventlet
from eventlet.event import Event

from chassis import metrics
from chassis.bus import Bus, BusDown
from chassis.letters import pause
from chassis.logs import log
from chassis.message import Message
from chassis.store import STORAGE_ERRORS, Store

POLL = 1.0
"""Seconds after which the outbox is looked at although nobody has woken the relay."""


class Relay:
    """Moves one service's outbox to the bus. Woken by each commit, with a poll as a fallback."""

    def __init__(self, store: Store, bus: Bus, batch: int) -> None:
        self.store = store
        self.bus = bus
        self.batch = batch
        self.log = log(store.service)
        self._wake = Event()
        self._stopping = False
        self._last_before_start: int | None = None
        self.busy = False

    def wake(self) -> None:
        """Say that there is something new in the outbox."""
        if not self._wake.ready():
            self._wake.send()

    def stop(self) -> None:
        """Stop after what is in flight."""
        self._stopping = True
        self.wake()

    def run(self) -> None:
        """Publish until stopped; an unreachable bus or database is waited for."""
        failures = 0
        while not self._stopping:
            try:
                if not self.publish_next():
                    failures = 0
                    self._sleep(POLL)
            except (BusDown, *STORAGE_ERRORS) as error:
                failures += 1
                metrics.BUS_DOWN.labels(self.store.service).inc()
                self.log.warning("relay put off", tries=failures, error=str(error))
                self._sleep(pause(failures, longest=3.0))

    def publish_next(self) -> int:
        """Publish the oldest unsent rows and mark what is safe; gives how many were read."""
        self._wake = Event()
        self.busy = True
        try:
            messages = self.store.unsent(self.batch)
            if not messages:
                return 0
            self._mark_redelivered(messages)
            safe = self.bus.publish(messages)
            self.store.mark_sent(safe)
            metrics.PUBLISHED.labels(self.store.service).inc(len(safe))
            return len(messages)
        finally:
            self.busy = False

    def _mark_redelivered(self, messages: list[Message]) -> None:
        """Say of rows that an earlier process left unsent that they may have been handled."""
        if self._last_before_start is None:
            self._last_before_start = self.store.last_seq_at_start
        for message in messages:
            message.redelivered = message.seq <= self._last_before_start

    def _sleep(self, seconds: float) -> None:
        with eventlet.Timeout(seconds, exception=False):
            self._wake.wait()
