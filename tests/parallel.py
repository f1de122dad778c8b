"""Runs the tests in several processes, each with servers of its own (pytest-xdist).

The tests make their process cooperative, and a lock of green threads does not wake another thread
of the system. execnet, by which controller and workers talk, reads in such a thread: it gets locks
and threads that are not cooperative.
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from pathlib import Path

import pytest
from eventlet.patcher import original
from execnet import gateway_base, gateway_io

TOGETHER = ("tests/deploy/", "tests/migrations/", "tests/broker/test_department")
"""Beginnings of files whose tests stay in one process: they share servers that only they need."""
ORDER = ("loop", "broker", "faults", "plans", "fuzzing", "deploy", "console", "migrations", "api")
"""Folders that take longest: they go first, so that at the end no process waits for another."""
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Return what hands the tests out: all tests of a room to one process, in their order."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return room_of(nodeid)

    config.option.loadscopereorder = False
    return ByRoom(config, log)


def room_of(nodeid):
    """Return what a test shares a process with: its file, as a rule."""
    file, _, test = nodeid.partition("::")
    if room := next(filter(file.startswith, TOGETHER), None):
        return room
    return f"{file} on servers" if test.startswith("test_story_on_") else file


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark the tests that need servers; begin with those that take longest."""
    for item in items:
        if needs_servers(item):
            item.add_marker(pytest.mark.distributed)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


def needs_servers(item):
    """Return whether a test runs on RabbitMQ and PostgreSQL."""
    chosen = getattr(item, "callspec", None)
    asked = {"postgres_server", "rabbitmq_server", "distributed_in"} & set(item.fixturenames)
    return bool(asked) or (chosen is not None and "distributed" in chosen.params.values())


def rank(nodeid):
    """Return the place of a test's folder in the order in which tests are begun."""
    folder = nodeid.split("/")[1]
    return ORDER.index(folder) if folder in ORDER else len(ORDER)


gateway_base.MainThreadOnlyExecModel = SystemThreads
