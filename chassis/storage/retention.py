"""Retention: old rows of the outbox, the inbox and the service's own logs go, a few at a time.

What a receiver remembers must reach further back than what anybody may send again: the inbox is
kept longer than the outbox (`Settings`). What was forgotten is noted, of each publisher, up to the
newest: what is older than that, and not in the inbox, may have been handled or not.
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
"""Rows that go in one transaction, so that nobody waits for it."""
BREATH = 0.05
"""Seconds between two transactions."""
EVERY = 60.0
DAY = 86_400.0
FORGOTTEN = "inbox forgotten"
"""Beginning of the names of the deployment rows that say up to when (s since 1970) what a publisher
made has been forgotten: its number follows. That alone is for whoever sent it, or for rows of which
that is not known."""
LET_GO = "outbox let go"
"""Name of the deployment row that says up to when what was sent has gone from the outbox."""


class RetentionPolicy(NamedTuple):
    """Which rows of a table go: those whose identity, a UUIDv7, is so many `days` old, and of which
    `ended` holds. Without `days` they are kept as long as the inbox. Where there is a column
    `last`, the moment in it must be as old too.
    """

    identity: Column[Any]
    ended: Any
    days: float | None = None
    last: Column[Any] | None = None


RetentionPolicies = Mapping[Table, RetentionPolicy]


class Noted(NamedTuple):
    """What is noted of rows that go: from these columns, a name and a moment (s since 1970)."""

    columns: tuple[Column[Any], ...]
    of: Callable[..., tuple[str, float]]


class Retention:
    """Takes away what is old, in the replica that relays."""

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
        """Look every minute, for ever."""
        while True:
            try:
                if self.active() and self.store.clock.agrees:  # what has gone does not come back
                    self.sweep()
            except STORAGE_ERRORS as error:
                log(self.store.service).warning("retention put off", error=str(error))
            pause(EVERY)

    def sweep(self, now: float | None = None) -> dict[str, int]:
        """Take away all that is too old, by the database's own word unless a moment is given (s
        since 1970); gives how many rows of each table went."""
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
        # what is still to be handled could come once more beside its parked message
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
        """Delete rows until there are none left that are old, and note what has gone."""
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
        """Keep the newest moment of each name."""
        newest = dict(sorted(marks))
        rows = [{"name": name, "value": str(moment)} for name, moment in newest.items()]
        if rows:
            uow.execute(self.store.statements.insert_or_advance(deployment, "name", "value"), rows)


def _forgotten(identity: str, origin: int | None, handled_at: float) -> tuple[str, float]:
    """Name the row that notes a receipt which goes, and tell when its message was made: by its id,
    or at the latest when it was handled, by a clock that may differ."""
    latest = handled_at + MARGIN
    name = FORGOTTEN if origin is None else f"{FORGOTTEN} {origin}"
    return name, min(moment_of(identity) or latest, latest)


def remembered_since(store: Store, source: str) -> float:
    """Tell from when on the inbox remembers all that a publisher made (s since 1970; 0 for always).

    What was made before, and is not in the inbox, may have been handled or not.
    """
    with store.read() as session:
        return forgotten_of(session, {source}).get(source, 0.0)


def forgotten_of(session: Session, sources: Iterable[str]) -> dict[str, float]:
    """Tell up to when (s since 1970) what these publishers made has been forgotten."""
    names = {source: f"{FORGOTTEN} {origin_of(source)}" for source in sources}
    rows = session.execute(
        select(deployment).where(deployment.c.name.in_({FORGOTTEN, *names.values()}))
    )
    noted = {row.name: float(row.value) for row in rows}
    anyones = noted.get(FORGOTTEN, 0.0)
    return {source: max(noted.get(name, 0.0), anyones) for source, name in names.items()}


def let_go_until(session: Session | Connection) -> float:
    """Tell up to when what was sent has gone from the outbox (s since 1970)."""
    query = select(deployment.c.value).where(deployment.c.name == LET_GO)
    return float(session.scalar(query) or 0.0)
