"""Receipts: which messages a service has handled, and which of its handlers have heard them.

A message is admitted once, while its partition is held. Each receipt keeps the number of the
handlers to which the message was given. A handler that is fed what its service has seen is given
only what it has not heard itself (docs/decisions/0032): so neither a feed that comes twice, nor one
that reaches back beyond the handler's first day or not as far, has it do a thing twice.
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

FORGOTTEN = "whether it was handled is no longer known: the inbox has forgotten what is as old"
_ANOTHER_BODY = "another message had the same id"


def name_of(handler: Any) -> str:
    """Name a handler as `--handler` does."""
    return str(getattr(handler, "__name__", type(handler).__name__))


class Receipts:
    """The handlers of this process, and what those of others have heard.

    `number` is that of the set of its handlers: the same for every process that has the same.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number: int | None = None
        self._each: frozenset[str] = frozenset()
        self._names: frozenset[str] = frozenset()
        self._known: dict[int, frozenset[str]] = {}

    def note(self, handlers: Mapping[str, Iterable[Any]]) -> None:
        """Find the number of a set of handlers, or give it one."""
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
        """Make of what is meant for one handler, though the service has never heard it, what it is
        to all of them: or it would come to that one twice. Leaves out what that handler does not
        handle: it might one day."""
        fed = {message.id for message in messages if message.handler in self._names}
        if not fed:
            return messages
        with self.store.read() as session:
            known = set(session.scalars(select(inbox.c.id).where(inbox.c.id.in_(fed))))
        meant = []
        for each in messages:
            if each.handler in self._names and each.id not in known:
                meant.append(replace(each, handler=None))
            elif each.handler not in self._names or _named(each) in self._each:
                meant.append(each)
        return meant

    def was_given_up(self, session: Session, kind: str) -> bool:
        """Tell whether earlier versions have heard messages of this type, and none since: what is
        bound is never unbound. One that a later version hears is waited for."""
        rows = session.execute(select(handler_sets.c.number, handler_sets.c.handlers)).all()
        had = [row.number for row in rows if f'"{kind} ' in row.handlers]
        return bool(had) and max(had) < (self.number or 0)

    def has_handled(self, uow: UnitOfWork, message: Message) -> bool:
        """Tell whether the handler that a message is for has heard it with all the others: not
        where it still stands behind, to be given to them."""
        itself = parked_messages.c.id == message.id, parked_messages.c.handler.is_(None)
        if uow.execute(select(parked_messages.c.seq).where(*itself)).first() is not None:
            return False
        row = uow.execute(select(inbox.c.handler_sets).where(inbox.c.id == message.id)).first()
        return row is not None and _named(message) in self._of(uow, row.handler_sets)

    def _of(self, session: Session, number: int | None) -> frozenset[str]:
        """Read a set of handlers. A row without a number is from before there were any: those of
        the first set have heard it."""
        if number is None:
            number = session.scalar(select(func.min(handler_sets.c.number))) or 0
        if number not in self._known:
            names = session.scalar(
                select(handler_sets.c.handlers).where(handler_sets.c.number == number)
            )
            self._known[number] = frozenset(json.loads(names or "[]"))
        return self._known[number]

    def late(self, uow: UnitOfWork, message: Message, handlers: Sequence[Any]) -> list[Any]:
        """Note that a message which was set aside is now given to these handlers; leaves out those
        that were fed it meanwhile."""
        if message.handler:
            return [*handlers]
        its_row = inbox.c.id == message.id
        uow.execute(update(inbox).where(its_row).values(handler_sets=self.number))
        fed = [
            (replace(message, handler=name_of(handler)).receipt, handler) for handler in handlers
        ]
        asked = inbox.c.id.in_({receipt for receipt, _ in fed})
        known = set(uow.scalars(select(inbox.c.id).where(asked)))
        its_parked_messages = select(parked_messages.c.handler).where(
            parked_messages.c.id == message.id
        )
        behind = set(uow.scalars(its_parked_messages))  # which then find that it has been heard
        return [
            handler
            for receipt, handler in fed
            if receipt not in known or name_of(handler) in behind
        ]


def _named(message: Message) -> str:
    return f"{message.envelope.type} {message.handler}"


class StorageUnavailable(Exception):
    """The database does not answer: nothing may be acknowledged."""


@dataclass(frozen=True)
class Delivery:
    """A message that is processed by itself, and how.

    `row` is its row among the parked messages, or None where the bus has brought it. A `suspect`
    may have ended a process before, so that each attempt is counted. `separately` parks what the
    service publishes to itself, to be handled in its turn. A `tolerant` delivery takes a storage
    error for one of its handler, as long as the database answers.
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
        """Keep the other green threads of this process out of partitions."""
        with ExitStack() as held:
            for partition in sorted(partitions):
                held.enter_context(self._locks[partition])
            yield

    def hold(self, uow: UnitOfWork, partitions: Collection[int]) -> None:
        """Keep partitions with this replica until the transaction ends; raises `PartitionLost`."""
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
    """Writes the receipts of messages, and finds which of them are to be handled."""

    def __init__(self, store: Store, partitions: Partitions, receipts: Receipts) -> None:
        self.store = store
        self.partitions = partitions
        self.receipts = receipts
        self.log = log(store.service)
        self.any_parked = True
        """Whether a parked message may hold something back, as of the last look or later."""

    def claim(self, uow: UnitOfWork, delivery: Delivery) -> set[parked.Stream] | None:
        """Claim a message for a transaction, with its partition; None where it was handled already.

        Returns the streams that parked messages hold back. Raises `PartitionLost`.
        """
        if delivery.row is not None:
            return self._claim_parked(uow, delivery)
        fresh, blocked = self.admit(uow, [delivery.message])
        return blocked if fresh else None

    def _claim_parked(self, uow: UnitOfWork, delivery: Delivery) -> set[parked.Stream] | None:
        """Claim a parked message, unless it is another replica's business by now, was delivered by
        a transaction whose COMMIT was done and not answered, or was dropped by an operator.

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

        Returns the messages not seen before, and which of their streams a parked message holds
        back. Raises `PartitionLost`.
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
        known = {row.id: row.fingerprint for row in rows}
        for message in messages:
            if known.get(message.receipt) != message.fingerprint():
                parked.park(uow, message, parked.DEAD, _ANOTHER_BODY, awaits=None, attempt=0)

    @staticmethod
    def _doubted(uow: UnitOfWork, messages: Sequence[Message]) -> set[str]:
        """Return the receipts of messages that may have been handled before: the inbox has
        forgotten what is as old."""
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
        """Park the doubted messages for an operator, and what precedes or follows them in their
        streams to be retried; return the rest."""
        streams = {message.stream for message in messages if message.receipt in doubted}
        for message in (each for each in messages if each.stream in streams):
            if message.receipt in doubted:
                parked.park(uow, message, parked.EXHAUSTED, FORGOTTEN, awaits=None, attempt=0)
                kind = message.envelope.type
                self.log.error("parked message stuck", id=message.id, type=kind, reason=FORGOTTEN)
            else:
                why = "one of its stream is set aside"
                parked.park(uow, message, parked.RETRYING, why, awaits=None, attempt=0)
        blocked |= streams
        return [message for message in messages if message.stream not in streams]
