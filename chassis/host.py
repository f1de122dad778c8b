"""The host of a service: its store, relay, consumer and web server, and the loops that run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider, SharedExtension
from sqlalchemy import true

from chassis import metrics
from chassis.cluster.notify import Notifier
from chassis.cluster.replica import Replica
from chassis.http.server import Web, health
from chassis.logs import log
from chassis.messaging import parked
from chassis.messaging.bus import Bindings, Bus
from chassis.messaging.consumer import Consumer
from chassis.messaging.relay import Relay
from chassis.runtime.green import end
from chassis.service import OUTBOX, OUTCOMES, Runtime, Service, brought_to, handlers_of
from chassis.settings import Misconfigured, Settings
from chassis.storage import migrations
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import Leases
from chassis.storage.retention import Retention, RetentionPolicies, RetentionPolicy
from chassis.storage.store import Store
from chassis.storage.tables import strays

RETRY_EVERY = 0.25
"""Seconds between checks for due parked messages."""
GAUGES_EVERY = 5.0
"""Seconds between two measurements of the gauges."""
Spawn = Callable[..., Any]


class ServiceHost:
    """Runs one service: creates it with all its parts, and runs its loops."""

    def __init__(
        self,
        kind: type[Service],
        web: Web,
        spawn: Spawn,
        *,
        settings: Settings,
        bus: Bus,
        topology: Mapping[str, Bindings],
        provide: Mapping[str, Any],
        ready: Callable[[], Any] | None = None,
    ) -> None:
        """Create all parts, without using the broker yet."""
        self.settings, self.bus, self.web, self._spawn = settings, bus, web, spawn
        url = settings.database_of(kind.name)
        self.store = Store(kind.name, url, kind.metadata, pool=settings.database_pool)
        self.log = log(kind.name)
        self.relay = Relay(self.store, bus, settings.batch, topology)
        runtime = Runtime(
            settings=settings,
            store=self.store,
            wake=self._wake,
            notify=self._notify,
            ask_again=self.relay.ask_again,
            is_leader=lambda: self.relay.active,
            knows=self.relay.resender.knows,
        )
        self.service = kind(runtime, **provide)
        self.is_alone = not settings.amqp_uri
        if self.is_alone:
            migrations.apply(self.store)
            self.store.clock.refuse()
        self.service.on_setup()
        web.serve(self.service, health(ready or self.ready))
        self.consumer = Consumer(self.service, self.store, handlers_of(self.service), self._wake)
        self.notifier = Notifier(self.store, self._notified, OUTBOX, OUTCOMES)
        self.replica: Replica | None = None
        self._stopping = False
        self._loops: list[Any] = []

    def start(self) -> None:
        """Start the loops; an error in one of them ends the process."""
        if self.is_alone:
            self._serve()
            self._begin(None)
        else:
            self._tend(self._join)

    def _serve(self) -> None:
        """Accept requests: the database is available."""
        self.web.is_open = True
        self._tend(self._measure)
        own = {strays: RetentionPolicy(strays.c.marker, true())}
        policies: RetentionPolicies = {**own, **self.service.retention_policies}
        self._tend(Retention(self.store, self.settings, policies, lambda: self.relay.active).run)
        self.service.on_start(self._tend)

    def _tend(self, loop: Callable[[], None]) -> None:
        self._loops.append(self._spawn(loop))

    def _join(self) -> None:
        """Become one of the replicas, as soon as the database and the broker are available."""
        leases, tries = Leases(self.store), 0
        while True:
            try:
                migrations.check(self.store)
                self.store.clock.refuse()
                partitions = leases.agree(self.settings.partitions)
            except STORAGE_ERRORS as error:
                tries += 1
                self.log.warning("waiting for the database", tries=tries, error=str(error))
                eventlet.sleep(parked.pause(tries, longest=3.0))
            else:
                break
        if partitions != self.settings.partitions:
            raise Misconfigured(
                f"The district of this database has {partitions} partitions: "
                f"set PARTITIONS={partitions}, or change "
                f"that with `bihuan partitions {self.settings.partitions}`."
            )
        self._serve()
        self._begin(leases)

    def _begin(self, leases: Leases | None) -> None:
        self.consumer.begin()
        service = type(self.service)
        inbox = self.bus.inbox(service.name, brought_to(service))
        batch = self.settings.batch
        replica = Replica(self.bus, inbox, self.consumer, self.relay, leases, batch, self._spawn)
        inbox.on_missing, inbox.on_declared = replica.lost, replica.declared
        if not inbox.ready.ready():
            self.log.info("waiting for the broker")
        inbox.ready.wait()
        self.replica = replica
        self._tend(self.relay.run)
        self._tend(self._retry_parked)
        if leases is None:
            replica.run()
        else:
            self._tend(replica.run)
            self._tend(self.notifier.send_all)
            self._tend(self.notifier.listen)
        self.log.info("started")

    def stop(self) -> None:
        """Stop consuming, finish the messages in hand within the time limit, and release
        everything."""
        if self._stopping:
            return
        self._stopping = True
        self.service.on_stop()
        if self.replica is not None:
            self.replica.stop(self.settings.stop_within)
        end(*self._loops)
        if self.replica is not None:
            self.bus.leave(type(self.service).name)
            self.replica.leave()
        self.store.close()
        self.log.info("stopped")

    def _wake(self) -> None:
        """Wake the relay, here or in the replica that relays."""
        if self.relay.active:
            self.relay.wake()
        else:
            self._notify(OUTBOX)

    def _notify(self, channel: str) -> None:
        if self.replica is not None and self.replica.others:
            self.notifier.notify(channel)

    def _notified(self, channel: str) -> None:
        if channel == OUTBOX:
            self.relay.wake()
        else:
            self.service.on_notified()

    def ready(self) -> dict[str, bool]:
        """Return whether the database responds and accepts writes, the bus responds, and the clocks
        agree."""
        joined = self.replica is not None
        bus = joined and self.bus.connected()
        return {"database": self.store.writes(), "bus": bus, "clock": self.store.clock.agrees}

    def idle(self) -> bool:
        """Return whether the relay has no message to send."""
        return not self.relay.busy and self.relay.outbox.backlog()[0] == 0

    def _retry_parked(self) -> None:
        while not self._stopping:
            eventlet.sleep(RETRY_EVERY)
            try:
                self.consumer.retries.retry_due()
            except STORAGE_ERRORS as error:
                self.log.warning("parked messages put off", error=str(error))

    def _measure(self) -> None:
        while not self._stopping:
            try:
                self.store.clock.look()
                unsent, oldest = self.relay.outbox.backlog()
                counts, ages = parked.counts(self.store), parked.ages(self.store)
            except STORAGE_ERRORS:
                pass
            else:
                metrics.CLOCK_OFFSET.labels(self.store.service).set(self.store.clock.ahead)
                metrics.OUTBOX_UNSENT.labels(self.store.service).set(unsent)
                metrics.OUTBOX_OLDEST.labels(self.store.service).set(oldest)
                for state in (parked.RETRYING, parked.EXHAUSTED, parked.DEAD):
                    metrics.PARKED.labels(self.store.service, state).set(counts.get(state, 0))
                for state in parked.HOLDS:
                    metrics.PARKED_OLDEST.labels(self.store.service, state).set(ages.get(state, 0))
            eventlet.sleep(GAUGES_EVERY)


class HostExtension(SharedExtension):
    """Connects the host of a service to nameko's container."""

    web = Web()

    def setup(self) -> None:
        """Create the host; raises `Misconfigured`."""
        config = self.container.config
        self.host = ServiceHost(
            self.container.service_cls,
            self.web,
            self.container.spawn_managed_thread,
            settings=config["settings"],
            bus=config["bus"],
            topology=config["topology"],
            provide=config.get("provide", {}),
            ready=config.get("ready"),
        )

    def start(self) -> None:
        """Start the host."""
        self.host.start()

    def stop(self) -> None:
        """Stop the host."""
        self.host.stop()


class Hosted(DependencyProvider):
    """Connects a service class to its host."""

    extension = HostExtension()


def hosted(kind: type[Service]) -> type[Service]:
    """Return a service class with its host, for nameko to run."""
    return type(kind.__name__, (kind,), {"hosted": Hosted(), "__doc__": kind.__doc__})
