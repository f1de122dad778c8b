"""What every service is built on: what it listens to, its database, its relay, its health."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import eventlet
from nameko.extensions import DependencyProvider, Entrypoint, SharedExtension
from sqlalchemy import MetaData, select

from chassis import letters, metrics
from chassis.bus import ANY, Bindings, Bus
from chassis.listener import Handler, Listener
from chassis.logs import log
from chassis.message import Message
from chassis.relay import Relay
from chassis.settings import Settings
from chassis.store import STORAGE_ERRORS, Store, Work
from chassis.web import Route, Web, health
from contracts.message import Command, Contract

LETTERS_EVERY = 0.25
GAUGES_EVERY = 5.0


class On(Entrypoint):
    """Marks a method as a handler of some contracts: `@on(EnterpriseReopened)`."""

    def __init__(self, *kinds: type[Contract], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = kinds


on = On.decorator


def handlers_of(service: Any) -> dict[str, list[Handler]]:
    """Collect a service's handlers by message type, in the order in which they are written."""
    found: dict[str, list[tuple[int, Handler]]] = defaultdict(list)
    for _, method in inspect.getmembers(service, inspect.ismethod):
        for entrypoint in getattr(method, "nameko_entrypoints", ()):
            if isinstance(entrypoint, On):
                for kind in entrypoint.kinds:
                    line = method.__func__.__code__.co_firstlineno
                    found[kind.type].append((line, method))
    return {kind: [handler for _, handler in sorted(rows, key=lambda r: r[0])]
            for kind, rows in found.items()}  # fmt: skip


def bindings_of(service: type[Service]) -> Bindings:
    """Tell what a service listens to, as (exchange, type) pairs."""
    pairs = set()
    for _, method in inspect.getmembers(service, inspect.isfunction):
        for entrypoint in getattr(method, "nameko_entrypoints", ()):
            for kind in getattr(entrypoint, "kinds", ()):
                if issubclass(kind, Command):
                    pairs.add((f"{service.name}.commands", kind.type))
                else:
                    pairs.add((f"{kind.service}.events" if kind.service else ANY, kind.type))
    return frozenset(pairs)


class Carriage(SharedExtension):
    """Carries the messages of one service: its store, its relay and its listener."""

    web = Web()

    def setup(self) -> None:
        """Open the database and the inlets."""
        config, kind = self.container.config, self.container.service_cls
        self.settings: Settings = config["settings"]
        self.bus: Bus = config["bus"]
        self.store = Store(kind.name, self.settings.database_of(kind.name), kind.metadata)
        self.store.create()
        self.relay = Relay(self.store, self.bus, self.settings.batch)
        self.service = kind()
        for name, value in config.get("provide", {}).items():
            setattr(self.service, name, value)
        self.service.settings, self.service.store = self.settings, self.store
        self.service.wake = self.relay.wake
        self.service.opened()
        ready = config.get("ready", self.ready)
        self.web.routes = lambda: [*health(ready), *self.service.routes()]
        self.listener = Listener(
            self.service, self.store, handlers_of(self.service), self.relay.wake
        )
        self.inlets = self.bus.inlets(kind.name, bindings_of(kind))
        self.log = log(kind.name)
        self._stopping = False
        self._threads: list[Any] = []
        self._loops: list[Any] = []

    def start(self) -> None:
        """Start the loops; one that ends by an error ends the process."""
        spawn = self.container.spawn_managed_thread
        self._threads = [
            spawn(lambda inlet=inlet: self.listener.run(inlet, self.settings.batch))
            for inlet in self.inlets
        ]
        self._threads.append(spawn(self.relay.run))

        def tend(loop: Callable[[], None]) -> None:
            self._loops.append(spawn(loop))

        tend(self._tend_letters)
        tend(self._measure)
        self.service.started(tend)
        self.log.info("started")

    def stop(self) -> None:
        """Stop taking, finish what is in hand within the bound, and let go."""
        if self._stopping:
            return
        self._stopping = True
        self.service.stopping()
        for inlet in self.inlets:
            inlet.close()
        self.relay.stop()
        with eventlet.Timeout(self.settings.stop_within, exception=False):
            for thread in self._threads:
                thread.wait()
        self.listener.stop()
        for loop in self._loops:
            loop.kill()
        self.store.close()
        self.log.info("stopped")

    def ready(self) -> dict[str, bool]:
        """Tell whether the database and the bus answer."""
        return {"database": self.store.answers(), "bus": self.bus.connected()}

    def idle(self) -> bool:
        """Tell whether the relay has nothing to send."""
        return not self.relay.busy and self.store.backlog()[0] == 0

    def _tend_letters(self) -> None:
        while not self._stopping:
            eventlet.sleep(LETTERS_EVERY)
            try:
                self.listener.retry_due()
            except STORAGE_ERRORS as error:
                self.log.warning("letters put off", error=str(error))

    def _measure(self) -> None:
        while not self._stopping:
            try:
                unsent, oldest = self.store.backlog()
                counts = letters.counts(self.store)
            except STORAGE_ERRORS:
                pass
            else:
                metrics.OUTBOX_UNSENT.labels(self.store.service).set(unsent)
                metrics.OUTBOX_OLDEST.labels(self.store.service).set(oldest)
                for state in (letters.WAITING, letters.STUCK, letters.REJECTED):
                    metrics.LETTERS.labels(self.store.service, state).set(counts.get(state, 0))
            eventlet.sleep(GAUGES_EVERY)


class Carried(DependencyProvider):
    """Ties a service class to its carriage."""

    carriage = Carriage()


class Service:
    """A service: a name, tables, handlers marked with `@on`. Subclasses say what they do."""

    name: ClassVar[str]
    metadata: ClassVar[MetaData]
    preload: ClassVar[dict[str, type]] = {}
    """Fields of messages that name an aggregate by identity: loaded once for a whole batch."""

    carried = Carried()
    settings: Settings
    store: Store
    wake: Callable[[], None]
    """Tells the relay that the outbox has grown."""

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Before a batch: load at once the aggregates that its messages name."""
        for field, kind in self.preload.items():
            wanted = {getattr(message.fact, field, None) for message in messages} - {None}
            if wanted:
                identity = kind.__mapper__.primary_key[0]  # type: ignore[attr-defined]
                found: Sequence[Any] = db.scalars(select(kind).where(identity.in_(wanted))).all()
                db.info.setdefault("held", []).extend(found)  # the identity map is weak

    def finish(self, db: Work) -> None:
        """After a batch, before its commit."""

    def committed(self, db: Work) -> None:
        """After a batch's commit."""

    def opened(self) -> None:
        """When the store is there, and nothing runs yet."""

    def started(self, tend: Callable[[Callable[[], None]], None]) -> None:
        """When the process has started; `tend` starts a loop that lives as long as it."""

    def stopping(self) -> None:
        """When the process is about to stop."""

    def routes(self) -> Iterable[Route]:
        """Give the HTTP routes of the service, beside those that every process has."""
        return ()
