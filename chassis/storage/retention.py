"""Retention: deletes old rows of the outbox, the inbox and the service's own logs, a few at a time.

A receiver's inbox must reach further back than any resend: it is kept longer than the outbox
(`Settings`). The newest deleted inbox row of each publisher is recorded: an older message that is
not in the inbox may have been handled or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, delete, exists, func, select
from sqlalchemy.orm import Session

from chassis import metrics
from chassis.ids import moment_of
from chassis.logs import log
from chassis.runtime.green import pause
from chassis.settings import Settings
from chassis.storage.clock import MARGIN
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from chassis.storage.tables import deployment, inbox, origin_of, outbox, parked_messages, resends
from chassis.storage.unit_of_work import UnitOfWork

AT_ONCE = 500
"""Rows deleted in one transaction, so that others do not wait long for it."""
BREATH = 0.05
"""Seconds between two transactions."""
EVERY = 60.0
DAY = 86_400.0
FORGOTTEN = "inbox forgotten"
"""Prefix of the names of the deployment rows that record up to when (s since 1970) the inbox rows
of a publisher were deleted: its number follows. Without a number it holds for all publishers, for
rows of unknown origin."""
LET_GO = "outbox let go"
"""Name of the deployment row that records up to when sent rows were deleted from the outbox."""


class RetentionPolicy(NamedTuple):
    """Which rows of a table are deleted: those whose id, a UUIDv7, is `days` old, and for which
    `ended` holds. Without `days` they are kept as long as the inbox. The moment in the column
    `last`, if any, must be as old too.
    """

    identity: Column[Any]
    ended: Any
    days: float | None = None
    last: Column[Any] | None = None


RetentionPolicies = Mapping[Table, RetentionPolicy]


class Noted(NamedTuple):
    """What is recorded of deleted rows: from these columns, a name and a moment (s since 1970)."""

    columns: tuple[Column[Any], ...]
    of: Callable[..., tuple[str, float]]


class Retention:
    """Deletes old rows, in the replica that relays."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        retention_policies: RetentionPolicies,
        active: Callable[[], bool],
    ) -> None:
        self.store = store
        self.settings = settings
        self.active = active
        self._policies = retention_policies

    def run(self) -> None:
        """Delete old rows every minute, for ever."""
        while True:
            try:
                if self.active() and self.store.clock.agrees:  # a deletion is final
                    self.sweep()
            except STORAGE_ERRORS as error:
                log(self.store.service).warning("retention put off", error=str(error))
            pause(EVERY)

    def sweep(self, now: float | None = None) -> dict[str, int]:
        """Delete all rows that are too old, by the database's clock unless `now` is given (s since
        1970); return how many rows of each table."""
        if now is None:
            with self.store.read() as session:
                now = self.store.seconds(session)
        sent_before = now - self.settings.keep_outbox * DAY
        handled_before = now - self.settings.keep_inbox * DAY
        oldest = select(outbox.c.seq).where(outbox.c.sent_at.is_not(None)).order_by(outbox.c.seq)
        to_send_again = select(func.min(resends.c.cursor)).where(resends.c.done_at.is_(None))
        gone = {
            "outbox": self._take_away(
                outbox,
                outbox.c.seq.in_(oldest.limit(AT_ONCE)),
                outbox.c.sent_at < sent_before,
                outbox.c.seq <= func.coalesce(to_send_again.scalar_subquery(), outbox.c.seq),
                noted=Noted((outbox.c.sent_at,), lambda sent_at: (LET_GO, sent_at)),
            )
        }
        # a parked message could be resent beside its parked row
        place = self.store.dialect.position(inbox.c.id + " ", " ")
        its_id = func.substr(inbox.c.id, 1, place - 1)
        some = (
            select(inbox.c.id).where(~exists().where(parked_messages.c.id == its_id)).limit(AT_ONCE)
        )
        some = self.store.dialect.oldest(some, inbox.c.handled_at, handled_before)
        gone["inbox"] = self._take_away(
            inbox,
            inbox.c.id.in_(some),
            inbox.c.handled_at < handled_before,
            noted=Noted((inbox.c.id, inbox.c.origin, inbox.c.handled_at), _forgotten),
        )
        for table, (identity, ended, days, last) in self._policies.items():
            moment = handled_before if days is None else now - days * DAY
            old = f"{int(moment * 1000):012x}"
            before = f"{old[:8]}-{old[8:]}"
            rows = select(identity).where(identity < before, ended).order_by(identity)
            rows = rows if last is None else rows.where(last < moment)
            gone[table.name] = self._take_away(table, identity.in_(rows.limit(AT_ONCE)))
        return gone

    def _take_away(self, table: Table, which: Any, *old: Any, noted: Noted | None = None) -> int:
        """Delete old rows until there are none left, and record up to when."""
        total = 0
        while True:
            leaving = delete(table).where(which, *old)
            with self.store.write() as uow:
                if noted is None:
                    gone = int(uow.execute(leaving).rowcount)  # type: ignore[attr-defined]
                else:
                    rows = uow.execute(leaving.returning(*noted.columns)).all()
                    gone = len(rows)
                    self._note(uow, [noted.of(*row) for row in rows])
            total += gone
            metrics.RETIRED.labels(self.store.service, table.name).inc(gone)
            if gone < AT_ONCE:
                return total
            pause(BREATH)

    def _note(self, uow: UnitOfWork, marks: Iterable[tuple[str, float]]) -> None:
        """Record the newest moment of each name."""
        newest = dict(sorted(marks))
        rows = [{"name": name, "value": str(moment)} for name, moment in newest.items()]
        if rows:
            uow.execute(self.store.statements.insert_or_advance(deployment, "name", "value"), rows)


def _forgotten(identity: str, origin: int | None, handled_at: float) -> tuple[str, float]:
    """Return the name of the row that records a deleted receipt, and when its message was created:
    by its id, or at the latest when it was handled, by a clock that may differ."""
    latest = handled_at + MARGIN
    name = FORGOTTEN if origin is None else f"{FORGOTTEN} {origin}"
    return name, min(moment_of(identity) or latest, latest)


def remembered_since(store: Store, source: str) -> float:
    """Return from when on the inbox holds all messages of a publisher (s since 1970; 0 for always).

    An earlier message that is not in the inbox may have been handled or not.
    """
    with store.read() as session:
        return forgotten_of(session, {source}).get(source, 0.0)


def forgotten_of(session: Session, sources: Iterable[str]) -> dict[str, float]:
    """Return up to when (s since 1970) the inbox rows of these publishers were deleted."""
    names = {source: f"{FORGOTTEN} {origin_of(source)}" for source in sources}
    rows = session.execute(
        select(deployment).where(deployment.c.name.in_({FORGOTTEN, *names.values()}))
    )
    noted = {row.name: float(row.value) for row in rows}
    anyones = noted.get(FORGOTTEN, 0.0)
    return {source: max(noted.get(name, 0.0), anyones) for source, name in names.items()}


def let_go_until(session: Session | Connection) -> float:
    """Return up to when sent rows were deleted from the outbox (s since 1970)."""
    query = select(deployment.c.value).where(deployment.c.name == LET_GO)
    return float(session.scalar(query) or 0.0)
