"""Whatever writes a receipt, a letter or an outcome holds the slot of its message meanwhile."""

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
from chassis.messaging import consumer, parked, replay
from chassis.messaging.bus import Closed
from chassis.messaging.consumer import FATAL_ATTEMPTS, OFTEN, Listener
from chassis.storage import migrations
from chassis.storage.leases import Leases, SlotLost
from chassis.storage.store import Store
from chassis.storage.tables import attempts
from contracts.inspection import DispatchPatrol
from contracts.message import Envelope
from services.inspection.service import Inspection
from tests.service.given import Deaf
from tests.service.test_interleavings import KEY, SLOT, SLOTS, marker, said

WRITES = ("INSERT INTO", "UPDATE", "DELETE FROM")
KEPT = ("inbox", "letters", "attempts", "strays", "outbox", "deployment")
HOLDS = "FOR KEY SHARE"
HASTENS = "UPDATE letters SET try_at="
"""What is done to the letters of others: they are looked at sooner, and nothing else."""


class Watch:
    """Notes the statements of each transaction, and which function of the listener wrote."""

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
    """Name the function that has opened the transaction in hand, if it is the listener's."""
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if code.co_filename == consumer.__file__ and code.co_name in WRITERS:
            return code.co_name
        if code.co_filename == replay.__file__ and code.co_name == "gap_found":
            return code.co_name
        frame = frame.f_back
    return None


def writers():
    """Find the functions of the listener that open a transaction."""
    tree = ast.parse(Path(consumer.__file__).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {each.name for each in functions if "self.store.write()" in ast.unparse(each)}


WRITERS = writers()


class Once:
    """An inlet that gives one batch."""

    slot = SLOT

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
    """A listener that holds all slots by leases, and whose handlers do as they are told."""
    leases = Leases(store)
    leases.agree(SLOTS)
    assert len(leases.tick().held) == SLOTS
    made = Listener(Deaf(), store, {"dispatch-patrol": [obey]}, lambda: None)
    made.slots, made.leases, made.began = SLOTS, leases, store.now()
    return made


def obey(fact, work):
    """Do what the one officer of a patrol is called."""
    (what,) = fact.officers
    if what == "waits":
        raise NotYet("fact")
    if what == "refuses":
        raise Conflict
    if what == "writes and refuses":
        work.record(said("").fact)
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
        connection.execute(text("UPDATE letters SET try_at = 0 WHERE state = 'waiting'"))


def test_every_writer_holds_the_slot(serving, store, monkeypatch):
    watch = Watch(monkeypatch)

    def take(*messages):
        serving.run(Once(*messages), 100)

    take(told("is done"), told("waits"), told("refuses"))
    take(told("is done", "together"), told("writes and refuses"))
    take(told("breaks"))
    with store.write() as work:
        work.execute(attempts.insert(), {"id": "breaks again", "count": 1})
    take(told("breaks", "breaks again", again=True))
    often = told("is done", "came often", again=True)
    often.returned = OFTEN
    take(often)
    for count in (1, FATAL_ATTEMPTS):
        with store.write() as work:
            work.execute(attempts.insert(), {"id": f"came {count}", "count": count})
        take(told("is done", f"came {count}", again=True))
    take(told("is done", "came back", again=True))
    for _ in range(2):  # one after the other: what waits, what breaks
        hour_comes(store)
        serving.retry_due()
    serving.began = store.now() + 1.0  # as if a process before this one had parked them
    hour_comes(store)
    serving.retry_due()

    replay.queue_made(store, SLOT, 0.0)
    replay.gap_found(store, SLOT, ["filing"], serving.hold)
    serving.gaps.add(SLOT)
    with store.read() as session:
        name = replay.gaps_of(session, SLOT)["filing"]
    take(said("stray"), marker(name))

    assert watch.unheld == []
    missed = WRITERS - {"_handle_waiting"} - watch.written
    assert not missed, f"the story does not walk {missed}"
    assert "gap_found" in watch.written


@pytest.mark.parametrize("what", ["is done", "waits", "refuses", "writes and refuses", "breaks"])
def test_who_has_lost_a_slot_writes_nothing(serving, store, what):
    """Whether it is taken for the first time, or is a letter whose time has come."""
    serving.run(Once(told("waits", "letter")), 100)
    with store.engine.connect() as connection:
        connection.execute(
            text("UPDATE letters SET try_at = 0, body = :body"),
            {"body": json.dumps(told(what).fact.to_data())},
        )
    before = picture(store)
    with store.engine.connect() as connection:
        connection.execute(text("UPDATE leases SET owner = 'another'"))
    serving.retry_due()
    serving.run(Once(told(what, "new")), 100)
    serving.run(Once(told(what, "again", again=True)), 100)
    with pytest.raises(SlotLost), store.write() as work:
        serving.hold(work, [SLOT])
    assert picture(store) == before
    assert before["letters"] == 1


def picture(store):
    with store.engine.connect() as connection:
        return {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            for table in KEPT
        }


def test_letters_are_what_the_story_says(serving, store):
    """The words that the handlers obey lead to what they are meant to."""
    for what in ("is done", "waits", "refuses", "writes and refuses", "breaks"):
        serving.run(Once(told(what)), 100)
    with store.engine.connect() as connection:
        kept = connection.execute(text("SELECT id, state FROM letters ORDER BY id")).all()
    assert [tuple(row) for row in kept] == [
        ("breaks", parked.WAITING),
        ("waits", parked.WAITING),
    ]
