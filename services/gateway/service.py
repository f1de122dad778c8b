"""gateway: what it listens to, and what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import insert

from chassis.green import pause
from chassis.message import Message
from chassis.sealing import Seal
from chassis.service import Service, on
from chassis.store import Work
from chassis.tables import outbox, row_of
from chassis.web import Route
from contracts.catalogue import contracts
from contracts.insurance import HolderKind
from contracts.message import Event
from contracts.shared import CommandSettled, HourSwept
from services.gateway.clock import Clock, tally
from services.gateway.door import Door
from services.gateway.edge import Edge
from services.gateway.model import counters, events, metadata
from services.gateway.projections import FED_BY, VIEWS
from services.gateway.reads import Reads
from services.gateway.records import settle
from services.gateway.routes import routes_of
from services.gateway.views import Page

_KEEP = insert(events)
_KEPT = [column.name for column in events.columns if column.name in outbox.columns]
FACTS = tuple(
    kind
    for kind in contracts().values()
    if issubclass(kind, Event) and kind not in (CommandSettled, HourSwept)
)


class Gateway(Service):
    """Takes commands in, keeps every event, and answers queries from its own read models."""

    name = "gateway"
    metadata = metadata
    quiet: Callable[[], bool] | None = None
    """Tells whether nothing is under way anywhere, where one process can know."""

    def started(self, tend: Callable[[Callable[[], None]], None]) -> None:
        """Open the door, and start the clock."""
        tend(self.door.run)
        tend(self.door.look)
        tend(self.clock.run)

    def stopping(self) -> None:
        """Let those who wait go; their commands are durable."""
        self.door.close()

    def routes(self) -> Iterable[Route]:
        """Build what the routes need, and give them."""
        given = self.settings.seal_key_file
        key_file = Path(given) if given else self.settings.data / "seal.key"
        is_new = self.store.last_seq_at_start == 0  # a key that is lost is not made anew
        seal = Seal.from_file(key_file, create=not given and is_new)
        reads = Reads(self.store)
        return routes_of(self, reads, Edge(seal, reads.look))

    def opened(self) -> None:
        """Make the door and the clock, once the store is there."""
        self.clock = Clock(self.store, manual=self.settings.clock == "manual", wake=self.wake)
        self.door = Door(self.store, self.wake, self.clock.now)

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
        db.info["settled"].append(fact)
        db.info["hours"].append(db.message)

    @on(HourSwept)
    def take_sweep(self, _fact: HourSwept, db: Work) -> None:
        """Note what a service found due in an hour."""
        db.info["hours"].append(db.message)

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Load at once every document that a batch may change."""
        page = Page(self.store, FED_BY)
        page.load(db, messages)
        db.info.update(page=page, events=[], settled=[], hours=[])

    def finish(self, db: Work) -> None:
        """Write the events, the documents, the figures and the outcomes of a batch."""
        if "page" not in db.info:
            return
        if db.info["events"]:
            self.store.write_rows(db, _KEEP, db.info["events"])
        moved = db.info["page"].write(db, VIEWS)
        rows = [{"name": name, "value": by} for name, by in sorted(moved.items()) if by]
        if rows:
            self.store.write_rows(db, self.store.insert_or_add(counters, ["name"]), rows)
        settle(self.store, db, db.info["settled"])
        tally(self.store, db, db.info["hours"])

    def committed(self, db: Work) -> None:
        """Wake those who wait for an outcome that is now readable."""
        self.door.settled(fact.command_id for fact in db.info.get("settled", ()))

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
