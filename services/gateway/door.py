"""The door: takes commands in, many requests to a commit, and tells each caller what became of it.

A command and its idempotency record are written with the outbox row, in one transaction. Requests
that arrive together share it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.queue import LightQueue
from sqlalchemy import bindparam, func, select, update

from chassis.errors import Invalid
from chassis.message import Message, encode
from chassis.store import Store, Work
from contracts.message import Contract, Envelope
from contracts.shapes import moment_to_json
from contracts.shared import CommandSettled, Outcome
from services.gateway.model import DONE, PENDING, REJECTED, commands

MOST_TOGETHER = 500
LOOK_EVERY = 0.25
"""Seconds between looks at the database, for outcomes that another process has projected."""

Now = Callable[[Work], datetime]


class KeyReused(Invalid):
    """This Idempotency-Key was used for another request."""


@dataclass
class Entry:
    """One command to take in, or one row that was refused before it became a command."""

    id: str
    idempotency: str
    fingerprint: str
    type: str
    command: Contract | None = None
    location: str | None = None
    created: bool = False
    problem: dict[str, Any] | None = None
    batch_id: str | None = None
    row: int | None = None
    rows: int | None = None
    traceparent: str | None = None

    def columns(self) -> dict[str, Any]:
        """Write the entry as a row of the commands table."""
        now = time.time()
        refused = self.problem is not None
        return {
            "id": self.id,
            "idempotency": self.idempotency,
            "fingerprint": self.fingerprint,
            "type": self.type,
            "state": REJECTED if refused else PENDING,
            "created": self.created,
            "location": self.location,
            "status": self.problem["status"] if self.problem else None,
            "outcome": encode(self.problem) if refused else None,
            "batch_id": self.batch_id,
            "row": self.row,
            "rows": self.rows,
            "accepted_at": now,
            "settled_at": now if refused else None,
        }


@dataclass
class Answered:
    """What became of a command so far."""

    id: str
    state: str
    status: int | None
    outcome: Any
    location: str | None
    created: bool
    type: str = ""
    row: int | None = None
    rows: int | None = None
    fingerprint: str = field(default="", repr=False)
    accepted_at: float = 0.0
    settled_at: float | None = None

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
            row.fingerprint,
            row.accepted_at,
            row.settled_at,
        )


class Door:
    """Takes commands in and waits for their outcomes."""

    def __init__(self, store: Store, wake: Callable[[], None], now: Now) -> None:
        self.store = store
        self._wake = wake
        self._now = now
        self._queue: LightQueue = LightQueue()
        self._waiting: dict[str, list[Event]] = defaultdict(list)
        self._tickets: dict[str, Event] = {}
        self._closing = False

    # -- in

    def take_in(self, entries: Sequence[Entry]) -> list[str]:
        """Store what is new, and give the id of the command that each entry stands for.

        An entry whose key was used before stands for that command; raises `KeyReused` where the
        first entry's body is another.
        """
        done = Event()
        self._queue.put((entries, done))
        known: dict[str, tuple[str, str]] = done.wait()
        first = entries[0]
        if known[first.idempotency][1] != first.fingerprint:
            raise KeyReused
        return [known[entry.idempotency][0] for entry in entries]

    def run(self) -> None:
        """Write what has come in, as much as is there in one transaction."""
        while True:
            together = [self._queue.get()]
            size = len(together[0][0])
            while size < MOST_TOGETHER and not self._queue.empty():
                together.append(self._queue.get())
                size += len(together[-1][0])
            try:
                known = self._write([entry for entries, _ in together for entry in entries])
            except Exception as error:  # each caller gets it, and the door stays open
                for _, done in together:
                    done.send_exception(error)
            else:
                for _, done in together:
                    done.send(known)
                self._wake()

    def _write(self, entries: list[Entry]) -> dict[str, tuple[str, str]]:
        by_key: dict[str, Entry] = {}
        for entry in entries:
            by_key.setdefault(entry.idempotency, entry)
        with self.store.write() as work:
            now = moment_to_json(self._now(work))
            new = set(
                work.scalars(
                    self.store.insert_new(commands).returning(commands.c.idempotency),
                    [by_key[key].columns() for key in sorted(by_key)],
                )
            )
            work.outgoing.extend(
                self._message(entry, now)
                for key, entry in by_key.items()
                if key in new and entry.command is not None
            )
            known = {key: (by_key[key].id, by_key[key].fingerprint) for key in new}
            self._tickets |= {
                by_key[key].id: Event() for key in new if by_key[key].command is not None
            }
            if old := by_key.keys() - new:
                rows = work.execute(
                    select(commands.c.idempotency, commands.c.id, commands.c.fingerprint).where(
                        commands.c.idempotency.in_(old)
                    )
                )
                known |= {row.idempotency: (row.id, row.fingerprint) for row in rows}
        return known

    @staticmethod
    def _message(entry: Entry, now: str) -> Message:
        command = entry.command
        assert command is not None
        envelope = Envelope(
            entry.id,
            "gateway",
            command.type,
            now,
            command.key,
            entry.id,
            traceparent=entry.traceparent,
        )
        return Message.of(command, envelope)

    # -- out

    def wait_for(self, identities: Sequence[str], seconds: float) -> bool:
        """Wait until every one of these commands is settled; False when the time is up."""
        tickets = [ticket for i in identities if (ticket := self._tickets.get(i))]
        others = [] if len(tickets) == len(identities) else self._join(identities)
        try:
            with eventlet.Timeout(seconds, exception=False):
                for event in [*tickets, *(event for _, event in others)]:
                    event.wait()
                return not self._closing or not self._pending(identities)
            return not self._pending(identities)
        finally:
            for identity in identities:
                self._tickets.pop(identity, None)
            for identity, event in others:
                self._forget(identity, event)

    def _join(self, identities: Sequence[str]) -> list[tuple[str, Event]]:
        """Wait beside others for commands that came in earlier."""
        joined = []
        for identity in identities:
            event = Event()
            self._waiting[identity].append(event)
            joined.append((identity, event))
        self.settled(set(identities) - self._pending(identities))  # after joining: none is missed
        return joined

    def _forget(self, identity: str, event: Event) -> None:
        events = self._waiting.get(identity, [])
        if event in events:
            events.remove(event)
        if not events:
            self._waiting.pop(identity, None)

    def _pending(self, identities: Iterable[str]) -> set[str]:
        wanted = list(identities)
        if not wanted:
            return set()
        with self.store.read() as session:
            query = select(commands.c.id).where(
                commands.c.id.in_(wanted), commands.c.state == PENDING
            )
            return set(session.scalars(query))

    def settled(self, identities: Iterable[str]) -> None:
        """Wake whoever waits for these commands."""
        for identity in identities:
            ticket = self._tickets.get(identity)
            for event in [*self._waiting.pop(identity, ()), *([ticket] if ticket else [])]:
                if not event.ready():
                    event.send()

    def look(self) -> None:
        """Now and then look whether what is waited for was settled by another process."""
        while True:
            eventlet.sleep(LOOK_EVERY)
            waiting = {*self._waiting, *self._tickets}
            if waiting:
                self.settled(waiting - self._pending(waiting))

    def close(self) -> None:
        """Let everybody who waits go: their commands are durable."""
        self._closing = True
        self.settled([*self._waiting, *self._tickets])

    # -- the record

    def read(self, identity: str) -> Answered | None:
        """Read what became of a command."""
        with self.store.read() as session:
            row = session.execute(select(commands).where(commands.c.id == identity)).first()
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
        with self.store.read() as session:
            rows = session.execute(
                select(commands.c.state, func.count())
                .where(commands.c.batch_id == batch_id)
                .group_by(commands.c.state)
            )
            return {state: count for state, count in rows}


_SETTLE = (
    update(commands)
    .where(commands.c.id == bindparam("command"))
    .values(
        state=bindparam("new_state"),
        status=bindparam("new_status"),
        outcome=bindparam("new_outcome"),
        settled_at=bindparam("now"),
    )
)


def settle(work: Work, facts: Sequence[CommandSettled]) -> None:
    """Note the outcomes of commands that came in by this gateway's database."""
    if not facts:
        return
    now = time.time()
    rows = []
    for fact in facts:
        done = fact.outcome is Outcome.DONE
        problem = fact.problem or {}
        rows.append(
            {
                "command": fact.command_id,
                "new_state": DONE if done else REJECTED,
                "new_status": None if done else problem.get("status", 422),
                "new_outcome": encode(fact.result if done else problem),
                "now": now,
            }
        )
    work.connection().execute(_SETTLE, sorted(rows, key=lambda row: str(row["command"])))


def moment_of(seconds: float | None) -> str | None:
    """Write an instant of the real clock as RFC 3339."""
    return None if seconds is None else moment_to_json(datetime.fromtimestamp(seconds, UTC))
