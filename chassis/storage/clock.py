"""The clock of a service's database, by which all that is stored is dated.

A process dates nothing by its own clock: one that is wrong would decide for all others. It asks the
database what time it is, at the start and whenever it speaks to it of time anyway, and in between
goes by its monotonic clock, which nobody sets. Where the clock of its machine and the database's
differ by too much, nobody can be sure which is wrong: what cannot be taken back is left undone.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from chassis.logs import log
from chassis.settings import Misconfigured

FURTHEST = 120.0
"""Seconds by which the clock of a machine may differ from that of a database. One that follows a
time server is right to some milliseconds; one that follows none is so far off after some weeks."""
MARGIN = 2 * FURTHEST + 60.0
"""Seconds by which the clocks of two databases may differ before a process notices, and a delivery
may be under way."""
OFF_COURSE = 1.0
"""Seconds by which a database's clock cannot run ahead or behind unless somebody sets it."""
_CLOCK = text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)")


class DatabaseClock:
    """Tells the time by the database's clock. SQLite has none but that of its only process.

    `is_own` says that the database's clock is that of this process. `ahead` is by how many seconds
    the clock of this machine is surely ahead; negative if behind.
    """

    def __init__(self, service: str, engine: Engine) -> None:
        self.service = service
        self.ahead = 0.0
        self._engine = engine
        self.is_own = engine.dialect.name == "sqlite"
        self._start: float | None = None
        """What the database's clock said when the monotonic one began."""

    @property
    def agrees(self) -> bool:
        """Whether the clock of this machine is known to say much the same."""
        return self.is_own or (self._start is not None and abs(self.ahead) <= FURTHEST)

    def now(self) -> float:
        """Return the time (s since 1970), by what the database has said last; asks it at first."""
        if self.is_own:
            return time.time()
        if self._start is None:
            self.look()
        return time.monotonic() + (self._start or 0.0)

    def look(self) -> None:
        """Ask the database, and learn from it."""
        if not self.is_own:
            with self._engine.connect() as connection:
                self.read(connection)

    def read(self, session: Connection | Session) -> float:
        """Return what the database's clock says (s since 1970), and learn from it."""
        if self.is_own:
            return time.time()
        if isinstance(session, Session):
            session.connection()  # the time that its making takes must not count
        here, before = time.time(), time.monotonic()
        there = float(session.scalar(_CLOCK) or 0.0)
        self._compare(there, here, time.time())
        self._follow(there - time.monotonic(), there - before)
        return there

    def _compare(self, there: float, before: float, after: float) -> None:
        """Compare what the database has said at a moment between two of this machine's clock."""
        known, agreed = self._start is not None, self.agrees
        self.ahead = max(0.0, before - there) or min(0.0, after - there)
        if known and agreed and not self.agrees:
            log(self.service).error("clocks differ", says=self.difference(there))
        elif known and self.agrees and not agreed:
            log(self.service).warning("clocks agree again")

    def _follow(self, earliest: float, latest: float) -> None:
        """Keep what was known as far as it can be true: so it is not moved by a slow answer, nor
        later than the truth. Of a clock that was set, nothing is believed that this machine's
        clock does not say too."""
        known = earliest if self._start is None else self._start
        start = min(max(known, earliest), latest)
        if self.agrees or self._start is None or abs(start - known) < OFF_COURSE:
            self._start = start

    def refuse(self) -> None:
        """Refuse to begin with clocks that differ by too much; raises `Misconfigured`."""
        self.look()
        if not self.agrees:
            raise Misconfigured(self.difference(self.now()))

    def difference(self, there: float) -> str:
        """Say by how much the clock of this machine differs, and what to do about it."""
        way = "ahead of" if self.ahead > 0 else "behind"
        return (
            f"The clock of this machine is {abs(self.ahead):.0f} s {way} that of the database of "
            f"{self.service}: {_iso(there + self.ahead)} here, {_iso(there)} there. Set right the "
            "one that is wrong, and let both follow one time server."
        )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
