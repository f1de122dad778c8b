"""Who has heard what: each receipt keeps the number of the handlers to which a message was given.

A handler that is fed what its service has seen is given only what it has not heard itself
(docs/decisions/0032): so neither a feed that comes twice, nor one that reaches back beyond the
handler's first day or not as far, has it do a thing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from chassis.message import Message, encode
from chassis.storage.store import Store
from chassis.storage.tables import hearers, inbox, letters
from chassis.storage.unit_of_work import Work


def name_of(handler: Any) -> str:
    """Name a handler as `--handler` does."""
    return str(getattr(handler, "__name__", type(handler).__name__))


class Hearing:
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
        with self.store.write() as work:
            work.execute(self.store.insert_new(hearers), {"digest": digest, "handlers": names})
            self.number = work.scalar(select(hearers.c.number).where(hearers.c.digest == digest))

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
        rows = session.execute(select(hearers.c.number, hearers.c.handlers)).all()
        had = [row.number for row in rows if f'"{kind} ' in row.handlers]
        return bool(had) and max(had) < (self.number or 0)

    def has_heard(self, work: Work, message: Message) -> bool:
        """Tell whether the handler that a message is for has heard it with all the others: not
        where it still stands behind, to be given to them."""
        itself = letters.c.id == message.id, letters.c.handler.is_(None)
        if work.execute(select(letters.c.seq).where(*itself)).first() is not None:
            return False
        row = work.execute(select(inbox.c.hearers).where(inbox.c.id == message.id)).first()
        return row is not None and _named(message) in self._of(work, row.hearers)

    def _of(self, session: Session, number: int | None) -> frozenset[str]:
        """Read a set of handlers. A row without a number is from before there were any: those of
        the first set have heard it."""
        if number is None:
            number = session.scalar(select(func.min(hearers.c.number))) or 0
        if number not in self._known:
            names = session.scalar(select(hearers.c.handlers).where(hearers.c.number == number))
            self._known[number] = frozenset(json.loads(names or "[]"))
        return self._known[number]

    def late(self, work: Work, message: Message, handlers: Sequence[Any]) -> list[Any]:
        """Note that a message which was set aside is now given to these handlers; leaves out those
        that were fed it meanwhile."""
        if message.handler:
            return [*handlers]
        its_row = inbox.c.id == message.id
        work.execute(update(inbox).where(its_row).values(hearers=self.number))
        fed = [
            (replace(message, handler=name_of(handler)).receipt, handler) for handler in handlers
        ]
        asked = inbox.c.id.in_({receipt for receipt, _ in fed})
        known = set(work.scalars(select(inbox.c.id).where(asked)))
        its_letters = select(letters.c.handler).where(letters.c.id == message.id)
        behind = set(work.scalars(its_letters))  # which then find that it has been heard
        return [
            handler
            for receipt, handler in fed
            if receipt not in known or name_of(handler) in behind
        ]


def _named(message: Message) -> str:
    return f"{message.envelope.type} {message.handler}"
