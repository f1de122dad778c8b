"""Deliveries as they are stored: which events a webhook is still to get, and what was tried.

The events themselves are not copied: up to its cursor a webhook has a row for each event that it
wants, and beyond it the feed says what there is.

Whoever writes both a webhook and deliveries of it writes the webhook first, so that no two wait for
each other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from services.gateway.event_log.chain import END
from services.gateway.tables import (
    ACTIVE,
    DELIVERED,
    DISABLED,
    WAITING,
    deliveries,
    webhook_secrets,
    webhooks,
)

MOST_WAITING = 1000
"""Deliveries of a webhook that may wait; until there are fewer, no more is taken from the feed."""
KEPT = 7 * 86_400.0
"""Seconds for which is kept what became of a delivery."""
AT_ONCE = 500
"""Rows that go in one transaction."""
_END = END.scalar_subquery()


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt, and what it means for the delivery and for its webhook.

    `state` is that of the delivery from now on. `try_at` is when it is tried again, if it is.
    `counts` says whether this was one of the attempts that there are. `pause_until` leaves the
    webhook alone until then, and `disabled` for good, for the reason given.
    """

    state: str
    at: float
    status: int | None = None
    error: str = ""
    try_at: float = 0.0
    counts: bool = True
    pause_until: float = 0.0
    disabled: str = ""

    def entry(self) -> dict[str, Any]:
        """Write it as a line of the delivery's history."""
        return {"at": self.at, "status": self.status, "error": self.error or None}


