"""The feed and its stream: every event once, in one order, however they are read."""

import json
import re
import shutil
import socket
from contextlib import contextmanager
from pathlib import Path

import eventlet
import pytest
import urllib3
from sqlalchemy import select, update

import rulebook
from chassis.http import server
from chassis.messaging.memory_bus import EmbeddedBus
from services.gateway.event_log import feed as feeding
from services.gateway.event_log import stream as streaming
from services.gateway.resources import VIEWS
from services.gateway.service import OFFERED, STORED_EVENTS
from services.gateway.tables import events
from tests import PATIENCE
from tests.api.conftest import problem
from tests.district import TestDistrict
from tests.receivers import until

BATCH = "application/cloudevents-batch+json"


@pytest.fixture(scope="module")
def told(district):
    """A district in which something has happened, in two grids, to people too."""
    district.shop = district.reopened("restaurant")
    district.elsewhere = district.register(grid="350503004")
    district.visit(district.shop, ["dine_in"])
    district.complain(district.shop)
    district.complain(against="某店")
    asked = {"name": "林醫生", "identity": "35050319790505001X", "institution": "豐澤區醫院"}
    district.client.post("/v1/medics", asked)
    district.settle()
    return district


def kept(district):
    """Read what the gateway has kept, as the database has it."""
    with district.store("gateway").engine.connect() as connection:
        return connection.execute(select(events).order_by(events.c.position)).all()


def feed(district, query="", limit=7, client=None):
    """Poll the feed from its beginning until it has nothing more."""
    after, found = "0", []
    while True:
        page = (client or district.client).get(f"/v1/events?limit={limit}&after={after}{query}")
        found += page["items"]
        after = page["next"]
        if after == str(page["as_of"]["position"]):
            return found


class Stream:
    """An open stream, read as a browser reads it."""

    def __init__(self, response):
        self.response = response
        self.last = None
        self._bytes = b""

    def block(self):
        """Wait for the next block; nothing when the stream has ended."""
        with eventlet.Timeout(PATIENCE):
            while b"\n\n" not in self._bytes:
                part = self.response.read1(65536)
                if not part:
                    return None
                self._bytes += part
        block, _, self._bytes = self._bytes.partition(b"\n\n")
        return block.decode()

    def next(self):
        """Wait for the next event; nothing when the stream has ended."""
        while (block := self.block()) is not None:
            if found := re.search(r"^id: (\d+)$", block, re.MULTILINE):
                self.last = found[1]
            if found := re.search(r"^data: (.*)$", block, re.MULTILINE):
                return json.loads(found[1])
        return None

    def some(self, number):
        return [self.next() for _ in range(number)]


@contextmanager
def stream(district, query="", last=None, buffer=65536, client=None):
    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)]
    http = urllib3.PoolManager(retries=False, socket_options=options)
    headers = {"Authorization": f"Bearer {(client or district.client).token}"}
    headers |= {"Last-Event-ID": last} if last else {}
    url = f"{district.client.base}/v1/events/stream?{query}"
    response = http.request("GET", url, headers=headers, preload_content=False)
    assert response.status == 200, response.data
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    try:
        yield Stream(response)
    finally:
        response.close()


# the feed


def test_every_event_is_in_the_feed_once_in_one_order(told):
    rows, items = kept(told), feed(told)
    assert [item["id"] for item in items] == [row.id for row in rows]
    assert [item["position"] for item in items] == list(range(1, len(rows) + 1))
    assert feed(told, limit=100) == items


def test_an_item_is_a_cloud_event(told):
    for item, row in zip(feed(told), kept(told), strict=True):
        data = item.pop("data")
        position = item.pop("position")
        assert position == row.position
        assert item == {
            "specversion": "1.0",
            "id": row.id,
            "source": row.source,
            "type": row.type,
            "time": row.time,
            "subject": row.partitionkey,
            "datacontenttype": "application/json",
            "partitionkey": row.partitionkey,
            "correlationid": row.correlationid,
        } | {
            name: getattr(row, name)
            for name in ("causationid", "causationtype")
            if getattr(row, name)
        }
        assert data.items() <= json.loads(row.body).items()


def test_nothing_personal_is_in_the_feed_not_even_sealed(told):
    personal = {
        "complaint-received": {"caller", "phone"},
        "medic-enrolled": {"name", "identity"},
    }
    found = {item["type"]: item["data"] for item in feed(told) if item["type"] in personal}
    bodies = {row.type: json.loads(row.body) for row in kept(told)}
    for kind, fields in personal.items():
        assert fields <= bodies[kind].keys(), "it travels sealed between the services"
        assert found[kind].keys() == bodies[kind].keys() - fields


