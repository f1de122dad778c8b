"""The consumer: takes the ready messages of a partition, processes them, and only then
acknowledges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import eventlet

from chassis import metrics
from chassis.logs import log
from chassis.message import Message
from chassis.messaging import parked, replay
from chassis.messaging.batching import Batching
from chassis.messaging.bus import Closed, PartitionConsumer
from chassis.messaging.crash_guard import CrashGuard
from chassis.messaging.handling import Handler, Handling, is_readable
from chassis.messaging.processor import Processor
from chassis.messaging.receipts import Admission, Partitions, Receipts, StorageUnavailable
from chassis.messaging.retries import Retries
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import PartitionLost
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.shared import Resend, ResendBegan


class Consumer:
    """Consumes the messages of one service, each partition in its own green thread.

    `recovering` holds the partitions to which publishers resend lost messages: until its recovery
    marker arrives, messages of a publisher are skipped, since it resends them in order.
    """

    def __init__(
        self,
        service: Any,
        store: Store,
        handlers: dict[str, list[Handler]],
        wake: Callable[[], None],
    ) -> None:
        self.store = store
        self.handlers = handlers
        self.log = log(store.service)
        self.recovering: set[int] = set()
        self.receipts = Receipts(store)
        self.partitions = Partitions(store)
        handling = Handling(
            service, store, handlers, Admission(store, self.partitions, self.receipts)
        )
        self.guard = CrashGuard(store, handling)
        self.processor = Processor(service, store, handling, self.guard, wake)
        self.batching = Batching(self.processor)
        self.retries = Retries(self.processor)
        self._stopping = False

    def begin(self) -> None:
        """Record the start of this process, and its handlers."""
        self._patiently(self.receipts.note, self.handlers)
        self.guard.began = self.store.now()

    def stop(self) -> None:
        """Stop waiting for storage; the messages in hand stay unacknowledged."""
        self._stopping = True

    def run(self, partition_consumer: PartitionConsumer, most: int) -> None:
        """Consume a partition until its consumer is closed or another replica holds it."""
        self._patiently(parked.hasten_unknown, self.store)
        while True:
            try:
                taken = partition_consumer.take(most)
            except Closed:
                return
            try:
                wanted = self._patiently(self._skip_recovered, partition_consumer.partition, taken)
                wanted = wanted and self._patiently(self.receipts.for_whom, wanted)
            except PartitionLost:
                self.log.warning("partition lost", messages=len(taken))
                return
            if wanted is None or (wanted and not self.handle(wanted)):
                return
            partition_consumer.done(taken)
            self.retries.follow_up(wanted)

    def handle(self, messages: Sequence[Message]) -> bool:
        """Handle or park all messages of a partition; return whether they may be acknowledged.

        While storage is unavailable it backs off and tries again, until stopped.
        """
        if self.batching.process(messages):
            return True
        tries = 0
        while not self._stopping:
            try:
                with self.partitions.locked(self.partitions.of(messages)):
                    self.processor.process(messages, tries)
            except PartitionLost:
                self.log.warning("partition lost", messages=len(messages))
                return False
            except StorageUnavailable as error:
                tries += 1
                metrics.STORAGE_DOWN.labels(self.store.service).inc()
                self._back_off(tries, error.__cause__)
            else:
                return True
        return False

    def _patiently(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Repeat an action until storage is available; return None if stopped meanwhile."""
        tries = 0
        while not self._stopping:
            try:
                return act(*arguments)
            except STORAGE_ERRORS as error:
                tries += 1
                self._back_off(tries, error)
        return None

    def _back_off(self, tries: int, error: BaseException | None) -> None:
        self.log.warning("storage unavailable", tries=tries, error=str(error))
        eventlet.sleep(parked.pause(min(tries, 4), longest=3.0))

    # -- messages that a recovery resends

    def _skip_recovered(self, partition: int, messages: Sequence[Message]) -> Sequence[Message]:
        """Skip messages that a publisher sent before its recovery began; it resends them.

        Skipped messages are acknowledged, and a marker comes once: so both are decided by the
        recoveries in the database, and only while the partition is held.
        """
        if partition not in self.recovering and not any(map(_may_be_astray, messages)):
            return messages
        self.recovering.discard(
            partition
        )  # before the database is read: another recovery may begin meanwhile
        in_recovery = True
        try:
            with self.store.write() as uow:
                self.partitions.hold(uow, [partition])
                wanted, in_recovery = self._sort_out(uow, partition, messages)
        finally:
            if in_recovery:
                self.recovering.add(partition)
        return wanted

    def _sort_out(
        self, uow: UnitOfWork, partition: int, messages: Sequence[Message]
    ) -> tuple[list[Message], bool]:
        """Return the messages of a partition to process, and whether it is still in recovery.

        Skipped messages are recorded before they are acknowledged: if the process dies in between,
        they are redelivered after the marker, when all messages are processed.
        """
        recoveries, wanted, skipped = replay.recoveries_of(uow, partition), [], set()
        strays = replay.strays_of(uow, messages)
        for message in messages:
            source, kind = message.envelope.source, message.envelope.type
            if kind == ResendBegan.type and is_readable(message):
                if recoveries.get(source) == message.payload.marker:
                    del recoveries[source]
                    replay.end_recovery(uow, partition, source, message.payload)
                    if not message.payload.marked:  # later ones look the same
                        last = message.payload.marker
                        strays = {each: its for each, its in strays.items() if its > last}
            elif kind == Resend.type:
                wanted.append(message)
            elif source in recoveries:
                strays[message.receipt] = recoveries[source]
                skipped.add(message.receipt)
            elif (message.marker or "") >= strays.get(message.receipt, ""):
                wanted.append(message)
        remembered = {each: strays[each] for each in skipped & strays.keys()}
        replay.remember(self.store, uow, remembered)
        return wanted, bool(recoveries)


def _may_be_astray(message: Message) -> bool:
    """Return whether a message may have been skipped before, or is a recovery marker."""
    return message.redelivered or message.envelope.type == ResendBegan.type
