"""A process that takes away what is old by a clock that is ahead, and often:
`python -m tests.faults.sweeping AHEAD FILE run gateway …`.

AHEAD is in seconds. FILE is written once it has looked at everything. The clock is right for
whatever else the process does, as where it leaps at the one moment that matters.
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import functools
import sys
from pathlib import Path

from chassis.storage import retention
from chassis.storage.retention import Retention

EVERY = 0.5


def be_ahead(ahead, file):
    """Have retention see a clock that is so many seconds ahead."""
    original = Retention.sweep

    @functools.wraps(original)
    def sweep(self, *moments):
        store = self.store
        told = store.now
        store.now = store.clock.now = lambda: told() + ahead
        try:
            return original(self, *(moment + ahead for moment in moments))
        finally:
            store.now = told
            del store.clock.now
            file.touch()

    Retention.sweep = sweep
    assert retention.EVERY > EVERY
    retention.EVERY = EVERY


if __name__ == "__main__":
    be_ahead(float(sys.argv.pop(1)), Path(sys.argv.pop(1)))
    from console.main import main

    main()
