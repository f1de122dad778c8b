"""Time as a message: how a service finds the cases due at an hour, oldest first and page by
page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import select, tuple_

from chassis.ids import derived_id
from chassis.message import encode
from chassis.service import on
from chassis.storage.tables import outbox
from chassis.storage.unit_of_work import UnitOfWork
from contracts.gateway import HourBegan
from contracts.message import Command
from contracts.shapes import Id
from contracts.shared import HourSwept, SweepHour

PAGE = 100


class Due(NamedTuple):
    """A case that is due: its position in the order, and the command that handles it.

    The command names the case, the level and the due time, and nothing that changes from hour to
    hour: its id is derived from its content, so that a case is handled once even if an hour is
    swept repeatedly.
    """

    cursor: list[str]
    command: Command


Finder = Callable[[Any, list[str], int], list[Due]]
"""Finds at most `most` cases after a cursor: `(uow, after, most)`."""


def page_of(query: Any, day: Any, identity: Any, after: list[str], most: int) -> Any:
    """Return a query ordered by day and id, oldest first, that continues after a cursor of the
    two."""
    query = query.order_by(day, identity).limit(most)
    if after:
        query = query.where(tuple_(day, identity) > tuple_(date.fromisoformat(after[0]), after[1]))
    return query


class Sweeps:
    """The handlers of a service with deadlines. They change no aggregate: they send commands.

    `finders` find the due cases, each under its name, and are called in this order.
    """

    def __init__(self, *finders: Finder) -> None:
        self.finders = {finder.__name__: finder for finder in finders}

    @on(HourBegan)
    def hour_began(self, event: HourBegan, uow: UnitOfWork) -> None:
        """Send the commands of the first page of due cases."""
        self._sweep(uow, uow.message.id, event.at, next(iter(self.finders)), [])

    @on(SweepHour)
    def sweep_on(self, command: SweepHour, uow: UnitOfWork) -> None:
        """Send the commands of the next page of due cases."""
        self._sweep(uow, command.hour_id, command.at, command.sweep, command.after)

    def _sweep(
        self, uow: UnitOfWork, hour: str, at: datetime, sweep: str, after: list[str]
    ) -> None:
        page = self.finders[sweep](uow, after, PAGE)
        sent = _send(uow, [case.command for case in page])
        rest = self._rest(sweep, page)
        if rest:
            next_sweep, cursor = rest
            following = SweepHour(hour_id=Id(hour), at=at, sweep=next_sweep, after=cursor)
            uow.record(following, identity=derived_id(uow.source, hour, next_sweep, *cursor))
        uow.record(HourSwept(hour_id=Id(hour), at=at, cases=sent, last=rest is None))

    def _rest(self, sweep: str, page: list[Due]) -> tuple[str, list[str]] | None:
        if len(page) == PAGE:
            return sweep, page[-1].cursor
        names = [*self.finders]
        following = names[names.index(sweep) + 1 :]
        return (following[0], []) if following else None


def _send(uow: UnitOfWork, commands: list[Command]) -> int:
    """Send the commands that no earlier hour has sent, and return their number."""
    by_id = {derived_id(c.type, encode(c.to_data())): c for c in commands}
    sent = set(uow.scalars(select(outbox.c.id).where(outbox.c.id.in_(by_id))))
    for identity, command in by_id.items():
        if identity not in sent:
            uow.record(command, identity=identity)
    return len(by_id) - len(sent)
