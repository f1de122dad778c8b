"""One district for each module of the API's tests, and the words in which they look at it."""

import pytest
from sqlalchemy import select

from chassis.messaging.memory_bus import EmbeddedBus
from console.demo.synthetic import credit_code, identity_number
from services.gateway.exports import endpoints, jobs
from tests.api.filled import GRIDS, fill
from tests.district import TestDistrict


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    running = TestDistrict(tmp_path_factory.mktemp("district"), EmbeddedBus())
    running.begin()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A district with something in every list, for those who only look."""
    running = TestDistrict(tmp_path_factory.mktemp("full"), EmbeddedBus())
    running.begin()
    fill(running, [*GRIDS, "350503005"])
    yield running
    running.stop()


@pytest.fixture
def unchanged(district):
    """Check at the end of a test that nothing was stored, not even that somebody asked."""
    before = stored(district)
    yield
    assert stored(district) == before


@pytest.fixture
def no_effect(district):
    """Check at the end of a test that no service keeps anything, beside the refusal itself."""
    before = stored(district, of_messages=False)
    yield
    district.settle()
    assert stored(district, of_messages=False) == before


def stored(district, *, of_messages=True):
    """Read every table of every service; without those that say who asked what, if told so."""
    district.settle()
    found = {}
    for name in district.running.hosts:
        store = district.store(name)
        with store.engine.connect() as connection:
            for metadata in store.metadata if of_messages else store.metadata[1:]:
                for table in metadata.sorted_tables:
                    if of_messages or table.name not in ("commands", "audit", "heads"):
                        found[name, table.name] = connection.execute(select(table)).all()
    return found


@pytest.fixture
def small(monkeypatch):
    """Let two rows be a page, and four the most that are given at once."""
    monkeypatch.setattr(endpoints, "PAGE", 2)
    monkeypatch.setattr(jobs, "PAGE", 2)
    monkeypatch.setattr(endpoints, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(jobs, "CHUNK", 100)


def problem(answer, status, *pointers):
    """Read an RFC 9457 problem that names exactly these fields."""
    assert answer.status == status, answer.data
    assert answer.headers["Content-Type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["title"]
    assert said["type"]
    assert said.get("detail", "x")
    assert sorted(error["pointer"] for error in said.get("errors", ())) == sorted(pointers)
    assert all(error["detail"] for error in said.get("errors", ()))
    return said


class Sentences:
    """What a client would send, each acceptable as it stands."""

    def __init__(self, district):
        self.district = district

    @property
    def today(self):
        return self.district.today.isoformat()

    def enterprise(self, **changed):
        return {
            "credit_code": credit_code(next(self.district.codes)),
            "name": "清源小館",
            "kind": "sole_trader",
            "size": "micro",
            "industry": "H6210",
            "premises": "shop",
            "grid": "350503004",
        } | changed

    def filing(self, shop, **changed):
        return {
            "enterprise_id": shop,
            "reopen_on": self.today,
            "headcount": 5,
            "out_of_province": 1,
            "measures": ["masks", "disinfectant", "thermometer", "isolation_room"],
            "pledge": True,
        } | changed

    def visit(self, shop, **changed):
        return {"enterprise_id": shop, "day": self.today, "agencies": ["police"]} | changed

    def complaint(self, **changed):
        return {
            "track": "report",
            "channel": "12315",
            "content": "店內堂食",
            "against": "某店",
        } | changed

    def medic(self, **changed):
        number = next(self.district.codes)
        return {
            "name": "林醫生",
            "identity": identity_number(number),
            "institution": "豐澤區醫院",
        } | changed


@pytest.fixture
def say(district):
    return Sentences(district)


@pytest.fixture(scope="module")
def calling_district(tmp_path_factory):
    """A district that may call this machine."""
    data = tmp_path_factory.mktemp("district")
    running = TestDistrict(data, EmbeddedBus(), webhooks_to="private")
    running.begin()
    yield running
    running.stop()


@pytest.fixture
def dispatcher(district, monkeypatch):
    """What sends webhooks; it tries again soon."""
    dispatcher = district.service("gateway").components.dispatcher
    monkeypatch.setattr(dispatcher, "schedule", (0.05,) * 9)
    return dispatcher


@pytest.fixture
def webhook(district, dispatcher):
    """Register webhooks, and disable each at the end."""
    made = []

    def register(receiver, **more):
        made.append(district.client.post("/v1/webhooks", {"url": receiver.url} | more))
        return made[-1]

    yield register
    for one in made:
        district.client.post(f"/v1/webhooks/{one['id']}/disabling")
