"""The command intake: stores commands, many requests in one commit, and wakes each caller with the
outcome.

A command and its idempotency record are written with the outbox row in one transaction, which
concurrent requests share. Personal data of a new command is sealed in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import insert, select

from chassis.runtime.green import Event, Queue, Timeout
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.shapes import moment_to_json
from contracts.shared import CommandSettled
from services.gateway.commands.clock import Now
from services.gateway.commands.records import KEPT, Entry, Kept, KeyReused, Records
from services.gateway.person_keys import PersonKeys
from services.gateway.tables import commands

MOST_TOGETHER = 500
LOOK_EVERY = 0.25
"""Polling interval, in seconds, for outcomes projected by another process."""

Group = Sequence[Entry]
"""One request: a single command, or the head of a batch with its rows."""
_Submitted = tuple[Group, Event]
"""A request, and the event that wakes its caller."""


class _Waiter(Event):
    """The event on which the callers of a command wait, and their number. Its value is the outcome
    if this process has projected it, else nothing."""

    holders = 0


class CommandIntake:
    """Submits commands and waits for their outcomes."""

    def __init__(
        self, store: Store, wake: Callable[[], None], now: Now, people: PersonKeys
    ) -> None:
        self.store = store
        self.people = people
        self.records = Records(store)
        self._wake = wake
        self._now = now
        self._queue: Queue = Queue()
        self._next: _Submitted | None = None
        self._waiters: dict[str, _Waiter] = {}
        self._call = Event()
        self._closing = False

    # -- submitting

    def submit(self, head: Entry, rows: Sequence[Entry] = ()) -> str:
        """Store a new request; return the id of its command.

        A request with a known key gets the id of the earlier command, and its rows the earlier
        rows' ids; raises `KeyReused` if that was a different request.
        """
        if head.scope.before is not None and (earlier := self.known(head)) is not None:
            return earlier
        done = Event()
        self._queue.put(([head, *rows], done))
        stored: dict[str, Kept] = done.wait()
        kept = stored[head.idempotency]
        if not head.repeats(kept):
            raise KeyReused
        return kept.id

    def known(self, entry: Entry) -> str | None:
        """Return the id of an earlier command with the same key, or None, and store nothing; raises
        `KeyReused` if that was a different request."""
        with self.store.engine.connect() as connection:
            row = connection.execute(entry.earlier(*KEPT)).first()
        if row is not None and not entry.repeats(row):
            raise KeyReused
        return row.id if row else None

    def run(self) -> None:
        """Store submitted requests, as many as are waiting in one transaction."""
        while True:
            together = self._together()
            try:
                self._take(together)
            except Exception as error:
                self._take_each(together, error)

    def _take(self, together: Sequence[_Submitted]) -> None:
        """Store requests in one transaction, and wake their callers."""
        stored = self._write([group for group, _ in together])
        for _, done in together:
            done.send(stored)
        self._wake()

    def _take_each(self, together: Sequence[_Submitted], error: Exception) -> None:
        """Store each request separately, since one of them may be the cause of the failure; after a
        second storage error the others fail too."""
        failed = 0 if self.store.answers() else 2
        for asked in together:
            if len(together) > 1 and failed < 2:
                try:
                    self._take([asked])
                    continue
                except Exception as own:
                    error = own
                    failed += isinstance(own, STORAGE_ERRORS)
            asked[1].send_exception(error)

    def _together(self) -> list[_Submitted]:
        """Wait for a request, and return it with those that share its transaction; a large one has
        its own."""
        together = [self._next or self._queue.get()]
        self._next, size = None, len(together[0][0])
        while size < MOST_TOGETHER and not self._queue.empty():
            request = self._queue.get()
            size += len(request[0])
            if size > MOST_TOGETHER:
                self._next = request
                break
            together.append(request)
        return together

    def _write(self, groups: Sequence[Group]) -> dict[str, Kept]:
        """Store the groups with a new head, all or none; return each head's command."""
        by_key: dict[str, Group] = {}
        for group in groups:
            by_key.setdefault(group[0].idempotency, group)
        waiters: dict[str, _Waiter] = {}
        try:
            with self.store.write() as uow:
                now = moment_to_json(self._now(uow))
                new = self._insert(uow, by_key)
                fresh = [by_key[key] for key in by_key if key in new]
                self._seal(uow, fresh)
                for group in fresh:
                    self._send(uow, group, now, waiters)
                self._waiters |= waiters  # before the commit: no outcome can come sooner
                stored = {key: by_key[key][0].kept for key in new}
                return stored | self._old(uow, by_key.keys() - new)
        except BaseException:
            for identity in waiters:
                self._waiters.pop(identity, None)
            raise

    def _insert(self, uow: UnitOfWork, by_key: dict[str, Group]) -> set[str]:
        """Insert the new heads with their rows; return their keys."""
        at = self.store.now()
        heads = [by_key[key][0].columns(at) for key in sorted(by_key)]
        statement = self.store.statements.insert_new(commands).returning(commands.c.idempotency)
        new = set(uow.scalars(statement, heads))
        rows = [row.columns(at) for key in sorted(new) for row in by_key[key][1:]]
        if rows:
            uow.connection().execute(insert(commands), rows)
        return new

    def _seal(self, uow: UnitOfWork, groups: Sequence[Group]) -> None:
        """Seal personal data, each person's with their own key, usually in one query."""
        personal = [
            entry for group in groups for entry in group if entry.personal and entry.command
        ]
        if not personal:
            return
        keys = self.people.keys(
            uow, (entry.personal.person for entry in personal if entry.personal)
        )
        for entry in personal:
            if entry.personal and entry.command:
                key = keys[entry.personal.person]
                entry.command = entry.personal.sealed(entry.command, key)

    @staticmethod
    def _send(uow: UnitOfWork, group: Group, now: str, waiters: dict[str, _Waiter]) -> None:
        """Add the commands of a group to the outbox."""
        for entry in group:
            if (command := entry.command) is not None:
                uow.outbox.append(entry.message(command, now))
                waiters[entry.id] = _Waiter()

    @staticmethod
    def _old(uow: UnitOfWork, keys: Iterable[str]) -> dict[str, Kept]:
        """Return the earlier commands with these keys."""
        columns = commands.c.idempotency, *KEPT
        wanted = list(keys)
        if not wanted:
            return {}
        rows = uow.execute(select(*columns).where(commands.c.idempotency.in_(wanted)))
        return {row.idempotency: Kept(row.id, row.fingerprint, row.caller) for row in rows}

    # -- waiting

    def wait_for(
        self, identities: Sequence[str], seconds: float
    ) -> dict[str, CommandSettled] | None:
        """Wait until all these commands are settled; return None after a timeout.

        The result has the outcomes known to this process; the records have the others.
        """
        waiters = self._hold(identities)
        in_time = False
        try:
            with Timeout(seconds, exception=False):
                for waiter in waiters.values():
                    waiter.wait()
                in_time = True
            # outside of the timeout, which would interrupt a database query
            if not ((in_time and not self._closing) or self._all_settled(identities)):
                return None
            return {
                identity: outcome
                for identity, waiter in waiters.items()
                if waiter.ready() and (outcome := waiter.wait()) is not None
            }
        finally:
            for identity, waiter in waiters.items():
                waiter.holders -= 1
                if not waiter.holders:
                    self._waiters.pop(identity, None)

    def _all_settled(self, identities: Sequence[str]) -> bool:
        return len(self.records.settled(identities)) == len(identities)

    def _hold(self, identities: Iterable[str]) -> dict[str, _Waiter]:
        """Hold the waiter of each command; commands without a waiter are looked up immediately."""
        held, others = {}, set()
        for identity in identities:
            if identity not in self._waiters:
                self._waiters[identity] = _Waiter()
                others.add(identity)
            held[identity] = self._waiters[identity]
            held[identity].holders += 1
        if others:
            self.settled(self.records.settled(others))  # after holding, so that none is missed
        if self._closing:
            self.settled(held)
        return held

    def settled(self, identities: Iterable[str]) -> None:
        """Wake the callers of these commands: the records have the outcomes."""
        for identity in identities:
            waiter = self._waiters.get(identity)
            if waiter is not None and not waiter.ready():
                waiter.send()

    def notify(self, outcomes: Iterable[CommandSettled]) -> bool:
        """Wake the callers of settled commands with the outcomes; return whether some were
        submitted by another process."""
        elsewhere = False
        for event in outcomes:
            waiter = self._waiters.get(event.command_id)
            if waiter is None:
                elsewhere = True
            elif not waiter.ready():
                waiter.send(event)
        return elsewhere

    def called(self) -> None:
        """Poll soon: another process has settled commands."""
        if not self._call.ready():
            self._call.send()

    def look(self) -> None:
        """Poll for commands settled by another process: after a notification, and at intervals."""
        while True:
            with Timeout(LOOK_EVERY, exception=False):
                self._call.wait()
            self._call = Event()
            waiting = {key for key, waiter in self._waiters.items() if not waiter.ready()}
            try:
                self.settled(self.records.settled(waiting))
            except STORAGE_ERRORS:
                continue  # it is polled again soon; an error here would end the process

    def close(self) -> None:
        """Wake every waiting caller: their commands are durable."""
        self._closing = True
        self.settled(list(self._waiters))
