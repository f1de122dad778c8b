"""The processor: handles messages in a transaction, or records why they were not handled.

The inbox row of a message, the state that its handlers change, the events they record and the
messages they park are committed together. A batch that fails is rolled back and processed message
by message, so that a poison message costs the rest of its batch a retry and never their effect.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import IntegrityError

from chassis import metrics
from chassis.errors import NotYet, Rejected
from chassis.logs import log
from chassis.message import Message
from chassis.messaging import parked
from chassis.messaging.crash_guard import CrashGuard
from chassis.messaging.handling import DUPLICATE, EXHAUSTED, Handling
from chassis.messaging.receipts import Delivery, StorageUnavailable
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import PartitionLost
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork


class Processor:
    """Processes the messages of one service, a batch in one transaction or each in its own."""

    def __init__(
        self,
        service: Any,
        store: Store,
        handling: Handling,
        guard: CrashGuard,
        wake: Callable[[], None],
    ) -> None:
        self.service = service
        self.store = store
        self.handling = handling
        self.admission = handling.admission
        self.guard = guard
        self.wake = wake
        self.log = log(store.service)

    def process(self, messages: Sequence[Message], tries: int) -> None:
        """Process a batch; if it fails, roll it back and process each message by itself.

        `tries` counts how often storage was unavailable before. Raises `PartitionLost` and
        `StorageUnavailable`: then nothing may be acknowledged.
        """
        started = time.perf_counter()
        tolerant = tries >= parked.RETRIES
        try:
            outcomes = self._process_batch(messages, tries, tolerant=tolerant)
        except (PartitionLost, StorageUnavailable):
            raise
        except Exception as error:
            self._raise_if_unavailable(error, tolerant=tolerant)
            if not isinstance(error, Rejected | NotYet | IntegrityError):
                self.log.warning("batch rolled back", messages=len(messages), error=repr(error))
            outcomes = self._process_each(messages, tolerant=tolerant)
        self.account(messages, outcomes, time.perf_counter() - started)

    def _process_batch(
        self, messages: Sequence[Message], tries: int, *, tolerant: bool
    ) -> list[str]:
        suspects = self.guard.suspects(messages)
        if (outcomes := self.guard.park_returned(messages)) is not None:
            return outcomes
        if not suspects:
            return self.commit(messages)
        # a retry because of an unavailable database is no crash
        counted = suspects if tries == 0 else set[str]()
        return self._process_each(messages, counted, tolerant=tolerant)

    def _process_each(
        self, messages: Sequence[Message], suspects: Collection[str] = (), *, tolerant: bool
    ) -> list[str]:
        outcomes = []
        for message in messages:
            suspect = message.receipt in suspects
            delivery = Delivery(message, suspect=suspect, separately=suspect, tolerant=tolerant)
            outcomes.append(self.process_one(delivery))
        return outcomes

    def commit(self, messages: Sequence[Message]) -> list[str]:
        """Process messages in one transaction, and return their outcomes."""
        with self.store.write() as uow:
            fresh, blocked = self.admission.admit(uow, messages)
            outcomes = self.handling.handle(uow, fresh, blocked)
            self.guard.forget(uow, messages)
        self._committed(uow)
        return outcomes + [DUPLICATE] * (len(messages) - len(fresh))

    def process_one(self, delivery: Delivery) -> str:
        """Process a message, fresh or parked, in a transaction of its own, and return its outcome.

        If it fails, its outcome is recorded in another transaction. Raises `PartitionLost` and
        `StorageUnavailable`.
        """
        if delivery.suspect and self.guard.is_exhausted(delivery):
            return EXHAUSTED
        uow = None
        try:
            with self.store.write() as uow:
                blocked = self._claim(uow, delivery)
                if blocked is None:
                    return DUPLICATE
                outcome = self.handling.handle_one(uow, delivery, blocked)
        except (PartitionLost, StorageUnavailable):
            raise
        except Exception as error:
            self._raise_if_unavailable(error, tolerant=delivery.tolerant)
            if not delivery.separately and _failed_later(uow, delivery.message):
                return self.process_one(replace(delivery, separately=True))
            return self._conclude(delivery, error)
        self._committed(uow)
        return outcome

    def _conclude(self, delivery: Delivery, error: Exception) -> str:
        """Record that a message was not handled, unless it was, by a transaction whose COMMIT
        succeeded without a response."""
        message = delivery.message
        if not isinstance(error, NotYet | Rejected):
            self.log.error(
                "handler failed", id=message.id, type=message.envelope.type, exc_info=error
            )
        try:
            with self.store.write() as uow:
                if self._claim(uow, delivery) is None:
                    return DUPLICATE
                outcome = self.handling.conclude(uow, delivery, error, set())
        except STORAGE_ERRORS as down:
            raise StorageUnavailable from down
        self._committed(uow)
        return outcome

    def _claim(self, uow: UnitOfWork, delivery: Delivery) -> set[parked.Stream] | None:
        blocked = self.admission.claim(uow, delivery)
        if blocked is not None or delivery.row is None:
            self.guard.forget(uow, [delivery.message])
        return blocked

    def _raise_if_unavailable(self, error: Exception, *, tolerant: bool) -> None:
        """Distinguish an unavailable database from a handler whose statement always fails."""
        if isinstance(error, STORAGE_ERRORS) and not (tolerant and self.store.answers()):
            raise StorageUnavailable from error

    def _committed(self, uow: UnitOfWork) -> None:
        if uow.outbox:
            self.wake()
        if uow.asks_resend:
            self.service.ask_again()
        self.service.after_commit(uow)

    def account(self, messages: Sequence[Message], outcomes: list[str], seconds: float) -> None:
        """Record the outcomes of a batch in metrics and log."""
        service, counted = self.store.service, Counter(outcomes)
        for outcome, count in counted.items():
            metrics.MESSAGES.labels(service, outcome).inc(count)
        metrics.BATCH_SECONDS.labels(service).observe(seconds)
        self.log.info("batch", messages=len(messages), ms=round(seconds * 1000, 1), **counted)


def _failed_later(uow: UnitOfWork | None, message: Message) -> bool:
    """Return whether the failed message is not this one, but one that its handlers published."""
    return uow is not None and bool(uow.outbox) and uow.message is not message
