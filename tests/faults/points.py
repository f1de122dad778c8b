"""A process that stops wherever it is told to: `python -m tests.faults.points run filing …`.

Between any two statements, and around each commit, publish batch of messages and acknowledgement it
looks for an order in the file that the environment names as ORDERS; what it did goes to a file
beside it. The product has no hooks for this: the points are put around what it speaks to the
database and the broker with. Where one of these is gone the process does not start.
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

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

from chassis.storage.postgres_engine import Bounded
from chassis.rabbitmq.inbox import RabbitPartitionConsumer
from chassis.rabbitmq.publisher import _Cork, Publisher

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
    until told otherwise. LOSE takes the commits about one thing, the group of `of`: so many are
    `undone`, since the connection breaks before, and then so many `unanswered`, since it breaks
    after.
    """

    def __init__(self, file):
        self.file = file
        self.order = None
        self.about = ""

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
        order = self.order
        if order is None or order["do"] != LOSE:
            return None
        said = _said(spoken)
        if not (found := re.search(order["of"], said, re.DOTALL)):
            return None
        self.about = self.about or found[1]
        if self.about not in said:
            return None
        which = "undone" if order["undone"] > 0 else "unanswered"
        order[which] -= 1
        if order["undone"] <= 0 and order["unanswered"] <= 0:
            self.order = None
            self._tell("commit", spoken)
        return which

    def _take(self):
        mine = self.file.with_suffix(".taken")
        self.file.rename(mine)
        self.order = json.loads(mine.read_text())
        self.about = ""
        if self.order["do"] == NOTHING:
            self.order = None

    def _is_meant(self, point, spoken):
        order = self.order
        if not re.fullmatch(order.get("at", ".*"), point):
            return False
        if order.get("of") and not re.search(order["of"], _said(spoken), re.DOTALL):
            return False
        order["nth"] = order.get("nth", 1) - 1
        return order["nth"] <= 0

    def _tell(self, point, spoken):
        last = " ".join(str(spoken[-1][0]).split())[:60] if spoken else ""
        part = told(self.file).with_suffix(".part-told")
        part.write_text(json.dumps({"point": point, "last": last, "about": self.about}))
        part.replace(told(self.file))


def _said(spoken):
    return "\n".join(f"{words} {given}" for words, given in spoken)


def put_points(obedient):
    """Put the points around whatever speaks to the database and the broker."""
    for owner, name, wrap in (
        (psycopg.Cursor, "execute", execute),
        (psycopg.Cursor, "executemany", execute),
        (Bounded, "commit", commit),
        (Bounded, "rollback", rollback),
        (Bounded, "wait", wait),
        (_Cork, "__exit__", around("wave")),
        (Publisher, "_on_confirm", around("confirm")),
        (RabbitPartitionConsumer, "take", around("take")),
        (AbstractChannel, "send_method", send),
    ):
        original = getattr(owner, name)  # which must be there
        setattr(owner, name, functools.wraps(original)(wrap(original, obedient)))
    Bounded.spoken, Bounded.fate, Bounded.is_committing = (), None, False


# -- around the database: each gives what takes the place of an original


def execute(original, obedient):
    commits = commit(lambda _link, ask: ask(), obedient)

    def wrapped(cursor, words, given=None, *rest, **named):
        link = cursor.connection
        if not isinstance(link, Bounded):
            return original(cursor, words, given, *rest, **named)
        if words == "COMMIT":  # in a pipeline
            return commits(link, lambda: original(cursor, words))
        if not link.spoken or link.pgconn.transaction_status == TransactionStatus.IDLE:
            link.spoken = []
        link.spoken.append((words, given))
        obedient.reached("before-statement", link.spoken)
        made = original(cursor, words, given, *rest, **named)
        obedient.reached("after-statement", link.spoken)
        return made

    return wrapped


def commit(original, obedient):
    def wrapped(link, *given):
        if link.closed or link.pgconn.transaction_status == TransactionStatus.IDLE:
            return original(link, *given)  # it has been, in a pipeline
        obedient.reached("before-commit", link.spoken)
        link.fate, link.is_committing = obedient.fate(link.spoken), True
        if link.fate == "undone":
            _break(link)
        return original(link, *given)

    return wrapped


def wait(original, obedient):
    """The answer to a commit is there when a conversation has left no transaction open."""

    def wrapped(link, conversation, *rest, **named):
        made = original(link, conversation, *rest, **named)
        if link.is_committing and link.pgconn.transaction_status == TransactionStatus.IDLE:
            link.is_committing = False
            if link.fate == "unanswered":
                link.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            obedient.reached("after-commit", link.spoken)
        return made

    return wrapped


def rollback(original, obedient):
    def wrapped(link):
        is_open = link.pgconn.transaction_status != TransactionStatus.IDLE
        link.is_committing = False
        original(link)
        if is_open:
            obedient.reached("after-rollback", link.spoken)

    return wrapped


# -- around the bus


def around(what):
    def wrap(original, obedient):
        def wrapped(*given, **named):
            obedient.reached(f"before-{what}")
            made = original(*given, **named)
            obedient.reached(f"after-{what}")
            return made

        return wrapped

    return wrap


def send(original, obedient):
    acknowledge = around("ack")(original, obedient)

    def wrapped(channel, method, *given, **named):
        chosen = acknowledge if method == Basic.Ack else original
        return chosen(channel, method, *given, **named)

    return wrapped


def _break(link):
    """Have the connection break as when the network does: nothing more goes out, nothing in."""
    line = socket.socket(fileno=os.dup(link.pgconn.socket))
    line.shutdown(socket.SHUT_RDWR)
    line.close()


if __name__ == "__main__":
    from console.main import main

    put_points(Obedient(Path(os.environ["ORDERS"])))
    main()
