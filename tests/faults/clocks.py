"""A process on a machine whose clock is wrong: `python -m tests.faults.clocks AHEAD run gateway …`.

AHEAD is by how many seconds the clock is ahead, negative where it is behind; or a file that says so
(`turn` writes one), so that it can be set while the process runs. The product has no hooks for
this: what Python tells of the wall clock is moved here, before anything else is imported.
"""

import datetime as dt
import sys
import time
from pathlib import Path

_time, _time_ns, _datetime = time.time, time.time_ns, dt.datetime


def turn(file, ahead):
    """Set the clock of the processes that look at a file: so many seconds ahead."""
    part = file.with_suffix(".part")
    part.write_text(str(ahead))
    part.replace(file)


def shift(ahead):
    """Have this process see its wall clock as many seconds ahead as a function says."""
    time.time = lambda: _time() + ahead()
    time.time_ns = lambda: _time_ns() + int(ahead() * 1e9)
    dt.datetime = Shifted


class _Kind(type):
    """Has whatever is a datetime count as a shifted one: many are made in C."""

    def __instancecheck__(cls, value):
        return isinstance(value, _datetime)


class Shifted(_datetime, metaclass=_Kind):
    """A datetime of which the present is that of the shifted clock."""

    @classmethod
    def now(cls, tz=None):
        """Return the time."""
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        """Return the time in UTC, without saying so."""
        return cls.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)


def told_by(word):
    """Read AHEAD: a number, or a file that holds one."""
    try:
        seconds = float(word)
    except ValueError:
        file = Path(word)
        return lambda: float(file.read_text())
    return lambda: seconds


if __name__ == "__main__":
    shift(told_by(sys.argv.pop(1)))
    import chassis.runtime.green  # noqa: F401  (before everything else that is the product's)
    from console.main import main

    main()
