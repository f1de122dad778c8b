"""The base of every service: its handlers, its service host with store, relay and consumer, its
health."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import eventlet
from nameko.extensions import DependencyProvider, SharedExtension
from sqlalchemy import MetaData, select, true
from werkzeug.wrappers import Request

from chassis import metrics
from chassis.cluster.notify import Notifier
from chassis.cluster.replica import Replica
from chassis.errors import NotFound
from chassis.http.responses import Route
from chassis.http.server import Web, health
from chassis.logs import log
from chassis.message import Message
from chassis.messaging import parked, replay
from chassis.messaging.bus import ANY, Bindings, Bus
from chassis.messaging.consumer import Consumer
from chassis.messaging.handling import Handler
from chassis.messaging.relay import Relay
from chassis.runtime.green import end
from chassis.settings import Misconfigured, Settings
from chassis.storage import migrations
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import Leases
from chassis.storage.retention import Retention, RetentionPolicies, RetentionPolicy
from chassis.storage.store import Store
from chassis.storage.tables import strays
from chassis.storage.unit_of_work import UnitOfWork
from contracts.message import Command, Contract
from contracts.shared import Resend

RETRY_EVERY = 0.25
GAUGES_EVERY = 5.0
OUTBOX, OUTCOMES = "outbox", "outcomes"
"""The channels on which the replicas of a service notify each other: of new rows to relay, of
outcomes."""


class NoSuchPartition(NotFound):
    """The service does not exist, or has no such partition."""


Function = TypeVar("Function", bound=Callable[..., Any])


def on(*kinds: type[Contract]) -> Callable[[Function], Function]:
    """Mark a function `(event, uow)` as a handler: `@on(EnterpriseReopened)`."""

    def mark(function: Function) -> Function:
        function.handles = kinds  # type: ignore[attr-defined]
        return function

    return mark


def _handlers(service: Any) -> Iterator[Any]:
    """Yield the handlers of a service in calling order: its own methods, then those of its modules
    and objects, as written."""
    for source in (service, *service.handlers):
        if isinstance(source, ModuleType):
            found = [each for each in vars(source).values() if hasattr(each, "handles")]
            yield from (each for each in found if each.__module__ == source.__name__)
        else:
            classes = getattr(source, "__mro__", type(source).__mro__)
            names = dict.fromkeys(name for each in classes for name in vars(each))
            yield from (each for name in names if hasattr(each := getattr(source, name), "handles"))


def handlers_of(service: Any) -> dict[str, list[Handler]]:
    """Return the handlers of a service by message type, in calling order."""
    found: dict[str, list[Handler]] = defaultdict(list)
    for handler in _handlers(service):
        for kind in handler.handles:
            found[kind.type].append(handler)
    return dict(found)


def bindings_of(service: type[Service]) -> Bindings:
    """Return the bindings of a service, as (exchange, type) pairs."""
    pairs = set()
    for kind in (kind for handler in _handlers(service) for kind in handler.handles):
        if issubclass(kind, Command):
            pairs.add((f"{service.name}.commands", kind.type))
        else:
            pairs.add((f"{kind.service}.events" if kind.service else ANY, kind.type))
    return frozenset(pairs)


def brought_to(service: type[Service]) -> Bindings:
    """Return the bindings that the bus delivers: without its own messages, which are handled
    inline."""
    own = f"{service.name}.events" if service.handle_inline else None
    return frozenset(pair for pair in bindings_of(service) if pair[0] != own)


class ServiceHost(SharedExtension):
    """Carries the messages of one service: its store, its relay and its consumer."""

    web = Web()

    def setup(self) -> None:
        """Create all parts, without using the database or the broker yet."""
        config, kind = self.container.config, self.container.service_cls
        self.settings: Settings = config["settings"]
        self.bus: Bus = config["bus"]
        self.topology: Mapping[str, Bindings] = config["topology"]
        self.store = Store(
            kind.name,
            self.settings.database_of(kind.name),
            kind.metadata,
            pool=self.settings.database_pool,
        )
        self.relay = Relay(self.store, self.bus, self.settings.batch, self.topology)
        self.service = kind()
        for name, value in config.get("provide", {}).items():
            setattr(self.service, name, value)
        self.service.settings, self.service.store = self.settings, self.store
        self.service.wake, self.service.notify = self._wake, self._call
        self.service.ask_again = self.relay.ask_again
        self.service.is_leader = lambda: self.relay.active
        self.service.knows = self.relay.resender.knows
        self.is_alone = not self.settings.amqp_uri
        if self.is_alone:
            migrations.apply(self.store)
            self.store.clock.refuse()
        self.service.on_setup()
        ready = config.get("ready", self.ready)
        self.web.authorize, self.web.client_of = self.service.authorize, self.service.client_of
        self.web.routes = lambda: [*health(ready), *self.service.routes()]
        self.consumer = Consumer(self.service, self.store, handlers_of(self.service), self._wake)
        self.notifier = Notifier(self.store, self._called, OUTBOX, OUTCOMES)
        self.replica: Replica | None = None
        self.log = log(kind.name)
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
        retention_policies = {
            strays: RetentionPolicy(strays.c.marker, true()),
            **self.service.retention_policies,
        }
        self._tend(
            Retention(self.store, self.settings, retention_policies, lambda: self.relay.active).run
        )
        self.service.on_start(self._tend)

    def _tend(self, loop: Callable[[], None]) -> None:
        self._loops.append(self.container.spawn_managed_thread(loop))

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
        spawn = self.container.spawn_managed_thread
        batch = self.settings.batch
        replica = Replica(self.bus, inbox, self.consumer, self.relay, leases, batch, spawn)
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
            self._call(OUTBOX)

    def _call(self, channel: str) -> None:
        if self.replica is not None and self.replica.others:
            self.notifier.notify(channel)

    def _called(self, channel: str) -> None:
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


class Hosted(DependencyProvider):
    """Connects a service class to its service host."""

    host = ServiceHost()


class Service:
    """A service: a name, tables, handlers marked with `@on`."""

    name: ClassVar[str]
    metadata: ClassVar[MetaData]
    handlers: ClassVar[tuple[Any, ...]] = ()
    """Modules and objects with handlers; the handlers of a message are called in this order."""
    preload: ClassVar[dict[str, type]] = {}
    """Fields of messages that hold the id of an aggregate, which is loaded once for a whole
    batch."""
    handle_inline: ClassVar[bool] = True
    """Whether messages that the service publishes to itself are handled in the same transaction.
    They must then have the key of their cause, and only a handler may publish them."""
    retention_policies: ClassVar[RetentionPolicies] = {}
    """Tables of the service whose old rows are deleted."""

    hosted = Hosted()
    settings: Settings
    store: Store
    wake: Callable[[], None]
    """Wakes the relay: the outbox has new rows."""
    notify: Callable[[str], None]
    """Notifies the other replicas on a channel."""
    ask_again: Callable[[], None]
    """Wakes the relay: there is a resend request."""
    is_leader: Callable[[], bool]
    """Returns whether this replica relays, and so also does the tasks of a single replica."""
    knows: Callable[[str, int | None], bool]
    """Returns whether the service exists, with the partition."""

    @on(Resend)
    def resend(self, command: Resend, uow: UnitOfWork) -> None:
        """Request that the relay resend messages that a service has lost; raises
        `NoSuchPartition`."""
        if not self.knows(command.receiver, command.partition):
            raise NoSuchPartition
        since = command.since.timestamp()
        replay.ask(uow, command.receiver, since, partition=command.partition, marker=command.marker)
        uow.asks_resend = True

    def before_batch(self, messages: list[Message], uow: UnitOfWork) -> None:
        """Load all aggregates that the messages name, in few queries; called before they are
        handled."""
        if uow.new:
            uow.loaded.extend(uow.new)
            uow.flush()  # from now on they are found by id
        for field, kind in self.preload.items():
            wanted = {getattr(message.payload, field, None) for message in messages}
            if unknown := {each for each in wanted if each and uow.held(kind, each) is None}:
                identity = kind.__mapper__.primary_key[0]  # type: ignore[attr-defined]
                uow.loaded.extend(uow.scalars(select(kind).where(identity.in_(unknown))))

    def before_commit(self, uow: UnitOfWork) -> None:
        """Act after the last handler of a transaction."""

    def after_commit(self, uow: UnitOfWork) -> None:
        """Act after the commit of a transaction."""

    def on_notified(self) -> None:
        """Act on a notification of new outcomes by another replica."""

    def on_setup(self) -> None:
        """Act when the store is open, before any loop runs."""

    def on_start(self, tend: Callable[[Callable[[], None]], None]) -> None:
        """Act when the process has started; `tend` starts a loop that runs as long as the
        process."""

    def on_stop(self) -> None:
        """Act before the process stops."""

    def routes(self) -> Iterable[Route]:
        """Return the HTTP routes of the service, beside those of every process."""
        return ()

    def authorize(self, request: Request, route: Route) -> None:
        """Allow a request to a route, or raise `Rejected`; not called for routes that are always
        open."""

    def client_of(self, request: Request) -> str | None:
        """Return the rate-limit key of a request, or None to limit it by IP address."""
