"""On PostgreSQL a long export is made by one gateway, while others leave it alone."""

from urllib.parse import quote

import pytest
from sqlalchemy import select

from services.gateway.exports import endpoints, jobs
from services.gateway.tables import exports as kept
from tests.api.exported import get, ids, made, rows_of


@pytest.fixture
def shops(distributed, monkeypatch):
    monkeypatch.setattr(endpoints, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(jobs, "PAGE", 2)
    monkeypatch.setattr(jobs, "CHUNK", 1000)
    distributed.begin()
    return [distributed.register(name=f"閉環{number}號小館") for number in range(6)]


def test_a_long_export_is_the_list(distributed, shops):
    word, other = quote("小館"), quote("閉環")
    for query in ("sort=-name", f"q={word}", f"q={other}&sort=name", "grid=350503003"):
        path = f"/v1/enterprises?{query}"
        expected = ids(distributed.client.everything(path))
        assert sorted(expected) == sorted(shops)
        answer = get(distributed.client, f"{path}&format=csv")
        assert ids(rows_of(made(distributed.client, answer))) == expected


def test_an_export_that_one_gateway_takes_no_other_waits_for(distributed, shops):
    gateway = distributed.service("gateway")
    gateway.components.exporting.close()
    answer = get(distributed.client, "/v1/enterprises?format=csv")
    other = jobs.Exporting(gateway.components.exporting.reads, gateway.rulebook)
    with gateway.store.write() as uow:
        assert uow.execute(select(kept).with_for_update()).first().state == "pending"
        assert other._claim() is None
    taken = other._claim()
    assert jobs.Exporting(other.reads, gateway.rulebook)._claim() is None
    other._export(taken)
    assert ids(rows_of(made(distributed.client, answer))) == shops
