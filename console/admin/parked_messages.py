"""Parked messages for operators: finds them in the services' databases, schedules retries or drops
them. Each action is recorded in its own transaction."""

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
from chassis.messaging.parked import DEAD, HOLDS, RETRYING
from chassis.service import handlers_of
from chassis.storage.store import Store
from chassis.storage.tables import inbox, message_of, parked_actions, parked_messages
from chassis.storage.unit_of_work import UnitOfWork
from console.admin.databases import KINDS, answering
from console.exits import UsageError
from contracts.shared import CommandSettled, Outcome

Do = Callable[[UnitOfWork, str, Row[Any]], tuple[bool, str]]
"""Acts on a parked message of a service; returns whether it did, and a message for the operator."""

AT_ONCE = 50
"""Parked messages per transaction; on SQLite a running district waits for it."""


class GivenUp(Conflict):
    """The command was dropped by an operator."""


@dataclass(frozen=True)
class Filter:
    """The filter of parked messages; `older_than` in seconds since they were parked."""

    states: tuple[str, ...] = ()
    type: str | None = None
    source: str | None = None
    key: str | None = None
    older_than: float | None = None
    names: tuple[str, ...] = ()
    """Numbers or ids of parked messages."""

    def conditions(self, now: float) -> list[ColumnElement[bool]]:
        """Return the filter as conditions on the parked messages, at a time (s since 1970)."""
        equal = {"type": self.type, "source": self.source, "partitionkey": self.key}
        conditions = [
            parked_messages.c[name] == value for name, value in equal.items() if value is not None
        ]
        if self.states:
            conditions.append(parked_messages.c.state.in_(self.states))
        if self.older_than is not None:
            conditions.append(parked_messages.c.parked_at <= now - self.older_than)
        if self.names:
            numbers = [int(name) for name in self.names if is_number(name)]
            conditions.append(
                or_(parked_messages.c.seq.in_(numbers), parked_messages.c.id.in_(self.names))
            )
        return conditions


@dataclass(frozen=True)
class ParkedMessage:
    """A parked message and the service whose database holds it."""

    service: str
    row: Row[Any]
    now: float
    """When it was read, by the clock of the database."""

    @property
    def number(self) -> int:
        """Its number within the service."""
        return int(self.row.seq)

    @property
    def title(self) -> str:
        """Its name in messages to the operator."""
        return f"{self.service} {self.number} ({self.row.type})"

    @property
    def age(self) -> float:
        """Seconds since it was parked."""
        return max(0.0, self.now - float(self.row.parked_at))

    @property
    def handlers(self) -> list[str]:
        """Return the names of the handlers that would process it."""
        if self.row.handler:
            return [self.row.handler]
        return _handlers(self.service).get(self.row.type, [])

    def facts(self) -> dict[str, Any]:
        """Return all columns but the body, as JSON values."""
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
class Context:
    """The context of a parked message: its stream, and the actions of operators on it."""

    before: list[dict[str, Any]]
    behind: list[dict[str, Any]]
    actions: list[dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """The result of an operator's action on one parked message."""

    parked_message: ParkedMessage
    action: str
    done: bool
    says: str

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "service": self.parked_message.service,
            "number": self.parked_message.number,
            "id": self.parked_message.row.id,
            "type": self.parked_message.row.type,
            "action": self.action,
            "done": self.done,
            "says": self.says,
        }