def test_what_services_say_to_each_other_is_not_offered(told):
    assert {item["type"] for item in feed(told)} <= {kind.type for kind in STORED_EVENTS}
    assert not {"command-settled", "hour-swept", "resend-began"} & OFFERED.keys()
    problem(told.client.request("GET", "/v1/events?type=command-settled"), 400)


def test_the_end_can_be_polled_from(told):
    end = told.client.get("/v1/events?limit=1")["as_of"]["position"]
    path = f"/v1/events?after={end}&type=enterprise-registered"
    empty = told.client.get(path)
    assert (empty["items"], empty["next"]) == ([], str(end))
    shop = told.register()
    answer = told.client.request("GET", path)
    (item,) = answer.json()["items"]
    assert item["data"]["enterprise_id"] == shop
    link = answer.headers["Link"].removeprefix("<").partition(">")[0]
    assert told.client.get(link)["items"] == []


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("type=enterprise-registered", lambda _, r: r.type == "enterprise-registered"),
        (
            "type=notice-issued,issue-found",
            lambda _, r: r.type in ("notice-issued", "issue-found"),
        ),
        ("source=filing", lambda _, r: r.source == "filing"),
        ("source=filing,complaints", lambda _, r: r.source in ("filing", "complaints")),
        ("enterprise={0.shop}", lambda d, r: r.enterprise_id == d.shop),
        ("grid=350503004", lambda d, r: r.enterprise_id == d.elsewhere),
        (
            "source=inspection&type=notice-issued,visit-planned&enterprise={0.shop}&grid=350503003",
            lambda d, r: r.type in ("notice-issued", "visit-planned") and r.enterprise_id == d.shop,
        ),
        ("type=claim-paid", lambda *_: False),
    ],
)
@pytest.mark.parametrize("window", [3, 1000])
def test_a_filter_gives_what_it_says_and_in_the_same_order(told, monkeypatch, query, holds, window):
    """Also where a page looks through so few positions that it comes to nothing."""
    monkeypatch.setattr(feeding, "WINDOW", window)
    monkeypatch.setattr(feeding, "WINDOWS", 2)
    wanted = [row.id for row in kept(told) if holds(told, row)]
    assert [item["id"] for item in feed(told, "&" + query.format(told), limit=2)] == wanted


COMMUNITY = """
[[grid]]
code = "350503003001"
zh = "樣例社區"
en = "A community"
parent = "350503003"
source = "division codes of 350503"
from = 2020-01-01
"""


def test_a_grid_holds_what_is_below_it(make_district, tmp_path):
    folder = shutil.copytree(Path(rulebook.__file__).parent / "fengze", tmp_path / "rulebook")
    with (folder / "grids.toml").open("a", encoding="utf-8") as grids:
        grids.write(COMMUNITY)
    district = make_district(rulebook=str(folder))
    district.begin()
    grids = ["350503003", "350503003001", "350503004"]
    shops = [district.register(grid=grid) for grid in grids]
    for grid, inside in zip(grids, (shops[:2], shops[1:2], shops[2:]), strict=True):
        found = feed(district, f"&type=enterprise-registered&grid={grid}")
        assert [item["data"]["enterprise_id"] for item in found] == inside


def test_what_is_said_of_an_enterprise_before_it_is_known_is_waited_for(make_district):
    """Whether it belongs to the grid is not known yet: a page ends before it, and goes on later."""
    district = make_district()
    district.begin()
    district.register()
    later = district.register()
    rows = [row for row in kept(district) if row.enterprise_id == later]
    before = rows[0].position - 1
    enterprises, store = VIEWS["enterprises"].table, district.store("gateway")
    with store.write() as uow:
        uow.execute(update(enterprises).where(enterprises.c.id == later).values(id="unknown"))
    page = district.client.get("/v1/events?grid=350503003")
    assert page["next"] == str(before)
    assert all(item["partitionkey"] != later for item in page["items"])
    assert len(district.client.get("/v1/events")["items"]) > before
    with store.write() as uow:
        uow.execute(update(enterprises).where(enterprises.c.id == "unknown").values(id=later))
    rest = district.client.get(f"/v1/events?grid=350503003&after={before}")
    assert [item["id"] for item in rest["items"]] == [row.id for row in rows]


