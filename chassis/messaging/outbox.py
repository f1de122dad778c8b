"""The outbox as the relay reads it: unsent rows, oldest first, and the held keys."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from itertools import islice
from typing import Any

from sqlalchemy import bindparam, func, select, update

from chassis import metrics
from chassis.logs import log
from chassis.message import Message
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.tables import message_of, outbox

LOOK_PAST = 100_000
"""Maximum unsent rows that are read to find some whose keys are not held back."""
_UNSENT = (
    select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.seq).limit(bindparam("most"))
)
_BACKLOG = select(func.count(), func.min(outbox.c.written_at)).where(outbox.c.sent_at.is_(None))


class Outbox:
    """The outbox of one service."""

    def __init__(self, store: Store) -> None:
        self.store = store
        in_sent = store.dialect.in_array(outbox.c.seq, "sent")
        self._mark_sent = update(outbox).where(in_sent).values(sent_at=bindparam("now"))

    def unsent(self, most: int, but: Collection[str] = ()) -> list[Message]:
        """Return the oldest unsent messages, except those of some keys; reads at most `LOOK_PAST`
        rows."""
        query, parameters = _UNSENT, {"most": most}
        if but:
            query = self._unsent_but
            parameters |= {"but": self.store.dialect.array(but)}
        with self.store.engine.connect() as connection:
            return [message_of(row) for row in connection.execute(query, parameters)]

    @cached_property
    def _unsent_but(self) -> Any:
        rows = _UNSENT.limit(LOOK_PAST).subquery()
        is_free = self.store.dialect.not_in_array(rows.c.partitionkey, "but")
        return select(rows).where(is_free).order_by(rows.c.seq).limit(bindparam("most"))

    def unsent_of(self, seqs: Collection[int]) -> list[Message]:
        """Return the unsent ones of these messages, oldest first."""
        query = select(outbox).where(outbox.c.sent_at.is_(None), outbox.c.seq.in_(seqs))
        with self.store.engine.connect() as connection:
            return [message_of(row) for row in connection.execute(query.order_by(outbox.c.seq))]

    def mark_sent(self, messages: list[Message]) -> None:
        """Mark messages as sent; if the mark is lost they are sent again."""
        sent = self.store.dialect.array(message.seq for message in messages)
        now = self.store.now()
        self.store.write_one(Statement(self._mark_sent, {"sent": sent, "now": now}))

    def backlog(self) -> tuple[int, float]:
        """Return the number of unsent messages, and the age of the oldest in seconds."""
        with self.store.engine.connect() as connection:
            count, oldest = connection.execute(_BACKLOG).one()
        return count, self.store.now() - oldest if oldest else 0.0


class HeldKeys:
    """The keys that are held back, since a receiver refuses their messages."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.service = outbox.store.service
        self.log = log(self.service)
        self.rows: dict[str, int] = {}
        """The sequence number of the oldest unsent row of each key."""

    def oldest(self, most: int) -> list[Message]:
        """Return the oldest unsent message of at most `most` keys, in turn."""
        keys = {self.rows[key]: key for key in islice(self.rows, most)}
        messages = self.outbox.unsent_of(keys)
        for key in keys.values():
            del self.rows[key]
        # behind the keys still to be tried
        self.rows |= {message.envelope.partitionkey: message.seq for message in messages}
        return messages

    def note(self, messages: list[Message], safe: list[Message]) -> list[Message]:
        """Hold back the keys of refused messages, and release those of accepted ones; return the
        refused messages."""
        for message in safe:
            if self.rows.get(message.envelope.partitionkey) == message.seq:
                del self.rows[message.envelope.partitionkey]
        refused = [message for message in messages if message.refused]
        self.hold(refused)
        metrics.OUTBOX_HELD.labels(self.service).set(len(self.rows))
        return refused

    def hold(self, messages: list[Message]) -> None:
        """Hold back the keys of messages, each with its first message."""
        new = [m for m in messages if m.envelope.partitionkey not in self.rows]
        for message in new:
            self.rows.setdefault(message.envelope.partitionkey, message.seq)
        if new:
            last, keys = new[-1], len(self.rows)
            self.log.warning(
                "messages refused", keys=keys, type=last.envelope.type, to=last.exchange
            )

    def release(self, chosen: Callable[[str], bool]) -> None:
        """Release some keys, so that their messages are read again."""
        for key in [key for key in self.rows if chosen(key)]:
            del self.rows[key]

    def clear(self) -> None:
        """Release all keys."""
        self.rows.clear()
        metrics.OUTBOX_HELD.labels(self.service).set(0)
