"""What other systems get wrong about storing and saying: each test is named after what goes wrong.

They come from a collection of fifteen faults that were seen elsewhere; its numbers stand in front.
"""

import json
import re
from collections import defaultdict

import eventlet
import pytest
from sqlalchemy import select

from chassis.aggregate import Aggregate
from chassis.messaging import parked
from console.runtime.district import SERVICES
from contracts.catalogue import contracts
from contracts.message import Change
from services.gateway.event_log.chain import CHAINS
from services.gateway.resources import FED_BY
from services.gateway.tables import audit, events
from tests import PATIENCE


def at_once(*calls):
    """Make calls at the same time, and give what each gave."""
    return [thread.wait() for thread in [eventlet.spawn(call) for call in calls]]


def things(kind=Aggregate):
    """Return every mapped class of things that change."""
    for one in kind.__subclasses__():
        if "__table__" in vars(one):
            yield one
        else:
            yield from things(one)


def stored(district):
    """Return the version of every thing that a service keeps and has said something of."""
    found = {}
    for kind in SERVICES:
        if kind.name == "gateway":
            continue
        with district.store(kind.name).read() as session:
            for thing in things():
                if thing.metadata is kind.metadata:
                    said_of = select(thing.id, thing.version).where(thing.version > 0)
                    rows = session.execute(said_of)
                    found |= {(kind.name, identity): version for identity, version in rows}
    return found


def said(district):
    """Return the numbers of the changes that the kept events state, in their order, by thing."""
    numbers = defaultdict(list)
    with district.store("gateway").read() as session:
        for row in session.execute(select(events).order_by(events.c.position)):
            kind = contracts()[row.type]
            if issubclass(kind, Change):
                (view,) = (view for view in FED_BY[kind] if kind not in view.others)
                body = json.loads(row.body)
                numbers[row.source, body[view.id_field]].append(body["version"])
    return numbers


def test_an_event_of_a_record_that_was_never_stored_or_a_record_without_its_event(district):
    """1: state and event are sent apart. Here each change of a thing is said, once, in order."""
    shop = district.reopened("restaurant")
    district.visit(shop, findings=["dine_in"])
    district.complain(shop)
    district.days_pass(8)
    assert len(said(district)) > 8
    assert said(district) == {
        thing: list(range(1, version + 1)) for thing, version in stored(district).items()
    }


def test_a_state_whose_event_cannot_be_written(district, monkeypatch):
    """1: state and event are written together or not at all, and tried again."""
    store, fails = district.store("filing"), [True]
    close = store._close

    def failing(uow):
        if fails and any(m.payload.type == "enterprise-registered" for m in uow.outbox):
            raise ValueError("this cannot be written")
        close(uow)

    monkeypatch.setattr(store, "_close", failing)
    before = stored(district)
    answer = ask(district, wait=1)
    assert answer.status == 202
    assert stored(district) == before
    fails.clear()
    with eventlet.Timeout(PATIENCE):
        while len(stored(district)) == len(before):
            eventlet.sleep(0.02)
    district.settle()
    assert said(district).keys() == stored(district).keys()


def shop_of(district, **more):
    from console.demo.synthetic import credit_code

    return {
        "credit_code": credit_code(next(district.codes)),
        "name": "同時店",
        "kind": "sole_trader",
        "size": "micro",
        "industry": "F5211",
        "premises": "shop",
        "grid": "350503003",
    } | more


def ask(district, wait):
    headers = {"Prefer": f"wait={wait}"}
    return district.client.request("POST", "/v1/enterprises", shop_of(district), headers)


def test_the_same_request_twice_makes_two_cases(district):
    """2: fifty equal requests at once are one row, and have fifty equal answers."""
    asked, before = shop_of(district), len(stored(district))
    key = {"Idempotency-Key": "fifty-times"}

    def ask():
        answer = district.client.request("POST", "/v1/enterprises", asked, key)
        return answer.status, answer.json()

    answers = at_once(*[ask] * 50)
    assert answers == [answers[0]] * 50
    assert answers[0][0] == 201
    district.settle()
    made = [thing for thing in stored(district) if thing[0] == "filing"]
    assert ("filing", answers[0][1]["enterprise_id"]) in made
    assert len(stored(district)) - before == 2, "the enterprise, and its free cover"


