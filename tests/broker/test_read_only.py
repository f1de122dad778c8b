"""A database that may only be read, as after a failover: it is said, reading goes on, nothing ends,
and all of it works when the database is writable again."""

from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.runtime.process import Process
from tests.broker.conftest import until
from tests.broker.test_outages import NAMES, ask, count, register


@contextmanager
def read_only(server, *names):
    """Let databases be read-only, and writable again whatever happens."""
    server.let_write(*names, allowed=False)
    try:
        yield
    finally:
        server.let_write(*names, allowed=True)


@pytest.fixture
def store(settings):
    made = Store("filing", settings.database_of("filing"))
    yield made
    made.close()


ROW = {"name": "tried", "value": "1"}
INSERT = "INSERT INTO deployment (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING"


def by_statement(store):
    with store.write() as uow:
        uow.execute(text(INSERT), ROW)


def by_pipeline(store):
    with store.write() as uow:
        store.execute_many(uow, Statement(text("SELECT 1")), Statement(text(INSERT), ROW))


def at_the_end(store):
    with store.write() as uow:
        uow.closing.append(Statement(text(INSERT), ROW))


def by_itself(store):
    with store.engine.connect() as connection:
        connection.execute(text(INSERT), ROW)


def read(store):
    with store.read() as session:
        return session.scalar(text("SELECT count(*) FROM deployment WHERE name = 'tried'"))


@pytest.mark.parametrize("write", [by_statement, by_pipeline, at_the_end, by_itself])
def test_a_write_is_refused_as_if_the_database_were_away_and_reading_goes_on(
    postgres_server, store, write
):
    assert store.writes()
    with read_only(postgres_server, "filing"):
        until(store.answers)
        for _ in range(3):
            with pytest.raises(STORAGE_ERRORS):
                write(store)
            assert read(store) == 0
        with store.read() as one, store.read() as other:  # so the pool has several
            assert one.scalar(text("SELECT 1")) == other.scalar(text("SELECT 1"))
    with suppress(STORAGE_ERRORS):
        write(store)  # by a connection that has read meanwhile, and could do no more for ever
    for _ in range(3):
        write(store)
    assert read(store) == 1


def test_a_store_says_that_it_does_not_write_until_it_does(postgres_server, store):
    with read_only(postgres_server, "filing"):
        until(store.answers)
        with pytest.raises(STORAGE_ERRORS):
            by_statement(store)
        assert store.answers()
        assert not store.writes()
        assert not store.writes()
    until(store.writes)
    by_statement(store)
    assert store.writes()


LONG = "INSERT INTO long SELECT string_agg(md5(n::text), '') FROM generate_series(1, 999) n"


@pytest.mark.parametrize(
    "write",
    [
        lambda uow, _: uow.execute(text(LONG)),
        lambda uow, s: s.execute_many(uow, Statement(text(LONG))),
    ],
)
def test_what_a_statement_asks_too_much_is_not_the_database_being_away(store, write):
    """SQLSTATE 54000, which the driver calls by the same name: it would be tried for ever."""
    with store.write() as uow:
        uow.execute(text("CREATE TABLE long (words text)"))
        uow.execute(text("CREATE INDEX ON long (words)"))
    with pytest.raises(DBAPIError, match="index row") as told, store.write() as uow:
        write(uow, store)
    assert not isinstance(told.value, STORAGE_ERRORS)
    assert store.writes()
    with store.write() as uow:
        uow.execute(text("DROP TABLE long"))


def test_processes_live_through_a_database_that_may_only_be_read(
    settings, tmp_path, postgres_server
):
    shops = plan(0.01).enterprises[:24]
    with Fleet(settings, tmp_path / "fleet") as fleet:
        client, base = fleet.client(), fleet.bases[0]
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        register(base, 0, shops[0])
        processes = {name: fleet.members[name][0] for name in NAMES}
        with read_only(postgres_server, *NAMES):
            until(lambda: ask(base, "GET", "/v1/statistics").status == 200)
            answers = [register(base, number, shop) for number, shop in enumerate(shops[:4], 1)]
            assert {answer.status for answer in answers} == {503}
            assert all(answer.headers["Retry-After"] for answer in answers)
            assert ask(base, "GET", "/v1/statistics").status == 200, "reading goes on"
            for process in processes.values():
                until(lambda p=process: not ask(p.base, "GET", "/readyz").json()["database"])
                assert ask(process.base, "GET", "/livez").status == 200
        for process in processes.values():
            until(lambda p=process: ask(p.base, "GET", "/readyz").status == 200)
        for number, shop in enumerate(shops):
            client.post("/v1/enterprises", shop.registration(), f"k{number}")
        assert client.get("/v1/statistics")["registered"]["total"] == len(shops)
        assert {name: p.process.poll() for name, p in processes.items()} == dict.fromkeys(NAMES)
    assert [count(settings, name, "parked_messages") for name in NAMES] == [0] * len(NAMES)


def test_a_district_in_one_process_lives_through_it_too(settings, tmp_path, postgres_server):
    environ = {"DATABASE_URL": settings.database_url, "DATA": str(tmp_path / "data")}
    keys = {"ISSUER_KEY_FILE": settings.issuer_key_file}
    shops = plan(0.01).enterprises[:6]
    log = tmp_path / "district.log"
    arguments = ["up", "--port", "0", "--manual-clock"]
    with Process(arguments, log, environ=environ | keys) as process:
        base = process.base
        until(lambda: ask(base, "GET", "/readyz").status == 200)
        clock = {"at": "2020-02-10T08:00:00+08:00"}
        assert ask(base, "POST", "/v1/clock", clock, Idempotency_Key="clock").status == 200
        assert register(base, 0, shops[0]).status == 201
        with read_only(postgres_server, *NAMES):
            until(lambda: ask(base, "GET", "/v1/statistics").status == 200)
            answers = [register(base, number, shop) for number, shop in enumerate(shops)]
            assert [answer.status for answer in answers] == [503] * len(shops)
            assert ask(base, "GET", "/readyz").json()["gateway"] is False
            assert ask(base, "GET", "/v1/statistics").status == 200, "reading goes on"
        until(lambda: ask(base, "GET", "/readyz").status == 200)
        for number, shop in enumerate(shops):
            assert register(base, number, shop).status == 201
        assert process.process.poll() is None