class Deliveries:
    """Reads and writes the deliveries of the webhooks."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- what is to be done

    def with_uow(self, now: float) -> list[str]:
        """Name the webhooks for which there is something to do, or may be."""
        behind = webhooks.c.cursor < _END
        due = exists().where(
            deliveries.c.webhook_id == webhooks.c.id,
            deliveries.c.state == WAITING,
            deliveries.c.try_at <= now,
        )
        ready = select(webhooks.c.id).where(*_ready(now), or_(behind, due))
        with self.store.engine.connect() as connection:
            return list(connection.scalars(ready))

    def ready(self, identity: str, now: float) -> Row[Any] | None:
        """Give a webhook, if it may be sent to now."""
        with self.store.engine.connect() as connection:
            asked = select(webhooks).where(webhooks.c.id == identity, *_ready(now))
            return connection.execute(asked).first()

    def room(self, identity: str) -> bool:
        """Tell whether more may be taken from the feed."""
        waiting = select(func.count()).where(*_waiting(deliveries, identity))
        with self.store.engine.connect() as connection:
            return int(connection.scalar(waiting) or 0) < MOST_WAITING

    def due(
        self, identity: str, now: float, busy: Collection[str], most: int
    ) -> Sequence[Row[Any]]:
        """Give what is due, the first of each key: what waits before it holds it back."""
        with self.store.engine.connect() as connection:
            rows = connection.execute(first_of_keys(identity, now).limit(most + len(busy)))
            return [row for row in rows if row.partitionkey not in busy][:most]

    def secrets(self, identity: str, now: float) -> list[str]:
        """Give the secrets that sign, sealed, the latest first."""
        valid = or_(webhook_secrets.c.ends_at.is_(None), webhook_secrets.c.ends_at > now)
        query = select(webhook_secrets.c.secret).where(
            webhook_secrets.c.webhook_id == identity, valid
        )
        with self.store.engine.connect() as connection:
            return list(connection.scalars(query.order_by(webhook_secrets.c.id.desc())))

    def oldest(self) -> float | None:
        """Tell since when the oldest delivery waits (s since 1970)."""
        query = select(func.min(deliveries.c.since)).where(deliveries.c.state == WAITING)
        with self.store.engine.connect() as connection:
            since: float | None = connection.scalar(query)
            return since

    def latest(
        self, identity: str, state: str | None, before: int, most: int
    ) -> Sequence[Row[Any]]:
        """Give deliveries of a webhook, those of the latest events first; `before` a position."""
        query = select(deliveries).where(deliveries.c.webhook_id == identity)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        if before:
            query = query.where(deliveries.c.position < before)
        with self.store.engine.connect() as connection:
            found = query.order_by(deliveries.c.position.desc()).limit(most)
            return connection.execute(found).all()

    # -- what changes

    def take(self, hook: Row[Any], rows: Sequence[Row[Any]], reached: int) -> None:
        """Note that events are to be delivered, and how far the feed has been read; not where the
        webhook has been told to go back meanwhile, or to stop."""
        moved = (
            update(webhooks)
            .where(
                webhooks.c.id == hook.id,
                webhooks.c.cursor == hook.cursor,
                webhooks.c.state == ACTIVE,
            )
            .values(cursor=reached)
        )
        with self.store.write() as uow:
            if uow.execute(moved).rowcount and rows:  # type: ignore[attr-defined]
                wait_for(uow, hook.id, rows)

    def settle(self, row: Row[Any], attempt: Attempt) -> bool:
        """Note what came of an attempt; False where somebody else has noted something before."""
        settled = attempt.state != WAITING
        done = (
            update(deliveries)
            .where(
                deliveries.c.webhook_id == row.webhook_id,
                deliveries.c.position == row.position,
                deliveries.c.state == WAITING,
                deliveries.c.history == row.history,
            )
            .values(
                state=attempt.state,
                attempts=row.attempts + attempt.counts,
                try_at=attempt.try_at,
                settled_at=attempt.at if settled else None,
                history=json.dumps([*json.loads(row.history), attempt.entry()][-AT_MOST:]),
            )
        )
        with self.store.write(durable=False) as uow:
            self._note(uow, row.webhook_id, attempt)
            first = bool(uow.execute(done).rowcount)  # type: ignore[attr-defined]
            if not first:
                uow.rollback()
        return first

    @staticmethod
    def _note(uow: UnitOfWork, identity: str, attempt: Attempt) -> None:
        """Note on the webhook that it took something, or did not."""
        hook = update(webhooks).where(webhooks.c.id == identity)
        if attempt.state == DELIVERED:
            uow.execute(
                hook.where(webhooks.c.failing_since.is_not(None)).values(failing_since=None)
            )
            return
        since = func.coalesce(webhooks.c.failing_since, attempt.at)
        values: dict[str, Any] = {"failing_since": since}
        if attempt.pause_until:
            values["paused_until"] = attempt.pause_until
        if attempt.disabled:
            values |= {"state": DISABLED, "reason": attempt.disabled}
        uow.execute(hook.values(**values))

    def forget(self, now: float) -> None:
        """Take away what was settled long ago, some at a time."""
        old = (
            select(deliveries.c.webhook_id, deliveries.c.position)
            .where(deliveries.c.settled_at < now - KEPT)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)  # who has them in hand sends them again
        )
        gone = delete(deliveries).where(
            deliveries.c.webhook_id == bindparam("of"), deliveries.c.position == bindparam("at")
        )
        with self.store.write() as uow:
            rows = [{"of": row.webhook_id, "at": row.position} for row in uow.execute(old)]
            if rows:
                uow.connection().execute(gone, rows)


AT_MOST = 20
"""Attempts that a history tells of: the last ones."""


def wait_for(uow: UnitOfWork, identity: str, rows: Sequence[Row[Any]]) -> None:
    """Have events delivered, again where they were before."""
    now = uow.clock()
    positions = [row.position for row in rows]
    here = and_(deliveries.c.webhook_id == identity, deliveries.c.position.in_(positions))
    uow.execute(delete(deliveries).where(here))
    uow.connection().execute(
        insert(deliveries),
        [
            {
                "webhook_id": identity,
                "position": row.position,
                "event_id": row.id,
                "type": row.type,
                "partitionkey": row.partitionkey,
                "state": WAITING,
                "attempts": 0,
                "since": now,
                "try_at": now,
                "history": "[]",
            }
            for row in rows
        ],
    )


def first_of_keys(identity: str, now: float) -> Select[Any]:
    """Ask for what is due, where nothing of the same key waits before it."""
    before = deliveries.alias("before")
    stands_before = exists().where(
        *_waiting(before, identity),
        before.c.partitionkey == deliveries.c.partitionkey,
        before.c.position < deliveries.c.position,
    )
    return (
        select(deliveries)
        .where(*_waiting(deliveries, identity), deliveries.c.try_at <= now, ~stands_before)
        .order_by(deliveries.c.position)
    )


def _waiting(table: Any, identity: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.webhook_id == identity, table.c.state == WAITING


def _ready(now: float) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return webhooks.c.state == ACTIVE, webhooks.c.paused_until <= now