@dataclass
class ParkedMessages:
    """The parked messages in some databases, for one operator."""

    stores: dict[str, Store]
    who: str = ""

    def find(self, wanted: Filter, most: int | None = None) -> list[ParkedMessage]:
        """Return the parked messages of every database, oldest first; raises
        `DatabaseUnavailable`."""
        messages: list[ParkedMessage] = []
        for name, store in self.stores.items():
            with answering(name), store.engine.connect() as connection:
                now = store.now()
                query = select(parked_messages).where(*wanted.conditions(now))
                query = query.order_by(parked_messages.c.parked_at, parked_messages.c.seq).limit(
                    most
                )
                messages += [ParkedMessage(name, row, now) for row in connection.execute(query)]
        messages.sort(
            key=lambda parked_message: (
                parked_message.row.parked_at,
                parked_message.service,
                parked_message.number,
            )
        )
        return messages[:most]

    def named(self, names: Sequence[str]) -> list[ParkedMessage]:
        """Return the parked messages with these numbers or ids; raises `UsageError` if one is
        missing."""
        messages = self.find(Filter(names=tuple(names)))
        existing = {str(parked_message.number) for parked_message in messages} | {
            parked_message.row.id for parked_message in messages
        }
        for name in names:
            if name not in existing:
                raise UsageError(self._missing(name))
        return messages

    def _missing(self, name: str) -> str:
        """Return the sentence for a missing parked message, with the last action of an operator on
        it."""
        which = (
            parked_actions.c.parked_message == int(name)
            if is_number(name)
            else parked_actions.c.id == name
        )
        query = select(parked_actions).where(which).order_by(parked_actions.c.seq.desc())
        for service, store in self.stores.items():
            with answering(service), store.engine.connect() as connection:
                last = connection.execute(query.limit(1)).first()
            if last is not None:
                return (
                    f"{service} no longer has parked message {name}; the last action on it: "
                    f"{last.action} by {last.who} at {iso(last.at)}."
                )
        if len(self.stores) > 1:
            return f"No service has a parked message {name}."
        return f"{next(iter(self.stores))} has no parked message {name}."

    def context(self, parked_message: ParkedMessage) -> Context:
        """Return the context of a parked message: those before and behind it in its stream, and the
        actions on it."""
        row = parked_message.row
        others = (
            select(
                parked_messages.c.seq,
                parked_messages.c.id,
                parked_messages.c.type,
                parked_messages.c.state,
            )
            .where(
                parked_messages.c.source == row.source,
                parked_messages.c.partitionkey == row.partitionkey,
                parked_messages.c.state.in_(HOLDS),
                parked_messages.c.seq != row.seq,
            )
            .order_by(parked_messages.c.seq)
        )
        done = select(parked_actions).where(parked_actions.c.parked_message == row.seq)
        store = self.stores[parked_message.service]
        with answering(parked_message.service), store.engine.connect() as connection:
            stream = [_numbered(other) for other in connection.execute(others)]
            actions = [
                {name: value for name, value in action._asdict().items() if name != "seq"}
                | {"at": iso(action.at)}
                for action in connection.execute(done.order_by(parked_actions.c.seq))
            ]
        return Context(
            [other for other in stream if other["number"] < row.seq],
            [other for other in stream if other["number"] > row.seq],
            actions,
        )

    # -- actions

    def retry(
        self, messages: Iterable[ParkedMessage], *, even_dead: bool = False
    ) -> Iterator[Result]:
        """Schedule parked messages for a retry at once; those of a stream keep their order."""

        def again(uow: UnitOfWork, service: str, row: Row[Any]) -> tuple[bool, str]:
            if row.state == DEAD and not even_dead:
                return False, "is dead; --even-dead retries it all the same"
            if row.state == DEAD and _known(uow, row) is False:
                return False, "cannot be retried: an earlier message has the same id"
            fresh = {"attempts": 0, "awaits": None} if row.state != RETRYING else {}
            values = {"state": RETRYING, "try_at": 0.0, **fresh}
            uow.execute(
                update(parked_messages).where(parked_messages.c.seq == row.seq).values(values)
            )
            head = _head(uow, row)
            return True, "is retried" if head == row.seq else f"waits behind {service} {head}"

        return self._act("retry", "", messages, again)

    def drop(self, messages: Iterable[ParkedMessage], reason: str) -> Iterator[Result]:
        """Drop parked messages for good; those behind them continue, a command is settled."""

        def give_up(uow: UnitOfWork, _service: str, row: Row[Any]) -> tuple[bool, str]:
            was_head = row.state in HOLDS and _head(uow, row) == row.seq
            settles = _is_owed_an_outcome(uow, row)
            uow.execute(delete(parked_messages).where(parked_messages.c.seq == row.seq))
            if was_head and (following := _head(uow, row)) is not None:
                uow.execute(
                    update(parked_messages)
                    .where(parked_messages.c.seq == following, parked_messages.c.state == RETRYING)
                    .values(try_at=0.0)
                )
            if settles:
                _settle(uow, row)
            return True, "is dropped, and settled as rejected" if settles else "is dropped"

        return self._act("drop", reason, messages, give_up)

    def _act(
        self, action: str, reason: str, messages: Iterable[ParkedMessage], do: Do
    ) -> Iterator[Result]:
        by_service: dict[str, list[ParkedMessage]] = {}
        for parked_message in messages:
            by_service.setdefault(parked_message.service, []).append(parked_message)
        for service, theirs in by_service.items():
            theirs.sort(key=lambda parked_message: parked_message.number)
            for start in range(0, len(theirs), AT_ONCE):
                page = theirs[start : start + AT_ONCE]
                with answering(service), self.stores[service].write() as uow:
                    results = [
                        self._one(uow, parked_message, action, reason, do)
                        for parked_message in page
                    ]
                yield from results

    def _one(
        self, uow: UnitOfWork, parked_message: ParkedMessage, action: str, reason: str, do: Do
    ) -> Result:
        """Act on a parked message that is not being processed, and record the action."""
        wanted = select(parked_messages).where(parked_messages.c.seq == parked_message.number)
        row = uow.execute(wanted.with_for_update(skip_locked=True)).first()
        if row is None:
            there = uow.execute(wanted).first() is not None
            says = "is being retried right now" if there else "was delivered meanwhile"
            return Result(parked_message, action, done=False, says=says)
        done, says = do(uow, parked_message.service, row)
        if done:
            uow.execute(
                insert(parked_actions).values(
                    at=uow.clock(),
                    who=self.who[:64],
                    action=action,
                    parked_message=row.seq,
                    id=row.id,
                    type=row.type,
                    state=row.state,
                    reason=reason,
                )
            )
        return Result(parked_message, action, done, says)


