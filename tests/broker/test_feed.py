"""The feed of a district with two gateways under load: one order, and nothing missing or double."""

import json

import eventlet
import pytest
import urllib3
from sqlalchemy import select

from chassis.storage.store import Store
from chassis.storage.tables import outbox
from console.client import Client
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.runtime.district import SERVICES
from services.gateway.service import OFFERED
from services.gateway.tables import events
from tests.broker.conftest import until
from tests.receivers import receiving

SHOPS = 120


@pytest.fixture
def fleet(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("WEBHOOKS_TO", "private")
    with Fleet(settings, tmp_path / "fleet") as running:
        running.start("gateway")
        running.wait_until_ready()
        yield running


class Reader:
    """Reads the feed from its beginning, in its own way, while things happen."""

    def __init__(self, base, token):
        self.base, self.token = base, token
        self.found = []
        self.thread = eventlet.spawn(self.read)

    def positions(self):
        return [event["position"] for event in self.found]


class Polling(Reader):
    def read(self):
        client, after = Client(self.base, token=self.token), "0"
        while True:
            page = client.get(f"/v1/events?limit=100&after={after}")
            self.found += page["items"]
            after = page["next"]
            eventlet.sleep(0.01)


class Streaming(Reader):
    def read(self):
        http = urllib3.PoolManager(retries=False)
        url = f"{self.base}/v1/events/stream"
        shown = {"Authorization": f"Bearer {self.token}"}
        lines = http.request("GET", url, headers=shown, preload_content=False)
        for line in lines:
            if line.startswith(b"data: "):
                self.found.append(json.loads(line.removeprefix(b"data: ")))


def uow(fleet, shops):
    """Register and file, all at once, by both gateways in turn."""
    client, pool = fleet.client(), eventlet.GreenPool(16)

    def act(number, shop):
        made = client.post("/v1/enterprises", shop.registration(), f"shop-{number}")
        asked = {
            "enterprise_id": made["enterprise_id"], "reopen_on": "2020-02-10", "headcount": 3,
            "out_of_province": 0, "measures": ["masks", "disinfectant", "thermometer"],
            "pledge": True,
        }  # fmt: skip
        client.post("/v1/filings", asked, f"filing-{number}")

    for number, shop in enumerate(shops):
        pool.spawn(act, number, shop)
    pool.waitall()


def said(settings):
    """Read what each service has said to everybody, in its order, from its outbox."""
    found = {}
    for kind in SERVICES:
        store = Store(kind.name, settings.database_of(kind.name), kind.metadata)
        with store.engine.connect() as connection:
            for row in connection.execute(select(outbox).order_by(outbox.c.seq)):
                if row.type in OFFERED and row.exchange.endswith(".events"):
                    found.setdefault((row.source, row.partitionkey), []).append(row.id)
        store.close()
    return found


def by_stream(found):
    streams = {}
    for event in found:
        streams.setdefault((event["source"], event["partitionkey"]), []).append(event["id"])
    return streams


def kept_positions(settings):
    """Read the positions of the events that the gateways have kept."""
    store = Store("gateway", settings.database_of("gateway"))
    with store.engine.connect() as connection:
        rows = connection.execute(select(events.c.position).order_by(events.c.position))
        positions = list(rows.scalars())
    store.close()
    return positions


def test_two_gateways_under_load_feed_everything_once_in_one_order(fleet, settings):
    client = fleet.client()
    client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
    kinds = (Polling, Streaming)
    readers = [kind(base, client.token) for base in fleet.bases for kind in kinds]
    uow(fleet, plan(0.02).enterprises[:SHOPS])

    def all_is_kept():
        kept = kept_positions(settings)
        return len(kept) == sum(map(len, said(settings).values())) and kept

    kept = until(all_is_kept)
    assert kept == list(range(1, len(kept) + 1))
    for reader in readers:
        until(lambda reader=reader: len(reader.found) >= len(kept))
        reader.thread.kill()
        assert reader.positions() == kept
        assert reader.found == readers[0].found
    assert by_stream(readers[0].found) == said(settings), "in each publisher's order of each key"


def test_the_gateway_that_sends_is_killed_and_the_other_goes_on(fleet, settings):
    client = fleet.client()
    client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
    with receiving() as receiver:
        asked = {"url": receiver.url, "after": 0}
        client.post("/v1/webhooks", asked, "tax")
        working = eventlet.spawn(uow, fleet, plan(0.02).enterprises[:SHOPS])
        until(lambda: len(receiver.got) > 20)
        sends = until(lambda: [m for m in fleet.members["gateway"] if attempts(m.base) > 0])
        assert len(sends) == 1, "one at a time"
        sends[0].kill()
        working.wait()
        until(lambda: set(said_ids(settings)) == set(receiver.ids))
        assert by_stream(receiver.firsts()) == said(settings)


def attempts(base):
    """Tell how often a gateway has posted to a webhook."""
    text = urllib3.PoolManager().request("GET", f"{base}/metrics").data.decode()
    lines = (line for line in text.splitlines() if line.startswith("bihuan_webhook_attempts_total"))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def said_ids(settings):
    return [identity for ids in said(settings).values() for identity in ids]
