"""A database that is away is one of `STORAGE_ERRORS`; the same store works when it is back."""

import time
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.message import Message
from chassis.messaging.outbox import Outbox
from chassis.runtime.green import Event, pause, spawn
from chassis.storage import migrations
from chassis.storage import postgres_engine as manners
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope
from tests import servers
from tests.conftest import available
from tests.proxy import Proxy

DATABASE = "storage"
metadata = MetaData()
things = Table("things", metadata, Column("id", Integer, primary_key=True))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL of these tests alone: they stop and kill it."""
    folder = tmp_path_factory.mktemp("storage")
    with available(servers.postgres(folder, databases=[DATABASE])) as server:
        yield server


@pytest.fixture
def open_store(server):
    """Opens stores over the same database; each must work at the end as at the beginning."""
    opened = []

    def open_one(port=None, pool=4):
        opened.append(Store("filing", server.url(DATABASE, port), pool=pool))
        return opened[-1]

    yield open_one
    for store in opened:
        assert answers(store)
        store.close()


@pytest.fixture
def store(open_store):
    made = open_store()
    with made.write() as uow:
        metadata.drop_all(uow.connection())
        metadata.create_all(uow.connection())
        uow.execute(insert(things), [{"id": 1}, {"id": 2}])
    return made


def answers(store, seconds=20.0):
    """Wait until every connection that a store has works, without a restart of anything."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            with store.engine.connect() as one, store.engine.connect() as other:
                assert one.scalar(text("SELECT 1")) == other.scalar(text("SELECT 1")) == 1
            with store.write() as uow:
                uow.execute(text("SELECT 1"))
        except STORAGE_ERRORS:
            pause(0.1)
        else:
            return True
    return False


def ask(store):
    """Use a connection for a moment."""
    with store.read() as session:
        assert session.scalar(text("SELECT 1")) == 1


def number_of(uow):
    return uow.execute(text("SELECT pg_backend_pid()")).scalar_one()


def aged(store):
    """Let every connection in the pool be one that nobody has used for a while."""
    pause(manners.IDLE + 0.05)
    return store


@contextmanager
def lost():
    """What happens in it is what a database that is away looks like."""
    with pytest.raises(STORAGE_ERRORS):
        yield


# the server goes away


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_server_that_ends_between_statements(server, store, way):
    with lost(), store.write() as uow:
        uow.execute(insert(things), {"id": 10})
        getattr(server, way)()
        uow.execute(insert(things), {"id": 11})
    with lost():
        ask(store)
    server.start()
    assert answers(store)
    with store.read() as session:
        assert session.scalar(text("SELECT count(*) FROM things")) == 2


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_server_that_ends_during_a_statement(server, store, way):
    going = Event()

    def wait_in_the_database():
        try:
            with store.write() as uow:
                going.send()
                uow.execute(text("SELECT pg_sleep(30)"))
        except STORAGE_ERRORS as error:
            return error

    thread = spawn(wait_in_the_database)
    going.wait()
    pause(0.2)
    getattr(server, way)()
    assert thread.wait() is not None
    server.start()


def test_a_server_that_was_restarted_while_nobody_looked_is_not_noticed(server, store):
    with store.read() as one, store.read() as other:
        one.scalar(text("SELECT 1"))
        other.scalar(text("SELECT 1"))
    server.stop()
    server.start()
    for _ in range(2):
        with aged(store).write() as uow:
            assert uow.scalar(text("SELECT count(*) FROM things")) == 2


def test_nothing_listens_there():
    store = Store("filing", "postgresql://bihuan@127.0.0.1:1/filing")
    with lost():
        ask(store)
    assert not store.answers()


def test_there_is_no_such_host_and_no_such_database(server):
    for url in ("postgresql://bihuan@no.such.host.invalid/filing", server.url("nonesuch")):
        with lost():
            ask(Store("filing", url))


# the server ends a connection, or a statement


