"""Parked messages: messages set aside in the service's own database, in order, until they can be
handled.

A parked message is `retrying` (it awaits an event, its handler failed and is retried, or an earlier
message of its stream is parked), `exhausted` (its retries are used up) or `dead` (it must never be
tried again). Retrying and exhausted messages block later ones of the same (source, key), and no
others.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, exists, func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from chassis.message import Message
from chassis.storage.store import Store
from chassis.storage.tables import parked_messages, row_of
from chassis.storage.unit_of_work import UnitOfWork

RETRYING, EXHAUSTED, DEAD = "retrying", "exhausted", "dead"
HOLDS = (RETRYING, EXHAUSTED)
RETRIES = 3
"""How often a failed message is retried before it is exhausted."""

LONGEST_REASON = 4000
"""Maximum characters of the reason that are stored."""
LONGEST_KEY = 64
"""Maximum characters of a key: an event awaited by a longer one can never arrive."""
_UNFIT = re.compile("[\x00\ud800-\udfff]")

Stream = tuple[str, str]


_earlier = parked_messages.alias("earlier")
_streams = select(parked_messages.c.source, parked_messages.c.partitionkey)
_awaiting = and_(parked_messages.c.state == RETRYING, parked_messages.c.awaits.is_not(None))

ANY_HOLDS = text(
    f"SELECT EXISTS (SELECT 1 FROM parked_messages WHERE state IN ('{RETRYING}', '{EXHAUSTED}'))"  # noqa: S608
)
"""Whether any parked message blocks others: usually there is none."""
_ANY_AWAITING = select(exists().where(_awaiting))
_DUE = _streams.where(
    parked_messages.c.state == RETRYING,
    parked_messages.c.try_at <= bindparam("now"),
    ~exists().where(
        _earlier.c.source == parked_messages.c.source,
        _earlier.c.partitionkey == parked_messages.c.partitionkey,
        _earlier.c.seq < parked_messages.c.seq,
        _earlier.c.state.in_(HOLDS),
    ),
).limit(bindparam("most"))
_OLDEST = (
    select(parked_messages.c.state, func.min(parked_messages.c.parked_at).label("parked_at"))
    .where(parked_messages.c.state.in_(HOLDS))
    .group_by(parked_messages.c.state)
)


def pause(attempts: int, *, longest: float = 60.0) -> float:
    """Return the seconds to wait after a number of attempts: exponential backoff with jitter."""
    return min(longest, 0.2 * 2.0 ** min(attempts, 30)) * random.uniform(0.75, 1.25)


def park(
    uow: UnitOfWork, message: Message, state: str, reason: str, *, awaits: str | None, attempt: int
) -> None:
    """Park a message, in the transaction that also writes its inbox row."""
    now = uow.clock()
    uow.execute(
        insert(parked_messages),
        row_of(message)
        | {
            "state": state,
            "reason": _storable(reason),
            "awaits": _awaited(awaits),
            "attempts": attempt,
            "parked_at": now,
            "try_at": now + pause(attempt) if state == RETRYING else now,
            "handler": message.handler,
        },
    )


def _storable(reason: str) -> str:
    """Return a reason as any database can store it: it may quote the message."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", reason[:LONGEST_REASON])


def _awaited(key: str | None) -> str | None:
    return None if key is None else _storable(key[:LONGEST_KEY])


def held(uow: UnitOfWork, messages: Iterable[Message]) -> set[Stream]:
    """Return the streams of these messages that are blocked by a parked message."""
    keys = {message.envelope.partitionkey for message in messages}
    rows = uow.execute(
        _streams.where(
            parked_messages.c.partitionkey.in_(keys), parked_messages.c.state.in_(HOLDS)
        ).distinct()
    )
    return {(row.source, row.partitionkey) for row in rows}


def freed_by(store: Store, keys: set[str]) -> list[Stream]:
    """Return the streams whose parked messages may be retried, now that events of these keys were
    handled.

    A message whose handler failed awaits no event: it keeps its backoff.
    """
    with store.engine.connect() as connection:
        if not connection.scalar(_ANY_AWAITING):
            return []
        moved = or_(parked_messages.c.partitionkey.in_(keys), parked_messages.c.awaits.in_(keys))
        rows = connection.execute(_streams.where(_awaiting, moved).distinct())
        return [(row.source, row.partitionkey) for row in rows]


