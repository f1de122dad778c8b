"""A district on a cluster of three nodes: one is killed under load, and work goes on."""

from dataclasses import replace

import eventlet
import pytest

from console.client import Client
from console.demo.fleet import Fleet
from console.demo.plan import plan
from tests import servers
from tests.broker.conftest import until
from tests.conftest import available


@pytest.fixture
def cluster(tmp_path, rabbitmq_version):
    with available(servers.rabbitmq_cluster(tmp_path / "cluster", 3, rabbitmq_version)) as nodes:
        yield nodes


def test_a_node_is_killed_under_load_and_work_goes_on(settings, cluster, tmp_path):
    shops = plan(0.02).enterprises[:150]
    told = replace(settings, amqp_uri=";".join(node.uri for node in cluster))
    with Fleet(told, tmp_path / "fleet") as fleet:
        cluster[0].sync()  # a queue's name is on disk only a while after it was declared
        client = fleet.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        answered = []
        pool = eventlet.GreenPool(8)

        def register(number, shop):
            made = client.post("/v1/enterprises", shop.registration(), f"shop-{number}")
            answered.append(made["enterprise_id"])

        def uow():
            for number, shop in enumerate(shops):
                pool.spawn(register, number, shop)
            pool.waitall()

        working = eventlet.spawn(uow)
        until(lambda: len(answered) > 20)
        cluster[1].kill()
        working.wait()
        assert len(set(answered)) == len(shops)
        until(lambda: client.get("/v1/statistics")["registered"]["total"] == len(shops))
        ready = [Client(process.base) for process in fleet.processes]
        for process in ready:
            until(lambda process=process: process.get("/readyz"))