@cache
def _handlers(service: str) -> dict[str, list[str]]:
    handlers = handlers_of(KINDS[service]())
    return {kind: [method.__name__ for method in methods] for kind, methods in handlers.items()}


def _numbered(row: Any) -> dict[str, Any]:
    return {"number": row.seq, "id": row.id, "type": row.type, "state": row.state}


def _head(uow: UnitOfWork, row: Row[Any]) -> int | None:
    """Return the number of the first parked message that holds back the stream of this one."""
    first: int | None = uow.scalar(
        select(func.min(parked_messages.c.seq)).where(
            parked_messages.c.source == row.source,
            parked_messages.c.partitionkey == row.partitionkey,
            parked_messages.c.state.in_(HOLDS),
        )
    )
    return first


def _known(uow: UnitOfWork, row: Row[Any]) -> bool | None:
    """Return whether the inbox has a parked message's id with this body; False with another, None
    if it is gone.

    With another body the parked message is an impostor: its id belongs to an earlier message.
    """
    receipt = f"{row.id} {row.handler}" if row.handler else row.id
    fingerprint = uow.scalar(select(inbox.c.fingerprint).where(inbox.c.id == receipt))
    return None if fingerprint is None else bool(fingerprint == message_of(row).fingerprint())


def _is_owed_an_outcome(uow: UnitOfWork, row: Row[Any]) -> bool:
    """Return whether a command still needs an outcome.

    A command is handled or parked, never both; an impostor's outcome is that of the first.
    """
    if row.handler or not message_of(row).is_command:
        return False
    return row.state in HOLDS or bool(_known(uow, row))


def _settle(uow: UnitOfWork, row: Row[Any]) -> None:
    """Settle a command as rejected, through the outbox of the service that drops it."""
    uow.message = message_of(row)
    uow.record(
        CommandSettled(
            subject_key=row.partitionkey,
            command_id=row.id,
            command=row.type,
            outcome=Outcome.REJECTED,
            problem=GivenUp().problem(),
        )
    )


def body_of(parked_message: ParkedMessage) -> Any:
    """Return the body as a JSON value, or as text if it is not JSON."""
    try:
        return json.loads(parked_message.row.body)
    except ValueError:
        return parked_message.row.body


def is_number(name: str) -> bool:
    """Return whether a name is a parked message's number, and not an id."""
    return re.fullmatch(r"[0-9]{1,18}", name) is not None


def iso(seconds: float) -> str:
    """Return a moment in RFC 3339 format, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
