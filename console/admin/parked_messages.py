"""The operator's desk: finds letters in the services' databases, has them tried again or drops
them. Each action is recorded in the transaction that does it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, or_, select, update

from chassis.errors import Conflict
from chassis.messaging.parked import HOLDS, REJECTED, WAITING
from chassis.service import handlers_of
from chassis.storage.store import Store
from chassis.storage.tables import inbox, letter_actions, letters, message_of
from chassis.storage.unit_of_work import Work
from console.admin.databases import KINDS, answering
from console.exits import Mistaken
from contracts.shared import CommandSettled, Outcome

Do = Callable[[Work, str, Row[Any]], tuple[bool, str]]
"""Acts on a letter of a service; tells whether it did, and what there is to say."""

AT_ONCE = 50
"""Letters of one transaction; on SQLite a running district waits for it."""


class GivenUp(Conflict):
    """The command was given up by the operator."""


@dataclass(frozen=True)
class Sought:
    """Which letters are looked for; `older_than` in seconds since they were parked."""

    states: tuple[str, ...] = ()
    type: str | None = None
    source: str | None = None
    key: str | None = None
    older_than: float | None = None
    names: tuple[str, ...] = ()
    """Numbers or ids of letters."""

    def conditions(self, now: float) -> list[ColumnElement[bool]]:
        """Write what is looked for as conditions on the letters, at this time (s since 1970)."""
        equal = {"type": self.type, "source": self.source, "partitionkey": self.key}
        found = [letters.c[name] == value for name, value in equal.items() if value is not None]
        if self.states:
            found.append(letters.c.state.in_(self.states))
        if self.older_than is not None:
            found.append(letters.c.parked_at <= now - self.older_than)
        if self.names:
            numbers = [int(name) for name in self.names if is_number(name)]
            found.append(or_(letters.c.seq.in_(numbers), letters.c.id.in_(self.names)))
        return found


@dataclass(frozen=True)
class Letter:
    """A letter and the service whose database holds it."""

    service: str
    row: Row[Any]
    now: float
    """When it was looked at, by the clock of the database."""

    @property
    def number(self) -> int:
        """Its number within the service."""
        return int(self.row.seq)

    @property
    def title(self) -> str:
        """How the operator's messages call it."""
        return f"{self.service} {self.number} ({self.row.type})"

    @property
    def age(self) -> float:
        """Seconds since it was parked."""
        return max(0.0, self.now - float(self.row.parked_at))

    @property
    def handlers(self) -> list[str]:
        """Name the handlers that would take it."""
        if self.row.handler:
            return [self.row.handler]
        return _handlers(self.service).get(self.row.type, [])

    def facts(self) -> dict[str, Any]:
        """Give all columns but the body, as JSON values."""
        row = self.row._asdict()
        del row["body"]
        return {
            "service": self.service,
            "number": row.pop("seq"),
            "key": row.pop("partitionkey"),
            **row,
            "parked_at": iso(row["parked_at"]),
            "try_at": iso(row["try_at"]),
            "age_seconds": round(self.age, 3),
            "handlers": self.handlers,
        }