def test_two_officers_act_on_one_case_from_the_same_state_and_both_succeed(district):
    """3: one succeeds; the other gets 409, and learns who did what and when."""
    shop = district.register("restaurant")
    filing = district.file(shop)
    seen = district.client.get(f"/v1/filings/{filing}")["version"]

    def decide(officer):
        body = {"decision": "return", "reasons": ["不全"], "by": officer, "seen_version": seen}
        answer = district.client.request("POST", f"/v1/filings/{filing}/decision", body)
        return officer, answer.status, answer.json()

    answers = at_once(lambda: decide("FZ-003-01"), lambda: decide("FZ-003-02"))
    (winner, status, _), (_, refused, problem) = sorted(answers, key=lambda answer: answer[1])
    assert (status, refused) == (200, 409)
    assert problem["type"] == "urn:bihuan:problem:changed"
    assert problem["version"] == seen + 1
    assert problem["last_change"]["what"] == "filing-returned"
    assert problem["last_change"]["by"] == winner
    assert re.match(r"2020-02-\d\dT", problem["last_change"]["at"])
    assert district.client.get(f"/v1/filings/{filing}")["version"] == seen + 1


def test_one_bad_row_drops_the_batch(district):
    """11: 499 are stored, and one is told why, with its row and its column."""
    rows = [shop_of(district) for _ in range(500)]
    rows[312]["credit_code"] = "91350100M000100Y4Z"
    raw = "\n".join(map(json.dumps, rows)).encode()
    answer = district.client.request(
        "POST", "/v1/enterprises/batch", raw=raw,
        headers={"Content-Type": "application/x-ndjson", "Prefer": "wait=60"},
    ).json()  # fmt: skip
    assert (answer["done"], answer["rejected"]) == (499, 1)
    (bad,) = (item for item in answer["items"] if item["state"] == "rejected")
    assert bad["row"] == 313
    assert [error["pointer"] for error in bad["problem"]["errors"]] == ["#/credit_code"]


def test_the_answer_is_200_while_nothing_downstream_is_stored_and_every_check_stays_green(
    district, monkeypatch
):
    """12: what has no outcome is 202; how long parked messages and unsent rows wait is measured."""
    handlers = district.running.hosts["filing"].consumer.handlers
    real = handlers["register-enterprise"]

    def fail(_fact, _db):
        raise RuntimeError("the disk of filing is full")

    monkeypatch.setitem(handlers, "register-enterprise", [fail])
    monkeypatch.setattr(parked, "RETRIES", 1000)  # it is not stuck before it is looked at
    answer = ask(district, wait=1)
    assert answer.status == 202
    assert district.client.get(answer.headers["Location"])["state"] == "pending"
    with eventlet.Timeout(PATIENCE):
        while not re.search(
            r'bihuan_parked_messages\{[^}]*service="filing"[^}]*state="(retrying|exhausted)"'
            r"[^}]*\} [1-9]",
            district.client.request("GET", "/metrics").data.decode(),
        ):
            eventlet.sleep(0.1)
    metrics = district.client.request("GET", "/metrics").data.decode()
    assert re.search(r'bihuan_outbox_oldest_seconds\{service="filing"\}', metrics)
    oldest = (
        r'bihuan_parked_messages_oldest_seconds\{service="filing",state="(retrying|exhausted)"\}'
    )
    assert re.search(oldest, metrics)
    monkeypatch.setitem(handlers, "register-enterprise", real)
    with eventlet.Timeout(PATIENCE):
        while district.client.get(answer.headers["Location"])["state"] != "done":
            eventlet.sleep(0.05)
    district.settle()


def test_an_export_leaves_out_today(district):
    """13: what was answered is in the list and in the figures at once; they say as of when."""
    before = district.statistics()
    made = district.client.post("/v1/enterprises", shop_of(district))["enterprise_id"]
    after = district.statistics()
    assert district.client.get(f"/v1/enterprises/{made}")["state"] == "registered"
    assert after["registered"]["total"] == before["registered"]["total"] + 1
    assert after["as_of"]["position"] > before["as_of"]["position"]
    assert after["as_of"]["time"] >= before["as_of"]["time"]


@pytest.mark.parametrize("table", [events, audit], ids=["events", "audit"])
def test_an_audit_log_in_which_a_deletion_does_not_show(district, table):
    """14: single signed rows. Here a chain names the first broken link; a deletion is one."""
    district.register()
    district.settle()
    store, chain = district.store("gateway"), CHAINS[table.name]
    _, broken = chain.verify(store)
    assert broken is None
    third = table.c.position == 3
    with store.write() as uow:
        row = uow.execute(select(table).where(third)).one()._asdict()
        uow.execute(table.delete().where(third))
    try:
        _, broken = chain.verify(store)
        assert (broken.chain, broken.position, broken.how) == (table.name, 3, "is missing")
    finally:
        with store.write() as uow:
            uow.execute(table.insert().values(row))
    assert chain.verify(store)[1] is None


def test_every_change_is_a_change_of_one_thing():
    for kind in contracts().values():
        if issubclass(kind, Change):
            assert len([view for view in FED_BY.get(kind, ()) if kind not in view.others]) == 1, (
                kind
            )
