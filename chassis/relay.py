"""The relay: publishes the outbox, always from the oldest unsent row on."""

from __future__ import annotations

import time
from collections.abc import Mapping

import eventlet
from eventlet.event import Event

from chassis import metrics, resending
from chassis.bus import Bindings, Bus, BusDown
from chassis.letters import pause
from chassis.logs import log
from chassis.message import Message
from chassis.store import STORAGE_ERRORS, Store

POLL = 1.0
"""Seconds after which the outbox is looked at although nobody has woken the relay."""


class Relay:
    """Moves one service's outbox to the bus. Woken by each commit, with a poll as a fallback.

    It works while `until` (of `time.monotonic`) has not come: a replica renews it with its lease.
    `topology` tells what each service listens to, for what is to be sent to one of them again.
    """

    def __init__(
        self, store: Store, bus: Bus, batch: int, topology: Mapping[str, Bindings]
    ) -> None:
        self.store = store
        self.bus = bus
        self.batch = batch
        self.topology = topology
        self.until = 0.0
        self.log = log(store.service)
        self._wake = Event()
        self._stopping = False
        self._last_before_start: int | None = None
        self._look_for_resends = 0.0
        self.busy = False
        self.stopped = Event()

    @property
    def active(self) -> bool:
        """Whether this is the relay of its service."""
        return time.monotonic() < self.until

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
            self._wake = Event()
            try:
                # whatever is committed from here on wakes it, also while it publishes
                if not (self.active and self.publish_next()):
                    failures = 0
                    self._sleep(POLL)
            except (BusDown, *STORAGE_ERRORS) as error:
                failures += 1
                metrics.BUS_DOWN.labels(self.store.service).inc()
                self.log.warning("relay put off", tries=failures, error=str(error))
                self._sleep(pause(failures, longest=3.0))
        self.stopped.send()

    def publish_next(self) -> bool:
        """Publish the oldest unsent rows and mark what is safe; tells whether there may be more.

        What a lost queue is to be given again goes before, all of it; what an operator has sent
        again goes in between, a batch each time.
        """
        self.busy = True
        try:
            resent = self._resend()
            messages = self.store.unsent(self.batch)
            if not messages:
                return resent > 0
            self._mark_redelivered(messages)
            self._hand_over(messages)
            safe = self.bus.publish(messages)
            self.store.mark_sent(safe)
            metrics.PUBLISHED.labels(self.store.service).inc(len(safe))
            return resent > 0 or len(messages) == self.batch or len(safe) < len(messages)
        finally:
            self.busy = False

    def sources(self) -> set[str]:
        """Name the services that send something to this one, by command or by event."""
        return set(self.topology)

    def knows(self, service: str, slot: int | None) -> bool:
        """Tell whether there is such a service, with such a slot if one is named."""
        return service in self.topology and (slot is None or 0 <= slot < self.bus.slots)

    def ask_again(self) -> None:
        """Look at once for what is to be sent again."""
        self._look_for_resends = 0.0
        self.wake()

    def _resend(self) -> int:
        """Send again what was asked for; gives how many rows were, or 1 where there may be more."""
        if time.monotonic() < self._look_for_resends:
            return 0
        while (request := resending.next_of(self.store)) is not None:
            slots, receiver = self.bus.slots, request.receiver
            if not self.knows(receiver, request.slot):  # any more: nobody waits for it
                self.log.warning("not sent again", to=receiver, slot=request.slot)
                resending.advance(self.store, request, request.last, 0)
                continue
            if request.marker and not request.cursor:
                source, request = self.store.service, resending.begin(self.store, request)
                marker = resending.marker_of(
                    source, request.marker, request.slot, slots, self.store.now()
                )
                self._publish_all([marker], receiver)
            messages, cursor = resending.page_of(
                self.store, request, self.topology[receiver], slots, self.batch
            )
            self._publish_all(messages, receiver)
            resending.advance(self.store, request, cursor, len(messages))
            metrics.RESENT.labels(self.store.service).inc(len(messages))
            if cursor >= request.last:
                self.log.info("sent again", to=receiver, rows=request.sent + len(messages))
            if not request.marker:
                return 1
        self._look_for_resends = time.monotonic() + POLL
        return 0

    def _publish_all(self, messages: list[Message], receiver: str) -> None:
        if messages and len(self.bus.publish(messages, receiver)) < len(messages):
            raise BusDown("not all that is sent again was safe")

    def _mark_redelivered(self, messages: list[Message]) -> None:
        """Say of rows that an earlier process left unsent that they may have been handled."""
        if self._last_before_start is None:
            self._last_before_start = self.store.last_seq_at_start
        for message in messages:
            message.redelivered = message.seq <= self._last_before_start

    def _hand_over(self, messages: list[Message]) -> None:
        """Give the service itself what an earlier process has said and not sent: one of an earlier
        version has not handled it at once. What was handled is dropped."""
        hears = self.topology.get(self.store.service, ())
        old = [m for m in messages if m.redelivered and (m.exchange, m.envelope.type) in hears]
        self._publish_all(old, self.store.service)

    def _sleep(self, seconds: float) -> None:
        with eventlet.Timeout(seconds, exception=False):
            self._wake.wait()