@dataclass(frozen=True)
class Around:
    """What is known of a letter beside itself: its stream, and what operators did to it."""

    before: list[dict[str, Any]]
    behind: list[dict[str, Any]]
    actions: list[dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """What became of one letter at the operator's hands."""

    letter: Letter
    action: str
    done: bool
    says: str

    def facts(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "service": self.letter.service,
            "number": self.letter.number,
            "id": self.letter.row.id,
            "type": self.letter.row.type,
            "action": self.action,
            "done": self.done,
            "says": self.says,
        }


@dataclass
class Desk:
    """Acts for one operator, on the databases that are given."""

    stores: dict[str, Store]
    who: str = ""

    def find(self, sought: Sought, most: int | None = None) -> list[Letter]:
        """Find letters in every database, oldest first; raises `Away`."""
        found: list[Letter] = []
        for name, store in self.stores.items():
            with answering(name), store.engine.connect() as connection:
                now = store.now()
                query = select(letters).where(*sought.conditions(now))
                query = query.order_by(letters.c.parked_at, letters.c.seq).limit(most)
                found += [Letter(name, row, now) for row in connection.execute(query)]
        found.sort(key=lambda letter: (letter.row.parked_at, letter.service, letter.number))
        return found[:most]

    def named(self, names: Sequence[str]) -> list[Letter]:
        """Find the letters of these numbers or ids; raises `Mistaken` for one that is not there."""
        found = self.find(Sought(names=tuple(names)))
        known = {str(letter.number) for letter in found} | {letter.row.id for letter in found}
        for name in names:
            if name not in known:
                raise Mistaken(self._missing(name))
        return found

    def _missing(self, name: str) -> str:
        """Say that there is no such letter, and what became of it if an operator had a hand in."""
        which = (
            letter_actions.c.letter == int(name) if is_number(name) else letter_actions.c.id == name
        )
        query = select(letter_actions).where(which).order_by(letter_actions.c.seq.desc())
        for service, store in self.stores.items():
            with answering(service), store.engine.connect() as connection:
                last = connection.execute(query.limit(1)).first()
            if last is not None:
                return (
                    f"{service} has no letter {name} any more; the last that was done to it: "
                    f"{last.action} by {last.who} at {iso(last.at)}."
                )
        if len(self.stores) > 1:
            return f"No service has a letter {name}."
        return f"{next(iter(self.stores))} has no letter {name}."

    def around(self, letter: Letter) -> Around:
        """Read what stands before and behind a letter in its stream, and what was done to it."""
        row = letter.row
        others = (
            select(letters.c.seq, letters.c.id, letters.c.type, letters.c.state)
            .where(
                letters.c.source == row.source,
                letters.c.partitionkey == row.partitionkey,
                letters.c.state.in_(HOLDS),
                letters.c.seq != row.seq,
            )
            .order_by(letters.c.seq)
        )
        done = select(letter_actions).where(letter_actions.c.letter == row.seq)
        store = self.stores[letter.service]
        with answering(letter.service), store.engine.connect() as connection:
            stream = [_numbered(other) for other in connection.execute(others)]
            actions = [
                {name: value for name, value in action._asdict().items() if name != "seq"}
                | {"at": iso(action.at)}
                for action in connection.execute(done.order_by(letter_actions.c.seq))
            ]
        return Around(
            [other for other in stream if other["number"] < row.seq],
            [other for other in stream if other["number"] > row.seq],
            actions,
        )

    # -- what an operator does

    def retry(self, found: Iterable[Letter], *, even_rejected: bool = False) -> Iterator[Result]:
        """Have letters tried again at once; those of a stream go in their old order."""

        def again(work: Work, service: str, row: Row[Any]) -> tuple[bool, str]:
            if row.state == REJECTED and not even_rejected:
                return False, "is rejected; --even-rejected has it tried all the same"
            if row.state == REJECTED and _known(work, row) is False:
                return False, "cannot be tried: another message came under its id before it"
            fresh = {"attempts": 0, "awaits": None} if row.state != WAITING else {}
            values = {"state": WAITING, "try_at": 0.0, **fresh}
            work.execute(update(letters).where(letters.c.seq == row.seq).values(values))
            head = _head(work, row)
            return True, "is tried again" if head == row.seq else f"waits behind {service} {head}"

        return self._act("retry", "", found, again)

    def drop(self, found: Iterable[Letter], reason: str) -> Iterator[Result]:
        """Give messages up for good; what waited behind them goes on, a command is settled."""

        def give_up(work: Work, _service: str, row: Row[Any]) -> tuple[bool, str]:
            was_head = row.state in HOLDS and _head(work, row) == row.seq
            settles = _is_owed_an_outcome(work, row)
            work.execute(delete(letters).where(letters.c.seq == row.seq))
            if was_head and (following := _head(work, row)) is not None:
                work.execute(
                    update(letters)
                    .where(letters.c.seq == following, letters.c.state == WAITING)
                    .values(try_at=0.0)
                )
            if settles:
                _settle(work, row)
            return True, "is dropped, and settled as rejected" if settles else "is dropped"

        return self._act("drop", reason, found, give_up)

    def _act(self, action: str, reason: str, found: Iterable[Letter], do: Do) -> Iterator[Result]:
        by_service: dict[str, list[Letter]] = {}
        for letter in found:
            by_service.setdefault(letter.service, []).append(letter)
        for service, theirs in by_service.items():
            theirs.sort(key=lambda letter: letter.number)
            for start in range(0, len(theirs), AT_ONCE):
                page = theirs[start : start + AT_ONCE]
                with answering(service), self.stores[service].write() as work:
                    results = [self._one(work, letter, action, reason, do) for letter in page]
                yield from results

    def _one(self, work: Work, letter: Letter, action: str, reason: str, do: Do) -> Result:
        """Act on a letter that nobody has in hand, and record it."""
        wanted = select(letters).where(letters.c.seq == letter.number)
        row = work.execute(wanted.with_for_update(skip_locked=True)).first()
        if row is None:
            there = work.execute(wanted).first() is not None
            says = "is being tried right now" if there else "was delivered meanwhile"
            return Result(letter, action, done=False, says=says)
        done, says = do(work, letter.service, row)
        if done:
            work.execute(
                insert(letter_actions).values(
                    at=work.clock(),
                    who=self.who[:64],
                    action=action,
                    letter=row.seq,
                    id=row.id,
                    type=row.type,
                    state=row.state,
                    reason=reason,
                )
            )
        return Result(letter, action, done, says)


@cache
def _handlers(service: str) -> dict[str, list[str]]:
    found = handlers_of(KINDS[service]())
    return {kind: [method.__name__ for method in methods] for kind, methods in found.items()}


def _numbered(row: Any) -> dict[str, Any]:
    return {"number": row.seq, "id": row.id, "type": row.type, "state": row.state}


def _head(work: Work, row: Row[Any]) -> int | None:
    """Give the number of the first letter that holds back the stream of this one."""
    return work.scalar(
        select(func.min(letters.c.seq)).where(
            letters.c.source == row.source,
            letters.c.partitionkey == row.partitionkey,
            letters.c.state.in_(HOLDS),
        )
    )


def _known(work: Work, row: Row[Any]) -> bool | None:
    """Tell whether the inbox knows a letter's id with this body, with another, or not any more.

    With another body the letter is an impostor: its id belongs to a message that came before it.
    """
    known = f"{row.id} {row.handler}" if row.handler else row.id
    fingerprint = work.scalar(select(inbox.c.fingerprint).where(inbox.c.id == known))
    return None if fingerprint is None else bool(fingerprint == message_of(row).fingerprint())


def _is_owed_an_outcome(work: Work, row: Row[Any]) -> bool:
    """Tell whether somebody waits for the outcome of a command that has none yet.

    A command is handled or parked, never both; an impostor's outcome is that of the first.
    """
    if row.handler or not message_of(row).is_command:
        return False
    return row.state in HOLDS or bool(_known(work, row))


def _settle(work: Work, row: Row[Any]) -> None:
    """Settle a command as rejected, through the outbox of the service that gives it up."""
    work.message = message_of(row)
    work.record(
        CommandSettled(
            subject_key=row.partitionkey,
            command_id=row.id,
            command=row.type,
            outcome=Outcome.REJECTED,
            problem=GivenUp().problem(),
        )
    )


def body_of(letter: Letter) -> Any:
    """Give the body as a JSON value, or as text if it is none."""
    try:
        return json.loads(letter.row.body)
    except ValueError:
        return letter.row.body


def is_number(name: str) -> bool:
    """Tell a letter's number from an id."""
    return re.fullmatch(r"[0-9]{1,18}", name) is not None


def iso(seconds: float) -> str:
    """Write an instant as RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
