"""The relay: publishes the outbox, oldest unsent row first.

Order is guaranteed for each key. A message that a receiver refuses holds back later ones of its
key, and no others: the relay reads past it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import eventlet
from eventlet.event import Event
from sqlalchemy import select

from chassis import metrics
from chassis.logs import log
from chassis.message import Message, partition_of
from chassis.messaging import replay
from chassis.messaging.bus import Bindings, Bus, BusDown
from chassis.messaging.outbox import HeldKeys, Outbox
from chassis.messaging.parked import pause
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from chassis.storage.tables import deployment

POLL = 1.0
"""Polling interval of the outbox, in seconds, as a fallback for wake-ups."""
LONGEST_WAIT = 30.0
"""Maximum seconds between tries of refused messages, before jitter."""
MOST_HELD = 10_000
"""Maximum number of held keys: if there are more, only these are tried again."""


@dataclass
class _Round:
    """When refused messages are tried again (of `time.monotonic`), and how often that failed."""

    tries: int = 0
    at: float = 0.0

    def put_off(self, *, in_vain: bool) -> None:
        self.tries = max(1, self.tries + (1 if in_vain else -1))
        self.at = time.monotonic() + pause(self.tries, longest=LONGEST_WAIT)


class Resender:
    """Resends messages that receivers have requested, for the relay of a service.

    `topology` maps each service to its bindings. `put_off` holds the requests whose receiver
    refuses messages, by number, each with the partition that waits for it; `release` is called with
    a partition that waits no longer.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        batch: int,
        topology: Mapping[str, Bindings],
        release: Callable[[int], None],
    ) -> None:
        self.store = store
        self.bus = bus
        self.batch = batch
        self.topology = topology
        self.release = release
        self.log = log(store.service)
        self.put_off: dict[int, int | None] = {}
        self.next_look = 0.0
        """When requests are read again (of `time.monotonic`)."""

    def knows(self, service: str, partition: int | None) -> bool:
        """Return whether the service exists, with the partition if one is named."""
        return service in self.topology and (
            partition is None or 0 <= partition < self.bus.partitions
        )

    def waiting_partitions(self) -> set[int | None]:
        """Return the partitions to which new messages may not be sent yet: they would overtake."""
        return {*self.put_off.values()} - {None}

    def resend(self, *, even_put_off: bool) -> int:
        """Resend the requested messages; return how many rows, or 1 if there may be more.

        A request whose receiver refuses messages is put off, and later continues. New messages to a
        partition that lost its queue wait for it. Raises `BusDown`.
        """
        if time.monotonic() < self.next_look and not even_put_off:
            return 0
        if even_put_off:  # another relay may have finished it
            for request in replay.done_of(self.store, self.put_off):
                self._is_done(request)
        later = set[int]() if even_put_off else {*self.put_off}
        while (request := replay.next_of(self.store, later)) is not None:
            if not self.knows(request.receiver, request.partition):  # any more: it has no receiver
                self.log.warning("resend dropped", to=request.receiver, partition=request.partition)
                replay.advance(self.store, request, request.last, 0)
                self._is_done(request)
            elif not self._send_page(request):
                later.add(request.seq)
            elif not request.marker:
                return 1
        self.next_look = time.monotonic() + POLL
        return 0

    def _send_page(self, request: Any) -> bool:
        """Send the next page of a request, after its marker; return whether it was accepted."""
        partitions, receiver = self.bus.partitions, request.receiver
        if request.marker and not request.cursor:
            source, request = self.store.service, replay.begin(self.store, request)
            marker = replay.marker_of(
                source, request.marker, request.partition, partitions, self.store.now()
            )
            if not is_taken(self.bus, [marker], receiver):
                return self._put_off(request)
        messages, cursor = replay.page_of(
            self.store, request, self.topology[receiver], partitions, self.batch
        )
        if not is_taken(self.bus, messages, receiver):
            return self._put_off(request)
        replay.advance(self.store, request, cursor, len(messages))
        metrics.RESENT.labels(self.store.service).inc(len(messages))
        if cursor >= request.last:
            self._is_done(request)
            self.log.info("resent", to=receiver, rows=request.sent + len(messages))
        return True

    def _put_off(self, request: Any) -> bool:
        self.put_off[request.seq] = request.partition if request.marker else None
        self.log.warning("resend put off", to=request.receiver, partition=request.partition)
        return False

    def _is_done(self, request: Any) -> None:
        partition = self.put_off.pop(request.seq, None)
        if partition is not None:
            self.release(partition)


