"""The listener: takes what is ready, handles it in one transaction, and only then acknowledges.

The inbox row of a message, the state that its handlers change, the facts they state and the letters
they leave are committed together. A batch that fails is undone and taken one by one, so that a
poison message costs its neighbours a retry and never their effect.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.semaphore import Semaphore
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from chassis import metrics
from chassis.errors import Conflict, NotYet, Rejected
from chassis.logs import log
from chassis.message import Message, Undecodable, slot_of
from chassis.messaging import parked, replay
from chassis.messaging.bus import Closed, Inlet
from chassis.messaging.receipts import Hearing, name_of
from chassis.storage.clock import MARGIN
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import Leases, SlotLost
from chassis.storage.retention import forgotten_of
from chassis.storage.store import Store
from chassis.storage.tables import attempts, inbox, message_of, origin_of
from chassis.storage.unit_of_work import Ask, Work
from contracts.catalogue import contracts
from contracts.shared import CommandSettled, Outcome, Resend, ResendBegan

FATAL_ATTEMPTS = 5
"""A message whose handling ended the process that often is parked instead of being tried again."""

OFTEN = 20
"""Times that a message came back unhandled from which on it is kept here and not in its queue: that
sets aside what comes back a hundred times, though it be for another's sake."""
MOST_TOGETHER = 500
"""Messages of several slots that share a transaction, at the most."""
LONGEST_REST = 0.02
"""Seconds between two transactions that follow each other, at the most."""
SOME_IN_A_ROW = 3
"""Transactions that follow each other at once before there is a rest: a few are no load."""

_FORGOTTEN = "whether it was handled is no longer known: the inbox has forgotten what is as old"
_ENDED = "its handling ended the process {} times"

Handler = Callable[[Any, Work], Any]


class AlreadyThere(Conflict):
    """Something with the same identity is already there."""


@dataclass(frozen=True)
class _Batch:
    """What one slot has in hand; `done` comes with whether it was handled together with others."""

    messages: Sequence[Message]
    done: Event = field(default_factory=Event)


class Unknown(NotYet):
    """Nothing here handles such a message, but a newer version does, or nobody would send it."""

    def __init__(self, message: Message, why: object) -> None:
        super().__init__(message.envelope.type)
        self.args = (f"{why}; it waits for a version that knows it",)


class WrongKey(Exception):
    """A service has said something to itself about a key that it does not hold just now."""


class _StorageDown(Exception):
    """The database does not answer: nothing may be acknowledged."""


