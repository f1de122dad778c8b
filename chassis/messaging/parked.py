"""Letters: messages set aside in the service's own database, in order, until they can be handled.

A letter is `waiting` (a fact has not arrived, a handler failed and is tried again, or an earlier
letter of its stream stands before it), `stuck` (its retries are spent) or `rejected` (it must never
be tried again). Waiting and stuck letters hold back what follows in the same (source, key), and
nobody else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, exists, func, insert, or_, select, text, update

from chassis.message import Message
from chassis.storage.store import Store
from chassis.storage.tables import letters, row_of
from chassis.storage.unit_of_work import Work

WAITING, STUCK, REJECTED = "waiting", "stuck", "rejected"
HOLDS = (WAITING, STUCK)
RETRIES = 3
"""How often a failed message is tried again before it is stuck."""

LONGEST_REASON = 4000
"""Characters that are kept of why a message was set aside."""
LONGEST_KEY = 64
"""Characters of a key: nothing that is awaited by a longer one can ever come."""
_UNFIT = re.compile("[\x00\ud800-\udfff]")

Stream = tuple[str, str]


_earlier = letters.alias("earlier")
_streams = select(letters.c.source, letters.c.partitionkey)
_awaiting = and_(letters.c.state == WAITING, letters.c.awaits.is_not(None))

ANY_HOLDS = text(
    f"SELECT EXISTS (SELECT 1 FROM letters WHERE state IN ('{WAITING}', '{STUCK}'))"  # noqa: S608
)
"""Whether any letter holds anything back: as a rule none does."""
_ANY_AWAITING = select(exists().where(_awaiting))
_DUE = _streams.where(
    letters.c.state == WAITING,
    letters.c.try_at <= bindparam("now"),
    ~exists().where(
        _earlier.c.source == letters.c.source,
        _earlier.c.partitionkey == letters.c.partitionkey,
        _earlier.c.seq < letters.c.seq,
        _earlier.c.state.in_(HOLDS),
    ),
).limit(bindparam("most"))
_OLDEST = (
    select(letters.c.state, func.min(letters.c.parked_at).label("parked_at"))
    .where(letters.c.state.in_(HOLDS))
    .group_by(letters.c.state)
)


def pause(attempts: int, *, longest: float = 60.0) -> float:
    """Give the seconds to wait after so many attempts, however many: growing, with jitter."""
    return min(longest, 0.2 * 2.0 ** min(attempts, 30)) * random.uniform(0.75, 1.25)


def park(
    work: Work, message: Message, state: str, reason: str, *, awaits: str | None, attempt: int
) -> None:
    """Set a message aside, in the transaction that also writes its inbox row."""
    now = work.clock()
    work.execute(
        insert(letters),
        row_of(message)
        | {
            "state": state,
            "reason": _said(reason),
            "awaits": _awaited(awaits),
            "attempts": attempt,
            "parked_at": now,
            "try_at": now + pause(attempt) if state == WAITING else now,
            "handler": message.handler,
        },
    )


def _said(reason: str) -> str:
    """Write why a message was set aside as any database keeps it: it may quote the message."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", reason[:LONGEST_REASON])


def _awaited(key: str | None) -> str | None:
    return None if key is None else _said(key[:LONGEST_KEY])


def held(work: Work, messages: Iterable[Message]) -> set[Stream]:
    """Tell which streams of these messages are held back by a letter."""
    keys = {message.envelope.partitionkey for message in messages}
    rows = work.execute(
        _streams.where(letters.c.partitionkey.in_(keys), letters.c.state.in_(HOLDS)).distinct()
    )
    return {(row.source, row.partitionkey) for row in rows}


def freed_by(store: Store, keys: set[str]) -> list[Stream]:
    """Find the streams whose waiting letters may go on, now that these keys have moved.

    A letter whose handler failed awaits no fact: it keeps to its back-off.
    """
    with store.engine.connect() as connection:
        if not connection.scalar(_ANY_AWAITING):
            return []
        moved = or_(letters.c.partitionkey.in_(keys), letters.c.awaits.in_(keys))
        rows = connection.execute(_streams.where(_awaiting, moved).distinct())
        return [(row.source, row.partitionkey) for row in rows]