def is_taken(bus: Bus, messages: list[Message], receiver: str) -> bool:
    """Publish to one receiver only; return whether it accepted all. Raises `BusDown`."""
    if not messages or len(bus.publish(messages, receiver)) == len(messages):
        return True
    if not any(message.refused for message in messages):
        raise BusDown("not all resent messages were safe")
    return False


class Relay:
    """Moves one service's outbox to the bus. Woken by each commit, with a poll as a fallback.

    It works until `until` (of `time.monotonic`), which a replica renews with its lease. `topology`
    maps each service to its bindings, for resends to one of them.
    """

    def __init__(
        self, store: Store, bus: Bus, batch: int, topology: Mapping[str, Bindings]
    ) -> None:
        self.store = store
        self.outbox = Outbox(store)
        self.bus = bus
        self.batch = batch
        self.topology = topology
        self.until = 0.0
        self.log = log(store.service)
        self._wake = Event()
        self._stopping = False
        self._last_before_start: int | None = None
        self.busy = False
        self.stopped = Event()
        self._halt = Event()
        self._held = HeldKeys(self.outbox)
        self.resender = Resender(store, bus, batch, topology, self._release)
        self._round = _Round()

    @property
    def active(self) -> bool:
        """Whether this is the relay of its service."""
        return time.monotonic() < self.until

    def wake(self) -> None:
        """Wake the relay: there are new rows in the outbox."""
        if not self._wake.ready():
            self._wake.send()

    def stop(self) -> None:
        """Stop after the messages in flight."""
        if not self._stopping:
            self._stopping = True
            self._halt.send()
            self.wake()

    def run(self) -> None:
        """Publish until stopped; retries while the bus or the database is unavailable."""
        failures = 0
        while not self._stopping:
            self._wake = Event()
            try:
                # a commit from here on wakes it, also while it publishes
                if not self.active:
                    self._stand_back()
                    more = False
                else:
                    more = self._claim() and self.publish_next()
                failures = 0
                if not more:
                    self._sleep(POLL, self._wake)
            except (BusDown, *STORAGE_ERRORS) as error:
                failures += 1
                metrics.BUS_DOWN.labels(self.store.service).inc()
                self.log.warning("relay put off", tries=failures, error=str(error))
                self._sleep(pause(failures, longest=3.0), self._halt)
        self.stopped.send()

    def _claim(self) -> bool:
        """Become the only relay; return whether it may publish. It may send the rows it reads from
        then on.

        The lease alone is not enough: another relay may still have a batch in flight. Refused
        messages are tried on a new connection: after a queue's limit was removed, RabbitMQ 3.10
        still refuses messages on a channel on which it refused one before.
        """
        if self._is_due():
            self.bus.let_go(self.store.service)
        return self.bus.claim(self.store.service, self._is_agreed)

    def _is_agreed(self) -> bool:
        """Return whether relays may publish to this number of partitions: it changes only while
        they are paused."""
        query = select(deployment.c.name, deployment.c.value)
        with self.store.engine.connect() as connection:
            rows = connection.execute(query.where(deployment.c.name.in_(("partitions", "paused"))))
            agreed = {row.name: row.value for row in rows}
        partitions = self.bus.partitions
        return not agreed.get("paused") and int(agreed.get("partitions", partitions)) == partitions

    def _stand_back(self) -> None:
        """Release the right to publish; the next relay finds refused messages by itself."""
        self.bus.let_go(self.store.service)
        self._held.clear()
        self.resender.put_off.clear()
        self.resender.next_look = 0.0

    def publish_next(self) -> bool:
        """Publish the oldest unsent rows and mark the safe ones; return whether there may be more.

        Messages resent for a lost queue go first, all of them; those resent by an operator go in
        between, a batch each time. Refused messages are tried when due, the oldest row of each key.
        """
        self.busy = True
        try:
            due = self._is_due()
            resent = self.resender.resend(even_put_off=due)
            again = self._held.oldest(self.batch) if due else []
            full = len(self._held.rows) >= MOST_HELD
            new = [] if full else self.outbox.unsent(self.batch, self._held.rows)
            messages = self._free([*again, *new])
            self._mark_redelivered(messages)
            messages = self._hand_over(messages)
            safe = self._publish(messages)
            refused = self._held.note(messages, safe)
            went = resent > 0 or not {m.seq for m in again}.isdisjoint(m.seq for m in safe)
            if not self._waits:
                self._round = _Round()
            elif due or not self._round.tries:
                self._round.put_off(in_vain=not went)
            broke = len(safe) < len(messages) and not refused
            return resent > 0 or len(new) == self.batch or broke
        finally:
            self.busy = False

    def _publish(self, messages: list[Message]) -> list[Message]:
        """Publish messages and mark those that are safe; return these."""
        safe = self.bus.publish(messages) if messages else []
        if safe:
            self.outbox.mark_sent(safe)
            metrics.PUBLISHED.labels(self.store.service).inc(len(safe))
        return safe

    @property
    def _waits(self) -> bool:
        """Whether there are refused messages."""
        return bool(self._held.rows or self.resender.put_off)

    def _is_due(self) -> bool:
        """Return whether refused messages are due for another try."""
        return self._waits and self._round.at <= time.monotonic()

    def _release(self, partition: int) -> None:
        """Release the keys of a partition that waits no longer, from their oldest row."""
        self._held.release(lambda key: partition_of(key, self.bus.partitions) == partition)

    def _free(self, messages: list[Message]) -> list[Message]:
        """Hold back messages that would overtake a resend to their partition; return the others."""
        blocked, partitions = self.resender.waiting_partitions(), self.bus.partitions
        if not blocked:
            return messages
        self._held.hold(
            [message for message in messages if message.partition(partitions) in blocked]
        )
        return [message for message in messages if message.partition(partitions) not in blocked]

    def sources(self) -> set[str]:
        """Return the services that send commands or events to this one."""
        return set(self.topology)

    def ask_again(self) -> None:
        """Read resend requests at once."""
        self.resender.next_look = 0.0
        self.wake()

    def _mark_redelivered(self, messages: list[Message]) -> None:
        """Mark rows that an earlier process left unsent as possibly handled."""
        if self._last_before_start is None:
            self._last_before_start = self.store.last_seq_at_start
        for message in messages:
            message.redelivered = message.seq <= self._last_before_start

    def _hand_over(self, messages: list[Message]) -> list[Message]:
        """Deliver the service's own messages that an earlier process left unsent: one of an earlier
        version did not handle them inline. Handled ones are dropped. Returns the messages to
        publish."""
        hears = self.topology.get(self.store.service, ())
        old = [m for m in messages if m.redelivered and (m.exchange, m.envelope.type) in hears]
        if is_taken(self.bus, old, self.store.service):
            return messages
        refused = [message for message in old if message.refused]
        self._held.hold(refused)
        keys = {message.envelope.partitionkey for message in refused}
        return [message for message in messages if message.envelope.partitionkey not in keys]

    @staticmethod
    def _sleep(seconds: float, woken: Event) -> None:
        with eventlet.Timeout(seconds, exception=False):
            woken.wait()
