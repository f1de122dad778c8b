"""The gateway: what it listens to and what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import true
from werkzeug.wrappers import Request

from chassis.http.responses import Route
from chassis.message import Message
from chassis.service import OUTCOMES, Service, on
from chassis.storage.retention import RetentionPolicies, RetentionPolicy
from chassis.storage.tables import outbox, row_of
from chassis.storage.unit_of_work import UnitOfWork
from contracts.catalogue import contracts
from contracts.insurance.types import HolderKind
from contracts.message import Event
from contracts.shared import CommandSettled, HourSwept, ResendBegan
from rulebook import Rulebook
from services.gateway.access.callers import ENVIRON, Unauthenticated
from services.gateway.access.permissions import allowed
from services.gateway.access.scope import ACCESS, AccessScope
from services.gateway.commands.clock import tally
from services.gateway.commands.records import settle
from services.gateway.event_log.chain import AUDIT, EVENTS, append, ended
from services.gateway.exports.jobs import DAYS_KEPT
from services.gateway.read_models.projection import Page
from services.gateway.resources import FED_BY, VIEWS
from services.gateway.tables import (
    PENDING,
    commands,
    counters,
    events,
    export_chunks,
    exports,
    metadata,
)

if TYPE_CHECKING:
    from services.gateway.components import Components

_KEPT = [column.name for column in events.columns if column.name in outbox.columns]
STORED_EVENTS = tuple(
    kind
    for kind in contracts().values()
    if issubclass(kind, Event) and kind not in (CommandSettled, HourSwept, ResendBegan)
)
"""The types of events that the gateway stores and projects."""
OFFERED = {kind.type: kind.service for kind in STORED_EVENTS}
"""The types of public events, each with the service that publishes it."""


@dataclass(slots=True)
class Batch:
    """The state that the gateway's handlers share in one transaction."""

    page: Page
    events: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the event log."""
    settled: list[tuple[CommandSettled, str]] = field(default_factory=list)
    """Outcomes of commands, each with the time of its message."""
    hours: list[Message] = field(default_factory=list)
    """Messages that may end an hour."""


Uow = UnitOfWork[Batch | None]


class Gateway(Service):
    """Accepts commands, stores every event, and answers queries from its own read models."""

    name = "gateway"
    metadata = metadata
    handle_inline = False  # it publishes only on request, or when an hour begins
    rulebook: Rulebook
    """Reference data for mobile clients: the checklists and the kinds of papers."""
    retention_policies: ClassVar[RetentionPolicies] = {
        commands: RetentionPolicy(
            commands.c.id, commands.c.state != PENDING, last=commands.c.settled_at
        ),
        export_chunks: RetentionPolicy(export_chunks.c.id, true(), DAYS_KEPT),
        exports: RetentionPolicy(exports.c.id, true(), DAYS_KEPT),
    }
    quiet: Callable[[], bool] | None = None
    """Return whether the district is idle, where one process can know."""

    components: Components

    def on_setup(self) -> None:
        """Build the components once the store is open."""
        # not at the top: the processes of other services read only what the gateway listens to
        from services.gateway.components import build

        self.components = build(
            self.store,
            self.settings,
            self.rulebook,
            OFFERED,
            wake=self.wake,
            is_leader=self.is_leader,
            quiet=self.quiet,
        )

    def on_start(self, tend: Callable[[Callable[[], None]], None]) -> None:
        """Start the background loops; raises `Misconfigured` without the keys it needs."""
        self.components.person_keys.check()
        for loop in self.components.loops:
            tend(loop)

    def on_stop(self) -> None:
        """Release every waiting request."""
        self.components.stop()

    def routes(self) -> Iterable[Route]:
        """Return the routes of the API."""
        from services.gateway.routes import routes_of

        return routes_of(self.components)

    def authorize(self, request: Request, route: Route) -> None:
        """Reject a caller without a role for the route; raises `Unauthenticated` and
        `Forbidden`."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated
        principal = self.components.verifier.caller(token.strip()).principal(
            allowed(route.method, route.path)
        )
        request.environ[ENVIRON] = principal.caller
        request.environ[ACCESS] = AccessScope(self.rulebook, principal)

    def client_of(self, request: Request) -> str | None:
        """Return the rate-limit key of an authenticated caller, or None."""
        caller = request.environ.get(ENVIRON)
        return f"caller {caller.known_as}" if caller else None

    # -- events of other services

    @on(*STORED_EVENTS)
    def keep(self, event: Event, uow: UnitOfWork[Batch]) -> None:
        """Store an event and project it."""
        message = uow.message
        uow.state.events.append(_event_row(event, message))
        uow.state.page.apply(message)

    @on(CommandSettled)
    def take_outcome(self, event: CommandSettled, uow: UnitOfWork[Batch]) -> None:
        """Record the outcome of a command."""
        uow.state.settled.append((event, uow.message.envelope.time))
        uow.state.hours.append(uow.message)

    @on(HourSwept)
    def take_sweep(self, _event: HourSwept, uow: UnitOfWork[Batch]) -> None:
        """Record what a service found due in an hour."""
        uow.state.hours.append(uow.message)

    def before_batch(self, messages: list[Message], uow: Uow) -> None:
        """Load every document that the batch may change.

        A rebuild locks `events` too, so it never repairs a document between its loading and its
        writing. SQLite needs no lock.
        """
        page = Page(self.store, FED_BY)
        page.load(uow, messages, *self.store.dialect.lock_table(events, "ROW EXCLUSIVE"))
        uow.state = Batch(page)

    def before_commit(self, uow: Uow) -> None:
        """Write the batch's events, documents, statistics and outcomes."""
        if (batch := uow.state) is None:
            return
        moved = batch.page.write(uow, VIEWS)
        rows = [{"name": name, "value": by} for name, by in sorted(moved.items()) if by]
        uow.at_end(self.store.statements.insert_or_add(counters, ["name"]), rows)
        settle(uow, [event for event, _ in batch.settled])
        tally(self.store, uow, batch.hours)
        append(self.store, uow, {EVENTS: batch.events, AUDIT: ended(batch.settled)})

    def after_commit(self, uow: Uow) -> None:
        """Wake the requests and streams that wait for what was committed."""
        if (batch := uow.state) is None:
            return
        if batch.events:
            self.components.notifier.notify(batch.events[-1]["position"])
        if self.components.intake.notify(event for event, _ in batch.settled):
            self.notify(OUTCOMES)

    def on_notified(self) -> None:
        """Read outcomes and events that another gateway has projected."""
        self.components.intake.called()
        self.components.notifier.called()


def _event_row(event: Any, message: Message) -> dict[str, Any]:
    enterprise = getattr(event, "enterprise_id", None)
    if getattr(event, "holder_kind", None) is HolderKind.ENTERPRISE:
        enterprise = event.holder_id
    about = {"enterprise_id": enterprise, "complaint_id": getattr(event, "complaint_id", None)}
    row = row_of(message)
    return {name: row[name] for name in _KEPT} | about
