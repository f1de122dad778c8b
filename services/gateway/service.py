"""gateway: what it listens to, and what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import true
from werkzeug.wrappers import Request

from chassis.http.responses import Route
from chassis.message import Message
from chassis.service import OUTCOMES, Service, on
from chassis.storage.retention import Aged, Aging
from chassis.storage.tables import outbox, row_of
from chassis.storage.unit_of_work import Work
from contracts.catalogue import contracts
from contracts.insurance import HolderKind
from contracts.message import Event
from contracts.shared import CommandSettled, HourSwept, ResendBegan
from rulebook import Rulebook
from services.gateway.access.callers import ENVIRON, Unauthenticated
from services.gateway.access.permissions import allowed
from services.gateway.access.scope import SIGHT, Sight
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
    at_once = False  # what it says, it says when it is asked or an hour begins
    rulebook: Rulebook
    """What phones take along, and which papers there are; no other command is judged by it here."""
    aging: ClassVar[Aging] = {
        commands: Aged(commands.c.id, commands.c.state != PENDING, last=commands.c.settled_at),
        export_chunks: Aged(export_chunks.c.id, true(), DAYS_KEPT),
        exports: Aged(exports.c.id, true(), DAYS_KEPT),
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
            leads=self.leads,
            quiet=self.quiet,
        )

    def on_start(self, tend: Callable[[Callable[[], None]], None]) -> None:
        """Start the loops; raises `Misconfigured` without the keys it needs."""
        self.components.people.check()
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
        acting = self.components.verifier.caller(token.strip()).acting(
            allowed(route.method, route.path)
        )
        request.environ[ENVIRON] = acting.caller
        request.environ[SIGHT] = Sight(self.rulebook, acting)

    def client_of(self, request: Request) -> str | None:
        """Tell which caller a request is of, once it is admitted."""
        caller = request.environ.get(ENVIRON)
        return f"caller {caller.known_as}" if caller else None

    # -- what others say

    @on(*FACTS)
    def keep(self, fact: Event, db: Work) -> None:
        """Keep every event, and project it."""
        message = db.message
        db.info["events"].append(_event_row(fact, message))
        db.info["page"].apply(message)

    @on(CommandSettled)
    def take_outcome(self, fact: CommandSettled, db: Work) -> None:
        """Note how a command ended."""
        db.info["settled"].append((fact, db.message.envelope.time))
        db.info["hours"].append(db.message)

    @on(HourSwept)
    def take_sweep(self, _fact: HourSwept, db: Work) -> None:
        """Note what a service found due in an hour."""
        db.info["hours"].append(db.message)

    def before_batch(self, messages: list[Message], db: Work) -> None:
        """Load at once every document that a batch may change.

        A rebuild locks `events` too: it never repairs a document between its loading here and its
        writing. On SQLite the transaction alone is enough.
        """
        page = Page(self.store, FED_BY)
        page.load(db, messages, *self.store.dialect.lock_table(events, "ROW EXCLUSIVE"))
        db.info.update(page=page, events=[], settled=[], hours=[])

    def before_commit(self, db: Work) -> None:
        """Write the events, the documents, the figures and the outcomes of a batch."""
        if "page" not in db.info:
            return
        moved = db.info["page"].write(db, VIEWS)
        rows = [{"name": name, "value": by} for name, by in sorted(moved.items()) if by]
        db.at_end(self.store.statements.insert_or_add(counters, ["name"]), rows)
        settle(db, [fact for fact, _ in db.info["settled"]])
        tally(self.store, db, db.info["hours"])
        append(self.store, db, {EVENTS: db.info["events"], AUDIT: ended(db.info["settled"])})

    def after_commit(self, db: Work) -> None:
        """Wake those who wait for an outcome, or for events, that are now readable."""
        if kept := db.info.get("events"):
            self.components.news.tell(kept[-1]["position"])
        if self.components.door.tell(fact for fact, _ in db.info.get("settled", ())):
            self.call(OUTCOMES)

    def on_notified(self) -> None:
        """Look for outcomes and events that another gateway has projected."""
        self.components.door.called()
        self.components.news.called()


def _event_row(fact: Any, message: Message) -> dict[str, Any]:
    enterprise = getattr(fact, "enterprise_id", None)
    if getattr(fact, "holder_kind", None) is HolderKind.ENTERPRISE:
        enterprise = fact.holder_id
    about = {"enterprise_id": enterprise, "complaint_id": getattr(fact, "complaint_id", None)}
    row = row_of(message)
    return {name: row[name] for name in _KEPT} | about
