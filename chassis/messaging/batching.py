"""Batching: the batches of several partitions share one transaction, and so one commit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import eventlet
from eventlet.event import Event
from eventlet.semaphore import Semaphore

from chassis.logs import log
from chassis.message import Message
from chassis.messaging.processor import Processor

MOST_TOGETHER = 500
"""Maximum number of messages of several partitions in one transaction."""
LONGEST_REST = 0.02
"""Maximum seconds between two transactions that follow each other."""
SOME_IN_A_ROW = 3
"""Transactions that follow each other at once before there is a rest: a few are no load."""


@dataclass(frozen=True)
class _Batch:
    """The messages in hand of one partition; `done` gets whether they were processed with
    others."""

    messages: Sequence[Message]
    done: Event = field(default_factory=Event)


class Batching:
    """Processes the batches of several partitions together."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.partitions = processor.admission.partitions
        self.log = log(processor.store.service)
        self._waiting: deque[_Batch] = deque()
        self._turn = Semaphore(1)
        self._rest_until, self._in_a_row = 0.0, 0

    def process(self, messages: Sequence[Message]) -> bool:
        """Process a batch together with the batches of other partitions that wait with it.

        Returns False if that failed: then nothing was done, and each is processed by itself.
        """
        if self.partitions.count == 1 or any(message.redelivered for message in messages):
            return False
        batch = _Batch(messages)
        self._waiting.append(batch)
        with self._turn:
            if not batch.done.ready():
                self._rest()
                self._process_waiting()
        done: bool = batch.done.wait()
        return done

    def _rest(self) -> None:
        """Wait between successive transactions for as long as the last one took: the next is then
        larger, and each message costs less."""
        left = self._rest_until - time.monotonic()
        self._in_a_row = self._in_a_row + 1 if left > 0 else 0
        if self._in_a_row < SOME_IN_A_ROW:
            return
        if sum(len(batch.messages) for batch in self._waiting) < MOST_TOGETHER:
            eventlet.sleep(left)

    def _process_waiting(self) -> None:
        """Process as many waiting batches as one transaction may hold, oldest first."""
        batches = self._next_batches()
        messages = [message for batch in batches for message in batch.messages]
        started, done = time.monotonic(), False
        try:
            with self.partitions.locked(self.partitions.of(messages)):
                outcomes = self.processor.commit(messages)
                done = True
            self.processor.account(messages, outcomes, time.monotonic() - started)
        except Exception as error:
            self.log.debug("batches not handled together", error=repr(error))
        finally:
            ended = time.monotonic()
            self._rest_until = ended + min(ended - started, LONGEST_REST)
            for batch in batches:
                batch.done.send(done)

    def _next_batches(self) -> list[_Batch]:
        batches = [self._waiting.popleft()]
        size = len(batches[0].messages)
        while self._waiting and size + len(self._waiting[0].messages) <= MOST_TOGETHER:
            batches.append(self._waiting.popleft())
            size += len(batches[-1].messages)
        return batches