def test_a_backend_that_is_terminated(server, store):
    with lost(), store.write() as uow:
        server.execute(f"SELECT pg_terminate_backend({number_of(uow)})")
        uow.execute(text("SELECT 1"))


def test_a_transaction_that_does_nothing_for_too_long(store):
    with lost(), store.write() as uow:
        uow.execute(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
        pause(0.5)
        uow.execute(insert(things), {"id": 10})


def test_a_commit_that_comes_too_late(store):
    with lost(), store.write() as uow:
        uow.execute(text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
        uow.execute(insert(things), {"id": 10})
        pause(0.5)
    with store.read() as session:
        assert session.scalar(text("SELECT count(*) FROM things")) == 2


def test_a_statement_that_takes_too_long(store):
    with lost(), store.write() as uow:
        uow.execute(text("SET LOCAL statement_timeout = '100ms'"))
        uow.execute(text("SELECT pg_sleep(5)"))


def test_a_lock_that_is_not_to_be_had(store):
    with store.write() as holder:
        holder.execute(text("SELECT * FROM things FOR UPDATE"))
        with lost(), store.write() as uow:
            uow.execute(text("SET LOCAL lock_timeout = '100ms'"))
            uow.execute(text("SELECT * FROM things FOR UPDATE"))


def test_a_deadlock(store):
    locked = [Event(), Event()]
    lock = text("SELECT * FROM things WHERE id = :id FOR UPDATE")

    def cross(mine, other):
        try:
            with store.write() as uow:
                uow.execute(lock, {"id": mine + 1})
                locked[mine].send()
                locked[other].wait()
                uow.execute(lock, {"id": other + 1})
        except STORAGE_ERRORS as error:
            return type(error.orig)

    threads = [spawn(cross, 0, 1), spawn(cross, 1, 0)]
    ended = {thread.wait() for thread in threads}
    assert ended == {None, psycopg.errors.DeadlockDetected}


# the network goes away


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy
        proxy.restore()


@pytest.fixture
def distant(open_store, store, proxy, monkeypatch):
    """A store on the other side of the proxy, with less patience than usual."""
    monkeypatch.setattr(manners.Bounded, "answer_within", 0.5)
    monkeypatch.setattr(manners, "ANSWER_WITHIN", 0.5)
    monkeypatch.setattr(manners, "PING_WITHIN", 0.3)
    monkeypatch.setitem(manners.CONNECT, "connect_timeout", 2)
    store = open_store(proxy.port)
    assert answers(store)
    yield store
    proxy.restore()
    assert answers(store)


@pytest.mark.parametrize("reset", [False, True])
def test_connections_that_are_cut(proxy, distant, reset):
    with lost(), distant.write() as uow:
        uow.execute(insert(things), {"id": 10})
        proxy.cut(reset=reset)
        uow.execute(text("SELECT 1"))
    assert distant.answers()


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_black_hole(proxy, distant, direction):
    began = time.monotonic()
    with lost(), distant.write() as uow:
        uow.execute(insert(things), {"id": 10})
        proxy.black_hole(direction)
        uow.execute(text("SELECT 1"))
    assert time.monotonic() - began < 3
    with lost():  # a new connection gets no answer either
        ask(distant)
    assert time.monotonic() - began < 8


def test_a_black_hole_before_the_commit(proxy, distant):
    with lost(), distant.write() as uow:
        uow.execute(insert(things), {"id": 10})
        proxy.black_hole()


def test_half_open_connections_are_found_by_asking(proxy, distant):
    proxy.half_open()
    with aged(distant).write() as uow:
        assert uow.scalar(text("SELECT count(*) FROM things")) == 2


def test_others_go_on_while_one_waits_for_an_answer(proxy, distant, store):
    proxy.black_hole()
    thread = spawn(distant.answers)
    pause(0)
    began = time.monotonic()
    for _ in range(20):
        ask(store)
    assert time.monotonic() - began < 0.4
    assert thread.wait() is False


# what is nobody's fault but the statement's


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT nonsense", ProgrammingError),
        ("INSERT INTO things VALUES (99999999999999)", DataError),
        ("INSERT INTO things VALUES (1)", IntegrityError),
    ],
)
def test_a_wrong_statement_is_not_the_database_being_away(store, statement, kind):
    assert not issubclass(kind, STORAGE_ERRORS)
    with pytest.raises(kind), store.write() as uow:
        uow.execute(text(statement))