class Listener:
    """Handles the messages of one service.

    `slots` is how many there are, `serves` tells which of them this replica serves, and its
    `leases` keep one from changing hands during a transaction. `gaps` has the slots of which some
    publishers send again what was lost: until their marker arrives, what comes from them is left
    alone, since it comes again in its order.

    What the service says to itself is handled in the transaction that says it, and the bus does not
    bring it (docs/decisions/0024).
    """

    def __init__(
        self,
        service: Any,
        store: Store,
        handlers: dict[str, list[Handler]],
        wake: Callable[[], None],
    ) -> None:
        self.service = service
        self.store = store
        self.handlers = handlers
        self.wake = wake
        self.log = log(store.service)
        self.slots = 1
        self.serves: Callable[[int], bool] = lambda _slot: True
        self.leases: Leases | None = None
        self.gaps: set[int] = set()
        self.hearing = Hearing(store)
        self._slot_locks: dict[int, Semaphore] = defaultdict(lambda: Semaphore(1))
        self._waiting: deque[_Batch] = deque()
        self._turn = Semaphore(1)
        self._rest_until, self._in_a_row = 0.0, 0
        self._letters_wait = True
        self.began = 0.0
        """When this process began (s since 1970); letters from before may have ended another."""
        self._counted: set[int] = set()
        self._stopping = False

    def begin(self) -> None:
        """Begin as a process of its own: note the moment, and the handlers that there are."""
        self._patiently(self.hearing.note, self.handlers)
        self.began = self.store.now()

    def run(self, inlet: Inlet, most: int) -> None:
        """Serve an inlet until it is closed, or the slot is another replica's."""
        self._patiently(parked.hasten_unknown, self.store)
        while True:
            try:
                taken = inlet.take(most)
            except Closed:
                return
            try:
                wanted = self._patiently(self._after_gaps, inlet.slot, taken)
                wanted = wanted and self._patiently(self.hearing.for_whom, wanted)
            except SlotLost:
                self.log.warning("slot lost", messages=len(taken))
                return
            if wanted is None or (wanted and not self.handle(wanted)):
                return
            inlet.done(taken)
            self._follow_up(wanted)

    def _patiently(self, act: Callable[..., Any], *given: Any) -> Any:
        """Do something again until storage lets it be done; None when stopped meanwhile."""
        tries = 0
        while not self._stopping:
            try:
                return act(*given)
            except STORAGE_ERRORS as error:
                tries += 1
                self.log.warning("storage unavailable", tries=tries, error=str(error))
                eventlet.sleep(parked.pause(min(tries, 4), longest=3.0))
        return None

    def _after_gaps(self, slot: int, messages: Sequence[Message]) -> Sequence[Message]:
        """Leave out what a publisher sent before it began to send again; it comes once more.

        What is left out will be acknowledged, and a marker comes once: so both are judged by the
        gaps that the database knows, and only while the slot is held.
        """
        if slot not in self.gaps and not any(map(_may_be_astray, messages)):
            return messages
        self.gaps.discard(slot)  # before it is looked whether there is one: another may be found
        open_still = True
        try:
            with self.store.write() as work:
                self.hold(work, [slot])
                wanted, open_still = self._sorted_out(work, slot, messages)
        finally:
            if open_still:
                self.gaps.add(slot)
        return wanted

    def _sorted_out(
        self, work: Work, slot: int, messages: Sequence[Message]
    ) -> tuple[list[Message], bool]:
        """Give what is wanted of a slot's messages, and whether there is a gap still.

        What is left out is remembered before it is acknowledged: whoever dies in between is given
        it once more, when the marker has closed the gap and all that follows is wanted.
        """
        gaps, wanted, left_out = replay.gaps_of(work, slot), [], set()
        strays = replay.strays_of(work, messages)
        for message in messages:
            source, kind = message.envelope.source, message.envelope.type
            if kind == ResendBegan.type and self._readable(message):
                if gaps.get(source) == message.fact.marker:
                    del gaps[source]
                    replay.close_gap(work, slot, source, message.fact)
                    if not message.fact.marked:  # what follows cannot be told from them
                        last = message.fact.marker
                        strays = {each: its for each, its in strays.items() if its > last}
            elif kind == Resend.type:
                wanted.append(message)
            elif source in gaps:
                strays[message.receipt] = gaps[source]
                left_out.add(message.receipt)
            elif (message.marker or "") >= strays.get(message.receipt, ""):
                wanted.append(message)
        remembered = {each: strays[each] for each in left_out & strays.keys()}
        replay.remember(self.store, work, remembered)
        return wanted, bool(gaps)

    def stop(self) -> None:
        """Give up waiting for storage; what is in hand stays unacknowledged."""
        self._stopping = True

    def handle(self, messages: Sequence[Message]) -> bool:
        """Handle or park all messages of a slot; True when they may be acknowledged, committed.

        While storage is unavailable it backs off and tries again, until stopped.
        """
        if self._with_others(messages):
            return True
        tries = 0
        while not self._stopping:
            try:
                with self._slot_locks[messages[0].slot(self.slots)]:
                    self._handle(messages, tries)
            except SlotLost:
                self.log.warning("slot lost", messages=len(messages))
                return False
            except _StorageDown as error:
                tries += 1
                metrics.STORAGE_DOWN.labels(self.store.service).inc()
                self.log.warning("storage unavailable", tries=tries, error=str(error.__cause__))
                eventlet.sleep(parked.pause(min(tries, 4), longest=3.0))
            else:
                return True
        return False

    # -- the batches of several slots in one transaction

    def _with_others(self, messages: Sequence[Message]) -> bool:
        """Handle a batch together with what other slots have in hand by the time its turn comes.

        What they share is one transaction, and so one commit. False where it could not be: then
        nothing was done, and each is handled by itself.
        """
        if self.slots == 1 or any(message.redelivered for message in messages):
            return False
        batch = _Batch(messages)
        self._waiting.append(batch)
        with self._turn:
            if not batch.done.ready():
                self._rest()
                self._handle_waiting()
        done: bool = batch.done.wait()
        return done

    def _rest(self) -> None:
        """Where transactions follow each other, let as much time go by as the last one took: by
        then there is more to put in the next, and each costs less."""
        left = self._rest_until - time.monotonic()
        self._in_a_row = self._in_a_row + 1 if left > 0 else 0
        if self._in_a_row < SOME_IN_A_ROW:
            return
        if sum(len(batch.messages) for batch in self._waiting) < MOST_TOGETHER:
            eventlet.sleep(left)

    def _handle_waiting(self) -> None:
        """Handle what waits, as much as one transaction may hold, from the oldest on."""
        batches = [self._waiting.popleft()]
        size = len(batches[0].messages)
        while self._waiting and size + len(self._waiting[0].messages) <= MOST_TOGETHER:
            batches.append(self._waiting.popleft())
            size += len(batches[-1].messages)
        messages = [message for batch in batches for message in batch.messages]
        slots = sorted({message.slot(self.slots) for message in messages})
        started, done = time.monotonic(), False
        try:
            with ExitStack() as held:
                for slot in slots:
                    held.enter_context(self._slot_locks[slot])
                outcomes = self._together(messages)
                done = True
            self._account(messages, outcomes, time.monotonic() - started)
        except Exception as error:
            self.log.debug("batches not handled together", error=repr(error))
        finally:
            ended = time.monotonic()
            self._rest_until = ended + min(ended - started, LONGEST_REST)
            for batch in batches:
                batch.done.send(done)

    def _handle(self, messages: Sequence[Message], tries: int) -> None:
        started = time.perf_counter()
        tolerant = tries >= parked.RETRIES
        try:
            suspects = self._suspects(messages)
            if any(message.returned >= OFTEN for message in messages):
                outcomes = self._keep(messages)
            elif suspects is None:
                outcomes = self._together(messages)
            else:
                # what is only tried again, for want of a database say, has not ended the process
                counted = suspects if tries == 0 else set[str]()
                outcomes = [
                    self._alone(message, suspect=message.receipt in counted, tolerant=tolerant)
                    for message in messages
                ]
        except (_StorageDown, SlotLost):
            raise
        except Exception as error:
            self._raise_if_storage(error, tolerant=tolerant)
            if not isinstance(error, Rejected | NotYet | IntegrityError):
                self.log.warning("batch undone", messages=len(messages), error=repr(error))
            outcomes = [self._alone(message, tolerant=tolerant) for message in messages]
        self._account(messages, outcomes, time.perf_counter() - started)

    def _raise_if_storage(self, error: Exception, *, tolerant: bool) -> None:
        """Tell a database that is away from a handler whose statement fails again and again."""
        if isinstance(error, STORAGE_ERRORS) and not (tolerant and self.store.answers()):
            raise _StorageDown from error

    # -- a batch in one transaction

    def _together(self, messages: Sequence[Message]) -> list[str]:
        with self.store.write() as work:
            fresh, blocked = self._admit(work, messages)
            outcomes = self._take(work, fresh, blocked)
            outcomes += self._react(work, fresh, blocked)
            self._forget_attempts(work, messages)
        self._committed(work)
        return outcomes + ["duplicate"] * (len(messages) - len(fresh))

    def _keep(self, messages: Sequence[Message]) -> list[str]:
        """Set all of a batch aside, each to be tried in its turn."""
        with self.store.write() as work:
            fresh, _ = self._admit(work, messages)
            for message in fresh:
                self._park(work, message, "it came back to its queue again and again", attempt=0)
            self._forget_attempts(work, messages)
        self.log.error("messages came back", messages=len(messages), kept=len(fresh))
        return ["held"] * len(fresh) + ["duplicate"] * (len(messages) - len(fresh))

    def _admit(
        self, work: Work, messages: Sequence[Message]
    ) -> tuple[list[Message], set[parked.Stream]]:
        """Hold the slots of messages and write their inbox rows, in order of id, in one journey.

        Gives the messages not seen before, and which of their streams a letter holds back. Raises
        `SlotLost`.
        """
        by_id: dict[str, Message] = {}
        for message in messages:
            by_id.setdefault(message.receipt, message)
        rows = self._receipts_of(by_id.values(), work.clock())
        insert = self.store.built(
            "admitted", lambda: self.store.insert_new(inbox).returning(inbox.c.id)
        )
        asked = [Ask(insert, rows=rows), Ask(parked.ANY_HOLDS)]
        slots = {message.slot(self.slots) for message in messages}
        if self.leases is None:
            written, (any_holds,) = self.store.ask(work, *asked)
        else:
            held, written, (any_holds,) = self.store.ask(work, self.leases.holding(slots), *asked)
            self.leases.judge(held, slots)
        new = {identity for (identity,) in written}
        if len(new) < len(messages):
            self._reject_impostors(work, messages, new)
        fresh = [message for key, message in by_id.items() if key in new]
        doubted = self._doubted(work, fresh)
        self._letters_wait = any_holds = bool(any_holds[0] or doubted)
        blocked = parked.held(work, fresh) if any_holds else set()
        if doubted:
            fresh = self._sift(work, fresh, doubted, blocked)
        return fresh, blocked

    @staticmethod
    def _doubted(work: Work, messages: Sequence[Message]) -> set[str]:
        """Tell what may have been handled before the inbox has forgotten what is as old; gives
        their receipts."""
        late = work.clock() - MARGIN
        old = [m for m in messages if m.born is not None and m.born < late]
        if not old:
            return set()
        until = forgotten_of(work, {message.envelope.source for message in old})
        return {m.receipt for m in old if (m.born or 0.0) <= until[m.envelope.source]}

    def _sift(
        self,
        work: Work,
        messages: Sequence[Message],
        doubted: Collection[str],
        blocked: set[parked.Stream],
    ) -> list[Message]:
        """Set aside, as stuck letters, what is doubted, and as waiting ones what precedes it or
        follows it in its stream; gives the rest."""
        streams = {message.stream for message in messages if message.receipt in doubted}
        for message in (each for each in messages if each.stream in streams):
            if message.receipt in doubted:
                parked.park(work, message, parked.STUCK, _FORGOTTEN, awaits=None, attempt=0)
                kind = message.envelope.type
                self.log.error("letter stuck", id=message.id, type=kind, reason=_FORGOTTEN)
            else:
                self._park(work, message, "one of its stream is set aside", attempt=0)
        blocked |= streams
        return [message for message in messages if message.stream not in streams]

    def _receipts_of(self, messages: Iterable[Message], now: float) -> list[dict[str, Any]]:
        """Give the inbox rows of messages, in order of id."""
        number = self.hearing.number
        rows = [
            {
                "id": each.receipt,
                "fingerprint": each.fingerprint(),
                "handled_at": now,
                "origin": origin_of(each.envelope.source),
                "hearers": number,
            }
            for each in messages
        ]
        return sorted(rows, key=lambda row: str(row["id"]))

    def hold(self, work: Work, slots: Collection[int]) -> None:
        """Keep slots with this replica until the transaction ends; raises `SlotLost`."""
        if self.leases is not None:
            (held,) = self.store.ask(work, self.leases.holding(slots))
            self.leases.judge(held, slots)

    def _reject_impostors(self, work: Work, messages: Sequence[Message], new: set[str]) -> None:
        """Set aside, as rejected letters, repeats of an id whose body is another."""
        repeated = inbox.c.id.in_({message.receipt for message in messages})
        rows = work.execute(select(inbox.c.id, inbox.c.fingerprint).where(repeated))
        known = {row.id: row.fingerprint for row in rows}
        for message in messages:
            if known.get(message.receipt) != message.fingerprint():
                parked.park(
                    work,
                    message,
                    parked.REJECTED,
                    "another message had the same id",
                    awaits=None,
                    attempt=0,
                )

    def _take(
        self, work: Work, messages: Sequence[Message], blocked: set[parked.Stream]
    ) -> list[str]:
        self.service.prepare([m for m in messages if self._readable(m)], work)
        return [self._take_one(work, message, blocked) for message in messages]

    def _react(
        self,
        work: Work,
        messages: Sequence[Message],
        blocked: set[parked.Stream],
        *,
        apart: bool = False,
    ) -> list[str]:
        """Handle what the service has said to itself about these messages, then what it says
        thereby, and so on. Or leave each in a letter, to be handled `apart`, in its turn.

        Raises `WrongKey`: in another's slot, order would be anybody's.
        """
        keys = {message.envelope.partitionkey for message in messages}
        outcomes: list[str] = []
        heard: list[Message] = []
        looked = 0
        while True:
            said, looked = work.outgoing[looked:], len(work.outgoing)
            own = [message for message in said if self._hears(message)]
            heard += own
            if own and apart:
                outcomes += [self._set_apart(work, message) for message in own]
            elif own:
                self._check_keys(work, own, keys)
                outcomes += self._take(work, own, blocked)
            else:
                self.service.finish(work)
                if not any(map(self._hears, work.outgoing[looked:])):
                    break
        # only now, since the end of the transaction may have them said otherwise
        work.at_end(self.store.insert_new(inbox), self._receipts_of(heard, work.clock()))
        return outcomes

    @staticmethod
    def _check_keys(work: Work, messages: Iterable[Message], keys: Collection[str]) -> None:
        for message in messages:
            if message.envelope.partitionkey not in keys:
                work.message = message
                raise WrongKey(f"{message.envelope.type} is about {message.envelope.partitionkey}")

    def _set_apart(self, work: Work, message: Message) -> str:
        self._park(work, message, "handled apart from its cause", attempt=0)
        return "held"

    def _hears(self, message: Message) -> bool:
        """Tell whether the service handles at once what it has said."""
        own = message.exchange == f"{self.store.service}.events"
        return own and self.service.at_once and message.envelope.type in self.handlers

    def _take_one(self, work: Work, message: Message, blocked: set[parked.Stream]) -> str:
        """Handle one message of a batch, or park it; `blocked` grows by what is parked."""
        work.message = message
        if message.stream in blocked:
            self._park(work, message, "an earlier letter stands before it", attempt=0)
            return "held"
        said = len(work.outgoing)
        try:
            self._call(work, message)
        except (NotYet, Rejected, Undecodable) as error:
            if len(work.outgoing) != said:
                raise  # it wrote before it refused: undo the batch, take it alone
            return self._conclude(work, message, error, blocked)
        return "done"

    def _call(self, work: Work, message: Message, *, late: bool = False) -> None:
        """Call every handler of a message, and settle it if it is a command."""
        work.message = message
        fact, result = self._fact_of(message), None
        handlers = self._handlers_of(work, message)
        if late:
            handlers = self.hearing.late(work, message, handlers)
        for handler in handlers:
            answer = handler(fact, work)
            result = answer if answer is not None else result
        if message.is_command and not message.handler:
            self._settle(work, message, Outcome.DONE, result=result)

    @staticmethod
    def _fact_of(message: Message) -> Any:
        """Read a message; raises `Unknown` where a newer version can. A command of which nobody
        can waits too, since somebody waits for its outcome."""
        try:
            return message.fact
        except Undecodable as error:
            if message.is_command or message.envelope.type not in contracts():
                raise Unknown(message, error) from error
            raise

    def _handlers_of(self, work: Work, message: Message) -> list[Handler]:
        """Find the handlers of a message; raises `Unknown`: it has come since one is bound to it,
        which must be a newer version's."""
        found = self.handlers.get(message.envelope.type)
        if not found:
            kind = message.envelope.type
            if not message.is_command and self.hearing.was_given_up(work, kind):
                raise Undecodable(f"nothing here handles {kind} any more")
            raise Unknown(message, f"nothing here handles {message.envelope.type}")
        if not message.handler:
            return found
        if all(message.handler not in map(name_of, each) for each in self.handlers.values()):
            raise Unknown(message, f"no handler here is called {message.handler}")
        if self.hearing.has_heard(work, message):
            return []
        # which may handle some other type of those that are sent again
        return [handler for handler in found if name_of(handler) == message.handler]

    def _settle(
        self,
        work: Work,
        message: Message,
        outcome: Outcome,
        result: Any = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        work.record(
            CommandSettled(
                subject_key=message.envelope.partitionkey,  # type: ignore[arg-type]
                command_id=message.id,  # type: ignore[arg-type]
                command=message.envelope.type,
                outcome=outcome,
                result=result.to_data() if hasattr(result, "to_data") else result,
                problem=problem,
                by=message.fact.by,
            )
        )

    def _conclude(
        self, work: Work, message: Message, error: Exception, blocked: set[parked.Stream]
    ) -> str:
        """Record that a message was not handled: a letter, or a command's rejection."""
        work.message = message
        if isinstance(error, NotYet):
            blocked.add(message.stream)
            self._park(work, message, str(error), awaits=error.what, attempt=0)
            return "not_yet"
        if isinstance(error, IntegrityError) and message.is_command:
            error = AlreadyThere()
        if isinstance(error, Rejected) and message.is_command:
            self._settle(work, message, Outcome.REJECTED, problem=error.problem())
            return "rejected"
        if isinstance(error, Rejected | Undecodable):
            parked.park(work, message, parked.REJECTED, str(error), awaits=None, attempt=1)
            return "rejected"
        blocked.add(message.stream)
        self._park(work, message, f"{type(error).__name__}: {error}", attempt=1)
        return "failed"

    def _park(
        self, work: Work, message: Message, why: str, *, attempt: int, awaits: str | None = None
    ) -> None:
        self._letters_wait = True
        parked.park(work, message, parked.WAITING, why, awaits=awaits, attempt=attempt)

    @staticmethod
    def _readable(message: Message) -> bool:
        try:
            return message.fact is not None
        except Undecodable:
            return False

    # -- one message in a transaction of its own

    def _alone(
        self,
        message: Message,
        *,
        suspect: bool = False,
        tolerant: bool = False,
        apart: bool = False,
    ) -> str:
        """Handle a message by itself; what the service says to itself thereby `apart` from it,
        where that may be what fails or ends the process."""
        if suspect and self._spent(message):
            return "stuck"
        work = None
        try:
            with self.store.write() as work:
                fresh, blocked = self._admit(work, [message])
                self._forget_attempts(work, [message])
                if not fresh:
                    return "duplicate"
                if message.stream in blocked:
                    self._park(work, message, "an earlier letter stands before it", attempt=0)
                    return "held"
                if self._readable(message):
                    self.service.prepare([message], work)
                self._call(work, message)
                self._react(work, [message], blocked, apart=apart or suspect)
        except SlotLost:
            raise
        except Exception as error:
            self._raise_if_storage(error, tolerant=tolerant)
            if self._failed_later(work, message) and not apart:
                return self._alone(message, tolerant=tolerant, apart=True)
            if not isinstance(error, NotYet | Rejected):
                self.log.exception("handler failed", id=message.id, type=message.envelope.type)
            return self._conclude_alone(message, error)
        self._committed(work)
        return "done"

    @staticmethod
    def _failed_later(work: Work | None, message: Message | None) -> bool:
        """Tell whether it was not this message that failed, but what was said thereby."""
        return work is not None and bool(work.outgoing) and work.message is not message

    def _conclude_alone(self, message: Message, error: Exception) -> str:
        """Record, in a transaction of its own, that a message was not handled: unless it was, by a
        transaction whose COMMIT was done and not answered."""
        try:
            with self.store.write() as work:
                fresh, _ = self._admit(work, [message])
                self._forget_attempts(work, [message])
                if not fresh:
                    return "duplicate"
                outcome = self._conclude(work, message, error, set())
        except STORAGE_ERRORS as down:
            raise _StorageDown from down
        self._committed(work)
        return outcome

    # -- messages whose handling may have ended the process

    def _suspects(self, messages: Sequence[Message]) -> set[str] | None:
        """Count an attempt at what was delivered before; None when the batch may go together.

        From the second time on, such messages are taken alone, each counted before its handler.
        """
        again = {message.receipt for message in messages if message.redelivered}
        if not again:
            return None
        with self.store.write() as work:
            self.hold(work, {message.slot(self.slots) for message in messages})
            handled = set(work.scalars(select(inbox.c.id).where(inbox.c.id.in_(again))))
            counted = set(work.scalars(select(attempts.c.id).where(attempts.c.id.in_(again))))
            first = again - handled - counted
            if first:
                rows = [{"id": key, "count": 1} for key in sorted(first)]
                work.execute(self.store.insert_new(attempts), rows)
        return counted - handled or None

    def _spent(self, message: Message) -> bool:
        """Count one more attempt; True when there were too many, and the message is parked."""
        with self.store.write() as work:
            self.hold(work, [message.slot(self.slots)])
            count = self._count_one(work, message)
            if count < FATAL_ATTEMPTS or not self._admit(work, [message])[0]:
                return False
            reason = _ENDED.format(count - 1)
            parked.park(work, message, parked.STUCK, reason, awaits=None, attempt=count)
            self._forget_attempts(work, [message])
        return True

    def _count_one(self, work: Work, message: Message) -> int:
        query = select(attempts.c.count).where(attempts.c.id == message.receipt)
        count = (work.scalar(query) or 0) + 1
        replace = self.store.insert_or_replace(attempts, "id")
        work.execute(replace, {"id": message.receipt, "count": count})
        return count

    @staticmethod
    def _forget_attempts(work: Work, messages: Iterable[Message]) -> None:
        again = [message.receipt for message in messages if message.redelivered]
        if again:
            work.execute(delete(attempts).where(attempts.c.id.in_(again)))

    # -- letters

    def retry_due(self) -> None:
        """Try the letters of the slots served here whose time has come."""
        for stream in parked.due(self.store):
            if self._serves(stream):
                self.retry(stream)

    def _serves(self, stream: parked.Stream) -> bool:
        return self.serves(slot_of(stream[1], self.slots))

    def retry(self, stream: parked.Stream) -> None:
        """Deliver a stream's letters in order, up to the first that cannot be."""
        lock = self._slot_locks[slot_of(stream[1], self.slots)]
        while True:
            with lock:
                delivered = self._deliver_first(stream)
            if not delivered:
                return
            self._free({stream[1]})

    def _deliver_first(self, stream: parked.Stream, *, apart: bool = False) -> bool:
        letter = work = message = None
        try:
            with self.store.write() as work:
                self.hold(work, [slot_of(stream[1], self.slots)])
                letter = parked.first_of(work, stream)
                if letter is None:
                    return False
                message = message_of(letter)
                if letter.parked_at < self.began and letter.seq not in self._counted:
                    return self._count(work, letter, message)
                parked.delivered(work, letter.seq)
                if self._readable(message):
                    self.service.prepare([message], work)
                self._call(work, message, late=True)
                apart = apart or letter.seq in self._counted
                self._react(work, [message], parked.held(work, [message]), apart=apart)
                self._discount(work, letter)
        except SlotLost:
            return False
        except Exception as error:
            away = isinstance(error, STORAGE_ERRORS) and not self.store.answers()
            if away or letter is None:
                self.log.warning("letter put off", error=repr(error))
                return False
            if self._failed_later(work, message) and not apart:
                return self._deliver_first(stream, apart=True)
            return self._return_letter(letter, error)
        self._committed(work)
        metrics.MESSAGES.labels(self.store.service, "delivered_late").inc()
        self.log.info("letter delivered", id=letter.id, type=letter.type, attempts=letter.attempts)
        return True

    def _count(self, work: Work, letter: Any, message: Message) -> bool:
        """Count an attempt at a letter that a process before this one may have ended with; False
        when there were too many, and it is stuck."""
        self._counted.add(letter.seq)
        count = self._count_one(work, message)
        if count < FATAL_ATTEMPTS:
            return True
        parked.give_up(work, letter.seq, _ENDED.format(count - 1))
        self._discount(work, letter)
        self.log.error("letter stuck", id=letter.id, type=letter.type, attempts=count)
        return False

    def _discount(self, work: Work, letter: Any) -> None:
        """Forget that attempts were counted: this one has not ended the process."""
        if letter.seq in self._counted:
            work.execute(delete(attempts).where(attempts.c.id == message_of(letter).receipt))

    def _return_letter(self, letter: Any, error: Exception) -> bool:
        """Record that a letter was not delivered; True when the next of its stream may be tried.

        Nothing is recorded of one that is another replica's business by now, or was delivered, by
        it or by a transaction whose COMMIT was done and not answered, or dropped by an operator.
        """
        if isinstance(error, IntegrityError) and letter.exchange.endswith(".commands"):
            error = AlreadyThere()
        try:
            return self._record_return(letter, error)
        except SlotLost:
            return False

    def _record_return(self, letter: Any, error: Exception) -> bool:
        with self.store.write() as work:
            self.hold(work, [slot_of(letter.partitionkey, self.slots)])
            if parked.first_of(work, (letter.source, letter.partitionkey)) != letter:
                return False
            self._discount(work, letter)
            if isinstance(error, NotYet):
                parked.put_back(work, letter, str(error), awaits=error.what, failed=False)
                return False
            if not isinstance(error, Rejected | Undecodable):
                reason = repr(error)
                if parked.put_back(work, letter, reason, awaits=None, failed=True):
                    self.log.error("letter stuck", id=letter.id, type=letter.type, reason=reason)
                return False
            if isinstance(error, Rejected) and letter.exchange.endswith(".commands"):
                work.message = message = message_of(letter)
                parked.delivered(work, letter.seq)
                self._settle(work, message, Outcome.REJECTED, problem=error.problem())
            else:
                parked.reject(work, letter.seq, str(error))
        self._committed(work)
        return True

    def _free(self, keys: set[str]) -> None:
        freed = parked.freed_by(self.store, keys)
        parked.hasten(self.store, [stream for stream in freed if not self._serves(stream)])
        for stream in freed:
            if self._serves(stream):
                self.retry(stream)

    # -- afterwards

    def _committed(self, work: Work) -> None:
        if work.outgoing:
            self.wake()
        if "resend" in work.info:
            self.service.ask_again()
        self.service.committed(work)

    def _follow_up(self, messages: Sequence[Message]) -> None:
        """Try the letters that waited for what has just been handled.

        One that another transaction sets aside at this moment is tried when it is due, soon.
        """
        if not messages or not self._letters_wait:
            return
        try:
            self._free({message.envelope.partitionkey for message in messages})
        except STORAGE_ERRORS as error:
            self.log.warning("letters put off", error=str(error))

    def _account(self, messages: Sequence[Message], outcomes: list[str], seconds: float) -> None:
        service, counted = self.store.service, Counter(outcomes)
        for outcome, count in counted.items():
            metrics.MESSAGES.labels(service, outcome).inc(count)
        metrics.BATCH_SECONDS.labels(service).observe(seconds)
        self.log.info("batch", messages=len(messages), ms=round(seconds * 1000, 1), **counted)


def _may_be_astray(message: Message) -> bool:
    """Tell whether a message may have been left out before, or says that no more will be."""
    return message.redelivered or message.envelope.type == ResendBegan.type
