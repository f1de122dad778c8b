"""The record of every command: what was asked under which key, and what became of it."""

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
    """A command to take in, or one row that was refused before it became a command.

    What is `personal` in the command is sealed when it is known to be new.
    """

    id: str
    scope: Scope
    fingerprint: str
    type: str
    command: Contract | None = None
    location: str | None = None
    created: bool = False
    refused: int | None = None
    """The status with which it was refused, and, as text, the problem: thousands may wait here."""
    problem: str | None = None
    batch_id: str | None = None
    row: int | None = None
    rows: int | None = None
    traceparent: str | None = None
    caller: str = ""
    personal: Personal | None = field(default=None, repr=False)

    @property
    def idempotency(self) -> str:
        """Under what it is kept, and known again."""
        return self.scope.text

    def asked(self, *columns: Any) -> Select[Any]:
        """Ask for what came in earlier under the same key, also by an earlier version: of what that
        wrote in a way that may mean two callers, the caller tells whose it is."""
        kept, own = commands.c.idempotency == self.scope.text, commands.c.caller == self.caller
        if self.scope.before is not None:
            formerly = commands.c.idempotency == self.scope.before
            kept = or_(kept, and_(formerly, own))
        return select(*columns).where(kept).order_by(case((own, 0), else_=1))

    @property
    def kept(self) -> Kept:
        """What is kept of it."""
        return Kept(self.id, self.fingerprint, self.caller)

    def repeats(self, kept: Any) -> bool:
        """Tell whether what was kept under its key is the same request, of the same caller."""
        return kept.fingerprint == self.fingerprint and kept.caller in (None, self.caller)

    def refuse(self, error: Rejected) -> None:
        """Note why it becomes no command."""
        self.refused, self.problem = error.status, encode(error.problem())

    def columns(self, now: float) -> dict[str, Any]:
        """Write the entry, accepted now (s since 1970), as a row of the commands table."""
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
        """Write the message that takes the command along, at the beginning of a chain."""
        named = self.id, "gateway", command.type, now, command.key, self.id
        return Message.of(command, Envelope(*named, traceparent=self.traceparent))

    def ended(self, fact: CommandSettled, now: float) -> Answered:
        """Tell what became of the command, as its record does."""
        state, status, outcome = _ending(fact)
        return Answered(
            self.id, state, status, outcome, self.location, self.created, self.type,
            self.row, self.rows, now, now, self.caller,
        )  # fmt: skip


class Kept(NamedTuple):
    """What is kept of a request, by which a repeat of it is known."""

    id: str
    fingerprint: str
    caller: str | None


@dataclass
class Answered:
    """What became of a command so far."""

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
        """Read a row of the commands table."""
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
    """Reads what became of commands."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self, identity: str) -> Answered | None:
        """Read what became of a command."""
        with self.store.engine.connect() as connection:
            row = connection.execute(_BY_ID, {"identity": identity}).first()
            return Answered.of(row) if row else None

    def rows_of(self, batch_id: str, after: int, most: int) -> list[Answered]:
        """Read what became of the rows of a batch, in order."""
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
        """Tell which of these commands are settled; one that is still being written is not."""
        wanted = list(identities)
        settled = commands.c.state != PENDING
        return self._ids(commands.c.id.in_(wanted), settled) if wanted else set()

    def pending_rows(self, batch_id: str) -> set[str]:
        """Tell which rows of a batch are not settled yet."""
        return self._ids(commands.c.batch_id == batch_id, commands.c.state == PENDING)

    def _ids(self, *which: ColumnElement[bool]) -> set[str]:
        with self.store.read() as session:
            return set(session.scalars(select(commands.c.id).where(*which)))


KEPT = commands.c.id, commands.c.fingerprint, commands.c.caller
_BY_ID = select(commands).where(commands.c.id == bindparam("identity"))
_PENDING = literal_column(f"'{PENDING}'")
"""Not a parameter, which is one of each row. What is settled stays as it is."""
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


def settle(uow: UnitOfWork, facts: Sequence[CommandSettled]) -> None:
    """Note the outcomes of commands that came in by this gateway's database."""
    if facts:
        now = uow.clock()
        rows = [_settled(fact) | {"now": now} for fact in facts]
        rows.sort(key=lambda row: str(row["command"]))
        uow.at_end(_SETTLE, rows)


def _settled(fact: CommandSettled) -> dict[str, Any]:
    state, status, outcome = _ending(fact)
    return {
        "command": fact.command_id,
        "new_state": state,
        "new_status": status,
        "new_outcome": encode(outcome),
    }


def _ending(fact: CommandSettled) -> tuple[str, int | None, dict[str, Any]]:
    """Tell how a command ended: its state, the status of a refusal, and its result or problem."""
    if fact.outcome is Outcome.DONE:
        hidden = sealed_fields(fact.command)
        shown = {name: value for name, value in (fact.result or {}).items() if name not in hidden}
        return DONE, None, shown
    problem = fact.problem or {"status": 422}
    return REJECTED, problem.get("status", 422), problem


class KeyReused(Invalid):
    """The Idempotency-Key was used for another request."""