def hasten(store: Store, streams: Iterable[Stream]) -> None:
    """Schedule streams to be retried soon, by the replicas that serve them."""
    for source, key in streams:
        with store.write(durable=False) as uow:
            uow.execute(
                update(parked_messages)
                .where(
                    _awaiting,
                    parked_messages.c.source == source,
                    parked_messages.c.partitionkey == key,
                )
                .values(try_at=0.0)
            )


def hasten_unknown(store: Store) -> None:
    """Schedule messages that wait for a newer version to be retried at once: this may be it."""
    unknown = (
        parked_messages.c.state == RETRYING,
        parked_messages.c.awaits == parked_messages.c.type,
    )
    with store.engine.connect() as connection:
        if not connection.scalar(select(exists().where(*unknown))):
            return
    with store.write(durable=False) as uow:
        uow.execute(update(parked_messages).where(*unknown).values(try_at=0.0))


def due(store: Store, most: int = 1000) -> list[Stream]:
    """Return the streams whose first parked message is due for a retry."""
    with store.engine.connect() as connection:
        rows = connection.execute(_DUE, {"now": store.now(), "most": most})
        return [(row.source, row.partitionkey) for row in rows]


def head_of(store: Store, stream: Stream) -> Row[Any] | None:
    """Return the parked message at the head of a stream, if it is not exhausted."""
    with store.read() as session:
        return first_of(session, stream)


def first_of(session: Session, stream: Stream, *, for_update: bool = False) -> Row[Any] | None:
    """Return the parked message at the head of a stream, if it is not exhausted, and lock it for an
    update."""
    source, key = stream
    query = (
        select(parked_messages)
        .where(
            parked_messages.c.source == source,
            parked_messages.c.partitionkey == key,
            parked_messages.c.state.in_(HOLDS),
        )
        .order_by(parked_messages.c.seq)
        .limit(1)
    )
    row = session.execute(query.with_for_update() if for_update else query).first()
    return row if row is not None and row.state == RETRYING else None


def delivered(uow: UnitOfWork, seq: int) -> None:
    """Delete a parked message, in the transaction of its effects."""
    uow.execute(delete(parked_messages).where(parked_messages.c.seq == seq))


def put_back(
    uow: UnitOfWork, parked_message: Any, reason: str, *, awaits: str | None, failed: bool
) -> bool:
    """Keep a parked message whose retry failed; return whether its retries are used up.

    Only failures count as attempts: an awaited event may take long.
    """
    now = uow.clock()
    attempts = parked_message.attempts + failed
    spent = failed and attempts > RETRIES
    wait = pause(attempts) if failed else min(60.0, max(0.5, now - parked_message.parked_at))
    uow.execute(
        update(parked_messages)
        .where(parked_messages.c.seq == parked_message.seq)
        .values(
            state=EXHAUSTED if spent else RETRYING,
            reason=_storable(reason),
            awaits=_awaited(awaits),
            attempts=attempts,
            try_at=now + wait,
        )
    )
    return spent


def give_up(uow: UnitOfWork, seq: int, reason: str) -> None:
    """Mark a parked message as exhausted: only an operator can have it retried."""
    uow.execute(
        update(parked_messages)
        .where(parked_messages.c.seq == seq)
        .values(state=EXHAUSTED, reason=_storable(reason))
    )


def reject(uow: UnitOfWork, seq: int, reason: str) -> None:
    """Mark a parked message as dead: it must never be tried again."""
    uow.execute(
        update(parked_messages)
        .where(parked_messages.c.seq == seq)
        .values(state=DEAD, reason=_storable(reason))
    )


def retry(store: Store, *, message_id: str) -> bool:
    """Schedule an exhausted message for a retry by an operator; return whether there was one."""
    with store.write() as uow:
        result = uow.execute(
            update(parked_messages)
            .where(and_(parked_messages.c.id == message_id, parked_messages.c.state == EXHAUSTED))
            .values(state=RETRYING, attempts=0, try_at=0.0)
            .returning(parked_messages.c.seq)
        ).first()
    return result is not None


def counts(store: Store) -> dict[str, int]:
    """Count the parked messages by state."""
    with store.read() as session:
        rows = session.execute(
            select(parked_messages.c.state, func.count().label("parked_messages")).group_by(
                parked_messages.c.state
            )
        )
        return {row.state: row.parked_messages for row in rows}


def ages(store: Store) -> dict[str, float]:
    """Return the age in seconds of the oldest parked message of each blocking state."""
    now = store.now()
    with store.read() as session:
        return {row.state: max(0.0, now - row.parked_at) for row in session.execute(_OLDEST)}
