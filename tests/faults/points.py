"""A process that stops wherever it is told to: `python -m tests.faults.points run filing …`.

Between any two statements, and around each commit, wave of messages and acknowledgement it looks
for an order in the file that the environment names as ORDERS; what it did goes to a file beside it.
The product has no hooks for this: the points are put around what it speaks to the database and the
broker with. Where one of these is gone the process does not start.
"""

import chassis.green  # noqa: F401, I001  (before everything else)

import functools
import json
import os
import re
import signal
import socket
from pathlib import Path

import eventlet
import psycopg
from amqp.abstract_channel import AbstractChannel
from amqp.spec import Basic
from psycopg.pq import TransactionStatus

from chassis.postgres import Bounded
from chassis.rabbit import RabbitInlet, _Cork, _Publisher

SQL_POINTS = ("before-statement", "after-statement", "before-commit", "after-commit")
BUS_POINTS = (
    "before-wave",
    "after-wave",
    "before-confirm",
    "after-take",
    "before-ack",
    "after-ack",
)
POINTS = (*SQL_POINTS, "after-rollback", *BUS_POINTS)
FREEZE, KILL, SLOW, FAIL, LOSE, NOTHING = "freeze", "kill", "slow", "fail", "lose", "nothing"


def give(file, **order):
    """Have the process that looks at a file follow an order, instead of any before it."""
    told(file).unlink(missing_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(order))
    part.replace(file)


def told(file):
    """Name the file in which a process tells what it has done."""
    return file.with_suffix(".told")


class HandlerFailed(Exception):
    """A handler has a fault of its own."""


class Obedient:
    """Follows one order at a time.

    `do` is what, `at` an expression for the point, `of` one that the transaction so far must hold,
    its statements and what they are given; `nth` is at which such point. FREEZE and KILL are for
    the whole process; SLOW has a green thread wait so many `seconds`, and FAIL raises, each time
    until told otherwise. LOSE takes the commits of one green thread: so many are `undone`, since the
    connection breaks before, and then so many `unanswered`, since it breaks after.
    """

    def __init__(self, file):
        self.file = file
        self.order = None
        self.thread = None

    def reached(self, point, spoken=()):
        """Follow the order if this is its point."""
        if os.path.exists(self.file):  # noqa: PTH110  (the quickest there is)
            self._take()
        order = self.order
        if order is None or order["do"] == LOSE or not self._is_meant(point, spoken):
            return
        self._tell(point, spoken)
        if order["do"] == FAIL:
            raise HandlerFailed("told to")
        if order["do"] == SLOW:
            eventlet.sleep(order["seconds"])
            return
        self.order = None
        os.kill(os.getpid(), signal.SIGSTOP if order["do"] == FREEZE else signal.SIGKILL)

    def fate(self, spoken):
        """Tell what becomes of a commit: undone, unanswered, or nothing (None)."""
        if os.path.exists(self.file):  # noqa: PTH110
            self._take()
        order, me = self.order, eventlet.getcurrent()
        if order is None or order["do"] != LOSE or self.thread not in {None, me}:
            return None
        if not self._is_meant("before-commit", spoken):
            return None
        self.thread = me
        which = "undone" if order["undone"] > 0 else "unanswered"
        order[which] -= 1
        if order["undone"] <= 0 and order["unanswered"] <= 0:
            self.order = None
            self._tell("commit", spoken)
        return which

    def _take(self):
        try:
            self.order = json.loads(self.file.read_text())
        finally:
            self.file.unlink(missing_ok=True)
        self.thread = None
        if self.order["do"] == NOTHING:
            self.order = None

    def _is_meant(self, point, spoken):
        order = self.order
        if not re.fullmatch(order.get("at", ".*"), point):
            return False
        said = "\n".join(f"{words} {given}" for words, given in spoken) if order.get("of") else ""
        if not re.search(order.get("of", ""), said, re.DOTALL):
            return False
        order["nth"] = order.get("nth", 1) - 1
        return order["nth"] <= 0

    def _tell(self, point, spoken):
        last = str(spoken[-1][0])[:60] if spoken else ""
        part = told(self.file).with_suffix(".part-told")
        part.write_text(json.dumps({"point": point, "last": last}))
        part.replace(told(self.file))


def around(owner, name, wrap):
    """Put something around a function of the product, or of what it uses; it must be there."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(wrap(original)))


def put_points(obedient):
    """Put the points around whatever speaks to the database and the broker."""
    reached = obedient.reached
    Bounded.spoken, Bounded.fate, Bounded.is_committing = (), None, False

    def execute(original):
        def wrapped(cursor, words, given=None, *rest, **named):
            link = cursor.connection
            if not isinstance(link, Bounded):
                return original(cursor, words, given, *rest, **named)
            if words == "COMMIT":
                return commit(lambda _link: original(cursor, words, given, *rest, **named))(link)
            if link.pgconn.transaction_status == TransactionStatus.IDLE:
                link.spoken = ()
            spoken = link.spoken = [*link.spoken, (words, given)]
            reached("before-statement", spoken)
            made = original(cursor, words, given, *rest, **named)
            reached("after-statement", link.spoken)
            return made

        return wrapped

    def commit(original):
        def wrapped(link):
            if link.closed or link.pgconn.transaction_status == TransactionStatus.IDLE:
                return original(link)
            reached("before-commit", link.spoken)
            link.fate, link.is_committing = obedient.fate(link.spoken), True
            if link.fate == "undone":
                _break(link)
            return original(link)

        return wrapped

    def wait(original):
        def wrapped(link, conversation, *rest, **named):
            made = original(link, conversation, *rest, **named)
            if link.is_committing and link.pgconn.transaction_status == TransactionStatus.IDLE:
                link.is_committing = False
                if link.fate == "unanswered":
                    link.close()
                    raise psycopg.OperationalError("server closed the connection unexpectedly")
                reached("after-commit", link.spoken)
            return made

        return wrapped

    def rollback(original):
        def wrapped(link):
            is_open = link.pgconn.transaction_status != TransactionStatus.IDLE
            original(link)
            if is_open:
                reached("after-rollback", link.spoken)

        return wrapped

    around(psycopg.Cursor, "execute", execute)
    around(psycopg.Cursor, "executemany", execute)
    around(Bounded, "commit", commit)
    around(Bounded, "rollback", rollback)
    around(Bounded, "wait", wait)
    _put_around_the_bus(reached)


def _put_around_the_bus(reached):
    def release(original):
        def wrapped(cork, *error):
            reached("before-wave")
            original(cork, *error)
            reached("after-wave")

        return wrapped

    def confirm(original):
        def wrapped(publisher, *given, **named):
            reached("before-confirm")
            original(publisher, *given, **named)

        return wrapped

    def take(original):
        def wrapped(inlet, most):
            taken = original(inlet, most)
            reached("after-take")
            return taken

        return wrapped

    def send(original):
        def wrapped(channel, method, *given, **named):
            if method != Basic.Ack:
                return original(channel, method, *given, **named)
            reached("before-ack")
            sent = original(channel, method, *given, **named)
            reached("after-ack")
            return sent

        return wrapped

    around(_Cork, "__exit__", release)
    around(_Publisher, "_on_confirm", confirm)
    around(RabbitInlet, "take", take)
    around(AbstractChannel, "send_method", send)


def _break(link):
    """Have the connection break as when the network does: nothing more goes out, nothing in."""
    line = socket.socket(fileno=os.dup(link.pgconn.socket))
    line.shutdown(socket.SHUT_RDWR)
    line.close()


if __name__ == "__main__":
    from console.main import main

    put_points(Obedient(Path(os.environ["ORDERS"])))
    main()
