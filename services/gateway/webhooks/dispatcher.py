"""The webhook dispatcher: posts each wanted event, in order of its key, until it is accepted or
given up.

Only the relaying gateway sends. After a crash its unfinished requests are sent again: delivery is
at least once, and the receiver recognizes a repeat by its id.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row

from chassis import metrics
from chassis.http.client import Answer, HttpClient
from chassis.logs import log
from chassis.messaging import parked
from chassis.runtime.green import Event, Pool, Semaphore, Timeout, end, pause, spawn
from chassis.sealing import CannotOpen, Seal
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from contracts.shapes import Sealed
from services.gateway.event_log.feed import TURNS, Feed, Wanted, cloud_event
from services.gateway.event_log.notifier import EventNotifier
from services.gateway.tables import DELIVERED, GIVEN_UP, WAITING
from services.gateway.webhooks.deliveries import Attempt, Deliveries
from services.gateway.webhooks.home import Home
from services.gateway.webhooks.signing import signed

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
SCHEDULE = (
    5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
)  # fmt: skip
"""Seconds after each failure until the next attempt, as Standard Webhooks recommends."""
JITTER = 0.1
"""Jitter of a wait, as a fraction of it."""
PATIENCE = 5 * DAY
"""Seconds of continuous failure after which a webhook is disabled."""
LONGEST_PAUSE = DAY
"""Longest `Retry-After` that is honoured, in seconds."""
WORKERS = 8
"""Concurrent requests to one webhook; one after a failure."""
AT_ONCE = 100
"""Events to read from the feed at once."""
LOOK_EVERY = 1.0
"""Polling interval, in seconds, for due deliveries and for changes by other gateways."""
BREATH = 0.05
"""Minimum interval between polls, in seconds."""
FORGET_EVERY = 60.0
HOME_EVERY = 10.0
"""Seconds between checks that this database is the home; while it is not, every poll checks."""
STOP_WITHIN = 2.0
"""Seconds for which a stop waits for responses."""


class Dispatcher:
    """Sends to each webhook independently, so that a slow one delays no other."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        notifier: EventNotifier,
        seal: Seal,
        http_client: HttpClient,
        is_leader: Callable[[], bool],
        home: Home,
    ) -> None:
        self.store = store
        self.feed = feed
        self.notifier = notifier
        self.http_client = http_client
        self.deliveries = Deliveries(store)
        self.schedule: Sequence[float] = SCHEDULE
        self.patience = PATIENCE
        self.log = log(store.service)
        self.turns = Semaphore(TURNS)
        self._seal = seal
        self._is_leader = is_leader
        self._home = home
        self._held = False
        self._home_until = 0.0
        self._serving: dict[str, Workers] = {}
        self._put_off: dict[str, tuple[int, float]] = {}
        self._forgotten = 0.0

    @property
    def goes_on(self) -> bool:
        """Return whether this gateway sends."""
        return self._is_leader() and not self._held and not self.notifier.closed

    def stop(self) -> None:
        """Wait briefly for the requests under way, then abandon them: they are sent again."""
        with Timeout(STOP_WITHIN, exception=False):
            while self._serving:
                pause(0.01)
        for workers in list(self._serving.values()):
            workers.kill()

    def run(self) -> None:
        """Serve every webhook with work to do, forever."""
        while not self.notifier.closed:
            position = self.notifier.position
            try:
                if not self._is_leader():
                    self._leave_to_others()
                elif self._is_home(time.monotonic()):
                    self._look(self.store.now())
            except STORAGE_ERRORS as error:
                self._home_until = 0.0  # the database may have been replaced
                self.log.warning("webhooks put off", error=str(error))
            pause(BREATH)
            self.notifier.wait(position, LOOK_EVERY)

    def _leave_to_others(self) -> None:
        self._held, self._home_until = False, 0.0
        metrics.WEBHOOKS_OLDEST.set(0)  # the sending gateway sets it
        metrics.WEBHOOKS_HELD.set(0)

    def _is_home(self, now: float) -> bool:
        """Return whether this database is the home of its webhooks, and log a change."""
        if self._held or now >= self._home_until:
            known, before = self._home.look(), self._held
            self._held, self._home_until = bool(known.held), now + HOME_EVERY
            metrics.WEBHOOKS_HELD.set(self._held)
            if self._held and not before:
                self.log.warning("webhooks held", home=known.place, here=known.held)
            elif before and not self._held:
                self.log.info("webhooks resumed", home=known.place)
        return not self._held

    def _look(self, now: float) -> None:
        for identity in self.deliveries.with_work(now):
            if identity not in self._serving and self._rested(identity):
                self._serving[identity] = Workers(self, identity)
                spawn(self._serve, identity)
        oldest = self.deliveries.oldest()
        metrics.WEBHOOKS_OLDEST.set(now - oldest if oldest else 0)
        if now > self._forgotten + FORGET_EVERY and self.store.clock.agrees:
            self._forgotten = now
            self.deliveries.forget(now)

    # -- one webhook

    def _serve(self, identity: str) -> None:
        """Serve a webhook; after an error pause it, each time longer."""
        try:
            self._serving[identity].run()
        except STORAGE_ERRORS as error:
            self._home_until = 0.0
            self._rest(identity)
            self.log.warning("webhook put off", webhook=identity, error=str(error))
        except Exception:
            self._rest(identity)
            self.log.exception("webhook failed", webhook=identity)
        else:
            self._put_off.pop(identity, None)
        finally:
            del self._serving[identity]

    def _rest(self, identity: str) -> None:
        tries = self._put_off.get(identity, (0, 0.0))[0] + 1
        self._put_off[identity] = tries, time.monotonic() + parked.pause(tries)

    def _rested(self, identity: str) -> bool:
        return time.monotonic() >= self._put_off.get(identity, (0, 0.0))[1]

    def take(self, hook: Row[Any]) -> bool:
        """Read more events from the feed; return whether there are more."""
        if not self.deliveries.room(hook.id):
            return False
        page = self.feed.page(self.wanted(hook), hook.cursor, AT_ONCE)
        if page.following > hook.cursor:
            self.deliveries.take(hook, page.rows, page.following)
        return not page.ends

    def wanted(self, hook: Row[Any]) -> Wanted:
        """Return the filter of a webhook."""
        types = tuple(json.loads(hook.types))
        grids = self.feed.beneath(hook.grid) if hook.grid else ()
        return Wanted(types, (), hook.enterprise_id, hook.grid, grids)

    def attempt(self, hook: Row[Any], row: Row[Any]) -> None:
        """Try to deliver once, and record the result."""
        made = self.judge(hook, row, self._answer(hook, row))
        with self.turns:
            first = self.deliveries.settle(row, made)
        if first:
            metrics.WEBHOOKS.labels(_outcome(made)).inc()
        if made.disabled:
            self.log.warning("webhook disabled", webhook=hook.id, reason=made.disabled)
        if made.state == GIVEN_UP:
            self.log.warning("delivery given up", webhook=hook.id, id=row.event_id)

    def _answer(self, hook: Row[Any], row: Row[Any]) -> Answer:
        """Post an event and return the answer; every error except the storage's is an answer."""
        now = self.store.now()
        try:
            with self.turns:
                sealed, event = self.deliveries.secrets(hook.id, now), self.feed.at(row.position)
            return self._send(hook, event, sealed, int(now))
        except STORAGE_ERRORS:
            raise
        except Exception as error:
            self.log.exception("attempt failed", webhook=hook.id, id=row.event_id)
            return Answer(error=f"{type(error).__name__}: {error}"[:300])

    def _send(self, hook: Row[Any], event: Row[Any], sealed: Sequence[str], now: int) -> Answer:
        try:
            secrets = [self._seal.open(Sealed(one)) for one in sealed]
        except CannotOpen as error:
            return Answer(error=f"The secret cannot be opened: {error}.")
        body = cloud_event(event)
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "Bihuan-Webhooks/1",
            **signed(event.id, now, body, secrets),
        }
        return self.http_client.post(hook.url, body.encode(), headers)

    def judge(self, hook: Row[Any], row: Row[Any], answer: Answer) -> Attempt:
        """Return what an answer means: delivered, retry, given up, or webhook disabled."""
        now, status, error = self.store.now(), answer.status, answer.error
        if status is not None and 200 <= status < 300:
            return Attempt(DELIVERED, now, status)
        if status == 410:
            return Attempt(WAITING, now, status, try_at=now, disabled="It answered 410 Gone.")
        disabled = ""
        if hook.failing_since is not None and now - hook.failing_since > self.patience:
            disabled = f"It accepted nothing for {self.patience / DAY:g} days."
        if status in (429, 503) and answer.retry_after is not None:
            until = now + min(max(answer.retry_after, 1.0), LONGEST_PAUSE)
            return Attempt(
                WAITING, now, status, try_at=until, counts=False, pause_until=until,
                disabled=disabled,
            )  # fmt: skip
        if row.attempts >= len(self.schedule):
            return Attempt(GIVEN_UP, now, status, error, disabled=disabled)
        wait = self.schedule[row.attempts] * random.uniform(1 - JITTER, 1 + JITTER)
        return Attempt(WAITING, now, status, error, try_at=now + wait, disabled=disabled)


