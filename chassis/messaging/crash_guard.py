"""The crash guard: bounds the attempts at messages that may have crashed the process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select

from chassis.logs import log
from chassis.message import Message
from chassis.messaging import parked
from chassis.messaging.handling import DUPLICATE, HELD, Handling
from chassis.messaging.receipts import Delivery
from chassis.storage.store import Store
from chassis.storage.tables import attempts, inbox
from chassis.storage.unit_of_work import UnitOfWork

FATAL_ATTEMPTS = 5
"""Crashes of the process after which the message in hand is parked as exhausted."""
OFTEN = 20
"""Redeliveries after which a message is parked here: at a hundred its queue would dead-letter it,
even if another message was the cause."""

_ENDED = "its handling ended the process {} times"
_CAME_BACK = "it came back to its queue again and again"


class CrashGuard:
    """Counts the attempts at messages that were delivered before, or parked by another process."""

    def __init__(self, store: Store, handling: Handling) -> None:
        self.store = store
        self.handling = handling
        self.admission = handling.admission
        self.partitions = handling.admission.partitions
        self.log = log(store.service)
        self.began = 0.0
        """When this process started (s since 1970); messages parked before may have crashed
        another."""
        self._counted: set[int] = set()

    def suspects(self, messages: Sequence[Message]) -> set[str]:
        """Return the receipts of messages to process one by one, each attempt counted: those that
        were redelivered at least twice.

        Counts the first attempt at the other redelivered messages. Raises `PartitionLost`.
        """
        again = {message.receipt for message in messages if message.redelivered}
        if not again:
            return set()
        with self.store.write() as uow:
            self.partitions.hold(uow, self.partitions.of(messages))
            handled = set(uow.scalars(select(inbox.c.id).where(inbox.c.id.in_(again))))
            counted = set(uow.scalars(select(attempts.c.id).where(attempts.c.id.in_(again))))
            first = again - handled - counted
            if first:
                rows = [{"id": key, "count": 1} for key in sorted(first)]
                uow.execute(self.store.statements.insert_new(attempts), rows)
        return counted - handled

    def is_suspect(self, row: Any) -> bool:
        """Return whether a parked message may have crashed an earlier process."""
        return bool(row.parked_at < self.began)

    def is_exhausted(self, delivery: Delivery) -> bool:
        """Count an attempt at a suspect; return whether there were too many, so that it is
        exhausted.

        Each process counts a parked message once. Raises `PartitionLost`.
        """
        row = delivery.row
        if row is not None and row.seq in self._counted:
            return False
        with self.store.write() as uow:
            self.partitions.hold(uow, self.partitions.of([delivery.message]))
            count = self._count(uow, delivery.message)
            too_many = count >= FATAL_ATTEMPTS
            is_exhausted = too_many and self.admission.claim(uow, delivery) is not None
            if is_exhausted:
                self._give_up(uow, delivery, count)
                self.forget(uow, [delivery.message])
        if row is not None:  # only now: what was not counted is to be counted the next time
            self._counted.add(row.seq)
        return is_exhausted

    def _count(self, uow: UnitOfWork, message: Message) -> int:
        query = select(attempts.c.count).where(attempts.c.id == message.receipt)
        count = (uow.scalar(query) or 0) + 1
        replace = self.store.statements.insert_or_replace(attempts, "id")
        uow.execute(replace, {"id": message.receipt, "count": count})
        return count

    def _give_up(self, uow: UnitOfWork, delivery: Delivery, count: int) -> None:
        message, why = delivery.message, _ENDED.format(count - 1)
        if delivery.row is None:
            parked.park(uow, message, parked.EXHAUSTED, why, awaits=None, attempt=count)
        else:
            parked.give_up(uow, delivery.row.seq, why)
        self.log.error(
            "parked message exhausted", id=message.id, type=message.envelope.type, attempts=count
        )

    @staticmethod
    def forget(uow: UnitOfWork, messages: Iterable[Message]) -> None:
        """Delete the counted attempts at messages, in the transaction that handles them."""
        again = [message.receipt for message in messages if message.redelivered]
        if again:
            uow.execute(delete(attempts).where(attempts.c.id.in_(again)))

    def park_returned(self, messages: Sequence[Message]) -> list[str] | None:
        """Park a batch with a message that was redelivered often, each to be retried in turn;
        return the outcomes, or None if there is no such message. Raises `PartitionLost`."""
        if all(message.returned < OFTEN for message in messages):
            return None
        with self.store.write() as uow:
            fresh, _ = self.admission.admit(uow, messages)
            for message in fresh:
                self.handling.park(uow, Delivery(message), _CAME_BACK)
            self.forget(uow, messages)
        self.log.error("messages redelivered often", messages=len(messages), kept=len(fresh))
        return [HELD] * len(fresh) + [DUPLICATE] * (len(messages) - len(fresh))
