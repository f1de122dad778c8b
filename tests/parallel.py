"""Connects pytest-xdist to its workers by threads of the system.

The tests make their process cooperative; a lock of green threads does not wake another thread of
the system, as in which execnet reads what controller and worker send to each other.
"""

import chassis.green  # noqa: F401, I001  (before everything else)

from pathlib import Path

from eventlet.patcher import original
from execnet import gateway_base, gateway_io

ROOT = Path(__file__).parents[1]
BEGIN = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {__name__}"


class SystemThreads(gateway_base.MainThreadOnlyExecModel):
    """The threads, locks and queues that Python has of its own."""

    queue = original("queue")
    subprocess = original("subprocess")

    def start(self, func, args=()):
        original("_thread").start_new_thread(func, args)

    def fdopen(self, fd, mode, bufsize=1, closefd=True):  # noqa: FBT002  (as execnet calls it)
        return open(fd, mode, bufsize, encoding="utf-8", closefd=closefd)

    def RLock(self):  # noqa: N802
        return original("threading").RLock()

    Lock = RLock

    def Event(self):  # noqa: N802
        return original("threading").Event()


def pytest_configure():
    """Have pytest-xdist hear of its workers by the system's threads, and begin them like this."""
    from xdist import dsession

    dsession.Queue = SystemThreads.queue.Queue
    gateway_io.popen_bootstrapline = f"{BEGIN}; {gateway_io.popen_bootstrapline}"


gateway_base.MainThreadOnlyExecModel = SystemThreads
