"""A file that may only be read, is full or broken is the database being away, and no more."""

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import ProgrammingError

from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.store import Store
from chassis.storage.tables import chassis_metadata
from console.demo.synthetic import credit_code


@pytest.fixture
def store(tmp_path):
    made = Store("filing", f"sqlite:///{tmp_path / 'filing.db'}")
    with made.write() as uow:
        chassis_metadata.create_all(uow.connection())
    yield made
    made.close()


def write(store):
    with store.write() as uow:
        uow.execute(text("INSERT INTO deployment VALUES ('tried', '1') ON CONFLICT DO NOTHING"))


def read(store):
    with store.read() as session:
        return session.scalar(text("SELECT count(*) FROM deployment WHERE name = 'tried'"))


def only_read(connection, _record):
    connection.execute("PRAGMA query_only = ON")


@pytest.fixture
def is_read_only(store):
    """Give a switch: whether connections that are made from now on may only read."""

    def switch(*, on):
        for engine in store.dialect.engines:
            if on:
                event.listen(engine, "connect", only_read)
                engine.dispose()
            else:
                event.remove(engine, "connect", only_read)

    return switch


def test_a_file_that_may_only_be_read_is_tried_anew_by_another_connection(store, is_read_only):
    is_read_only(on=True)
    with pytest.raises(STORAGE_ERRORS):
        write(store)
    assert read(store) == 0
    assert store.answers()
    assert not store.writes()
    is_read_only(on=False)
    while not store.writes():  # a connection that has read meanwhile is thrown away first
        pass
    write(store)
    assert read(store) == 1


def test_a_file_that_is_full_is_the_database_being_away(store):
    long = text("INSERT INTO deployment VALUES ('long', hex(zeroblob(9000000)))")
    with store.read() as session:
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(STORAGE_ERRORS), store.write() as uow:
        uow.execute(long)
    assert store.answers()


def test_a_file_that_is_broken_is_the_database_being_away_and_not_a_wrong_statement(
    store, tmp_path
):
    store.close()
    for file in tmp_path.glob("filing.db*"):
        file.write_bytes(b"no database at all, " * 500)
    with pytest.raises(STORAGE_ERRORS):
        read(store)
    assert not store.answers()


def test_a_wrong_statement_is_not_the_database_being_away(store):
    with pytest.raises(ProgrammingError), store.read() as session:
        session.execute(text("SELECT nonsense"))
    assert not issubclass(ProgrammingError, STORAGE_ERRORS)


def test_a_district_whose_files_may_only_be_read_says_so_and_goes_on_afterwards(make_district):
    district = make_district()
    district.begin()
    stores = [district.store(name) for name in district.running.hosts]
    engines = [engine for store in stores for engine in store.dialect.engines]
    for engine in engines:
        event.listen(engine, "connect", only_read)
        engine.dispose()
    client, answers = district.client, []
    for number in range(3):
        key = {"Idempotency-Key": f"register-{number}"}
        answers.append(client.request("POST", "/v1/enterprises", shop(number), key))
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert all(answer.headers["Retry-After"] for answer in answers)
    assert client.request("GET", "/v1/statistics").status == 200
    ready = client.request("GET", "/readyz")
    assert (ready.status, ready.json()["gateway"]) == (503, False)
    for engine in engines:
        event.remove(engine, "connect", only_read)
    while client.request("GET", "/readyz").status != 200:
        pass
    for number in range(3):
        key = {"Idempotency-Key": f"register-{number}"}
        assert client.request("POST", "/v1/enterprises", shop(number), key).status == 201


def shop(number):
    return {
        "credit_code": credit_code(number + 1),
        "name": f"第{number}號店",
        "kind": "sole_trader",
        "size": "micro",
        "industry": "F5211",
        "premises": "shop",
        "grid": "350503003",
    }