class Workers:
    """The workers of one webhook: one delivery of a key at a time, several keys in parallel."""

    def __init__(self, dispatcher: Dispatcher, identity: str) -> None:
        self.dispatcher = dispatcher
        self.identity = identity
        self._busy: set[str] = set()
        self._pool = Pool(WORKERS)
        self._free = Event()
        self._failed: Exception | None = None

    def run(self) -> None:
        """Deliver until nothing is due or allowed; raises the error that prevented the recording of
        an attempt."""
        try:
            while self.dispatcher.goes_on and self._failed is None and self._step():
                pass
        finally:
            self._pool.waitall()
        if self._failed is not None:
            raise self._failed

    def kill(self) -> None:
        """Stop all workers."""
        end(*self._pool.coroutines_running)

    def _step(self) -> bool:
        deliveries, now = self.dispatcher.deliveries, self.dispatcher.store.now()
        with self.dispatcher.turns:
            hook = deliveries.ready(self.identity, now)
            if hook is None:
                return False
            more = self.dispatcher.take(hook)
            busy = frozenset(self._busy)  # a copy: a concurrent change must not affect the query
            room = (WORKERS if hook.failing_since is None else 1) - len(busy)
            due = deliveries.due(self.identity, now, busy, room) if room > 0 else []
        for row in due:
            self._busy.add(row.partitionkey)
            self._pool.spawn(self._deliver, hook, row)
        if due or not self._busy:
            return bool(due or more)
        with Timeout(LOOK_EVERY, exception=False):
            self._free.wait()
        self._free = Event()
        return True

    def _deliver(self, hook: Row[Any], row: Row[Any]) -> None:
        try:
            self.dispatcher.attempt(hook, row)
        except Exception as error:
            self._failed = error
        finally:
            self._busy.discard(row.partitionkey)
            if not self._free.ready():
                self._free.send()


def _outcome(made: Attempt) -> str:
    if made.state != WAITING:
        return made.state
    return "failed" if made.counts else "put_off"
