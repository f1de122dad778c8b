"""The checker is worth believing: where the code is broken on purpose it turns red, and tells why.

The code is broken from outside, and as little as it takes; the product has no hooks for it.
"""

import json
from contextlib import suppress
from random import Random

import eventlet
import pytest
from sqlalchemy import insert, update

from chassis.messaging.bus import Closed
from chassis.messaging.consumer import Consumer
from chassis.messaging.memory_bus import EmbeddedBus
from chassis.messaging.outbox import Outbox
from chassis.messaging.receipts import Admission
from chassis.storage.store import Store
from chassis.storage.tables import inbox, outbox, parked_messages
from services.gateway.tables import commands
from tests.conftest import SEED
from tests.district import Refused
from tests.faults.judging import COUNTS, Record, embedded, judge, under_way, whole

DEEDS = 4
SHOPS = 12


def live_a_little(district):
    """Let enterprises come, file, be visited and complained of, many at once."""
    district.settle = lambda: None
    district.begin()
    shops = [shop for shop in at_once(lambda _: district.register(), range(SHOPS)) if shop]
    at_once(district.file, shops)
    at_once(lambda shop: district.visit(shop, ["dine_in"]), shops)
    at_once(district.complain, shops)


def at_once(deed, things):
    """Do something to many things; what a broken district does not answer is None."""

    def dare(thing):
        with suppress(Refused, KeyError):  # it refuses, or it says 202
            return deed(thing)

    return [*eventlet.GreenPool().imap(dare, things)]


def verdict_of(district, record=None):
    """Stop a district and judge it; gives the verdict, and which counts are not 0."""
    district.stop()
    verdict = judge(embedded(district.running.settings.data), record)
    return verdict, {name for name in COUNTS if verdict[name]}


def test_a_district_whose_code_is_whole_is_green(make_district):
    district = make_district(deliver="twice")
    live_a_little(district)
    district.running.settle()
    verdict, red = verdict_of(district)
    assert red == set(), verdict["evidence"]
    assert whole(verdict)
    assert verdict["accepted"] == DEEDS * SHOPS


def types_of(messages):
    return {message.envelope.type for message in messages}


def test_an_acknowledgement_before_the_commit_loses(make_district, monkeypatch):
    """Between the two insurance is killed, as it seems, and started again at once."""
    killed = False

    def run(self, partition_consumer, most):
        nonlocal killed
        while True:
            try:
                taken = partition_consumer.take(most)
            except Closed:
                return
            partition_consumer.done(taken)
            if not killed and "enterprise-registered" in types_of(taken):
                killed = self.store.service == "insurance"
                if killed:
                    continue
            self.handle(taken)

    monkeypatch.setattr(Consumer, "run", run)
    district = make_district()
    live_a_little(district)
    district.running.settle()
    verdict, red = verdict_of(district)
    assert red == {"lost"}, verdict["evidence"]
    assert "has not reached insurance" in verdict["evidence"]["lost"][0]


def test_an_inbox_that_forgets_lets_things_happen_twice(make_district, monkeypatch):
    """Inspection's inbox has no key: what comes twice is handled twice."""
    whole_admit = Admission.admit

    def admit(self, uow, messages):
        fresh, blocked = whole_admit(self, uow, messages)
        return [*messages] if self.store.service == "inspection" else fresh, blocked

    monkeypatch.setattr(Admission, "admit", admit)
    district = make_district(deliver="twice", wait=3.0)
    live_a_little(district)
    verdict, red = verdict_of(district)
    assert "duplicated" in red, verdict
    assert "command-settled" in " ".join(verdict["evidence"]["duplicated"])
    assert red & {"ghosts", "out_of_order"} == set(), verdict["evidence"]


def test_publishing_before_the_commit_raises_ghosts(make_district, monkeypatch):
    """The commit fails, and others have heard of what has never been."""
    bus, posts = EmbeddedBus(), 0
    whole_close = Store._close

    def close(self, uow):
        nonlocal posts
        whole_close(self, uow)
        if self.service == "filing" and uow.outbox:
            posts += 1
            eventlet.spawn(bus.publish, [*uow.outbox])
            eventlet.sleep(0)
            if posts in (3, 5):
                raise RuntimeError("the commit fails")

    monkeypatch.setattr(Store, "_close", close)
    monkeypatch.setattr("tests.conftest.bus_for", lambda _deliver: bus)
    district = make_district(wait=3.0)
    live_a_little(district)
    verdict, red = verdict_of(district)
    assert "ghosts" in red, verdict
    assert "which nobody has said" in verdict["evidence"]["ghosts"][0]


def test_a_relay_without_an_order_breaks_that_of_the_keys(make_district, monkeypatch):
    rng, whole_unsent = Random(SEED), Outbox.unsent

    def unsent(self, most, but=()):
        if self.store.service == "inspection":
            eventlet.sleep(0.2)  # so that there are some of one key
        rows = whole_unsent(self, most, but)
        if self.store.service == "inspection":
            rng.shuffle(rows)
        return rows

    monkeypatch.setattr(Outbox, "unsent", unsent)
    district = make_district()
    district.settle = lambda: None
    district.begin()
    shop = district.register()
    for _ in range(3):
        at_once(district.visit, [shop] * 10)
    district.running.settle()
    verdict, red = verdict_of(district)
    assert red == {"out_of_order"}, verdict["evidence"]


