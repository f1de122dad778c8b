"""What a service says to itself: handled in the transaction that says it, or apart from it."""

from collections import Counter

import pytest
from sqlalchemy import select

from chassis.messaging import parked
from chassis.messaging.consumer import Consumer
from chassis.messaging.crash_guard import FATAL_ATTEMPTS
from chassis.messaging.outbox import Outbox
from chassis.service import bindings_of, brought_to
from chassis.storage.tables import inbox, outbox
from console.runtime.district import SERVICES
from contracts.filing.commands import CorrectEnterprise, SubmitFiling
from contracts.filing.events import EnterpriseReopened, FilingApproved, FilingSubmitted
from contracts.shared import CommandSettled, Outcome
from services.filing.service import Filings
from services.gateway.service import Gateway
from tests.service.sayings import register, reopened, submit, types
from tests.service.test_failure import Fault, Killed, time_comes, waiting

CHAIN = ["filing-submitted", "filing-approved", "enterprise-reopened", "liaison-assigned"]


@pytest.fixture
def filing(given):
    story = given(Filings)
    return story.facts(*(register(shop, number=n) for n, shop in enumerate(("good", "bad"), 1)))


def rows(story, query):
    with story.store.read() as session:
        return session.execute(query).all()


def said_of(story, shop):
    query = select(outbox.c.type).where(outbox.c.partitionkey == shop).order_by(outbox.c.seq)
    return [kind for (kind,) in rows(story, query) if kind in CHAIN]


def test_all_that_follows_is_said_in_one_transaction(filing):
    message = filing.message(submit(shop="good"))
    assert filing.consumer.handle([message])
    said = Outbox(filing.store).unsent(99)
    assert types([one.payload for one in said]) == [CHAIN[0], *CHAIN[1:]]
    assert {one.envelope.causationtype for one in said} >= {"submit-filing", *CHAIN[:3]}
    assert waiting(filing) == []


def test_each_reaction_leaves_its_receipt_and_is_dropped_when_it_comes_again(filing):
    filing.consumer.handle([filing.message(submit(shop="good"))])
    own = [m for m in Outbox(filing.store).unsent(99) if m.envelope.type in CHAIN[:3]]
    known = {key for (key,) in rows(filing, select(inbox.c.id))}
    assert {one.id for one in own} <= known
    before = Counter(said_of(filing, "good"))
    assert filing.consumer.handle(own)
    assert Counter(said_of(filing, "good")) == before
    assert waiting(filing) == []


@pytest.mark.parametrize("kind", [FilingSubmitted, FilingApproved, EnterpriseReopened])
def test_a_reaction_that_fails_is_a_parked_message_and_its_cause_stands(filing, kind):
    fault = Fault(filing, kind)
    said = filing.when(submit("one", "bad"), submit("two", "good"))
    outcomes = [fact.outcome for fact in said if isinstance(fact, CommandSettled)]
    assert outcomes == [Outcome.DONE, Outcome.DONE]
    assert said_of(filing, "good") == CHAIN
    for _ in range(parked.RETRIES + len(CHAIN)):
        time_comes(filing)
    assert waiting(filing) == [("exhausted", kind.type)]
    assert said_of(filing, "bad") == CHAIN[: CHAIN.index(kind.type) + 1]

    fault.mend()
    (stuck,) = rows(filing, select(parked.parked_messages.c.id))
    assert parked.retry(filing.store, message_id=stuck.id)
    time_comes(filing)
    assert waiting(filing) == []
    assert said_of(filing, "bad") == CHAIN


@pytest.mark.parametrize("late", [False, True])
def test_a_parked_message_holds_back_what_the_service_says_to_itself_later(filing, late):
    fault = Fault(filing, FilingApproved)
    filing.when(submit("one", "bad"))
    for _ in range(parked.RETRIES + len(CHAIN)):
        time_comes(filing)
    assert waiting(filing) == [("exhausted", "filing-approved")]
    broken = Fault(filing, CorrectEnterprise, shop="bad" if late else "none")
    filing.when(CorrectEnterprise(enterprise_id="bad", reason="招牌已換", name="泉秀新店"))
    broken.mend()
    time_comes(filing)
    held = ("retrying", "enterprise-corrected")
    assert waiting(filing) == [("exhausted", "filing-approved"), held]

    fault.mend()
    parked.retry(filing.store, message_id=rows(filing, select(parked.parked_messages.c.id))[0].id)
    time_comes(filing)
    assert waiting(filing) == []
    assert said_of(filing, "bad") == CHAIN


def test_what_is_about_another_key_is_handled_in_its_own_turn(filing):
    handlers = filing.consumer.handlers[SubmitFiling.type]
    handlers.append(lambda _fact, uow: uow.record(reopened("bad")) and None)
    filing.when(submit(shop="good"))
    for _ in CHAIN:
        time_comes(filing)
    assert said_of(filing, "good") == CHAIN
    assert said_of(filing, "bad") == CHAIN[2:]
    assert waiting(filing) == []


@pytest.mark.parametrize("kind", [FilingSubmitted, FilingApproved])
def test_a_reaction_that_ends_the_process_is_stuck_in_the_end_and_its_cause_stands(filing, kind):
    fault = Fault(filing, kind, Killed())
    messages = [filing.message(submit("one", "bad")), filing.message(submit("two", "good"))]
    for _ in range(3 * FATAL_ATTEMPTS):
        try:
            filing.deliver(*messages)
            time_comes(filing)
        except Killed:
            handlers = filing.consumer.handlers
            filing.consumer = Consumer(filing.service, filing.store, handlers, list)
            filing.consumer.guard.began = filing.store.now()
        for message in messages:
            message.redelivered = True
    assert FATAL_ATTEMPTS <= fault.calls < 2 * FATAL_ATTEMPTS
    assert waiting(filing) == [("exhausted", kind.type)]
    assert said_of(filing, "good") == CHAIN
    settled = select(outbox.c.id).where(
        outbox.c.type == CommandSettled.type, outbox.c.causationtype == SubmitFiling.type
    )
    assert len(rows(filing, settled)) == 2


def test_a_parked_message_that_outlives_a_process_and_succeeds_leaves_no_count_behind(filing):
    fault = Fault(filing, FilingSubmitted)
    filing.when(submit("one", "bad"))
    fault.mend()
    filing.consumer = Consumer(filing.service, filing.store, filing.consumer.handlers, list)
    filing.consumer.guard.began = filing.store.now()
    time_comes(filing)
    assert said_of(filing, "bad") == CHAIN
    assert rows(filing, select(parked.parked_messages.c.id)) == []


def test_the_bus_brings_no_service_what_it_says_to_itself_but_the_gateway():
    for service in SERVICES:
        own = {pair for pair in bindings_of(service) if pair[0] == f"{service.name}.events"}
        assert own, "each of them hears itself"
        assert brought_to(service) == bindings_of(service) - (set() if service is Gateway else own)
