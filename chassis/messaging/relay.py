"""The relay: publishes the outbox, always from the oldest unsent row on.

Order is promised for each key. What somebody does not take holds back what follows in its key, and
nothing else: the look for unsent rows goes past it.
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
"""Seconds after which the outbox is looked at although nobody has woken the relay."""
LONGEST_WAIT = 30.0
"""Seconds between tries of what is not taken, at the most, before a jitter."""
MOST_HELD = 10_000
"""Keys that are held back, at the most: where there are more, only these are tried again."""


@dataclass
class _Round:
    """When what is not taken is tried again (of `time.monotonic`), after so many times in vain."""

    tries: int = 0
    at: float = 0.0

    def put_off(self, *, in_vain: bool) -> None:
        self.tries = max(1, self.tries + (1 if in_vain else -1))
        self.at = time.monotonic() + pause(self.tries, longest=LONGEST_WAIT)


class Resender:
    """Sends again, for the relay of a service, what receivers have asked it for.

    `topology` maps each service to what it listens to. `put_off` has the requests whose receiver
    takes nothing, by number, each with the partition that waits for it; `release` is called with a
    partition that waits no more.
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
        """When requests are looked for again (of `time.monotonic`)."""

    def knows(self, service: str, partition: int | None) -> bool:
        """Return whether there is such a service, with such a partition if one is named."""
        return service in self.topology and (
            partition is None or 0 <= partition < self.bus.partitions
        )

    def waiting_partitions(self) -> set[int | None]:
        """Return the partitions to which nothing new may be sent yet: it would overtake."""
        return {*self.put_off.values()} - {None}

    def resend(self, *, even_put_off: bool) -> int:
        """Send again what was asked for; return how many rows were, or 1 where there may be more.

        What is not taken is put off, and goes on where it was. New messages to a partition that
        lost its queue wait until then. Raises `BusDown`.
        """
        if time.monotonic() < self.next_look and not even_put_off:
            return 0
        if even_put_off:  # another relay may have come to its end with it
            for request in replay.done_of(self.store, self.put_off):
                self._is_done(request)
        later = set[int]() if even_put_off else {*self.put_off}
        while (request := replay.next_of(self.store, later)) is not None:
            if not self.knows(request.receiver, request.partition):  # any more: nobody waits for it
                self.log.warning("not sent again", to=request.receiver, partition=request.partition)
                replay.advance(self.store, request, request.last, 0)
                self._is_done(request)
            elif not self._send_page(request):
                later.add(request.seq)
            elif not request.marker:
                return 1
        self.next_look = time.monotonic() + POLL
        return 0

    def _send_page(self, request: Any) -> bool:
        """Send the next page of a request, after its marker; return whether it was taken."""
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
            self.log.info("sent again", to=receiver, rows=request.sent + len(messages))
        return True

    def _put_off(self, request: Any) -> bool:
        self.put_off[request.seq] = request.partition if request.marker else None
        self.log.warning("not sent again yet", to=request.receiver, partition=request.partition)
        return False

    def _is_done(self, request: Any) -> None:
        partition = self.put_off.pop(request.seq, None)
        if partition is not None:
            self.release(partition)


def is_taken(bus: Bus, messages: list[Message], receiver: str) -> bool:
    """Publish to one receiver alone; return whether it has taken all. Raises `BusDown`."""
    if not messages or len(bus.publish(messages, receiver)) == len(messages):
        return True
    if not any(message.refused for message in messages):
        raise BusDown("not all that is sent again was safe")
    return False


class Relay:
    """Moves one service's outbox to the bus. Woken by each commit, with a poll as a fallback.

    It works while `until` (of `time.monotonic`) has not come: a replica renews it with its lease.
    `topology` tells what each service listens to, for what is to be sent to one of them again.
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
        """Say that there is something new in the outbox."""
        if not self._wake.ready():
            self._wake.send()

    def stop(self) -> None:
        """Stop after what is in flight."""
        if not self._stopping:
            self._stopping = True
            self._halt.send()
            self.wake()

    def run(self) -> None:
        """Publish until stopped; an unreachable bus or database is waited for."""
        failures = 0
        while not self._stopping:
            self._wake = Event()
            try:
                # whatever is committed from here on wakes it, also while it publishes
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
        """Be the only relay; tells whether it may publish. What it reads from then on it may send.

        The lease alone does not say so: another may still have a batch under way. What was refused
        is tried on a new connection: of a queue whose bound was taken away RabbitMQ 3.10 goes on
        to refuse what comes over a channel that it has refused something before.
        """
        if self._is_due():
            self.bus.let_go(self.store.service)
        return self.bus.claim(self.store.service, self._is_agreed)

    def _is_agreed(self) -> bool:
        """Return whether the relays may publish, and to so many partitions: that changes only while
        none of them can."""
        query = select(deployment.c.name, deployment.c.value)
        with self.store.engine.connect() as connection:
            rows = connection.execute(query.where(deployment.c.name.in_(("partitions", "paused"))))
            agreed = {row.name: row.value for row in rows}
        partitions = self.bus.partitions
        return not agreed.get("paused") and int(agreed.get("partitions", partitions)) == partitions

    def _stand_back(self) -> None:
        """Let another publish, who finds out by himself what is not taken."""
        self.bus.let_go(self.store.service)
        self._held.clear()
        self.resender.put_off.clear()
        self.resender.next_look = 0.0

    def publish_next(self) -> bool:
        """Publish the oldest unsent rows and mark what is safe; tells whether there may be more.

        What a lost queue is to be given again goes before, all of it; what an operator has sent
        again goes in between, a batch each time. What was not taken goes when its time has come,
        of each key the oldest row.
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
        """Whether there is something that was not taken."""
        return bool(self._held.rows or self.resender.put_off)

    def _is_due(self) -> bool:
        """Return whether what was not taken is to be tried again."""
        return self._waits and self._round.at <= time.monotonic()

    def _release(self, partition: int) -> None:
        """Release the keys of a partition that waits no more, from their oldest row."""
        self._held.release(lambda key: partition_of(key, self.bus.partitions) == partition)

    def _free(self, messages: list[Message]) -> list[Message]:
        """Hold back what would overtake what its partition is still to be sent again."""
        blocked, partitions = self.resender.waiting_partitions(), self.bus.partitions
        if not blocked:
            return messages
        self._held.hold(
            [message for message in messages if message.partition(partitions) in blocked]
        )
        return [message for message in messages if message.partition(partitions) not in blocked]

    def sources(self) -> set[str]:
        """Name the services that send something to this one, by command or by event."""
        return set(self.topology)

    def ask_again(self) -> None:
        """Look at once for what is to be sent again."""
        self.resender.next_look = 0.0
        self.wake()

    def _mark_redelivered(self, messages: list[Message]) -> None:
        """Say of rows that an earlier process left unsent that they may have been handled."""
        if self._last_before_start is None:
            self._last_before_start = self.store.last_seq_at_start
        for message in messages:
            message.redelivered = message.seq <= self._last_before_start

    def _hand_over(self, messages: list[Message]) -> list[Message]:
        """Return the service itself what an earlier process has said and not sent: one of an
        earlier version has not handled it at once. What was handled is dropped. Gives what may go
        on."""
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
