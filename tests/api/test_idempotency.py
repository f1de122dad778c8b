"""A request repeated under its key is one request, whenever and however often it is repeated."""

import itertools
from contextlib import contextmanager

import eventlet
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from services.gateway.commands.intake import _Waiter
from services.gateway.tables import commands
from tests import PATIENCE
from tests.api.conftest import Sentences, problem, stored

keys = itertools.count(1)


@pytest.fixture
def key():
    return f"same-{next(keys)}"


def post(district, path, body, key, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return district.client.request("POST", path, body, {"Idempotency-Key": key} | named)


def count(district, name, table):
    with district.store(name).engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def enterprises(district):
    return len(district.client.everything("/v1/enterprises"))


@contextmanager
def away(district, name):
    """Keep a service from taking anything until the block ends; then it takes all of it."""
    partition_consumer = district.running.hosts[name].replica.inbox.partition_consumer
    held, put = [], partition_consumer.put
    partition_consumer.put = lambda message, pending: held.append((message, pending))
    try:
        yield
    finally:
        del partition_consumer.put
        for item in held:
            put(*item)


def test_a_repeat_has_the_same_answer_also_when_the_state_has_moved_on(district, say, key):
    shop = district.register("restaurant")
    body = say.filing(shop)
    first = post(district, "/v1/filings", body, key)
    district.settle()
    taken_back = {"reason": "改期"}
    withdrawn = post(district, f"{first.headers['Location']}/withdrawal", taken_back, key + "w")
    district.settle()
    before = stored(district)
    for _ in range(2):
        again = post(district, "/v1/filings", body, key)
        assert (again.status, again.data) == (201, first.data)
        assert again.headers["Location"] == first.headers["Location"]
        again = post(district, f"{first.headers['Location']}/withdrawal", taken_back, key + "w")
        assert (again.status, again.data) == (200, withdrawn.data)
    assert stored(district) == before


def test_the_order_of_the_fields_makes_no_other_request(district, say, key):
    shop = district.register()
    body = say.visit(shop, findings=[{"rule": "dine_in", "remark": "兩桌"}])
    first = post(district, "/v1/visits", body, key)
    turned = dict(reversed(body.items())) | {"findings": [{"remark": "兩桌", "rule": "dine_in"}]}
    assert post(district, "/v1/visits", turned, key).data == first.data


def test_a_refusal_is_repeated_too(district, say, key):
    asked = say.enterprise(grid="350503999")
    first = post(district, "/v1/enterprises", asked, key)
    again = post(district, "/v1/enterprises", asked, key)
    problem(again, 422, "#/grid")
    assert again.data == first.data


def test_a_refusal_at_the_edge_is_the_same_each_time_and_uses_up_no_key(district, say, key):
    wrong = post(district, "/v1/enterprises", say.enterprise(name=""), key)
    again = post(district, "/v1/enterprises", say.enterprise(name=""), key)
    assert (wrong.status, wrong.data) == (again.status, again.data)
    assert post(district, "/v1/enterprises", say.enterprise(), key).status == 201


def test_a_conflict_stays_the_answer_when_the_conflict_is_over(district, say, key):
    shop = district.register("restaurant")
    first = district.file(shop)
    body = say.filing(shop)
    problem(post(district, "/v1/filings", body, key), 409)
    post(district, f"/v1/filings/{first}/withdrawal", {"reason": "改期"}, key)
    assert problem(post(district, "/v1/filings", body, key), 409)["filing_id"] == first


def test_the_same_key_with_another_body_is_refused(district, say, key):
    assert post(district, "/v1/enterprises", say.enterprise(), key).status == 201
    before = stored(district)
    problem(post(district, "/v1/enterprises", say.enterprise(), key), 422)
    assert stored(district) == before


def test_the_same_key_on_another_route_is_another_request(district, say, key):
    made = post(district, "/v1/enterprises", say.enterprise(), key)
    assert made.status == 201
    for number in (1, 2):
        shop = district.register()
        assert post(district, f"/v1/enterprises/{shop}/liaison", {"officer": "FZ-003-01"}, key)
        assert district.client.get(f"/v1/enterprises/{shop}")["liaison"] == "FZ-003-01", number
    assert post(district, "/v1/complaints", say.complaint(), key).status == 201


def test_a_slash_at_the_end_makes_no_other_route(district, say, key):
    body = say.enterprise()
    first = post(district, "/v1/enterprises", body, key)
    assert post(district, "/v1/enterprises/", body, key).data == first.data


def test_fifty_equal_requests_at_once_make_one_row(district, say, key):
    before, body = enterprises(district), say.enterprise()
    pool = eventlet.GreenPool(50)
    answers = list(pool.imap(lambda _: post(district, "/v1/enterprises", body, key), range(50)))
    assert {(a.status, a.data, a.headers["Location"]) for a in answers} == {
        (201, answers[0].data, answers[0].headers["Location"])
    }
    assert enterprises(district) == before + 1


def test_requests_that_arrive_together_share_a_commit(district, say):
    district.settle()
    commits = []

    def note(connection):
        if connection.get_execution_options().get("bihuan_write"):
            commits.append(connection)

    bodies = [say.enterprise() for _ in range(50)]
    engine = district.store("gateway").engine
    event.listen(engine, "commit", note)
    try:
        pool = eventlet.GreenPool(50)
        answers = pool.imap(
            lambda b: post(district, "/v1/enterprises", b, f"same-{next(keys)}"), bodies
        )
        assert {answer.status for answer in answers} == {201}
        district.settle()
    finally:
        event.remove(engine, "commit", note)
    assert 3 <= len(commits) <= 25


def test_a_repeat_waits_for_the_first(district, say, key):
    body = say.enterprise()
    with away(district, "filing"):
        both = [
            eventlet.spawn(post, district, "/v1/enterprises", body, key, Prefer=f"wait={wait}")
            for wait in (20, 20)
        ]
        eventlet.sleep(0.2)
        assert not any(thread.dead for thread in both)
    first, again = (thread.wait() for thread in both)
    assert first.status == again.status == 201
    assert first.data == again.data


def test_one_who_gives_up_does_not_keep_the_others_waiting(district, say, key):
    body = say.enterprise()
    with away(district, "filing"):
        patient = [
            eventlet.spawn(post, district, "/v1/enterprises", body, key, Prefer="wait=30")
            for _ in range(2)
        ]
        eventlet.sleep(0.1)
        assert post(district, "/v1/enterprises", body, key, Prefer="wait=0").status == 202
    with eventlet.Timeout(PATIENCE):
        assert [thread.wait().status for thread in patient] == [201, 201]


def test_nobody_is_remembered_who_no_longer_waits(district, say):
    for prefer in ("wait=5", "respond-async"):
        district.client.post("/v1/enterprises", say.enterprise(), Prefer=prefer)
    district.settle()
    assert district.service("gateway").components.intake._waiters == {}


def test_who_prefers_not_to_wait_is_told_where_to_look(district, say, key):
    body = say.enterprise()
    with away(district, "filing"):
        answer = post(district, "/v1/enterprises", body, key, Prefer="respond-async")
        assert answer.status == 202
        place = answer.headers["Location"]
        assert place == f"/v1/commands/{answer.json()['command_id']}"
        assert district.client.get(place)["state"] == "pending"
    district.settle()
    record = district.client.get(place)
    assert (record["type"], record["state"], record["status"]) == (
        "register-enterprise",
        "done",
        201,
    )
    assert record["settled_at"] >= record["accepted_at"]
    assert district.client.get(record["location"])["id"] == record["result"]["enterprise_id"]
    assert post(district, "/v1/enterprises", body, key).json() == record["result"]


def test_a_refusal_can_be_looked_up(district, say, key):
    answer = post(
        district, "/v1/enterprises", say.enterprise(grid="x"), key, Prefer="respond-async"
    )
    assert answer.status == 202
    district.settle()
    record = district.client.get(answer.headers["Location"])
    assert (record["state"], record["status"]) == ("rejected", 422)
    assert record["problem"]["errors"][0]["pointer"] == "#/grid"


@pytest.mark.parametrize("prefer", ["wait=1", "respond-async, wait=1", 'wait="1"', "x=1; wait=1"])
def test_a_service_that_is_down_is_waited_for_as_long_as_one_prefers(district, say, key, prefer):
    body = say.enterprise()
    with away(district, "filing"):
        with eventlet.Timeout(PATIENCE):
            assert post(district, "/v1/enterprises", body, key, Prefer=prefer).status == 202
        before = enterprises(district)
    district.settle()
    assert enterprises(district) == before + 1
    assert post(district, "/v1/enterprises", body, key).status == 201


def test_what_was_taken_in_is_done_after_a_restart(make_district, tmp_path):
    district = make_district(data=tmp_path / "same", stop_within=0.5)
    district.begin()
    body = Sentences(district).enterprise()
    partition_consumer = district.running.hosts["filing"].replica.inbox.partition_consumer
    partition_consumer.put = lambda *_: None
    assert post(district, "/v1/enterprises", body, "k", Prefer="respond-async").status == 202
    district.stop()
    district = make_district(data=tmp_path / "same", stop_within=0.5)
    assert post(district, "/v1/enterprises", body, "k").status == 201
    assert enterprises(district) == 1


def test_a_failed_commit_takes_nothing_in_and_the_door_stays_open(district, say, key, monkeypatch):
    intake = district.service("gateway").components.intake
    before, body = count(district, "gateway", commands), say.enterprise()

    def fail(*_):
        raise OperationalError("INSERT", {}, Exception("gone"))

    with monkeypatch.context() as patch:
        patch.setattr(intake, "_old", fail)
        answer = post(district, "/v1/enterprises", body, key)
    problem(answer, 503)
    assert answer.headers["Retry-After"]
    assert count(district, "gateway", commands) == before
    assert intake._waiters == {}
    assert post(district, "/v1/enterprises", body, key).status == 201


def test_a_command_that_is_being_written_is_not_taken_for_settled(district, monkeypatch):
    intake = district.service("gateway").components.intake
    monkeypatch.setitem(intake._waiters, "not-yet-committed", _Waiter())
    looks = []
    settled = intake.records.settled
    monkeypatch.setattr(
        intake.records, "settled", lambda wanted: looks.append(wanted) or settled(wanted)
    )
    with eventlet.Timeout(PATIENCE):
        while len(looks) < 2:  # the first look has been acted on when the second begins
            eventlet.sleep(0.01)
    assert not intake._waiters["not-yet-committed"].ready()


def test_a_look_at_a_database_that_is_away_ends_nothing(district, say, key, monkeypatch):
    records = district.service("gateway").components.intake.records

    def fail(_identities):
        raise OperationalError("SELECT", {}, Exception("gone"))

    with away(district, "filing"):
        waiting = eventlet.spawn(post, district, "/v1/enterprises", say.enterprise(), key)
        eventlet.sleep(0.05)
        with monkeypatch.context() as patch:
            patch.setattr(records, "settled", fail)
            eventlet.sleep(0.6)
    assert waiting.wait().status == 201
