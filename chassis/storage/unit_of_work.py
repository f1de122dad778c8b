"""The unit of work: one transaction, the messages it records, and statements that run at its
end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from chassis.aggregate import Aggregate
from chassis.ids import new_id
from chassis.message import Message
from contracts.message import RULE, Contract, Envelope

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Days are Shanghai's, which has kept UTC+8 without daylight saving since 1991."""


@dataclass(frozen=True)
class Ask:
    """A statement, and what it is given: parameters of its own, or many rows.

    Rows are of plain text and numbers, all with the same names. Each statement is built once: its
    text is remembered by it, and by the names.
    """

    statement: Any
    given: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None


Worded = tuple[str, dict[str, Any] | None]
"""A statement as text, and its parameters."""


class Work(Session):
    """One transaction of a service: state changes, the facts they state, and the message handled.

    `now` and `today` are the time of the message in hand: the moment at which the outside gave its
    cause. So the same facts lead to the same loop, however late or often they are delivered.
    """

    source: str = ""
    message: Message
    outgoing: list[Message]
    clock: Callable[[], float] = time.time
    """Tells the time by the database's clock (s since 1970), which dates what is stored."""
    closing: list[Ask]
    """What is written at the end of the transaction, in this order, before the outbox."""

    def __init__(self, source: str, **kwargs: Any) -> None:
        super().__init__(expire_on_commit=False, **kwargs)
        self.source = source
        self.outgoing = []
        self.closing = []

    def flush(self, objects: Any = None) -> None:
        """Write what has changed; PostgreSQL is not waited for in between."""
        if self.is_changed and self.connection().dialect.name == "postgresql":
            from chassis.storage.postgres import journey

            journey(self.connection(), [], first=partial(super().flush, objects))
        elif self.is_changed:
            super().flush(objects)

    def write_last(self) -> None:
        """Write what has changed, in a journey that goes on."""
        super().flush()

    @property
    def is_changed(self) -> bool:
        """Whether there may be something to write."""
        return not self._is_clean()

    def at_end(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        """Have one statement executed for many rows at the end of the transaction."""
        if rows:
            self.closing.append(Ask(statement, rows=rows))

    @property
    def now(self) -> datetime:
        """The moment of the message in hand."""
        moment: datetime = self.message.moment
        return moment

    @property
    def today(self) -> date:
        """The day of the message in hand, in Shanghai."""
        return self.now.astimezone(SHANGHAI).date()

    def record(self, fact: Contract, *, identity: str | None = None) -> Message:
        """Put a fact or a command in the outbox, as an effect of the message in hand."""
        cause = self.message.envelope
        made = Message.of(
            fact,
            Envelope(
                identity or new_id(self.clock()),
                self.source,
                fact.type,
                cause.time,
                fact.key,
                cause.correlationid,
                cause.id,
                cause.type,
                cause.traceparent,
            ),
        )
        self.outgoing.append(made)
        return made

    def cause_of(self, fact: Contract) -> dict[str, str]:
        """Tell what a fact is, who asked for what led to it, and when."""
        by = getattr(self.message.fact, "by", RULE)
        return {"what": fact.type, "by": by, "at": self.message.envelope.time}

    def held(self, kind: type[Any], identity: str) -> Any:
        """Give an aggregate that this transaction has loaded or stored, without asking for it."""
        key = kind.__mapper__.identity_key_from_primary_key((identity,))
        return self.identity_map.get(key)

    def get_or_none(self, kind: type[Any], identity: str | None) -> Any:
        """Load an aggregate by its identity, if there is one."""
        return None if identity is None else self.get(kind, identity)


@event.listens_for(Work, "after_attach")
def _say_what_waited(session: Work, instance: Any) -> None:
    if isinstance(instance, Aggregate):
        for fact in instance.unsaid():
            instance.say(session, fact)
