"""The relay: publishes the outbox, always from the oldest unsent row on.

Order is promised for each key. What somebody does not take holds back what follows in its key, and
nothing else: the look for unsent rows goes past it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import eventlet
from eventlet.event import Event
from sqlalchemy import select

from chassis import metrics
from chassis.logs import log
from chassis.message import Message, slot_of
from chassis.messaging import replay
from chassis.messaging.bus import Bindings, Bus, BusDown
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
        self._halt = Event()
        self._held: dict[str, int] = {}
        """The keys that are held back, each with the number of its oldest unsent row."""
        self._put_off: dict[int, int | None] = {}
        """The requests that are not taken, by number, each with the slot that waits for it."""
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
        """Tell whether the relays may publish, and to so many slots: that changes only while none
        of them can."""
        query = select(deployment.c.name, deployment.c.value)
        with self.store.engine.connect() as connection:
            rows = connection.execute(query.where(deployment.c.name.in_(("slots", "paused"))))
            agreed = {row.name: row.value for row in rows}
        slots = self.bus.slots
        return not agreed.get("paused") and int(agreed.get("slots", slots)) == slots

    def _stand_back(self) -> None:
        """Let another publish, who finds out by himself what is not taken."""
        self.bus.let_go(self.store.service)
        self._held.clear()
        self._put_off.clear()
        metrics.OUTBOX_HELD.labels(self.store.service).set(0)
        self._look_for_resends = 0.0

    def publish_next(self) -> bool:
        """Publish the oldest unsent rows and mark what is safe; tells whether there may be more.

        What a lost queue is to be given again goes before, all of it; what an operator has sent
        again goes in between, a batch each time. What was not taken goes when its time has come,
        of each key the oldest row.
        """
        self.busy = True
        try:
            due = self._is_due()
            resent = self._resend(even_put_off=due)
            again = self._oldest_held() if due else []
            full = len(self._held) >= MOST_HELD
            new = [] if full else self.store.unsent(self.batch, self._held)
            messages = self._free([*again, *new])
            self._mark_redelivered(messages)
            messages = self._hand_over(messages)
            safe = self.bus.publish(messages) if messages else []
            if safe:
                self.store.mark_sent(safe)
                metrics.PUBLISHED.labels(self.store.service).inc(len(safe))
            refused = self._note(messages, safe)
            if not self._waits:
                self._round = _Round()
            elif due or not self._round.tries:
                went = resent > 0 or not {m.seq for m in again}.isdisjoint(m.seq for m in safe)
                self._round.put_off(in_vain=not went)
            broke = len(safe) < len(messages) and not refused
            return resent > 0 or len(new) == self.batch or broke
        finally:
            self.busy = False

    @property
    def _waits(self) -> bool:
        """Whether there is something that was not taken."""
        return bool(self._held or self._put_off)

    def _is_due(self) -> bool:
        """Tell whether what was not taken is to be tried again."""
        return self._waits and self._round.at <= time.monotonic()

    def _oldest_held(self) -> list[Message]:
        """Read the oldest row of each key that is held back, of a batch of them in turn."""
        keys = {self._held[key]: key for key in islice(self._held, self.batch)}
        found = self.store.unsent_of(keys)
        for key in keys.values():
            del self._held[key]
        # behind those that are still to come
        self._held |= {message.envelope.partitionkey: message.seq for message in found}
        return found

    def _free(self, messages: list[Message]) -> list[Message]:
        """Hold back what would overtake what its slot is still to be sent again."""
        blocked, slots = {*self._put_off.values()} - {None}, self.bus.slots
        if not blocked:
            return messages
        self._hold([message for message in messages if message.slot(slots) in blocked])
        return [message for message in messages if message.slot(slots) not in blocked]

    def _note(self, messages: list[Message], safe: list[Message]) -> list[Message]:
        """Hold back the keys of what was refused, and let those go on that are not any more; gives
        what was refused."""
        for message in safe:
            if self._held.get(message.envelope.partitionkey) == message.seq:
                del self._held[message.envelope.partitionkey]
        refused = [message for message in messages if message.refused]
        self._hold(refused)
        metrics.OUTBOX_HELD.labels(self.store.service).set(len(self._held))
        return refused

    def _hold(self, messages: list[Message]) -> None:
        """Hold back the keys of messages, each with the first of them."""
        new = [m for m in messages if m.envelope.partitionkey not in self._held]
        for message in new:
            self._held.setdefault(message.envelope.partitionkey, message.seq)
        if new:
            last, keys = new[-1], len(self._held)
            self.log.warning("not taken", keys=keys, type=last.envelope.type, to=last.exchange)

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

    def _resend(self, *, even_put_off: bool) -> int:
        """Send again what was asked for; gives how many rows were, or 1 where there may be more.

        What is not taken is put off, and goes on where it was. New messages to a slot that lost its
        queue wait until then: they would overtake.
        """
        if time.monotonic() < self._look_for_resends and not even_put_off:
            return 0
        if even_put_off:  # another relay may have come to its end with it
            for request in replay.done_of(self.store, self._put_off):
                self._is_done(request)
        later = set[int]() if even_put_off else {*self._put_off}
        while (request := replay.next_of(self.store, later)) is not None:
            if not self.knows(request.receiver, request.slot):  # any more: nobody waits for it
                self.log.warning("not sent again", to=request.receiver, slot=request.slot)
                replay.advance(self.store, request, request.last, 0)
                self._is_done(request)
            elif not self._send_again(request):
                later.add(request.seq)
            elif not request.marker:
                return 1
        self._look_for_resends = time.monotonic() + POLL
        return 0

    def _send_again(self, request: Any) -> bool:
        """Send the next page of a request, after its marker; tells whether it was taken."""
        slots, receiver = self.bus.slots, request.receiver
        if request.marker and not request.cursor:
            source, request = self.store.service, replay.begin(self.store, request)
            now = self.store.now()
            marker = replay.marker_of(source, request.marker, request.slot, slots, now)
            if not self._is_taken([marker], receiver):
                return self._later(request)
        messages, cursor = replay.page_of(
            self.store, request, self.topology[receiver], slots, self.batch
        )
        if not self._is_taken(messages, receiver):
            return self._later(request)
        replay.advance(self.store, request, cursor, len(messages))
        metrics.RESENT.labels(self.store.service).inc(len(messages))
        if cursor >= request.last:
            self._is_done(request)
            self.log.info("sent again", to=receiver, rows=request.sent + len(messages))
        return True

    def _later(self, request: Any) -> bool:
        self._put_off[request.seq] = request.slot if request.marker else None
        self.log.warning("not sent again yet", to=request.receiver, slot=request.slot)
        return False

    def _is_done(self, request: Any) -> None:
        """Let what has waited for a request go on, from its oldest row."""
        slot, slots = self._put_off.pop(request.seq, None), self.bus.slots
        if slot is not None:
            for key in [key for key in self._held if slot_of(key, slots) == slot]:
                del self._held[key]

    def _is_taken(self, messages: list[Message], receiver: str) -> bool:
        """Send to one receiver alone; tells whether it has taken all. Raises `BusDown`."""
        if not messages or len(self.bus.publish(messages, receiver)) == len(messages):
            return True
        if not any(message.refused for message in messages):
            raise BusDown("not all that is sent again was safe")
        return False

    def _mark_redelivered(self, messages: list[Message]) -> None:
        """Say of rows that an earlier process left unsent that they may have been handled."""
        if self._last_before_start is None:
            self._last_before_start = self.store.last_seq_at_start
        for message in messages:
            message.redelivered = message.seq <= self._last_before_start

    def _hand_over(self, messages: list[Message]) -> list[Message]:
        """Give the service itself what an earlier process has said and not sent: one of an earlier
        version has not handled it at once. What was handled is dropped. Gives what may go on."""
        hears = self.topology.get(self.store.service, ())
        old = [m for m in messages if m.redelivered and (m.exchange, m.envelope.type) in hears]
        if self._is_taken(old, self.store.service):
            return messages
        refused = [message for message in old if message.refused]
        self._hold(refused)
        keys = {message.envelope.partitionkey for message in refused}
        return [message for message in messages if message.envelope.partitionkey not in keys]

    @staticmethod
    def _sleep(seconds: float, woken: Event) -> None:
        with eventlet.Timeout(seconds, exception=False):
            woken.wait()