# how many, and how often they are asked


def test_a_service_has_only_so_many_connections(open_store, monkeypatch):
    store = open_store(pool=3)
    monkeypatch.setattr(store.engine.pool, "_timeout", 0.1)
    held = [store.engine.connect() for _ in range(3)]
    assert store.engine.pool.checkedout() == 3
    with lost():
        store.engine.connect()
    for connection in held:
        connection.close()


def test_only_a_connection_that_was_idle_is_asked(store, monkeypatch):
    asked = []
    ping = store.engine.dialect.do_ping
    monkeypatch.setattr(store.engine.dialect, "do_ping", lambda c: asked.append(c) or ping(c))
    ask(store)
    ask(store)
    assert asked == []
    ask(aged(store))
    assert len(asked) == 1


def test_the_server_knows_the_bounds(store):
    names = "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
    with store.read() as session:
        shown = [session.scalar(text(f"SHOW {name}")) for name in names]
    assert shown == ["20s", "5s", "10s"]


def test_a_migration_is_not_bound_by_them(store):
    with store.dialect.exclusive() as connection:
        shown = [
            connection.scalar(text(f"SHOW {n}")) for n in ("statement_timeout", "lock_timeout")
        ]
        driver = connection.connection.driver_connection
        assert driver.answer_within is None
    assert shown == ["0", "5s"]
    assert driver.answer_within == manners.ANSWER_WITHIN


# -- many rows at once, and many statements on one way


class Base(DeclarativeBase):
    """What is stored by the session."""

    metadata = metadata


class Paper(Base):
    """A thing with values of all kinds."""

    __tablename__ = "papers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    words: Mapped[str | None]
    day: Mapped[date | None]
    said: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    is_so: Mapped[bool]


def papers(many):
    words = ("100 %", "%(x)s $1 {}", "一\n'二\"\\", "", None)
    return [
        {
            "id": f"paper-{number:03}",
            "words": words[number % 5],
            "day": date(2020, 2, 1 + number % 28) if number % 3 else None,
            "said": {"zh": "%s 閉環", "n": [number, None]} if number % 2 else None,
            "is_so": number % 7 == 0,
        }
        for number in range(many)
    ]


def stored(store):
    with store.read() as session:
        rows = session.execute(select(*Paper.__table__.c).order_by(Paper.id))
        return [dict(row._mapping) for row in rows]


@pytest.mark.parametrize("many", [1, 2, 300])
@pytest.mark.parametrize("in_between", [True, False])
def test_what_a_session_holds_is_stored_as_it_is(store, many, in_between):
    with store.write() as uow:
        uow.add_all(Paper(**paper) for paper in papers(many))
        if in_between:
            uow.flush()
            uow.get(Paper, "paper-000").words = "changed"
    changed = [{"words": "changed"}] if in_between else [{}]
    assert stored(store) == [papers(many)[0] | changed[0], *papers(many)[1:]]


@pytest.mark.parametrize("many", [1, 300])
@pytest.mark.parametrize("in_between", [True, False])
def test_where_one_of_many_is_there_already_nothing_is_stored(store, many, in_between):
    with store.write() as uow:
        uow.add(Paper(**papers(many)[-1]))
    before = stored(store)

    def store_again():
        with store.write() as uow:
            uow.closing.append(Statement(store.statements.insert_new(notes), rows=ODD))
            uow.add_all(Paper(**paper) for paper in papers(many))
            if in_between:
                uow.flush()

    with pytest.raises(IntegrityError):
        store_again()
    assert stored(store) == before
    assert kept(store) == []
    ask(store)


