"""Time as a message: how a service finds what an hour makes due, oldest first and page by page."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import select, tuple_

from chassis.ids import derived_id
from chassis.message import encode
from chassis.service import on
from chassis.storage.tables import outbox
from chassis.storage.unit_of_work import Work
from contracts.gateway import HourBegan
from contracts.message import Command
from contracts.shapes import Id
from contracts.shared import HourSwept, SweepHour

PAGE = 100


class Due(NamedTuple):
    """A case that has fallen due: where it stands in the order, and the command that deals with it.

    The command names the case, the level and the due time, and nothing that changes from one hour
    to the next: its id follows from its content, so that a case is dealt with once however often
    the hour is looked at.
    """

    cursor: list[str]
    command: Command


def page_of(query: Any, day: Any, identity: Any, after: list[str], most: int) -> Any:
    """Order a query by day and identity, the oldest first, and go on after a cursor of the two."""
    query = query.order_by(day, identity).limit(most)
    if after:
        query = query.where(tuple_(day, identity) > tuple_(date.fromisoformat(after[0]), after[1]))
    return query


class SweepsHours:
    """Mixed into a service that has deadlines. It changes no aggregate: it sends commands."""

    sweeps: tuple[str, ...] = ("due",)
    """Names of the methods that find due cases, each `(db, after, most) -> list[Due]`."""

    @on(HourBegan)
    def hour_began(self, fact: HourBegan, db: Work) -> None:
        """Find the first page of what is due."""
        self._sweep(db, db.message.id, fact.at, self.sweeps[0], [])

    @on(SweepHour)
    def sweep_on(self, command: SweepHour, db: Work) -> None:
        """Find the next page of what is due."""
        self._sweep(db, command.hour_id, command.at, command.sweep, command.after)

    def _sweep(self, db: Work, hour: str, at: datetime, sweep: str, after: list[str]) -> None:
        page: list[Due] = getattr(self, sweep)(db, after, PAGE)
        sent = self._send(db, [case.command for case in page])
        rest = self._rest(sweep, page)
        if rest:
            next_sweep, cursor = rest
            following = SweepHour(hour_id=Id(hour), at=at, sweep=next_sweep, after=cursor)
            db.record(following, identity=derived_id(db.source, hour, next_sweep, *cursor))
        db.record(HourSwept(hour_id=Id(hour), at=at, cases=sent, last=rest is None))

    def _rest(self, sweep: str, page: list[Due]) -> tuple[str, list[str]] | None:
        if len(page) == PAGE:
            return sweep, page[-1].cursor
        following = self.sweeps[self.sweeps.index(sweep) + 1 :]
        return (following[0], []) if following else None

    def _send(self, db: Work, commands: list[Any]) -> int:
        """Send what was not sent in an earlier hour; give how many that were."""
        by_id = {derived_id(c.type, encode(c.to_data())): c for c in commands}
        known = set(db.scalars(select(outbox.c.id).where(outbox.c.id.in_(by_id))))
        for identity, command in by_id.items():
            if identity not in known:
                db.record(command, identity=identity)
        return len(by_id) - len(known)
