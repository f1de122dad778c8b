"""A district that is killed at a chosen point: `python -m tests.faults.crashing POINT NTH up …`.

The product has no hooks for this: the points are put around its own functions here.
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import functools
import os
import signal
import sys

from chassis.messaging.memory_bus import EmbeddedBus, EmbeddedPartitionConsumer
from chassis.messaging.outbox import Outbox
from chassis.storage.unit_of_work import UnitOfWork

POINTS = {
    "commit": (UnitOfWork, "commit"),
    "publish": (EmbeddedBus, "publish"),
    "mark-sent": (Outbox, "mark_sent"),
    "ack": (EmbeddedPartitionConsumer, "done"),
}


def kill_at(point, nth):
    """Have the process killed before or after the nth call of a function."""
    when, _, name = point.partition("-")
    owner, method = POINTS[name]
    original = getattr(owner, method)
    calls = 0

    def reached(now, call):
        if now == when and call == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        call = calls
        reached("before", call)
        result = original(*args, **kwargs)
        reached("after", call)
        return result

    setattr(owner, method, wrapped)


if __name__ == "__main__":
    from console.main import main
    from tests.faults.deadly import arm

    if sys.argv[1] == "deadly":
        arm()
    else:
        kill_at(sys.argv[1], int(sys.argv[2]))
    del sys.argv[1:3]
    main()
