"""Receipts, embedded and on RabbitMQ and PostgreSQL: who has heard what, what was forgotten, and
what waits for a newer version."""

import pytest
from sqlalchemy import func, select, update

from chassis.messaging import receipts, replay
from chassis.messaging.receipts import name_of
from chassis.settings import Settings
from chassis.storage.retention import DAY, Retention
from chassis.storage.tables import inbox, outbox, parked_messages, resends
from console.runtime.process import Process
from tests.broker.conftest import until


def count(store, table, *which):
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*which))


def feed(district, handler):
    """Have filing send again, for one handler of inspection, until all of it is taken there."""
    sender, receiver = district.store("filing"), district.store("inspection")
    with sender.write() as uow:
        number = replay.ask(uow, "inspection", 0.0, handler=handler)
    district.running.hosts["filing"].relay.ask_again()
    its_row = select(resends).where(resends.c.seq == number)
    with sender.read() as session:
        until(lambda: session.execute(its_row).one().done_at or session.rollback())
        assert session.execute(its_row).one().sent > 0
    # what the handler does not handle is left out, without a receipt
    handled = count(sender, outbox, outbox.c.type == "enterprise-reopened")
    fed = inbox.c.id.endswith(f" {handler}")
    until(lambda: count(receiver, inbox, fed) == handled)
    district.settle()


def test_a_handler_is_fed_what_it_has_not_heard(district):
    district.begin()
    taker, called = district.running.hosts["inspection"].consumer, []
    heard = taker.handlers["enterprise-reopened"]

    def prompt(fact, _db):
        called.append(fact.enterprise_id)

    def newer(fact, _db):
        called.append(f"newer {fact.enterprise_id}")

    heard[:] = [prompt if name_of(one) == "prompt" else one for one in heard]
    first = district.reopened()
    district.settle()
    heard.append(newer)
    taker.begin()
    second = district.reopened()
    district.settle()
    for _ in range(2):
        feed(district, "prompt")
        assert called == [first, second, f"newer {second}"]
    for _ in range(2):
        feed(district, "newer")
        assert called == [first, second, f"newer {second}", f"newer {first}"]


@pytest.mark.parametrize("kind", ["enterprise-reopened", "hour-began"])
def test_what_comes_once_more_after_its_receipt_has_gone_is_set_aside(district, kind, monkeypatch):
    """A publisher has lost the mark that it was sent, for longer than the inbox remembers. The id
    of an hour does not tell when it was made."""
    district.begin()
    district.reopened()
    district.settle()
    receiver = district.store("inspection")
    source = {"hour-began": "gateway"}.get(kind, "filing")
    monkeypatch.setattr(receipts, "MARGIN", 0.0)  # they are not old yet
    sweeper = Retention(receiver, Settings(), {}, lambda: True)
    assert sweeper.sweep(receiver.now() + 31 * DAY)["inbox"] > 0
    before = count(receiver, outbox)
    with district.store(source).write() as uow:
        uow.execute(update(outbox).where(outbox.c.type == kind).values(sent_at=None))
    district.running.hosts[source].relay.wake()
    with receiver.read() as session:
        aside = select(parked_messages.c.state, parked_messages.c.type)
        until(lambda: session.execute(aside).all() or session.rollback())
        assert session.execute(aside).all() == [("exhausted", kind)]
    district.settle()
    assert count(receiver, outbox) == before, "nothing is said a second time"


def test_a_command_of_a_newer_version_is_settled_by_it(distributed, postgres, rabbitmq, tmp_path):
    """An older replica has taken it; the newer one begins when that has ended."""
    district = distributed
    district.begin()
    shop = district.register()
    older = district.running.hosts["inspection"]
    del older.consumer.handlers["order-closure"]
    asked = {"enterprise_id": shop, "reason": "檢查"}
    answer = district.client.request("POST", "/v1/closures", asked, {"Prefer": "respond-async"})
    until(
        lambda: count(older.store, parked_messages, parked_messages.c.type == "order-closure") == 1
    )
    assert district.client.get(answer.headers["Location"])["state"] == "pending"
    with older.store.write() as uow:  # the newer version is not to wait for that
        later = older.store.now() + 3600.0
        uow.execute(update(parked_messages).values(try_at=later))
    older.stop()
    environ = {
        "CLOCK": "manual",
        "AMQP_URI": rabbitmq,
        "DATABASE_URL": postgres,
        "SEAL_KEY_FILE": district.running.settings.seal_key_file,
        "ISSUER_KEY_FILE": district.running.settings.issuer_key_file,
    }
    log = tmp_path / "newer.log"
    with Process(["run", "inspection", "--port", "0"], log, environ=environ):
        until(lambda: district.client.get(answer.headers["Location"])["state"] == "done")
