"""Receipts: which messages a service has handled, and by which of its handlers.

A message is admitted once, while its partition is held. Each receipt has the number of the set of
handlers that received the message. A resend to one handler delivers only messages that it has not
handled (docs/decisions/0032): so a repeated resend, or one from before or after the handler was
added, has no effect twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from eventlet.semaphore import Semaphore
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from chassis.logs import log
from chassis.message import Message, encode, partition_of
from chassis.messaging import parked
from chassis.storage.clock import MARGIN
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import Leases
from chassis.storage.retention import forgotten_of
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.tables import handler_sets, inbox, origin_of, parked_messages
from chassis.storage.unit_of_work import UnitOfWork

FORGOTTEN = "it may have been handled already: the inbox no longer reaches back that far"
_ANOTHER_BODY = "another message has the same id"


def name_of(handler: Any) -> str:
    """Return the name of a handler as in `--handler`."""
    return str(getattr(handler, "__name__", type(handler).__name__))


class Receipts:
    """The handlers of this process, and the messages that each set of handlers has received.

    `number` is the number of its set of handlers: the same for every process with the same
    handlers.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number: int | None = None
        self._each: frozenset[str] = frozenset()
        self._names: frozenset[str] = frozenset()
        self._known: dict[int, frozenset[str]] = {}

    def note(self, handlers: Mapping[str, Iterable[Any]]) -> None:
        """Read the number of a set of handlers, or assign one."""
        each = {f"{kind} {name_of(one)}" for kind, several in handlers.items() for one in several}
        self._each = frozenset(each)
        self._names = frozenset(one.rpartition(" ")[2] for one in each)
        names = encode(sorted(each))
        digest = blake2b(names.encode(), digest_size=16).hexdigest()
        with self.store.write() as uow:
            uow.execute(
                self.store.statements.insert_new(handler_sets),
                {"digest": digest, "handlers": names},
            )
            self.number = uow.scalar(
                select(handler_sets.c.number).where(handler_sets.c.digest == digest)
            )

    def for_whom(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages to process. One resent to a single handler, but new to the service,
        is addressed to all its handlers, or that handler would get it twice. Messages that the
        handler does not handle are omitted: a later version might."""
        fed = {message.id for message in messages if message.handler in self._names}
        if not fed:
            return messages
        with self.store.read() as session:
            handled = set(session.scalars(select(inbox.c.id).where(inbox.c.id.in_(fed))))
        meant = []
        for each in messages:
            if each.handler in self._names and each.id not in handled:
                meant.append(replace(each, handler=None))
            elif each.handler not in self._names or _named(each) in self._each:
                meant.append(each)
        return meant

    def was_given_up(self, session: Session, kind: str) -> bool:
        """Return whether earlier versions handled messages of this type, and no later one does: a
        queue is never unbound. A type that a later version handles is waited for."""
        rows = session.execute(select(handler_sets.c.number, handler_sets.c.handlers)).all()
        had = [row.number for row in rows if f'"{kind} ' in row.handlers]
        return bool(had) and max(had) < (self.number or 0)

    def has_handled(self, uow: UnitOfWork, message: Message) -> bool:
        """Return whether the handler that a message is for has received it with all the others: not
        while it is parked for them."""
        itself = parked_messages.c.id == message.id, parked_messages.c.handler.is_(None)
        if uow.execute(select(parked_messages.c.seq).where(*itself)).first() is not None:
            return False
        row = uow.execute(select(inbox.c.handler_sets).where(inbox.c.id == message.id)).first()
        return row is not None and _named(message) in self._of(uow, row.handler_sets)

    def _of(self, session: Session, number: int | None) -> frozenset[str]:
        """Read a set of handlers. A row without a number is older than all sets: the first set has
        received it."""
        if number is None:
            number = session.scalar(select(func.min(handler_sets.c.number))) or 0
        if number not in self._known:
            names = session.scalar(
                select(handler_sets.c.handlers).where(handler_sets.c.number == number)
            )
            self._known[number] = frozenset(json.loads(names or "[]"))
        return self._known[number]

    def late(self, uow: UnitOfWork, message: Message, handlers: Sequence[Any]) -> list[Any]:
        """Record that a parked message is now delivered to these handlers; return those that did
        not get it in a resend meanwhile."""
        if message.handler:
            return [*handlers]
        its_row = inbox.c.id == message.id
        uow.execute(update(inbox).where(its_row).values(handler_sets=self.number))
        fed = [
            (replace(message, handler=name_of(handler)).receipt, handler) for handler in handlers
        ]
        condition = inbox.c.id.in_({receipt for receipt, _ in fed})
        handled = set(uow.scalars(select(inbox.c.id).where(condition)))
        its_parked_messages = select(parked_messages.c.handler).where(
            parked_messages.c.id == message.id
        )
        behind = set(uow.scalars(its_parked_messages))  # which are then found to be handled
        return [
            handler
            for receipt, handler in fed
            if receipt not in handled or name_of(handler) in behind
        ]


def _named(message: Message) -> str:
    return f"{message.envelope.type} {message.handler}"


class StorageUnavailable(Exception):
    """The database does not respond: no message may be acknowledged."""


@dataclass(frozen=True)
class Delivery:
    """A message that is processed in a transaction of its own, and how.

    `row` is its row among the parked messages, or None if the bus delivered it. A `suspect` may
    have crashed a process, so that each attempt is counted. `separately` parks the messages that
    the service publishes to itself, to be handled in turn. A `tolerant` delivery treats a storage
    error as the handler's, as long as the database responds.
    """

    message: Message
    row: Any = None
    suspect: bool = False
    separately: bool = False
    tolerant: bool = False


class Partitions:
    """The partitions of a service, as one replica serves them.

    `count` is how many there are, `serves` returns whether this replica serves one, and its
    `leases` keep one from changing hands during a transaction. Without leases it serves all.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = 1
        self.serves: Callable[[int], bool] = lambda _partition: True
        self.leases: Leases | None = None
        self._locks: dict[int, Semaphore] = defaultdict(lambda: Semaphore(1))

    def of(self, messages: Iterable[Message]) -> set[int]:
        """Return the partitions of messages."""
        return {message.partition(self.count) for message in messages}

    def of_key(self, key: str) -> int:
        """Return the partition of a key."""
        return partition_of(key, self.count)

    @contextmanager
    def locked(self, partitions: Iterable[int]) -> Iterator[None]:
        """Lock partitions against the other green threads of this process."""
        with ExitStack() as held:
            for partition in sorted(partitions):
                held.enter_context(self._locks[partition])
            yield

    def hold(self, uow: UnitOfWork, partitions: Collection[int]) -> None:
        """Hold partitions for this replica until the transaction ends; raises `PartitionLost`."""
        if self.leases is not None:
            self.hold_and_execute(uow, partitions)

    def hold_and_execute(
        self, uow: UnitOfWork, partitions: Collection[int], *statements: Statement
    ) -> list[list[Any]]:
        """Hold partitions and execute statements in one round trip; raises `PartitionLost`."""
        if self.leases is None:
            return self.store.execute_many(uow, *statements)
        held, *answers = self.store.execute_many(uow, self.leases.holding(partitions), *statements)
        self.leases.judge(held, partitions)
        return answers


class Admission:
    """Writes the receipts of messages, and determines which of them are to be handled."""

    def __init__(self, store: Store, partitions: Partitions, receipts: Receipts) -> None:
        self.store = store
        self.partitions = partitions
        self.receipts = receipts
        self.log = log(store.service)
        self.any_parked = True
        """Whether a parked message may block others, as of the last check or later."""

    def claim(self, uow: UnitOfWork, delivery: Delivery) -> set[parked.Stream] | None:
        """Claim a message and its partition for a transaction; return None if it was handled
        already.

        Otherwise returns the streams that parked messages block. Raises `PartitionLost`.
        """
        if delivery.row is not None:
            return self._claim_parked(uow, delivery)
        fresh, blocked = self.admit(uow, [delivery.message])
        return blocked if fresh else None

    def _claim_parked(self, uow: UnitOfWork, delivery: Delivery) -> set[parked.Stream] | None:
        """Claim a parked message, unless another replica serves it by now, it was delivered by a
        transaction whose COMMIT succeeded without a response, or an operator dropped it.

        Raises `StorageUnavailable`: a claim that fails is no attempt.
        """
        message = delivery.message
        try:
            self.partitions.hold(uow, self.partitions.of([message]))
            first = parked.first_of(uow, message.stream, for_update=True)
        except STORAGE_ERRORS as error:
            raise StorageUnavailable from error
        return set() if first == delivery.row else None

    def admit(
        self, uow: UnitOfWork, messages: Sequence[Message]
    ) -> tuple[list[Message], set[parked.Stream]]:
        """Hold the partitions of messages and write their inbox rows, in order of id, in one round
        trip.

        Returns the messages not seen before, and their streams that parked messages block. Raises
        `PartitionLost`.
        """
        by_id: dict[str, Message] = {}
        for message in messages:
            by_id.setdefault(message.receipt, message)
        insert = self.store.statements.build_once(
            "admitted", lambda: self.store.statements.insert_new(inbox).returning(inbox.c.id)
        )
        receipts = Statement(insert, rows=self.receipts_of(by_id.values(), uow.clock()))
        written, (any_holds,) = self.partitions.hold_and_execute(
            uow, self.partitions.of(messages), receipts, Statement(parked.ANY_HOLDS)
        )
        new = {identity for (identity,) in written}
        if len(new) < len(messages):
            self._reject_impostors(uow, messages)
        fresh = [message for key, message in by_id.items() if key in new]
        doubted = self._doubted(uow, fresh)
        self.any_parked = bool(any_holds[0] or doubted)
        blocked = parked.held(uow, fresh) if self.any_parked else set()
        if doubted:
            fresh = self._sift(uow, fresh, doubted, blocked)
        return fresh, blocked

    def receipts_of(self, messages: Iterable[Message], now: float) -> list[dict[str, Any]]:
        """Return the inbox rows of messages, in order of id."""
        number = self.receipts.number
        rows = [
            {
                "id": each.receipt,
                "fingerprint": each.fingerprint(),
                "handled_at": now,
                "origin": origin_of(each.envelope.source),
                "handler_sets": number,
            }
            for each in messages
        ]
        return sorted(rows, key=lambda row: str(row["id"]))

    @staticmethod
    def _reject_impostors(uow: UnitOfWork, messages: Sequence[Message]) -> None:
        """Reject messages that reuse an id with a different body."""
        repeated = inbox.c.id.in_({message.receipt for message in messages})
        rows = uow.execute(select(inbox.c.id, inbox.c.fingerprint).where(repeated))
        fingerprints = {row.id: row.fingerprint for row in rows}
        for message in messages:
            if fingerprints.get(message.receipt) != message.fingerprint():
                parked.park(uow, message, parked.DEAD, _ANOTHER_BODY, awaits=None, attempt=0)

    @staticmethod
    def _doubted(uow: UnitOfWork, messages: Sequence[Message]) -> set[str]:
        """Return the receipts of messages that may have been handled before: the inbox no longer
        reaches back that far."""
        late = uow.clock() - MARGIN
        old = [m for m in messages if m.born is not None and m.born < late]
        if not old:
            return set()
        until = forgotten_of(uow, {message.envelope.source for message in old})
        return {m.receipt for m in old if (m.born or 0.0) <= until[m.envelope.source]}

    def _sift(
        self,
        uow: UnitOfWork,
        messages: Sequence[Message],
        doubted: Collection[str],
        blocked: set[parked.Stream],
    ) -> list[Message]:
        """Park the doubted messages as exhausted, and the others of their streams as retrying;
        return the rest."""
        streams = {message.stream for message in messages if message.receipt in doubted}
        for message in (each for each in messages if each.stream in streams):
            if message.receipt in doubted:
                parked.park(uow, message, parked.EXHAUSTED, FORGOTTEN, awaits=None, attempt=0)
                kind = message.envelope.type
                self.log.error(
                    "parked message exhausted", id=message.id, type=kind, reason=FORGOTTEN
                )
            else:
                why = "another message of its stream is parked"
                parked.park(uow, message, parked.RETRYING, why, awaits=None, attempt=0)
        blocked |= streams
        return [message for message in messages if message.stream not in streams]