def hasten(store: Store, streams: Iterable[Stream]) -> None:
    """Have streams tried soon, by the replicas that serve them."""
    for source, key in streams:
        with store.write(durable=False) as work:
            work.execute(
                update(letters)
                .where(_awaiting, letters.c.source == source, letters.c.partitionkey == key)
                .values(try_at=0.0)
            )


def hasten_unknown(store: Store) -> None:
    """Have what waits for a version that knows it tried at once: this may be one."""
    unknown = (letters.c.state == WAITING, letters.c.awaits == letters.c.type)
    with store.engine.connect() as connection:
        if not connection.scalar(select(exists().where(*unknown))):
            return
    with store.write(durable=False) as work:
        work.execute(update(letters).where(*unknown).values(try_at=0.0))


def due(store: Store, most: int = 1000) -> list[Stream]:
    """Find the streams whose first letter is due to be tried again."""
    with store.engine.connect() as connection:
        rows = connection.execute(_DUE, {"now": store.now(), "most": most})
        return [(row.source, row.partitionkey) for row in rows]


def first_of(work: Work, stream: Stream) -> Row[Any] | None:
    """Read the letter at the head of a stream, if it is not stuck."""
    source, key = stream
    row = work.execute(
        select(letters)
        .where(
            letters.c.source == source,
            letters.c.partitionkey == key,
            letters.c.state.in_(HOLDS),
        )
        .order_by(letters.c.seq)
        .limit(1)
        .with_for_update()
    ).first()
    return row if row is not None and row.state == WAITING else None


def delivered(work: Work, seq: int) -> None:
    """Take a letter away, in the transaction of its effects."""
    work.execute(delete(letters).where(letters.c.seq == seq))


def put_back(work: Work, letter: Any, reason: str, *, awaits: str | None, failed: bool) -> bool:
    """Keep a letter that could not be delivered this time; True when its retries are spent.

    Only failures count as attempts: a fact may be long in coming.
    """
    now = work.clock()
    attempts = letter.attempts + failed
    spent = failed and attempts > RETRIES
    wait = pause(attempts) if failed else min(60.0, max(0.5, now - letter.parked_at))
    work.execute(
        update(letters)
        .where(letters.c.seq == letter.seq)
        .values(
            state=STUCK if spent else WAITING,
            reason=_said(reason),
            awaits=_awaited(awaits),
            attempts=attempts,
            try_at=now + wait,
        )
    )
    return spent


def give_up(work: Work, seq: int, reason: str) -> None:
    """Try a letter no more, until an operator says so."""
    work.execute(
        update(letters).where(letters.c.seq == seq).values(state=STUCK, reason=_said(reason))
    )


def reject(work: Work, seq: int, reason: str) -> None:
    """Mark a letter as one that must never be tried again."""
    work.execute(
        update(letters).where(letters.c.seq == seq).values(state=REJECTED, reason=_said(reason))
    )


def retry(store: Store, *, message_id: str) -> bool:
    """Let an operator try a stuck letter again; tells whether there was one."""
    with store.write() as work:
        found = work.execute(
            update(letters)
            .where(and_(letters.c.id == message_id, letters.c.state == STUCK))
            .values(state=WAITING, attempts=0, try_at=0.0)
            .returning(letters.c.seq)
        ).first()
    return found is not None


def counts(store: Store) -> dict[str, int]:
    """Count the letters by state."""
    with store.read() as session:
        rows = session.execute(
            select(letters.c.state, func.count().label("letters")).group_by(letters.c.state)
        )
        return {row.state: row.letters for row in rows}


def ages(store: Store) -> dict[str, float]:
    """Tell for how many seconds the oldest letter of each state that holds back is set aside."""
    now = store.now()
    with store.read() as session:
        return {row.state: max(0.0, now - row.parked_at) for row in session.execute(_OLDEST)}
