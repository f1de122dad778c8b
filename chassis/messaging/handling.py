"""Handling within a transaction: calls the handlers of a message, and records its outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy.exc import IntegrityError

from chassis.errors import Conflict, NotYet, Rejected
from chassis.logs import log
from chassis.message import Message, Undecodable
from chassis.messaging import parked
from chassis.messaging.receipts import Admission, Delivery, name_of
from chassis.storage.store import Store
from chassis.storage.tables import inbox
from chassis.storage.unit_of_work import UnitOfWork
from contracts.catalogue import contracts
from contracts.shared import CommandSettled, Outcome

DONE, DUPLICATE, HELD = "done", "duplicate", "held"
NOT_YET, DEAD, FAILED, EXHAUSTED = "not_yet", "rejected", "failed", "exhausted"
"""Outcomes of a message beside handled ones, as the metric counts them."""
_BEHIND = "an earlier message of its stream is parked"
_SEPARATELY = "handled separately from its cause"

Handler = Callable[[Any, UnitOfWork], Any]


class AlreadyThere(Conflict):
    """Something with the same id already exists."""


class Unknown(NotYet):
    """No handler here knows the message, but one of a newer version does, or it would not be
    sent."""

    def __init__(self, message: Message, why: object) -> None:
        super().__init__(message.envelope.type)
        self.args = (f"{why}; it waits for a version that handles it",)


class WrongKey(Exception):
    """A service has published to itself under a key that the transaction does not hold."""


class Handling:
    """Calls the handlers of one service, and records the outcome of each message."""

    def __init__(
        self, service: Any, store: Store, handlers: dict[str, list[Handler]], admission: Admission
    ) -> None:
        self.service = service
        self.store = store
        self.handlers = handlers
        self.admission = admission
        self.receipts = admission.receipts
        self.log = log(store.service)

    def handle(
        self, uow: UnitOfWork, messages: Sequence[Message], blocked: set[parked.Stream]
    ) -> list[str]:
        """Handle or park the messages of a batch, then those that the service publishes to itself;
        return the outcomes. `blocked` gets the streams of parked messages."""
        outcomes = self._handle_each(uow, messages, blocked)
        return outcomes + self._react(uow, messages, blocked)

    def handle_one(self, uow: UnitOfWork, delivery: Delivery, blocked: set[parked.Stream]) -> str:
        """Handle the only message of a transaction; raises what its handler raises."""
        message, row = delivery.message, delivery.row
        if row is not None:
            parked.delivered(uow, row.seq)
            blocked = parked.held(uow, [message])
        elif message.stream in blocked:
            self.park(uow, delivery, _BEHIND)
            return HELD
        if is_readable(message):
            self.service.before_batch([message], uow)
        self.call(uow, message, late=row is not None)
        self._react(uow, [message], blocked, separately=delivery.separately)
        return DONE

    def _handle_each(
        self, uow: UnitOfWork, messages: Sequence[Message], blocked: set[parked.Stream]
    ) -> list[str]:
        self.service.before_batch([each for each in messages if is_readable(each)], uow)
        return [self._handle_or_park(uow, message, blocked) for message in messages]

    def _handle_or_park(
        self, uow: UnitOfWork, message: Message, blocked: set[parked.Stream]
    ) -> str:
        uow.message = message
        if message.stream in blocked:
            self.park(uow, Delivery(message), _BEHIND)
            return HELD
        published = len(uow.outbox)
        try:
            self.call(uow, message)
        except (NotYet, Rejected, Undecodable) as error:
            if len(uow.outbox) != published:
                raise  # it wrote before it refused: roll the batch back, process it by itself
            return self.conclude(uow, Delivery(message), error, blocked)
        return DONE

    # -- messages that the service publishes to itself

    def _react(
        self,
        uow: UnitOfWork,
        messages: Sequence[Message],
        blocked: set[parked.Stream],
        *,
        separately: bool = False,
    ) -> list[str]:
        """Handle the messages that the service has published to itself, then those that these
        cause, and so on; or park each, to be handled `separately` in turn.

        Raises `WrongKey`: in another partition the order would not be kept.
        """
        keys = {message.envelope.partitionkey for message in messages}
        outcomes: list[str] = []
        handled: list[Message] = []
        seen = 0
        while True:
            published, seen = uow.outbox[seen:], len(uow.outbox)
            own = [message for message in published if self._hears(message)]
            handled += own
            if own and separately:
                outcomes += [self._park_own(uow, message) for message in own]
            elif own:
                _check_keys(uow, own, keys)
                outcomes += self._handle_each(uow, own, blocked)
            else:
                self.service.before_commit(uow)
                if not any(map(self._hears, uow.outbox[seen:])):
                    break
        # only now, since `before_commit` may restate them
        receipts = self.admission.receipts_of(handled, uow.clock())
        uow.at_end(self.store.statements.insert_new(inbox), receipts)
        return outcomes

    def _hears(self, message: Message) -> bool:
        """Return whether the service handles its own message inline."""
        own = message.exchange == f"{self.store.service}.events"
        return own and self.service.handle_inline and message.envelope.type in self.handlers

    def _park_own(self, uow: UnitOfWork, message: Message) -> str:
        self.park(uow, Delivery(message), _SEPARATELY)
        return HELD

    # -- handlers

    def call(self, uow: UnitOfWork, message: Message, *, late: bool = False) -> None:
        """Call every handler of a message, and settle it if it is a command."""
        uow.message = message
        payload, result = _fact_of(message), None
        handlers = self._handlers_of(uow, message)
        if late:
            handlers = self.receipts.late(uow, message, handlers)
        for handler in handlers:
            answer = handler(payload, uow)
            result = answer if answer is not None else result
        if message.is_command and not message.handler:
            self._settle(uow, message, Outcome.DONE, result=result)

    def _handlers_of(self, uow: UnitOfWork, message: Message) -> list[Handler]:
        """Return the handlers of a message; raises `Unknown` if a newer version has bound the queue
        to its type."""
        kind = message.envelope.type
        handlers = self.handlers.get(kind)
        if not handlers:
            if not message.is_command and self.receipts.was_given_up(uow, kind):
                raise Undecodable(f"{kind} is no longer handled here")
            raise Unknown(message, f"no handler here for {kind}")
        if not message.handler:
            return handlers
        if all(message.handler not in map(name_of, each) for each in self.handlers.values()):
            raise Unknown(message, f"no handler here is called {message.handler}")
        if self.receipts.has_handled(uow, message):
            return []
        # which may handle another of the resent types
        return [handler for handler in handlers if name_of(handler) == message.handler]

    # -- outcomes

    def conclude(
        self, uow: UnitOfWork, delivery: Delivery, error: Exception, blocked: set[parked.Stream]
    ) -> str:
        """Record that a message was not handled, and return its outcome.

        `Rejected`: a command is settled as rejected, an event is dead. `Undecodable`: it is dead.
        `NotYet`: it is parked until the awaited event has arrived. Any other error is a failure: it
        is parked, and retried a few times. A message parked for a retry blocks its stream.
        """
        uow.message = message = delivery.message
        if isinstance(error, IntegrityError) and message.is_command:
            error = AlreadyThere()
        if isinstance(error, Rejected | Undecodable):
            self._reject(uow, delivery, error)
            return DEAD
        blocked.add(message.stream)
        if isinstance(error, NotYet):
            self.park(uow, delivery, str(error), awaits=error.what)
            return NOT_YET
        self.park(uow, delivery, f"{type(error).__name__}: {error}", failed=True)
        return FAILED

    def _reject(self, uow: UnitOfWork, delivery: Delivery, error: Rejected | Undecodable) -> None:
        message, row = delivery.message, delivery.row
        if isinstance(error, Rejected) and message.is_command:
            if row is not None:
                parked.delivered(uow, row.seq)
            self._settle(uow, message, Outcome.REJECTED, problem=error.problem())
        elif row is not None:
            parked.reject(uow, row.seq, str(error))
        else:
            parked.park(uow, message, parked.DEAD, str(error), awaits=None, attempt=1)

    def park(
        self,
        uow: UnitOfWork,
        delivery: Delivery,
        why: str,
        *,
        awaits: str | None = None,
        failed: bool = False,
    ) -> None:
        """Park a message for a retry, or put it back; a failure uses one of its retries."""
        message, row = delivery.message, delivery.row
        if row is None:
            self.admission.any_parked = True
            parked.park(uow, message, parked.RETRYING, why, awaits=awaits, attempt=int(failed))
        elif parked.put_back(uow, row, why, awaits=awaits, failed=failed):
            self.log.error("parked message exhausted", id=row.id, type=row.type, reason=why)

    @staticmethod
    def _settle(
        uow: UnitOfWork,
        message: Message,
        outcome: Outcome,
        result: Any = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        uow.record(
            CommandSettled(
                subject_key=message.envelope.partitionkey,  # type: ignore[arg-type]
                command_id=message.id,  # type: ignore[arg-type]
                command=message.envelope.type,
                outcome=outcome,
                result=result.to_data() if hasattr(result, "to_data") else result,
                problem=problem,
                by=message.payload.by,
            )
        )


def is_readable(message: Message) -> bool:
    """Return whether the body of a message matches its type."""
    try:
        return message.payload is not None
    except Undecodable:
        return False


def _fact_of(message: Message) -> Any:
    """Return the payload of a message; raises `Unknown` if only a newer version can read it.

    An unreadable command is retried too, since its sender waits for the outcome.
    """
    try:
        return message.payload
    except Undecodable as error:
        if message.is_command or message.envelope.type not in contracts():
            raise Unknown(message, error) from error
        raise


def _check_keys(uow: UnitOfWork, messages: Iterable[Message], keys: Collection[str]) -> None:
    for message in messages:
        if message.envelope.partitionkey not in keys:
            uow.message = message
            raise WrongKey(f"{message.envelope.type} is about {message.envelope.partitionkey}")
