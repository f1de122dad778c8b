"""gateway: what it listens to, and what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, ClassVar

from sqlalchemy import text, true
from werkzeug.wrappers import Request

from chassis.green import pause
from chassis.message import Message
from chassis.retention import Aged, Aging
from chassis.sealing import Seal
from chassis.service import OUTCOMES, Service, on
from chassis.store import Ask, Work
from chassis.tables import outbox, row_of
from chassis.web import Route
from contracts.catalogue import contracts
from contracts.insurance import HolderKind
from contracts.message import Event
from contracts.shared import CommandSettled, HourSwept, ResendBegan
from rulebook import Rulebook
from services.gateway.acts import Acts
from services.gateway.callers import ENVIRON, Unauthenticated
from services.gateway.chains import AUDIT, EVENTS, append, ended
from services.gateway.clock import Clock, tally
from services.gateway.door import Door
from services.gateway.edge import Edge
from services.gateway.exporting import DAYS_KEPT, Exporting
from services.gateway.feed import Feed
from services.gateway.model import (
    PENDING,
    commands,
    counters,
    events,
    export_chunks,
    exports,
    metadata,
)
from services.gateway.news import News
from services.gateway.openings import Openings
from services.gateway.people import People, key_file
from services.gateway.permissions import Sight, allowed
from services.gateway.reads import Reads
from services.gateway.records import settle
from services.gateway.resources import FED_BY, VIEWS
from services.gateway.streams import Streams
from services.gateway.views import Page

SIGHT = "bihuan.sight"
_LOCK = text("LOCK TABLE events IN ROW EXCLUSIVE MODE")
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

    def on_start(self, tend: Callable[[Callable[[], None]], None]) -> None:
        """Open the door, and start the clock; raises `Misconfigured` without the keys it needs."""
        self.people.check()
        tend(self.door.run)
        tend(self.door.look)
        tend(self.clock.run)
        tend(self.exporting.run)
        tend(self.exporting.keep)
        tend(self.news.look)
        tend(self.sender.run)

    def on_stop(self) -> None:
        """Let those who wait go: their commands and exports are durable, and they know where to go
        on in the feed."""
        self.door.close()
        self.exporting.close()
        self.news.close()
        self.sender.stop()

    def routes(self) -> Iterable[Route]:
        """Give the routes, and what they need."""
        from services.gateway.routes import routes_of  # not in a process of another service, which
        from services.gateway.webhooks import Webhooks  # asks only what the gateway listens to

        reads, acts = Reads(self.store), Acts(self.store, self.seal, self.clock.now)
        edge = Edge(self.seal, reads.look, lambda: self.rulebook.on(self.clock.today()))
        yield from routes_of(self, reads, edge)
        yield from Openings(self.people, acts, reads).routes(self.sight)
        yield from Webhooks(self.store, self.feed, acts, self.seal, self.sender.outbound).routes()

    def on_setup(self) -> None:
        """Make what lives as long as the process, once the store is there."""
        from chassis.outbound import Outbound
        from services.gateway.home import Home
        from services.gateway.sending import Sender
        from services.gateway.tokens import issuer_of, verifier_of

        self.clock = Clock(self.store, manual=self.settings.clock == "manual", wake=self.wake)
        self.seal = self._seal()
        self.people = People(self.store, self.seal)
        self.door = Door(self.store, self.wake, self.clock.now, self.people)
        self.exporting = Exporting(Reads(self.store), self.rulebook)
        self.issuer = issuer_of(self.settings)
        self.verifier = verifier_of(self.settings, self.issuer)
        self.verifier.now = self.store.now
        if self.issuer is not None:
            self.issuer.now = self.store.now
        self.news = News(self.store)
        self.feed = Feed(self.store, self.rulebook, OFFERED)
        self.streams = Streams(self.feed, self.news, self.settings.streams)
        outbound = Outbound(private=self.settings.webhooks_to == "private")
        home = Home(self.store, self.settings.deployment)
        self.sender = Sender(
            self.store, self.feed, self.news, self.seal, outbound, self.leads, home
        )

    def _seal(self) -> Seal:
        """Read the key of what is sealed; raises `Misconfigured`."""
        is_new = self.store.last_seq_at_start == 0  # a key that is lost is not made anew
        create = not self.settings.seal_key_file and is_new
        return Seal.from_file(key_file(self.settings), create=create)

    def authorize(self, request: Request, route: Route) -> None:
        """Let nobody in who may not use the route; raises `Unauthenticated` and `Forbidden`."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated
        acting = self.verifier.caller(token.strip()).acting(allowed(route.method, route.path))
        request.environ[ENVIRON] = acting.caller
        request.environ[SIGHT] = Sight(self.rulebook, acting)

    def client_of(self, request: Request) -> str | None:
        """Tell which caller a request is of, once it is admitted."""
        caller = request.environ.get(ENVIRON)
        return f"caller {caller.known_as}" if caller else None

    @staticmethod
    def sight(request: Request) -> Sight:
        """Give what the caller of a request sees."""
        seen: Sight = request.environ[SIGHT]
        return seen

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
        page.load(db, messages, *([] if self.store.is_sqlite else [Ask(_LOCK)]))
        db.info.update(page=page, events=[], settled=[], hours=[])

    def before_commit(self, db: Work) -> None:
        """Write the events, the documents, the figures and the outcomes of a batch."""
        if "page" not in db.info:
            return
        moved = db.info["page"].write(db, VIEWS)
        rows = [{"name": name, "value": by} for name, by in sorted(moved.items()) if by]
        db.at_end(self.store.insert_or_add(counters, ["name"]), rows)
        settle(db, [fact for fact, _ in db.info["settled"]])
        tally(self.store, db, db.info["hours"])
        append(self.store, db, {EVENTS: db.info["events"], AUDIT: ended(db.info["settled"])})

    def after_commit(self, db: Work) -> None:
        """Wake those who wait for an outcome, or for events, that are now readable."""
        if kept := db.info.get("events"):
            self.news.tell(kept[-1]["position"])
        if self.door.tell(fact for fact, _ in db.info.get("settled", ())):
            self.call(OUTCOMES)

    def on_notified(self) -> None:
        """Look for outcomes and events that another gateway has projected."""
        self.door.called()
        self.news.called()

    # -- time

    def wait_for_hour(self, hour_id: str, seconds: float) -> bool:
        """Wait until every service has handled an hour and what fell due; False if time is up."""
        until = monotonic() + seconds
        while not (self.clock.all_swept(hour_id) and (self.quiet is None or self.quiet())):
            if monotonic() >= until:
                return False
            pause(0.005)
        return True


def _event_row(fact: Any, message: Message) -> dict[str, Any]:
    enterprise = getattr(fact, "enterprise_id", None)
    if getattr(fact, "holder_kind", None) is HolderKind.ENTERPRISE:
        enterprise = fact.holder_id
    about = {"enterprise_id": enterprise, "complaint_id": getattr(fact, "complaint_id", None)}
    row = row_of(message)
    return {name: row[name] for name in _KEPT} | about