@pytest.fixture
def quiet(make_district):
    """A district in which all is well, and what its clients were answered."""
    district = make_district()
    live_a_little(district)
    district.running.settle()
    store = district.store("gateway")
    with store.write() as uow:
        names = uow.scalars(commands.select().with_only_columns(commands.c.idempotency)).all()
    record = Record(
        answers=[{"name": name, "status": 201, "digest": "what it was"} for name in names]
    )
    return district, record


def test_answers_that_the_district_stands_by_are_green(quiet):
    district, record = quiet
    assert under_way(embedded(district.running.settings.data), record) == []
    verdict, red = verdict_of(district, record)
    assert red == set(), verdict["evidence"]


def test_a_request_that_was_accepted_and_is_not_there_is_lost(quiet):
    district, record = quiet
    record.answers.append({"name": "POST /v1/filings never", "status": 202, "digest": ""})
    assert verdict_of(district, record)[1] == {"lost"}


@pytest.mark.parametrize(("status", "digest"), [(201, "something else"), (409, "what it was")])
def test_a_key_that_is_answered_in_two_ways_is_a_contradiction(quiet, status, digest):
    district, record = quiet
    again = {**record.answers[0], "status": status, "digest": digest}
    record.answers.append(again)
    assert verdict_of(district, record)[1] == {"contradicted"}


def test_a_command_without_an_outcome_is_unsettled(quiet):
    district, _ = quiet
    with district.store("gateway").write() as uow:
        uow.execute(
            update(commands)
            .where(
                commands.c.id
                == commands.select().with_only_columns(commands.c.id).limit(1).scalar_subquery()
            )
            .values(state="pending")
        )
    assert verdict_of(district)[1] == {"unsettled"}


def outcome_of_one(district):
    """Give what filing has said of how some command ended."""
    with district.store("filing").read() as session:
        return session.execute(outbox.select().where(outbox.c.type == "command-settled")).first()


def test_a_command_that_is_done_and_rejected_is_duplicated(quiet):
    district, _ = quiet
    first = outcome_of_one(district)
    body = json.dumps({**json.loads(first.body), "outcome": "rejected"})
    second = {**first._mapping, "seq": None, "id": "second", "body": body}
    with district.store("filing").write() as uow:
        uow.execute(insert(outbox).values(second))
    with district.store("gateway").write() as uow:
        uow.execute(insert(inbox).values(id="second", fingerprint="", handled_at=0.0))
    verdict, red = verdict_of(district)
    assert red == {"duplicated", "contradicted"}, verdict["evidence"]
    assert "command-settled" in verdict["evidence"]["duplicated"][0]


@pytest.mark.parametrize("of_whom", ["one that has said something", "one whose row is there"])
def test_a_parked_message_whose_message_has_had_its_effect_is_duplicated(quiet, of_whom):
    district, record = quiet
    with district.store("gateway").read() as session:
        command = session.execute(
            outbox.select().where(outbox.c.exchange == "filing.commands")
        ).first()
        event = session.execute(outbox.select().where(outbox.c.exchange != "filing.commands"))
        other = event.first() or command
    says = of_whom == "one that has said something"
    row = command if says else other
    put_by = {name: row._mapping[name] for name in parked_messages.c.keys() & row._mapping.keys()}
    put_by |= {"seq": None, "state": "exhausted", "attempts": 4, "parked_at": 0.0, "try_at": 0.0}
    put_by["reason"] = "it failed" if says else "IntegrityError('UNIQUE constraint failed: shops')"
    with district.store("filing").write() as uow:
        uow.execute(insert(parked_messages).values(put_by))
    verdict, red = verdict_of(district)
    assert red == {"duplicated"}, verdict["evidence"]
    record.impostors.add(row.id)
    assert judge(embedded(district.running.settings.data), record)["duplicated"] == 0


def test_a_command_that_was_handled_and_has_no_outcome_is_unsettled(quiet):
    """Though the gateway knows of one: it has made that up, and its word is another's."""
    district, _ = quiet
    settled = outcome_of_one(district)
    with district.store("filing").write() as uow:
        uow.execute(outbox.delete().where(outbox.c.seq == settled.seq))
    verdict, red = verdict_of(district)
    assert "unsettled" in red, verdict["evidence"]
    assert "was handled by filing" in verdict["evidence"]["unsettled"][0]


def test_a_stranger_is_a_ghost_only_where_nobody_has_owned_up_to_it(quiet):
    district, record = quiet
    with district.store("filing").write() as uow:
        uow.execute(insert(inbox).values(id="stranger", fingerprint="", handled_at=0.0))
    record.strangers.add("stranger")
    assert verdict_of(district, record)[1] == set()
    assert judge(embedded(district.running.settings.data))["ghosts"] == 1


def test_a_message_that_was_said_and_set_aside_by_the_broker_is_dead(quiet):
    district, record = quiet
    with district.store("filing").read() as session:
        identity = session.scalars(outbox.select().with_only_columns(outbox.c.id)).first()
    record.dead = [
        {"dead": "forged", "at": "gateway", "why": "rejected"},
        {"dead": identity, "at": "gateway", "why": "delivery_limit"},
    ]
    verdict, red = verdict_of(district, record)
    assert red == {"dead"}
    assert verdict["evidence"]["dead"][0].endswith("is a dead letter at gateway: delivery_limit")


def test_a_process_that_ended_by_itself_is_amiss(quiet):
    district, record = quiet
    record.amiss.append("gateway-left ended by itself: DataError")
    assert verdict_of(district, record)[1] == {"amiss"}
