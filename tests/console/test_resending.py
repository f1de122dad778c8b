"""`bihuan resend`: what was sent is sent again, and nothing happens twice."""

from datetime import UTC, datetime

import eventlet
import pytest
from sqlalchemy import func, select

from chassis.storage.retention import FORGOTTEN
from chassis.storage.tables import deployment, outbox, parked_messages, resends
from console.main import main
from services.gateway.tables import events
from tests import PATIENCE


@pytest.fixture
def bihuan(monkeypatch, capsys):
    """Run a command; give its exit code and its words."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["bihuan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out + said.err

    return run


@pytest.fixture
def district(make_district):
    district = make_district()
    district.begin()
    district.shop = district.reopened()
    district.settle()
    return district


def count(store, table, *which):
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table).where(*which))


def resend(bihuan, district, sender, receiver, *more, since="1h"):
    data = district.running.settings.data
    told = ["--from", sender, "--to", receiver, "--since", since, "--data", data, *more]
    code, said = bihuan("resend", *told)
    with eventlet.Timeout(PATIENCE):
        store = district.store(sender) if code == 0 else None
        while store and count(store, resends, resends.c.done_at.is_(None)):
            eventlet.sleep(0.01)
    district.settle()
    return code, said


def test_what_was_handled_is_not_handled_again(bihuan, district):
    before = district.statistics(), district.story(district.shop)
    sent = count(district.store("filing"), outbox)
    kept = count(district.store("gateway"), events)
    code, said = resend(bihuan, district, "filing", "gateway")
    assert (code, f"{sent} messages were resent" in said) == (0, True), said
    assert (district.statistics(), district.story(district.shop)) == before
    assert count(district.store("gateway"), events) == kept


def feed_prompt(bihuan, district):
    assert resend(bihuan, district, "filing", "inspection", "--handler", "prompt")[0] == 0
    assert count(district.store("inspection"), parked_messages) == 0


@pytest.mark.parametrize("deliver", ["once", "twice"])
def test_a_handler_is_fed_what_its_service_has_seen_and_it_has_not(bihuan, make_district, deliver):
    """The first shop has reopened before there was the handler, the second since."""
    district, called = make_district(deliver), []
    district.begin()
    consumer = district.running.hosts["inspection"].consumer
    others = [h for h in consumer.handlers["enterprise-reopened"] if h.__name__ != "prompt"]

    def prompt(fact, _db):
        called.append(fact.enterprise_id)

    def has(*handlers):
        consumer.handlers["enterprise-reopened"] = [*others, *handlers]
        consumer.begin()

    has()
    first = district.reopened()
    district.settle()
    has(prompt)
    second = district.reopened()
    district.settle()
    assert called == [second]
    for _ in range(2):
        feed_prompt(bihuan, district)
        assert called == [second, first]


def test_a_handler_that_has_heard_everything_is_fed_nothing(bihuan, district):
    consumer = district.running.hosts["inspection"].consumer
    called = []

    def prompt(fact, _db):
        called.append(fact.enterprise_id)

    heard = consumer.handlers["enterprise-reopened"]
    assert "prompt" in {h.__name__ for h in heard}
    heard[:] = [prompt if h.__name__ == "prompt" else h for h in heard]
    feed_prompt(bihuan, district)
    assert called == []


def test_what_the_receiver_no_longer_remembers_is_refused(bihuan, district):
    store = district.store("gateway")
    with store.write() as uow:
        moment = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
        row = {"name": FORGOTTEN, "value": str(moment)}
        uow.execute(store.statements.insert_or_replace(deployment, "name"), row)
    early = "2025-12-31T00:00:00+08:00"
    code, said = resend(bihuan, district, "filing", "gateway", since=early)
    assert (code, "might be handled twice" in said) == (2, True), said
    assert count(district.store("filing"), resends) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "taxes", "--to", "gateway", "--since", "1h"], "Unknown service taxes"),
        (["--from", "filing", "--to", "gateway", "--since", "soon"], "must be like"),
        (["--from", "filing", "--to", "gateway", "--since", "2026-01-01T00:00:00"], "offset"),
        (
            ["--from", "filing", "--to", "gateway", "--since", "1h", "--handler", "nobody"],
            "has no handler 'nobody'",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(bihuan, district, arguments, sentence):
    code, said = bihuan("resend", *arguments, "--data", district.running.settings.data)
    assert (code, sentence in said) == (2, True), said
