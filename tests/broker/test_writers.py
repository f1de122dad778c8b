"""Whatever writes a receipt, a parked message or an outcome holds the partition of its message
meanwhile."""

import ast
import inspect
import json
from datetime import date
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from chassis.errors import Conflict, NotYet
from chassis.message import Message
from chassis.messaging import (
    batching,
    consumer,
    crash_guard,
    handling,
    parked,
    processor,
    receipts,
    replay,
    retries,
)
from chassis.messaging.bus import Closed
from chassis.messaging.consumer import Consumer
from chassis.messaging.crash_guard import FATAL_ATTEMPTS, OFTEN
from chassis.storage import migrations
from chassis.storage.leases import Leases, PartitionLost
from chassis.storage.store import Store
from chassis.storage.tables import attempts
from contracts.inspection.commands import DispatchPatrol
from contracts.message import Envelope
from services.inspection.service import Inspection
from tests.service.given import Deaf
from tests.service.test_interleavings import KEY, PARTITION, PARTITIONS, marker, said

WRITES = ("INSERT INTO", "UPDATE", "DELETE FROM")
KEPT = ("inbox", "parked_messages", "attempts", "strays", "outbox", "deployment")
HOLDS = "FOR KEY SHARE"
HASTENS = "UPDATE parked_messages SET try_at="
"""What is done to the parked messages of others: they are looked at sooner, and nothing else."""


class Watch:
    """Notes the statements of each transaction, and which function of the consumer wrote."""

    def __init__(self, monkeypatch):
        self.written, self.unheld = set(), []
        self._open = {}
        for kind in (psycopg.Cursor, psycopg.RawCursor):
            monkeypatch.setattr(kind, "execute", self._executing(kind.execute))
            monkeypatch.setattr(kind, "executemany", self._executing(kind.executemany))
        for name in ("commit", "rollback"):
            monkeypatch.setattr(psycopg.Connection, name, self._ending(name))

    def _executing(self, execute):
        def executed(cursor, words, *given, **named):
            self._note(cursor.connection, str(words))
            return execute(cursor, words, *given, **named)

        return executed

    def _ending(self, name):
        end = getattr(psycopg.Connection, name)

        def ended(connection):
            self._open.pop(connection, None)
            return end(connection)

        return ended

    def _note(self, connection, words):
        before = self._open.setdefault(connection, [])
        if words == "COMMIT":
            del before[:]
            return
        before.append(words)
        tells = words.startswith(WRITES) and any(f" {table} " in f"{words} " for table in KEPT)
        if not tells or words.startswith(HASTENS):
            return
        if by := writer():
            self.written.add(by)
            if not any(HOLDS in each for each in before):
                self.unheld.append((by, words))


def writer():
    """Name the function that has opened the transaction in hand, if it is the consumer's, and
    whether it is about a parked message."""
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if code.co_filename in ROOMS and code.co_name in WRITERS:
            delivery = frame.f_locals.get("delivery")
            is_parked = delivery is not None and delivery.row is not None
            return f"{code.co_name} of a parked message" if is_parked else code.co_name
        if code.co_filename == replay.__file__ and code.co_name == "begin_recovery":
            return code.co_name
        frame = frame.f_back
    return None


def writers():
    """Find the functions of the consumer that open a transaction."""
    trees = [ast.parse(Path(room).read_text()) for room in ROOMS]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return {each.name for each in functions if "self.store.write()" in ast.unparse(each)}


ROOMS = {
    room.__file__
    for room in (batching, consumer, crash_guard, handling, processor, receipts, retries)
}
WRITERS = writers()
OF_PARKED = {"is_exhausted", "process_one", "_conclude"}
"""Those of them that a parked message comes to as well."""


class Once:
    """A partition consumer that gives one batch."""

    partition = PARTITION

    def __init__(self, *messages):
        self.messages = [*messages]

    def take(self, _most):
        if not self.messages:
            raise Closed
        taken, self.messages = self.messages, []
        return taken

    def done(self, messages):
        pass


@pytest.fixture
def store(postgres):
    made = Store("inspection", postgres.format(service="inspection"), Inspection.metadata)
    with made.engine.connect() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    migrations.apply(made)
    yield made
    made.close()


@pytest.fixture
def serving(store):
    """A consumer that holds all partitions by leases, and whose handlers do as they are told."""
    leases = Leases(store)
    leases.agree(PARTITIONS)
    assert len(leases.tick().held) == PARTITIONS
    made = Consumer(Deaf(), store, {"dispatch-patrol": [obey]}, lambda: None)
    made.partitions.count, made.partitions.leases = PARTITIONS, leases
    made.guard.began = store.now()
    return made