notes = Table(
    "notes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("words", Text),
    Column("number", BigInteger),
    Column("share", Float),
    Column("is_so", Boolean),
)
ODD = [
    {"id": "quoted", "words": "'\"\\ %s %(x)s {}", "number": 2**62, "share": 0.1, "is_so": True},
    {"id": "lines", "words": "一\n二\t\u2028", "number": -1, "share": 1e300, "is_so": False},
    {"id": "nothing", "words": None, "number": None, "share": None, "is_so": None},
    {"id": "empty", "words": "", "number": 0, "share": -0.0, "is_so": False},
]


def kept(store):
    with store.read() as session:
        found = session.execute(select(notes).order_by(notes.c.id))
        return [dict(row._mapping) for row in found]


def by_id(rows):
    return sorted(rows, key=lambda row: row["id"])


def test_many_rows_of_odd_values_are_written_as_they_are(store):
    with store.write() as uow:
        store.write_rows(uow, store.statements.insert_new(notes), ODD)
    assert kept(store) == by_id(ODD)
    with store.write() as uow:  # again, and nothing changes
        store.write_rows(uow, store.statements.insert_new(notes), ODD)
    assert kept(store) == by_id(ODD)


def test_many_rows_are_replaced_added_to_and_updated(store):
    row = {"words": "old", "number": 1, "share": 0.5, "is_so": True}
    first = [row | {"id": name} for name in ("a", "b", "c")]
    change = (
        update(notes)
        .where(notes.c.id == bindparam("of"))
        .values(words=bindparam("new"), number=notes.c.number + bindparam("by"))
    )
    with store.write() as uow:
        store.write_rows(uow, store.statements.insert_new(notes), first)
        again = [each | {"words": "new"} for each in first[:2]]
        store.write_rows(
            uow, store.statements.insert_or_replace(notes, "id", keep=["number"]), again
        )
        store.write_rows(
            uow, change, [{"of": "c", "new": "c", "by": 5}, {"of": "b", "new": "b", "by": 7}]
        )
    assert [(each["id"], each["words"], each["number"]) for each in kept(store)] == [
        ("a", "new", 1),
        ("b", "b", 8),
        ("c", "c", 6),
    ]


def test_what_is_left_for_the_end_is_written_with_the_commit(store):
    with store.write() as uow:
        uow.closing.append(Statement(store.statements.insert_new(notes), rows=ODD))
        assert uow.scalar(select(func.count()).select_from(notes)) == 0
    assert kept(store) == by_id(ODD)


def close_with(store, *asked):
    with store.write() as uow:
        uow.closing.extend(asked)


def test_a_way_on_which_one_statement_fails_leaves_nothing(store):
    fails = Statement(insert(things), rows=[{"id": 3}, {"id": 1}])
    with pytest.raises(IntegrityError):
        close_with(store, Statement(store.statements.insert_new(notes), rows=ODD), fails)
    assert kept(store) == []
    ask(store)


def ask_when_cut_off(store, server):
    with store.write() as uow:
        uow.execute(text("SELECT 1"))
        server.execute(f"SELECT pg_terminate_backend({number_of(uow)})")
        store.execute_many(uow, Statement(text("SELECT 1")), Statement(text("SELECT 2")))


def test_a_database_that_goes_away_on_the_way_is_away(store, server):
    with pytest.raises(STORAGE_ERRORS):
        ask_when_cut_off(store, server)
    assert answers(store)


def test_the_outbox_keeps_the_order_in_which_things_were_said(store):
    migrations.apply(store)
    said = [
        Message.of(
            FilingWithdrawn(enterprise_id=f"shop-{n % 7}", filing_id=str(n), reason="none"),
            Envelope(
                f"id-{n}",
                "filing",
                FilingWithdrawn.type,
                "2020-02-10T00:00:00Z",
                f"shop-{n % 7}",
                "cause",
            ),
        )
        for n in range(1000)
    ]
    with store.write() as uow:
        uow.outbox.extend(said)
    assert [message.id for message in Outbox(store).unsent(2000)] == [
        message.id for message in said
    ]
