"""A service: its handlers, its tables and its hooks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from sqlalchemy import MetaData, select
from werkzeug.wrappers import Request

from chassis.errors import NotFound
from chassis.http.responses import Route
from chassis.message import Message
from chassis.messaging import replay
from chassis.messaging.bus import ANY, Bindings
from chassis.messaging.handling import Handler
from chassis.settings import Settings
from chassis.storage.retention import RetentionPolicies
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.message import Command, Contract
from contracts.shared import Resend

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
            handlers = [each for each in vars(source).values() if hasattr(each, "handles")]
            yield from (each for each in handlers if each.__module__ == source.__name__)
        else:
            classes = getattr(source, "__mro__", type(source).__mro__)
            names = dict.fromkeys(name for each in classes for name in vars(each))
            yield from (each for name in names if hasattr(each := getattr(source, name), "handles"))


def handlers_of(service: Any) -> dict[str, list[Handler]]:
    """Return the handlers of a service by message type, in calling order."""
    handlers: dict[str, list[Handler]] = defaultdict(list)
    for handler in _handlers(service):
        for kind in handler.handles:
            handlers[kind.type].append(handler)
    return dict(handlers)


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


@dataclass(frozen=True)
class Runtime:
    """The settings, store and functions that a service host provides to its service."""

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

    settings: Settings
    store: Store
    wake: Callable[[], None]
    notify: Callable[[str], None]
    ask_again: Callable[[], None]
    is_leader: Callable[[], bool]
    knows: Callable[[str, int | None], bool]

    def __init__(self, runtime: Runtime | None = None, **provided: Any) -> None:
        for name, value in {**(vars(runtime) if runtime else {}), **provided}.items():
            setattr(self, name, value)

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
