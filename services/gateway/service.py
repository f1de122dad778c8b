"""gateway: what it listens to, and what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from contracts.insurance import HolderKind
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
FACTS = tuple(
    kind
    for kind in contracts().values()
    if issubclass(kind, Event) and kind not in (CommandSettled, HourSwept, ResendBegan)
)


OFFERED = {kind.type: kind.service for kind in FACTS}
"""The types of events that are offered outside, each with the service that says it."""


class Gateway(Service):
    """Takes commands in, keeps every event, and answers queries from its own read models."""

    name = "gateway"
    metadata = metadata
    handle_inline = False  # what it says, it says when it is asked or an hour begins
    rulebook: Rulebook
    """What phones take along, and which papers there are; no other command is judged by it here."""
    retention_policies: ClassVar[RetentionPolicies] = {
        commands: RetentionPolicy(
            commands.c.id, commands.c.state != PENDING, last=commands.c.settled_at
        ),
        export_chunks: RetentionPolicy(export_chunks.c.id, true(), DAYS_KEPT),
        exports: RetentionPolicy(exports.c.id, true(), DAYS_KEPT),
    }
    quiet: Callable[[], bool] | None = None
    """Tells whether nothing is under way anywhere, where one process can know."""

    components: Components

    def on_setup(self) -> None:
        """Make what lives as long as the process, once the store is there."""
        from services.gateway.components import build  # not in a process of another service, which
        # only asks what the gateway listens to

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
        """Start the loops; raises `Misconfigured` without the keys it needs."""
        self.components.person_keys.check()
        for loop in self.components.loops:
            tend(loop)

    def on_stop(self) -> None:
        """Release everyone who waits."""
        self.components.stop()

    def routes(self) -> Iterable[Route]:
        """Return the routes of the API."""
        from services.gateway.routes import routes_of

        return routes_of(self.components)

    def authorize(self, request: Request, route: Route) -> None:
        """Let nobody in who may not use the route; raises `Unauthenticated` and `Forbidden`."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated
        principal = self.components.verifier.caller(token.strip()).principal(
            allowed(route.method, route.path)
        )
        request.environ[ENVIRON] = principal.caller
        request.environ[ACCESS] = AccessScope(self.rulebook, principal)

    def client_of(self, request: Request) -> str | None:
        """Tell which caller a request is of, once it is admitted."""
        caller = request.environ.get(ENVIRON)
        return f"caller {caller.known_as}" if caller else None

    # -- what others say

    @on(*FACTS)
    def keep(self, fact: Event, uow: UnitOfWork) -> None:
        """Keep every event, and project it."""
        message = uow.message
        uow.info["events"].append(_event_row(fact, message))
        uow.info["page"].apply(message)

    @on(CommandSettled)
    def take_outcome(self, fact: CommandSettled, uow: UnitOfWork) -> None:
        """Note how a command ended."""
        uow.info["settled"].append((fact, uow.message.envelope.time))
        uow.info["hours"].append(uow.message)

    @on(HourSwept)
    def take_sweep(self, _fact: HourSwept, uow: UnitOfWork) -> None:
        """Note what a service found due in an hour."""
        uow.info["hours"].append(uow.message)

    def before_batch(self, messages: list[Message], uow: UnitOfWork) -> None:
        """Load at once every document that a batch may change.

        A rebuild locks `events` too: it never repairs a document between its loading here and its
        writing. On SQLite the transaction alone is enough.
        """
        page = Page(self.store, FED_BY)
        page.load(uow, messages, *self.store.dialect.lock_table(events, "ROW EXCLUSIVE"))
        uow.info.update(page=page, events=[], settled=[], hours=[])

    def before_commit(self, uow: UnitOfWork) -> None:
        """Write the events, the documents, the figures and the outcomes of a batch."""
        if "page" not in uow.info:
            return
        moved = uow.info["page"].write(uow, VIEWS)
        rows = [{"name": name, "value": by} for name, by in sorted(moved.items()) if by]
        uow.at_end(self.store.statements.insert_or_add(counters, ["name"]), rows)
        settle(uow, [fact for fact, _ in uow.info["settled"]])
        tally(self.store, uow, uow.info["hours"])
        append(self.store, uow, {EVENTS: uow.info["events"], AUDIT: ended(uow.info["settled"])})

    def after_commit(self, uow: UnitOfWork) -> None:
        """Wake those who wait for an outcome, or for events, that are now readable."""
        if kept := uow.info.get("events"):
            self.components.notifier.tell(kept[-1]["position"])
        if self.components.intake.tell(fact for fact, _ in uow.info.get("settled", ())):
            self.notify(OUTCOMES)

    def on_notified(self) -> None:
        """Look for outcomes and events that another gateway has projected."""
        self.components.intake.called()
        self.components.notifier.called()


def _event_row(fact: Any, message: Message) -> dict[str, Any]:
    enterprise = getattr(fact, "enterprise_id", None)
    if getattr(fact, "holder_kind", None) is HolderKind.ENTERPRISE:
        enterprise = fact.holder_id
    about = {"enterprise_id": enterprise, "complaint_id": getattr(fact, "complaint_id", None)}
    row = row_of(message)
    return {name: row[name] for name in _KEPT} | about
