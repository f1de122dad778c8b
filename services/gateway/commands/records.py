"""Command records: the request under each idempotency key, and its outcome."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from chassis.errors import Invalid, Rejected
from chassis.message import Message, encode
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.catalogue import sealed_fields
from contracts.message import Contract, Envelope
from contracts.shared import CommandSettled, Outcome
from services.gateway.access.callers import Scope
from services.gateway.tables import DONE, PENDING, REJECTED, commands

if TYPE_CHECKING:
    from services.gateway.person_keys import Personal


@dataclass
class Entry:
    """A command to submit, or a row rejected before it became a command.

    Its `personal` data is sealed once the command is known to be new.
    """

    id: str
    scope: Scope
    fingerprint: str
    type: str
    command: Contract | None = None
    location: str | None = None
    created: bool = False
    refused: int | None = None
    """The status of the rejection, and the problem as text: thousands of entries may be in
    memory."""
    problem: str | None = None
    batch_id: str | None = None
    row: int | None = None
    rows: int | None = None
    traceparent: str | None = None
    caller: str = ""
    personal: Personal | None = field(default=None, repr=False)

    @property
    def idempotency(self) -> str:
        """The key under which it is stored."""
        return self.scope.text

    def earlier(self, *columns: Any) -> Select[Any]:
        """Build the query for an earlier request under the same key, including the key's earlier
        form, which may belong to several callers and is matched by caller too."""
        kept, own = commands.c.idempotency == self.scope.text, commands.c.caller == self.caller
        if self.scope.before is not None:
            formerly = commands.c.idempotency == self.scope.before
            kept = or_(kept, and_(formerly, own))
        return select(*columns).where(kept).order_by(case((own, 0), else_=1))

    @property
    def kept(self) -> Kept:
        """The stored part of the entry."""
        return Kept(self.id, self.fingerprint, self.caller)

    def repeats(self, kept: Any) -> bool:
        """Return whether a stored request is the same one, of the same caller."""
        return kept.fingerprint == self.fingerprint and kept.caller in (None, self.caller)

    def refuse(self, error: Rejected) -> None:
        """Record why the entry becomes no command."""
        self.refused, self.problem = error.status, encode(error.problem())

    def columns(self, now: float) -> dict[str, Any]:
        """Return the entry, accepted now (s since 1970), as a row of the commands table."""
        refused = self.refused is not None
        return {
            "id": self.id,
            "idempotency": self.idempotency,
            "fingerprint": self.fingerprint,
            "type": self.type,
            "state": REJECTED if refused else PENDING,
            "created": self.created,
            "location": self.location,
            "status": self.refused,
            "outcome": self.problem,
            "batch_id": self.batch_id,
            "row": self.row,
            "rows": self.rows,
            "accepted_at": now,
            "settled_at": now if refused else None,
            "caller": self.caller,
        }

    def message(self, command: Contract, now: str) -> Message:
        """Return the command as a message that begins a chain."""
        named = self.id, "gateway", command.type, now, command.key, self.id
        return Message.of(command, Envelope(*named, traceparent=self.traceparent))

    def ended(self, event: CommandSettled, now: float) -> Answered:
        """Return the outcome of the command in the form of its record."""
        state, status, outcome = _ending(event)
        return Answered(
            self.id, state, status, outcome, self.location, self.created, self.type,
            self.row, self.rows, now, now, self.caller,
        )  # fmt: skip


class Kept(NamedTuple):
    """The stored part of a request, by which a repeat is recognized."""

    id: str
    fingerprint: str
    caller: str | None


@dataclass
class Answered:
    """The outcome of a command so far."""

    id: str
    state: str
    status: int | None
    outcome: Any
    location: str | None
    created: bool
    type: str
    row: int | None
    rows: int | None
    accepted_at: float
    settled_at: float | None
    caller: str | None

    @classmethod
    def of(cls, row: Any) -> Answered:
        """Return the outcome of a row of the commands table."""
        return cls(
            row.id,
            row.state,
            row.status,
            json.loads(row.outcome) if row.outcome else None,
            row.location,
            row.created,
            row.type,
            row.row,
            row.rows,
            row.accepted_at,
            row.settled_at,
            row.caller,
        )


class Records:
    """Reads command records."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self, identity: str) -> Answered | None:
        """Return the record of a command, or None."""
        with self.store.engine.connect() as connection:
            row = connection.execute(_BY_ID, {"identity": identity}).first()
            return Answered.of(row) if row else None

    def rows_of(self, batch_id: str, after: int, most: int) -> list[Answered]:
        """Return the records of a batch's rows, in order."""
        with self.store.read() as session:
            rows = session.execute(
                select(commands)
                .where(commands.c.batch_id == batch_id, commands.c.row > after)
                .order_by(commands.c.row)
                .limit(most)
            )
            return [Answered.of(row) for row in rows]

    def tally_of(self, batch_id: str) -> dict[str, int]:
        """Count the rows of a batch by state."""
        query = (
            select(commands.c.state, func.count().label("number"))
            .where(commands.c.batch_id == batch_id)
            .group_by(commands.c.state)
        )
        with self.store.read() as session:
            return {row.state: row.number for row in session.execute(query)}

    def settled(self, identities: Iterable[str]) -> set[str]:
        """Return which of these commands are settled, as far as committed."""
        wanted = list(identities)
        settled = commands.c.state != PENDING
        return self._ids(commands.c.id.in_(wanted), settled) if wanted else set()

    def pending_rows(self, batch_id: str) -> set[str]:
        """Return the ids of a batch's unsettled rows."""
        return self._ids(commands.c.batch_id == batch_id, commands.c.state == PENDING)

    def _ids(self, *which: ColumnElement[bool]) -> set[str]:
        with self.store.read() as session:
            return set(session.scalars(select(commands.c.id).where(*which)))


KEPT = commands.c.id, commands.c.fingerprint, commands.c.caller
_BY_ID = select(commands).where(commands.c.id == bindparam("identity"))
_PENDING: ColumnElement[str] = literal_column(f"'{PENDING}'")
"""A condition and no parameter, which would be one of each row. A settled record stays
unchanged."""
_SETTLE = (
    update(commands)
    .where(commands.c.id == bindparam("command"), commands.c.state == _PENDING)
    .values(
        state=bindparam("new_state"),
        status=bindparam("new_status"),
        outcome=bindparam("new_outcome"),
        settled_at=bindparam("now"),
    )
)


def settle(uow: UnitOfWork, outcomes: Sequence[CommandSettled]) -> None:
    """Record the outcomes of commands that were submitted through this database."""
    if outcomes:
        now = uow.clock()
        rows = [_settled(event) | {"now": now} for event in outcomes]
        rows.sort(key=lambda row: str(row["command"]))
        uow.at_end(_SETTLE, rows)


def _settled(event: CommandSettled) -> dict[str, Any]:
    state, status, outcome = _ending(event)
    return {
        "command": event.command_id,
        "new_state": state,
        "new_status": status,
        "new_outcome": encode(outcome),
    }


def _ending(event: CommandSettled) -> tuple[str, int | None, dict[str, Any]]:
    """Return how a command ended: its state, the status of a rejection, and its result or
    problem."""
    if event.outcome is Outcome.DONE:
        hidden = sealed_fields(event.command)
        shown = {name: value for name, value in (event.result or {}).items() if name not in hidden}
        return DONE, None, shown
    problem = event.problem or {"status": 422}
    return REJECTED, problem.get("status", 422), problem


class KeyReused(Invalid):
    """The Idempotency-Key was already used for another request."""
