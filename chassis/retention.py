"""Retention: old rows of the outbox, the inbox and the service's own logs go, a few at a time.

What a receiver remembers must reach further back than what anybody may send again: the inbox is
kept longer than the outbox (`Settings`), and it is noted up to when the inbox was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Table, bindparam, delete, literal_column, select

from chassis import metrics
from chassis.green import pause
from chassis.logs import log
from chassis.settings import Settings
from chassis.store import STORAGE_ERRORS, Store
from chassis.tables import deployment, inbox, outbox

AT_ONCE = 500
"""Rows that go in one transaction, so that nobody waits for it."""
BREATH = 0.05
"""Seconds between two transactions."""
EVERY = 60.0
DAY = 86_400.0
FORGOTTEN = "inbox forgotten"
"""Name of the deployment row that says up to when the inbox has been forgotten."""


class Aged(NamedTuple):
    """Which rows of a table go: those whose identity, a UUIDv7, is so many `days` old, and of which
    `ended` holds. Without `days` they are kept as long as the inbox.
    """

    identity: Column[Any]
    ended: Any
    days: float | None = None


Aging = Mapping[Table, Aged]


class Retention:
    """Takes away what is old, in the replica that relays."""

    def __init__(
        self, store: Store, settings: Settings, aging: Aging, active: Callable[[], bool]
    ) -> None:
        self.store = store
        self.settings = settings
        self.active = active
        self._aging = aging

    def run(self) -> None:
        """Look every minute, for ever."""
        while True:
            try:
                if self.active() and self.store.clock.agrees:  # what has gone does not come back
                    self.sweep(self.store.now())
            except STORAGE_ERRORS as error:
                log(self.store.service).warning("retention put off", error=str(error))
            pause(EVERY)

    def sweep(self, now: float) -> dict[str, int]:
        """Take away all that is too old; gives how many rows of each table went."""
        sent_before = now - self.settings.keep_outbox * DAY
        handled_before = now - self.settings.keep_inbox * DAY
        oldest = select(outbox.c.seq).order_by(outbox.c.seq).limit(AT_ONCE)
        gone = {
            "outbox": self._take_away(
                outbox, outbox.c.seq.in_(oldest), outbox.c.sent_at < sent_before
            )
        }
        some = select(inbox.c.id).limit(AT_ONCE)
        if self.store.is_sqlite:  # in the order of writing; PostgreSQL has an index of the times
            some = some.order_by(literal_column("rowid"))
        else:
            some = some.where(inbox.c.handled_at < handled_before)
        gone["inbox"] = self._take_away(
            inbox,
            inbox.c.id.in_(some),
            inbox.c.handled_at < handled_before,
            forgotten=handled_before,
        )
        for table, (identity, ended, days) in self._aging.items():
            moment = handled_before if days is None else now - days * DAY
            old = f"{int(moment * 1000):012x}"
            before = f"{old[:8]}-{old[8:]}"
            rows = select(identity).where(identity < before, ended).order_by(identity)
            gone[table.name] = self._take_away(table, identity.in_(rows.limit(AT_ONCE)))
        return gone

    def _take_away(self, table: Table, which: Any, *old: Any, forgotten: float = 0.0) -> int:
        """Delete rows until there are none left that are old."""
        total = 0
        while True:
            with self.store.write() as work:
                if forgotten:
                    work.execute(
                        self.store.insert_or_replace(deployment, "name"),
                        {"name": FORGOTTEN, "value": str(forgotten)},
                    )
                gone = int(work.execute(delete(table).where(which, *old)).rowcount)  # type: ignore[attr-defined]
            total += gone
            metrics.RETIRED.labels(self.store.service, table.name).inc(gone)
            if gone < AT_ONCE:
                return total
            pause(BREATH)


def remembered_since(store: Store) -> float:
    """Tell from when on the inbox remembers all that was handled (s since 1970; 0 for always)."""
    query = select(deployment.c.value).where(deployment.c.name == bindparam("name"))
    with store.engine.connect() as connection:
        return float(connection.scalar(query, {"name": FORGOTTEN}) or 0.0)
