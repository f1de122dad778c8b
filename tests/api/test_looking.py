"""Many who ask for documents at the same moment are answered by one query."""

import pytest

from chassis.runtime.green import end, pause, spawn
from chassis.storage import migrations
from chassis.storage.store import Store
from services.gateway.read_models.projection import write_documents
from services.gateway.read_models.queries import Reads
from services.gateway.resources import VIEWS
from services.gateway.tables import metadata

ENTERPRISES = VIEWS["enterprises"]


@pytest.fixture
def reads(tmp_path):
    store = Store("gateway", f"sqlite:///{tmp_path / 'gateway.db'}", metadata)
    migrations.apply(store)
    with store.write() as uow:
        shops = [{"id": f"shop-{n}", "name": f"第{n}號店"} for n in range(5)]
        write_documents(store, uow, ENTERPRISES, [(None, shop) for shop in shops])
    yield Reads(store)
    store.close()


@pytest.fixture
def asked(reads, monkeypatch):
    """Note what is asked of the database; each question lets others run first, as a server does."""
    queries, execute = [], reads.store.execute

    def slowly(statement):
        queries.append(statement.parameters["ids"])
        pause(0)
        return execute(statement)

    monkeypatch.setattr(reads.store, "execute", slowly)
    return queries


def look(reads, *names):
    return [spawn(reads.look, ENTERPRISES, name) for name in names]


def test_who_asks_while_a_query_is_under_way_shares_the_next(reads, asked):
    threads = look(reads, "shop-0", "shop-1", "shop-2", "shop-1", "nobody")
    found = [thread.wait() for thread in threads]
    assert [each and each["id"] for each in found] == ["shop-0", "shop-1", "shop-2", "shop-1", None]
    assert len(asked) == 2


def test_an_error_is_told_to_all_who_asked_and_to_nobody_after_them(reads, asked, monkeypatch):
    def fail(_ask):
        raise RuntimeError("away")

    with monkeypatch.context() as broken:
        broken.setattr(reads.store, "execute", fail)
        for thread in look(reads, "shop-0", "shop-1"):
            with pytest.raises(RuntimeError, match="away"):
                thread.wait()
    assert reads.look(ENTERPRISES, "shop-0")["id"] == "shop-0"


def test_who_goes_away_in_the_middle_leaves_the_others_their_answers(reads, asked):
    first, second = look(reads, "shop-3", "shop-4")
    while not asked:
        pause(0)
    end(first)
    assert second.wait()["id"] == "shop-4"
