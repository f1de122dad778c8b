"""Make the process cooperative: imported before anything else, by every entry point.

eventlet is in maintenance mode upstream and warns of it at import; docs/decisions/0003 has the
reasons for keeping it, and only here the warning is silenced. The rest of the project imports its
green threads from here.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_selector")  # psycopg knows gevent's loop only
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")  # read when `names` is imported
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet

    from chassis.runtime import dns  # noqa: F401  (puts its own look-up in the place of eventlet's)

eventlet.monkey_patch()

from eventlet import GreenPool as Pool
from eventlet import Timeout, debug, getcurrent, queue, spawn, tpool
from eventlet import sleep as pause
from eventlet.event import Event
from eventlet.hubs import get_hub
from eventlet.queue import LightQueue as Queue
from eventlet.semaphore import Semaphore

in_thread = tpool.execute
"""Calls a function in a system thread, which blocks no green thread; returns its result."""

__all__ = [
    "Event",
    "Pool",
    "Queue",
    "Semaphore",
    "Timeout",
    "end",
    "in_thread",
    "pause",
    "quietly",
    "spawn",
    "wait_for",
]

WAY_OUT = 2.0
"""Seconds that killed green threads may take to clean up."""


@contextmanager
def quietly() -> Iterator[None]:
    """Print no traceback for an error in a green thread whose waiter reports it.

    After an error it stays quiet: what was half started is being stopped.
    """
    printer = queue.traceback
    debug.hub_exceptions(state=False)
    queue.traceback = SimpleNamespace(print_exc=lambda: None)  # it ignores the hub's setting
    yield
    queue.traceback = printer
    debug.hub_exceptions(state=True)


def wait_for(
    fileno: int, *, read: bool, write: bool, seconds: float | None, late: Exception
) -> None:
    """Wait until a socket is readable or writable, whichever is requested and first; raises `late`
    at the timeout.

    eventlet's own `trampoline` waits for only one of the two; a peer that reads nothing before its
    own data is read needs both.
    """
    hub, me, woken = get_hub(), getcurrent(), False

    def wake(_fileno: int) -> None:
        nonlocal woken
        if not woken:  # both events may come at once, and one is enough
            woken = True
            me.switch()

    wanted = {hub.READ: read, hub.WRITE: write}
    timer = None if seconds is None else hub.schedule_call_global(seconds, me.throw, late)
    listeners = []
    try:
        for kind in filter(wanted.get, wanted):
            listeners.append(hub.add(kind, fileno, wake, me.throw, None))  # noqa: PERF401
        hub.switch()
    finally:
        woken = True
        for listener in listeners:
            hub.remove(listener)
        if timer is not None:
            timer.cancel()


def end(*threads: Any) -> None:
    """Kill green threads, and wait until they have ended: they may still close a channel or roll
    back a transaction, all together within `WAY_OUT` seconds.

    One left waiting on a closed socket would claim the file descriptor of the next socket, and
    eventlet refuses a second reader.
    """
    ends = [Event() for _ in threads]
    for thread, over in zip(threads, ends, strict=True):
        thread.link(lambda _thread, over=over: over.send())
    while not all(over.ready() for over in ends):
        for thread in threads:
            thread.kill()
        with Timeout(WAY_OUT, exception=False):
            for over in ends:
                over.wait()
