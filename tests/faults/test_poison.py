"""A handler that always fails for one enterprise holds back that enterprise and nobody else."""

import eventlet
from sqlalchemy import select

from chassis.messaging import parked as messaging_parked
from tests import PATIENCE


def until(fact, seconds=PATIENCE):
    """Wait for a fact."""
    with eventlet.Timeout(seconds):
        while not fact():
            eventlet.sleep(0.01)


def parked(store):
    table = messaging_parked.parked_messages
    with store.engine.connect() as connection:
        return connection.execute(select(table).order_by(table.c.seq)).all()


def test_a_poison_message_parks_its_enterprise_in_order_and_nobody_else(make_district):
    district = make_district()
    district.begin()
    consumer = district.running.hosts["inspection"].consumer
    store = district.store("inspection")
    healthy, ill = district.register(), district.register()
    real = consumer.handlers["enterprise-reopened"]

    def fails_for_one(fact, _db):
        if fact.enterprise_id == ill:
            raise RuntimeError("this trade is not in the book")

    consumer.handlers["enterprise-reopened"] = [fails_for_one, *real]
    district.file(ill)
    closure = district.client.post("/v1/closures", {"enterprise_id": healthy, "reason": "檢查"})
    lifting = f"/v1/closures/{closure['closure_id']}/lifting"
    district.client.post(lifting, {"reason": "無誤", "approver": "head-1"})
    district.settle()
    referred = district.file(healthy)  # after a closure a person decides
    decided = {"decision": "approve", "by": "head-1"}
    district.client.post(f"/v1/filings/{referred}/decision", decided)
    district.settle()

    assert "prompt-slip-issued" in district.story(healthy), "nobody else is held back"
    assert "prompt-slip-issued" not in district.story(ill)
    (parked_message,) = parked(store)
    assert (parked_message.source, parked_message.partitionkey, parked_message.type) == (
        "filing",
        ill,
        "enterprise-reopened",
    )
    assert "this trade is not in the book" in parked_message.reason

    until(lambda: parked(store)[0].state == messaging_parked.EXHAUSTED)
    assert parked(store)[0].attempts == messaging_parked.RETRIES + 1

    consumer.handlers["enterprise-reopened"] = real
    assert messaging_parked.retry(store, message_id=parked_message.id)
    until(lambda: not parked(store))
    district.settle()
    assert district.story(ill).count("prompt-slip-issued") == 1
    assert not messaging_parked.retry(store, message_id=parked_message.id), (
        "what was delivered is not tried again"
    )
