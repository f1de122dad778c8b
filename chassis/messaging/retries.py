"""Retries: parked messages are retried in the order of their stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chassis import metrics
from chassis.logs import log
from chassis.message import Message
from chassis.messaging import parked
from chassis.messaging.handling import DEAD, DONE
from chassis.messaging.processor import Processor
from chassis.messaging.receipts import Delivery, StorageUnavailable
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import PartitionLost
from chassis.storage.tables import message_of


class Retries:
    """Retries the parked messages of the partitions served here when they are due."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.store = processor.store
        self.admission = processor.admission
        self.partitions = processor.admission.partitions
        self.guard = processor.guard
        self.log = log(processor.store.service)

    def retry_due(self) -> None:
        """Retry the parked messages that are due; raises `STORAGE_ERRORS`."""
        for stream in parked.due(self.store):
            if self._serves(stream):
                self.retry(stream)

    def retry(self, stream: parked.Stream) -> None:
        """Process the parked messages of a stream in order, up to the first that fails."""
        while self._retry_first(stream):
            self._free({stream[1]})

    def _retry_first(self, stream: parked.Stream) -> bool:
        """Process the first message of a stream; return whether the next may be tried."""
        with self.partitions.locked([self.partitions.of_key(stream[1])]):
            try:
                row = parked.head_of(self.store, stream)
                if row is None:
                    return False
                outcome = self.processor.process_one(self._delivery_of(row))
            except PartitionLost:
                return False
            except (StorageUnavailable, *STORAGE_ERRORS) as error:
                self.log.warning("parked message put off", error=repr(error.__cause__ or error))
                return False
        if outcome == DONE:
            metrics.MESSAGES.labels(self.store.service, "delivered_late").inc()
            self.log.info(
                "parked message delivered", id=row.id, type=row.type, attempts=row.attempts
            )
        return outcome in (DONE, DEAD)

    def _delivery_of(self, row: Any) -> Delivery:
        message, suspect = message_of(row), self.guard.is_suspect(row)
        message.redelivered = suspect
        return Delivery(message, row, suspect=suspect, separately=suspect, tolerant=True)

    def _serves(self, stream: parked.Stream) -> bool:
        return self.partitions.serves(self.partitions.of_key(stream[1]))

    def _free(self, keys: set[str]) -> None:
        freed = parked.freed_by(self.store, keys)
        parked.hasten(self.store, [stream for stream in freed if not self._serves(stream)])
        for stream in freed:
            if self._serves(stream):
                self.retry(stream)

    def follow_up(self, messages: Sequence[Message]) -> None:
        """Retry the parked messages that awaited one of the messages just handled.

        A message that another transaction parks meanwhile is retried when it is due, soon.
        """
        if not messages or not self.admission.any_parked:
            return
        try:
            self._free({message.envelope.partitionkey for message in messages})
        except STORAGE_ERRORS as error:
            self.log.warning("parked messages put off", error=str(error))
