"""The clock of a service's database, which dates all stored rows.

A process dates nothing by its own clock: a wrong one would decide for all others. It reads the
database's time at the start, and with queries that need it anyway, and in between follows its
monotonic clock, which is never set. If the clocks of its machine and of the database differ by too
much, either may be wrong: irreversible actions are then not done.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from chassis.logs import log
from chassis.settings import Misconfigured

FURTHEST = 120.0
"""Maximum seconds by which the clock of a machine may differ from that of a database. With a time
server a clock is right to some milliseconds; without one it drifts this far in some weeks."""
MARGIN = 2 * FURTHEST + 60.0
"""Seconds by which the clocks of two databases may differ unnoticed, plus the time of a delivery in
flight."""
OFF_COURSE = 1.0
"""Seconds by which a database's clock deviates only if it was set."""
_CLOCK = text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)")


class DatabaseClock:
    """Returns the time by the database's clock. For SQLite this is the clock of its only process.

    `is_own` says that the database's clock is that of this process. `ahead` is the minimum number
    of seconds by which the clock of this machine is ahead; negative if behind.
    """

    def __init__(self, service: str, engine: Engine) -> None:
        self.service = service
        self.ahead = 0.0
        self._engine = engine
        self.is_own = engine.dialect.name == "sqlite"
        self._start: float | None = None
        """The database's time at the zero of the monotonic clock."""

    @property
    def agrees(self) -> bool:
        """Whether the clock of this machine is known to agree."""
        return self.is_own or (self._start is not None and abs(self.ahead) <= FURTHEST)

    def now(self) -> float:
        """Return the time (s since 1970) by the last reading of the database's clock; reads it at
        first."""
        if self.is_own:
            return time.time()
        if self._start is None:
            self.look()
        return time.monotonic() + (self._start or 0.0)

    def look(self) -> None:
        """Read the database's clock, and adjust to it."""
        if not self.is_own:
            with self._engine.connect() as connection:
                self.read(connection)

    def read(self, session: Connection | Session) -> float:
        """Return the database's time (s since 1970), and adjust to it."""
        if self.is_own:
            return time.time()
        if isinstance(session, Session):
            session.connection()  # opening it must not count as time
        here, before = time.time(), time.monotonic()
        there = float(session.scalar(_CLOCK) or 0.0)
        self._compare(there, here, time.time())
        self._follow(there - time.monotonic(), there - before)
        return there

    def _compare(self, there: float, before: float, after: float) -> None:
        """Compare the database's time with the times of this machine before and after the
        reading."""
        was_known, agreed = self._start is not None, self.agrees
        self.ahead = max(0.0, before - there) or min(0.0, after - there)
        if was_known and agreed and not self.agrees:
            log(self.service).error("clocks differ", says=self.difference(there))
        elif was_known and self.agrees and not agreed:
            log(self.service).warning("clocks agree again")

    def _follow(self, earliest: float, latest: float) -> None:
        """Keep the known offset as far as it is consistent: so a slow response does not move it,
        and it is never too late. The time of a clock that was set is accepted only as far as this
        machine's clock agrees."""
        offset = earliest if self._start is None else self._start
        start = min(max(offset, earliest), latest)
        if self.agrees or self._start is None or abs(start - offset) < OFF_COURSE:
            self._start = start

    def refuse(self) -> None:
        """Refuse to start if the clocks differ by too much; raises `Misconfigured`."""
        self.look()
        if not self.agrees:
            raise Misconfigured(self.difference(self.now()))

    def difference(self, there: float) -> str:
        """Return a sentence on how much the clock of this machine differs, and what to do."""
        way = "ahead of" if self.ahead > 0 else "behind"
        return (
            f"The clock of this machine is {abs(self.ahead):.0f} s {way} that of the database of "
            f"{self.service}: {_iso(there + self.ahead)} here, {_iso(there)} there. Set right the "
            "one that is wrong, and let both follow one time server."
        )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
