"""Stored deliveries: the events that each webhook is still to get, and the attempts.

Events are not copied: up to its cursor a webhook has a row for each wanted event, beyond it the
feed is read.

A transaction that writes a webhook and its deliveries writes the webhook first, to avoid deadlocks.
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
"""Waiting deliveries of a webhook at which reading from the feed pauses."""
KEPT = 7 * 86_400.0
"""Seconds for which settled deliveries are kept."""
AT_ONCE = 500
"""Rows of one transaction."""
_END = END.scalar_subquery()


@dataclass(frozen=True)
class Attempt:
    """The result of an attempt, for the delivery and its webhook.

    `state` is the new state of the delivery. `try_at` is the time of the next attempt, if any.
    `counts` tells whether the attempt counts towards the maximum. `pause_until` pauses the webhook,
    and `disabled` is the reason to disable it.
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
        """Return the attempt as an entry of the delivery's history."""
        return {"at": self.at, "status": self.status, "error": self.error or None}


class Deliveries:
    """Reads and writes the deliveries of all webhooks."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- reading

    def with_work(self, now: float) -> list[str]:
        """Return the ids of the webhooks that may have work to do."""
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
        """Return a webhook if it may be sent to now, else None."""
        with self.store.engine.connect() as connection:
            query = select(webhooks).where(webhooks.c.id == identity, *_ready(now))
            return connection.execute(query).first()

    def room(self, identity: str) -> bool:
        """Return whether more events may be read from the feed."""
        waiting = select(func.count()).where(*_waiting(deliveries, identity))
        with self.store.engine.connect() as connection:
            return int(connection.scalar(waiting) or 0) < MOST_WAITING

    def due(
        self, identity: str, now: float, busy: Collection[str], most: int
    ) -> Sequence[Row[Any]]:
        """Return due deliveries, the first of each key: an earlier one that waits blocks the
        key."""
        with self.store.engine.connect() as connection:
            rows = connection.execute(first_of_keys(identity, now).limit(most + len(busy)))
            return [row for row in rows if row.partitionkey not in busy][:most]

    def secrets(self, identity: str, now: float) -> list[str]:
        """Return the sealed secrets that sign, the latest first."""
        valid = or_(webhook_secrets.c.ends_at.is_(None), webhook_secrets.c.ends_at > now)
        query = select(webhook_secrets.c.secret).where(
            webhook_secrets.c.webhook_id == identity, valid
        )
        with self.store.engine.connect() as connection:
            return list(connection.scalars(query.order_by(webhook_secrets.c.id.desc())))

    def oldest(self) -> float | None:
        """Return the waiting time's start of the oldest delivery (s since 1970), or None."""
        query = select(func.min(deliveries.c.since)).where(deliveries.c.state == WAITING)
        with self.store.engine.connect() as connection:
            since: float | None = connection.scalar(query)
            return since

    def latest(
        self, identity: str, state: str | None, before: int, most: int
    ) -> Sequence[Row[Any]]:
        """Return deliveries of a webhook, the latest events first; `before` is a position."""
        query = select(deliveries).where(deliveries.c.webhook_id == identity)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        if before:
            query = query.where(deliveries.c.position < before)
        with self.store.engine.connect() as connection:
            found = query.order_by(deliveries.c.position.desc()).limit(most)
            return connection.execute(found).all()

    # -- writing

    def take(self, hook: Row[Any], rows: Sequence[Row[Any]], reached: int) -> None:
        """Record deliveries to make and the new cursor, unless the webhook was rewound or stopped
        meanwhile."""
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
        """Record the result of an attempt; return False if another writer was first."""
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
        """Record on the webhook whether it accepted the delivery."""
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
        """Delete old settled deliveries, some at a time."""
        old = (
            select(deliveries.c.webhook_id, deliveries.c.position)
            .where(deliveries.c.settled_at < now - KEPT)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)  # a gateway that has them in hand sends them again
        )
        gone = delete(deliveries).where(
            deliveries.c.webhook_id == bindparam("of"), deliveries.c.position == bindparam("at")
        )
        with self.store.write() as uow:
            rows = [{"of": row.webhook_id, "at": row.position} for row in uow.execute(old)]
            if rows:
                uow.connection().execute(gone, rows)


AT_MOST = 20
"""Attempts in a history: the last ones."""


def wait_for(uow: UnitOfWork, identity: str, rows: Sequence[Row[Any]]) -> None:
    """Schedule deliveries of events, again if they were scheduled before."""
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
    """Build the query for due deliveries without an earlier waiting one of the same key."""
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
