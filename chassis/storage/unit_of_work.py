"""The unit of work: one transaction, the messages it records, and its closing statements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Any, Generic

from sqlalchemy import event, insert
from sqlalchemy.orm import Session
from typing_extensions import TypeVar

from chassis.aggregate import Aggregate
from chassis.errors import NotFound
from chassis.ids import new_id
from chassis.message import Message
from chassis.storage.engine import Dialect
from chassis.storage.statements import Statement
from chassis.storage.tables import outbox, row_of
from contracts.message import RULE, Act, Contract, Envelope

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Days are Shanghai's, which has kept UTC+8 without daylight saving since 1991."""
_POST = insert(outbox)

State = TypeVar("State", default=Any)
Kind = TypeVar("Kind", bound=Aggregate)
Payload = TypeVar("Payload", bound=Contract)


class UnitOfWork(Session, Generic[State]):
    """One transaction of a service: state changes, the events they record, and the message in hand.

    `now` and `today` are the time of the message in hand: the moment of its external cause. So the
    same messages lead to the same results, however late or often they are delivered.
    """

    state: State
    """The state that the handlers of a transaction share, created by their service in
    `before_batch`."""
    loaded: list[Any]
    """Keeps objects in the identity map, which is weak, until the transaction ends."""
    asks_resend: bool = False
    """Whether a resend is requested: the relay reads it after the commit."""
    message: Message
    clock: Callable[[], float]
    """Returns the time by the database's clock (s since 1970), which dates what is stored."""

    def __init__(
        self, source: str, dialect: Dialect, clock: Callable[[], float], **kwargs: Any
    ) -> None:
        super().__init__(expire_on_commit=False, **kwargs)
        self.source = source
        self.clock = clock
        self.state = None  # type: ignore[assignment]  # until `before_batch`
        self.loaded = []
        self.outbox: list[Message] = []
        self.closing: list[Statement] = []
        """The closing statements: executed in this order at the end of the transaction, before the
        outbox."""
        self._dialect = dialect

    def flush(self, objects: Any = None) -> None:
        """Write the changes, on PostgreSQL in one round trip."""
        if self.is_changed:
            flush = partial(super().flush, objects)
            self._dialect.execute_many(self.connection(), [], flush=flush)

    def write_last(self) -> None:
        """Write the changes, as part of a larger round trip."""
        super().flush()

    @property
    def is_changed(self) -> bool:
        """Whether there may be changes to write."""
        return not self._is_clean()

    def at_end(self, clause: Any, rows: list[dict[str, Any]]) -> None:
        """Add a closing statement: one clause for many rows."""
        if rows:
            self.closing.append(Statement(clause, rows=rows))

    def last_statements(self) -> list[Statement]:
        """Return the closing statements and the insert into the outbox."""
        if not self.outbox:
            return self.closing
        now = self.clock()
        rows = [row_of(message) | {"written_at": now} for message in self.outbox]
        return [*self.closing, Statement(_POST, rows=rows)]

    @property
    def now(self) -> datetime:
        """The moment of the message in hand."""
        moment: datetime = self.message.moment
        return moment

    @property
    def today(self) -> date:
        """The day of the message in hand, in Shanghai."""
        return self.now.astimezone(SHANGHAI).date()

    def record(self, payload: Payload, *, identity: str | None = None) -> Payload:
        """Put an event or a command in the outbox, as an effect of the message in hand."""
        cause = self.message.envelope
        envelope = Envelope(
            identity or new_id(self.clock()),
            self.source,
            payload.type,
            cause.time,
            payload.key,
            cause.correlationid,
            cause.id,
            cause.type,
            cause.traceparent,
        )
        self.outbox.append(Message.of(payload, envelope))
        return payload

    def cause_of(self, event: Contract) -> dict[str, str]:
        """Return the type of an event, and who caused it and when."""
        by = getattr(self.message.payload, "by", RULE)
        return {"what": event.type, "by": by, "at": self.message.envelope.time}

    def add_new(self, aggregate: Aggregate) -> Any:
        """Add a new aggregate, and return the first event that it has recorded."""
        recorded = len(self.outbox)
        self.add(aggregate)
        return self.outbox[recorded].payload

    def require(self, kind: type[Kind], identity: str, *, seen_by: Act | None = None) -> Kind:
        """Load an aggregate; raises `NotFound`, and `Changed` if it is not as `seen_by` saw it."""
        aggregate = self.get(kind, identity)
        if aggregate is None:
            raise NotFound(f"There is no {kind.__name__.lower()} {identity}.")
        if seen_by is not None:
            aggregate.as_seen(seen_by)
        return aggregate

    def held(self, kind: type[Any], identity: str) -> Any:
        """Return an aggregate that this transaction has loaded or stored, without a query."""
        key = kind.__mapper__.identity_key_from_primary_key((identity,))
        return self.identity_map.get(key)

    def get_or_none(self, kind: type[Any], identity: str | None) -> Any:
        """Load an aggregate by its id; return None if there is none."""
        return None if identity is None else self.get(kind, identity)


@event.listens_for(UnitOfWork, "after_attach")
def _flush_what_waited(session: UnitOfWork, instance: Any) -> None:
    if isinstance(instance, Aggregate):
        for pending in instance.take_pending():
            instance.publish(session, pending)
