"""The clock: publishes that an hour has begun, once for all gateways.

The time is the database's, and no hour begins while this machine's clock disagrees: what an hour
makes overdue cannot be undone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from time import monotonic

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chassis.errors import Conflict, Invalid, at
from chassis.ids import derived_id
from chassis.logs import log
from chassis.message import Message
from chassis.runtime.green import pause
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from chassis.storage.tables import outbox
from chassis.storage.unit_of_work import SHANGHAI, UnitOfWork
from contracts.gateway import HourBegan
from contracts.message import Envelope
from contracts.shapes import moment_from_json, moment_to_json
from contracts.shared import SWEEPERS, CommandSettled, HourSwept, SweepHour
from services.gateway.tables import clock, hours

LOOK_EVERY = 1.0
"""Interval of checks for a new hour, in seconds."""


class ClockIsReal(Conflict):
    """The district runs on the real clock, which cannot be set."""


class ClockNotSet(Conflict):
    """The manual clock has not been set; set it by POST /v1/clock."""


class ClockRunsForward(Conflict):
    """The clock is already later than that."""


class NotAnHour(Invalid):
    """The clock moves by whole hours."""


class Clock:
    """The time of the district: real, or manual for replays."""

    def __init__(
        self,
        store: Store,
        *,
        manual: bool,
        wake: Callable[[], None],
        quiet: Callable[[], bool] | None = None,
    ) -> None:
        self.store = store
        self.manual = manual
        self._wake = wake
        self._quiet = quiet
        """Return whether the district is idle, where one process can know."""
        self._withheld = False
        self._log = log("gateway")

    def now(self, uow: Session) -> datetime:
        """Return the time, within a transaction; raises `ClockNotSet`."""
        if not self.manual:
            return datetime.fromtimestamp(self.store.now(), UTC)
        text = uow.scalar(select(clock.c.at).where(clock.c.name == "now"))
        if text is None:
            raise ClockNotSet
        return moment_from_json(text)

    def today(self) -> date:
        """Return the day, in Shanghai; raises `ClockNotSet`."""
        if not self.manual:
            return datetime.fromtimestamp(self.store.now(), SHANGHAI).date()
        with self.store.read() as session:
            return self.now(session).astimezone(SHANGHAI).date()

    def set(self, moment: datetime) -> str:
        """Move the manual clock to the beginning of an hour and publish it; return the hour's
        id."""
        if not self.manual:
            raise ClockIsReal
        moment = moment.astimezone(UTC)
        if moment != _hour_of(moment):
            raise NotAnHour(errors=[at("at", "is not the beginning of an hour")])
        with self.store.write() as uow:
            text = uow.scalar(select(clock.c.at).where(clock.c.name == "now"))
            if text and moment_from_json(text) > moment:
                raise ClockRunsForward(now=text)
            uow.execute(
                self.store.statements.insert_or_replace(clock, "name"),
                {"name": "now", "at": moment_to_json(moment)},
            )
            identity = _publish(uow, moment)
        self._wake()
        return identity

    def run(self) -> None:
        """Publish each hour of the real clock as it begins, and the current one at the start."""
        published = None
        while not self.manual:
            hour = _hour_of(datetime.fromtimestamp(self.store.now(), UTC))
            if hour != published:
                try:
                    published = self._begin_hour(published)
                except IntegrityError:
                    published = hour  # another gateway has published it
                except STORAGE_ERRORS:
                    pass  # it is checked again soon
            pause(LOOK_EVERY)

    def _begin_hour(self, published: datetime | None) -> datetime | None:
        """Publish the current hour if the clocks agree; return the last published hour."""
        with self.store.write() as uow:
            now = self.store.seconds(uow)
            if not self.store.clock.agrees:
                if not self._withheld:
                    self._log.error("hour withheld", says=self.store.clock.difference(now))
                self._withheld = True
                return published
            hour = _hour_of(datetime.fromtimestamp(now, UTC))
            _publish(uow, hour)
        self._withheld = False
        self._wake()
        return hour

    def wait_until_swept(self, hour_id: str, seconds: float) -> bool:
        """Wait until every service has handled an hour and its due cases; return False after a
        timeout."""
        until = monotonic() + seconds
        while not (self.all_swept(hour_id) and (self._quiet is None or self._quiet())):
            if monotonic() >= until:
                return False
            pause(0.005)
        return True

    def all_swept(self, hour_id: str) -> bool:
        """Return whether every service has handled the hour and each of its due cases."""
        with self.store.read() as session:
            rows = session.execute(select(hours).where(hours.c.hour_id == hour_id)).all()
        finished = {row.service for row in rows if row.last and row.settled >= row.cases}
        return finished.issuperset(SWEEPERS)


def tally(store: Store, uow: UnitOfWork, messages: list[Message]) -> None:
    """Count the cases that services found due in an hour, and the settled ones."""
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for message in messages:
        event, source = message.payload, message.envelope.source
        if isinstance(event, HourSwept):
            sums[event.hour_id, source].update(cases=event.cases, last=int(event.last))
        elif _of_an_hour(message):
            sums[message.envelope.correlationid, source].update(settled=1)
    rows = [
        {
            "hour_id": hour,
            "service": service,
            **{name: counted[name] for name in ("cases", "settled", "last")},
        }
        for (hour, service), counted in sorted(sums.items())
    ]
    uow.at_end(store.statements.insert_or_add(hours, ["hour_id", "service"]), rows)


def _of_an_hour(message: Message) -> bool:
    """Return whether the message settles a case that a service sent to itself in an hour."""
    event = message.payload
    return (
        isinstance(event, CommandSettled)
        and event.command != SweepHour.type
        and event.command_id != message.envelope.correlationid
    )


def _publish(uow: UnitOfWork, moment: datetime) -> str:
    event = HourBegan(at=moment)
    identity = derived_id(event.type, moment_to_json(moment))
    if uow.scalar(select(outbox.c.id).where(outbox.c.id == identity)) is None:
        envelope = Envelope(
            identity, "gateway", event.type, moment_to_json(moment), event.key, identity
        )
        uow.outbox.append(Message.of(event, envelope))
    return identity


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


Now = Callable[[UnitOfWork], datetime]
