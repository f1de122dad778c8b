"""The outbox as the relay reads it: unsent rows, the oldest first, and which of them are safe."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, func, select, update

from chassis.message import Message
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.tables import message_of, outbox

LOOK_PAST = 100_000
"""Unsent rows that are read at most to find some whose keys are not held back."""
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
        """Return the oldest unsent messages, except those of some keys: at most `LOOK_PAST` rows
        are read to find them."""
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
        """Return those of these messages that are not sent, the oldest first."""
        query = select(outbox).where(outbox.c.sent_at.is_(None), outbox.c.seq.in_(seqs))
        with self.store.engine.connect() as connection:
            return [message_of(row) for row in connection.execute(query.order_by(outbox.c.seq))]

    def mark_sent(self, messages: list[Message]) -> None:
        """Mark messages as safe with their receivers; if the mark is lost they are sent again."""
        sent = self.store.dialect.array(message.seq for message in messages)
        now = self.store.now()
        self.store.write_one(Statement(self._mark_sent, {"sent": sent, "now": now}))

    def backlog(self) -> tuple[int, float]:
        """Return the number of unsent messages, and the age of the oldest in seconds."""
        with self.store.engine.connect() as connection:
            count, oldest = connection.execute(_BACKLOG).one()
        return count, self.store.now() - oldest if oldest else 0.0
