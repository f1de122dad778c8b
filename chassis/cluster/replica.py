"""A replica: the partitions of its service that this process serves, and whether it relays."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chassis import metrics
from chassis.logs import log
from chassis.messaging import replay
from chassis.messaging.bus import Bus, Inbox, PartitionConsumer
from chassis.messaging.consumer import Consumer
from chassis.messaging.relay import Relay
from chassis.runtime.green import Event, Timeout
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import LEASE, RELAY, TICK, Leases, PartitionLost, Share, name_of

DRAINED_EVERY = 5.0
"""Seconds between records of which partitions have nothing left to handle."""
DEAF = 6
"""Checks, a `TICK` apart, without a sign of life from the broker, before a replica releases what it
holds. An idle broker sends something within `topology.HEARTBEAT`; one that restarts takes some
seconds, during which no partition needs to move."""


class Replica:
    """Serves the partitions that it has leased; without leases, all of them.

    A replica that loses the broker releases everything, and does not count as a replica until it is
    back.
    """

    def __init__(
        self,
        bus: Bus,
        inbox: Inbox,
        consumer: Consumer,
        relay: Relay,
        leases: Leases | None,
        batch: int,
        spawn: Callable[[Callable[[], None]], Any],
    ) -> None:
        self.bus = bus
        self.inbox = inbox
        self.consumer = consumer
        self.relay = relay
        self.leases = leases
        self.others = 0
        self._batch = batch
        self._spawn = spawn
        self._serving: dict[int, tuple[PartitionConsumer, Any]] = {}
        self._leaving: set[int] = set()
        self._stop = Event()
        self._drained = 0.0
        self._deaf = 0
        self._missing: dict[int, float] = {}
        self.log = log(consumer.store.service)
        self.partitions = consumer.partitions
        self.partitions.count = inbox.partitions
        if leases is not None:
            self.partitions.serves, self.partitions.leases = self._serving.__contains__, leases

    def run(self) -> None:
        """Follow the leases until stopped."""
        if self.leases is None:
            for partition in range(self.inbox.partitions):
                self._serve(partition)
            self.relay.until = float("inf")
            return
        while not self._stop.ready():
            started = time.monotonic()
            try:
                share = self.leases.tick(able=self._broker_is_alive())
                self.inbox.until, self.inbox.kept_until = started + LEASE, started + 2 * LEASE
                agreed = self._agree(share)
                self.relay.until = started + LEASE if share.relay and agreed else 0.0
                self._follow(share if agreed else replace(share, held=frozenset()))
                if share.retires and not self.relay.busy:
                    self.leases.release(RELAY)
                self._note_drained(started)
            except STORAGE_ERRORS as error:
                self.inbox.until = 0.0
                self.log.warning("leases not renewed", error=str(error))
            with Timeout(TICK, exception=False):
                self._stop.wait()

    def _broker_is_alive(self) -> bool:
        """Return whether the broker has shown a sign of life lately."""
        self._deaf = 0 if self.inbox.is_alive() else self._deaf + 1
        if self._deaf == DEAF:
            self.log.warning("broker not responding", partitions=len(self._serving))
        return self._deaf < DEAF

    def _agree(self, share: Share) -> bool:
        """Adopt another number of partitions, as soon as none of the old ones is served."""
        if share.partitions == self.inbox.partitions:
            return True
        if self._serving or self._leaving:
            return False
        self.inbox.partitions = self.bus.partitions = self.partitions.count = share.partitions
        self.log.info("partitions changed", partitions=share.partitions)
        return True

    def _follow(self, share: Share) -> None:
        """Serve the partitions held, and release those that are surplus or lost.

        A consumer that finds its partition lost has ended. The partition may be held again by now,
        with no tick in between: it is released all the same, so that its unfinished messages are
        redelivered. So is a partition that was newly taken although it is served: another replica
        held it meanwhile.
        """
        self.others = share.replicas - 1
        serving = self._serving.keys()
        ended = {partition for partition, (_, thread) in self._serving.items() if thread.dead}
        lost = (serving - share.held) | (serving & share.taken) | ended
        for partition in lost | (serving & share.surplus):
            self._spawn(lambda partition=partition: self._give_up(partition))  # type: ignore[misc]
        for partition in sorted(share.held - share.surplus - serving - self._leaving):
            self._serve(partition)
        for partition in share.surplus - serving - self._leaving:
            self._spawn(lambda partition=partition: self._release(partition))  # type: ignore[misc]
        metrics.PARTITIONS.labels(self.consumer.store.service).set(len(self._serving))
        metrics.RELAYS.labels(self.consumer.store.service).set(share.relay)

    def _serve(self, partition: int) -> None:
        if self.leases is not None:
            self.consumer.recovering.add(partition)  # until a message shows that there is none
        partition_consumer = self.inbox.open(partition)
        thread = self._spawn(lambda: self.consumer.run(partition_consumer, self._batch))
        self._serving[partition] = partition_consumer, thread

    def _give_up(self, partition: int) -> None:
        """Stop consuming, finish the messages in hand, close the channel, and only then release the
        partition."""
        if partition not in self._serving or partition in self._leaving:
            return
        self._leaving.add(partition)
        try:
            partition_consumer, thread = self._serving[partition]
            partition_consumer.close()
            thread.wait()
            del self._serving[partition]
            self.inbox.leave(partition_consumer)
            self._release(partition)
        finally:
            self._leaving.discard(partition)

    def _release(self, partition: int) -> None:
        if self.leases is None:
            return
        try:
            self.leases.release(name_of(partition))
        except STORAGE_ERRORS as error:
            self.log.warning(
                "partition not released", partition=partition, error=str(error)
            )  # its lease expires

    def _note_drained(self, now: float) -> None:
        if self.leases is None or now < self._drained + DRAINED_EVERY:
            return
        self._drained, at = now, self.consumer.store.now()
        idle = {
            partition
            for partition, (partition_consumer, _) in self._serving.items()
            if partition_consumer.idle()
        }
        try:
            self.leases.drained(dict.fromkeys(sorted(idle), at))
        except STORAGE_ERRORS as error:
            self.log.warning("drained partitions not recorded", error=str(error))

    def lost(self, partition: int) -> bool:
        """Request the messages that a deleted queue may have held; raises `STORAGE_ERRORS`.

        Returns False if another replica serves the partition by now, which then requests them.
        """
        store, hold = self.consumer.store, self.partitions.hold
        self._missing[partition] = store.now()
        try:
            publishers = replay.begin_recovery(store, partition, self.relay.sources(), hold)
        except PartitionLost:
            return False
        if publishers:
            self.log.error("queue lost", partition=partition, publishers=publishers)
        self.consumer.recovering.add(partition)
        self.relay.ask_again()
        return True

    def declared(self, partition: int) -> None:
        """Record that a missing queue has been declared; raises `STORAGE_ERRORS`."""
        replay.queue_made(self.consumer.store, partition, self._missing.pop(partition))

    def stop(self, seconds: float) -> None:
        """Finish the messages in hand within a time limit, and release everything."""
        if not self._stop.ready():
            self._stop.send()
        for partition_consumer, _ in self._serving.values():
            partition_consumer.close()
        self.relay.stop()
        with Timeout(seconds, exception=False):
            for _, thread in list(self._serving.values()):
                thread.wait()
            self.relay.stopped.wait()
        self.consumer.stop()

    def leave(self) -> None:
        """Release the leases, once nothing is consumed any more."""
        if self.leases is not None:
            try:
                self.leases.leave()
            except STORAGE_ERRORS as error:
                self.log.warning("leases not released", error=str(error))  # they expire