def test_events_alone_are_given_to_who_asks_for_them(told):
    answer = told.client.request("GET", "/v1/events?limit=3", headers={"Accept": BATCH})
    assert answer.headers["Content-Type"] == BATCH
    assert answer.json() == told.client.get("/v1/events?limit=3")["items"]
    assert 'after=3&limit=3>; rel="next"' in answer.headers["Link"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/stream"])
@pytest.mark.parametrize(
    "query",
    [
        "color=red", "type=enterprise-opened", "type=", "type=enterprise-registered,", "source=tax",
        "grid=9", "enterprise=$", "enterprise=", "after=x", "after=-1", "after=99999999",
        "type=issue-found&type=issue-found",
    ],
)  # fmt: skip
def test_a_query_that_means_nothing_is_refused(told, path, query):
    problem(told.client.request("GET", f"{path}?{query}"), 400)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x"])
def test_a_limit_is_between_1_and_100(told, query):
    problem(told.client.request("GET", f"/v1/events?{query}"), 400)


# the stream


def test_the_stream_gives_what_is_there_and_what_comes(told, monkeypatch):
    """Page by page, and woken by what is kept: it would look by itself after an hour only."""
    monkeypatch.setattr(streaming, "AT_ONCE", 3)
    monkeypatch.setattr(told.service("gateway").components.streams, "keep_alive", 3600)
    there = feed(told)
    with stream(told) as open_one:
        assert open_one.some(len(there)) == there
        shop = told.register()
        assert open_one.next()["data"]["enterprise_id"] == shop
    assert feed(told)[len(there)]["data"]["enterprise_id"] == shop


def test_a_stream_goes_on_where_the_last_one_stopped(told):
    everything, found, last = feed(told), [], None
    while len(found) < len(everything):
        with stream(told, last=last) as open_one:
            found += open_one.some(min(5, len(everything) - len(found)))
            last = open_one.last
    assert found == everything


def test_the_last_event_goes_before_the_query(told):
    """A browser that comes again says both."""
    with stream(told, "after=1", last="4") as open_one:
        assert open_one.next()["position"] == 5


def test_a_stream_gives_only_what_it_is_asked_for(told):
    query = "type=enterprise-registered&grid=350503004"
    with stream(told, query) as open_one:
        assert open_one.next()["data"]["enterprise_id"] == told.elsewhere
        told.register()
        shop = told.register(grid="350503004")
        assert open_one.next()["data"]["enterprise_id"] == shop


def test_silence_is_filled_and_moves_where_it_would_go_on(told, monkeypatch):
    monkeypatch.setattr(told.service("gateway").components.streams, "keep_alive", 0.05)
    end = str(told.client.get("/v1/events?limit=1")["as_of"]["position"])
    with stream(told, "type=claim-paid") as open_one:
        assert open_one.block() == "retry: 1000"
        assert until(lambda: open_one.block() == f": alive\nid: {end}")


def test_a_reader_that_takes_nothing_holds_nobody_up(told):
    for number in range(30):
        told.client.post("/v1/complaints", complaint("字" * 1900), Idempotency_Key=f"long-{number}")
    told.settle()
    narrow(told)
    with stream(told, buffer=4096) as lazy, stream(told) as eager:
        everything = feed(told, limit=100)
        assert eager.some(len(everything)) == everything
        assert lazy.some(len(everything)) == everything


def test_a_reader_that_takes_nothing_for_long_is_let_go(make_district, monkeypatch):
    monkeypatch.setattr(server, "SEND_SECONDS", 0.5)
    district = make_district(streams=1)
    district.begin()
    narrow(district)
    for _ in range(30):
        district.client.post("/v1/complaints", complaint("字" * 1900))
    with stream(district, buffer=4096):
        until(lambda: district.client.request("HEAD", "/v1/events/stream").status == 503)
        until(lambda: district.client.request("HEAD", "/v1/events/stream").status == 200)


def narrow(district):
    """Have the gateway's sockets hold so little that who does not read is soon noticed."""
    listening = district.running.hosts["gateway"].web._sock
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def complaint(words):
    return {"track": "report", "channel": "12315", "content": words, "against": "某店"}


def test_more_streams_than_may_be_are_refused_and_one_that_ends_makes_room(make_district):
    district = make_district(streams=1)
    district.begin()
    streams = district.service("gateway").components.streams
    streams.keep_alive = 0.05
    with stream(district) as open_one:
        open_one.next()
        refused = district.client.request("GET", "/v1/events/stream")
        problem(refused, 503)
        assert refused.headers["Retry-After"] == "3"
    until(lambda: district.client.request("HEAD", "/v1/events/stream").status == 200)
    with stream(district) as open_one:
        assert open_one.next()["position"] == 1


def test_a_stream_ends_well_when_the_district_stops_and_goes_on_when_it_is_there_again(tmp_path):
    first = TestDistrict(tmp_path, EmbeddedBus())
    first.begin()
    first.register()
    with stream(first) as open_one:
        everything = feed(first)
        assert open_one.some(2) == everything[:2]
        last = open_one.last
        stopping = eventlet.spawn(first.stop)
        while open_one.block() is not None:
            pass  # it ends as HTTP says a body ends, or this would raise
        stopping.wait()
    again = TestDistrict(tmp_path, EmbeddedBus())
    try:
        with stream(again, last=last) as open_one:
            assert open_one.some(len(everything) - 2) == everything[2:]
    finally:
        again.stop()