def obey(fact, uow):
    """Do what the one officer of a patrol is called."""
    (what,) = fact.officers
    if what == "waits":
        raise NotYet("fact")
    if what == "refuses":
        raise Conflict
    if what == "writes and refuses":
        uow.record(said("").payload)
        raise Conflict
    if what == "breaks":
        raise RuntimeError(what)


def told(what, identity=None, *, again=False):
    fact = DispatchPatrol(patrol_id=KEY, agencies=["a"], officers=[what], day=date(2020, 2, 10))
    identity = identity or what
    source = f"from-{identity}".replace(" ", "-")[:32]  # each in a stream of its own
    envelope = Envelope(identity, source, fact.type, "2020-02-10T00:00:00Z", KEY, identity)
    made = Message.of(fact, envelope)
    made.redelivered = again
    return made


def hour_comes(store):
    with store.engine.connect() as connection:
        connection.execute(text("UPDATE parked_messages SET try_at = 0 WHERE state = 'retrying'"))


def test_every_writer_holds_the_partition(serving, store, monkeypatch):
    watch = Watch(monkeypatch)

    def take(*messages):
        serving.run(Once(*messages), 100)

    take(told("is done"), told("waits"), told("refuses"))
    take(told("is done", "together"), told("writes and refuses"))
    take(told("breaks"))
    with store.write() as uow:
        uow.execute(attempts.insert(), {"id": "breaks again", "count": 1})
    take(told("breaks", "breaks again", again=True))
    often = told("is done", "came often", again=True)
    often.returned = OFTEN
    take(often)
    for count in (1, FATAL_ATTEMPTS):
        with store.write() as uow:
            uow.execute(attempts.insert(), {"id": f"came {count}", "count": count})
        take(told("is done", f"came {count}", again=True))
    take(told("is done", "came back", again=True))
    for _ in range(2):  # one after the other: what waits, what breaks
        hour_comes(store)
        serving.retries.retry_due()
    serving.guard.began = store.now() + 1.0  # as if a process before this one had parked them
    hour_comes(store)
    serving.retries.retry_due()

    replay.queue_made(store, PARTITION, 0.0)
    replay.begin_recovery(store, PARTITION, ["filing"], serving.partitions.hold)
    serving.recovering.add(PARTITION)
    with store.read() as session:
        name = replay.recoveries_of(session, PARTITION)["filing"]
    take(said("stray"), marker(name))

    assert watch.unheld == []
    parked_too = {f"{name} of a parked message" for name in OF_PARKED}
    missed = (WRITERS - {"note"} | parked_too) - watch.written
    assert not missed, f"the story does not walk {missed}"
    assert "begin_recovery" in watch.written


@pytest.mark.parametrize("what", ["is done", "waits", "refuses", "writes and refuses", "breaks"])
def test_who_has_lost_a_partition_writes_nothing(serving, store, what):
    """Whether it is taken for the first time, or is a parked message whose time has come."""
    serving.run(Once(told("waits", "letter")), 100)
    with store.engine.connect() as connection:
        connection.execute(
            text("UPDATE parked_messages SET try_at = 0, body = :body"),
            {"body": json.dumps(told(what).payload.to_data())},
        )
    before = picture(store)
    with store.engine.connect() as connection:
        connection.execute(text("UPDATE leases SET owner = 'another'"))
    serving.retries.retry_due()
    serving.run(Once(told(what, "new")), 100)
    serving.run(Once(told(what, "again", again=True)), 100)
    with pytest.raises(PartitionLost), store.write() as uow:
        serving.partitions.hold(uow, [PARTITION])
    assert picture(store) == before
    assert before["parked_messages"] == 1


def picture(store):
    with store.engine.connect() as connection:
        return {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            for table in KEPT
        }


def test_parked_messages_are_what_the_story_says(serving, store):
    """The words that the handlers obey lead to what they are meant to."""
    for what in ("is done", "waits", "refuses", "writes and refuses", "breaks"):
        serving.run(Once(told(what)), 100)
    with store.engine.connect() as connection:
        kept = connection.execute(text("SELECT id, state FROM parked_messages ORDER BY id")).all()
    assert [tuple(row) for row in kept] == [
        ("breaks", parked.RETRYING),
        ("waits", parked.RETRYING),
    ]
