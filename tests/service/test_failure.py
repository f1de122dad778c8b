"""What becomes of messages that cannot be handled now, or ever: parked messages, retries, storage
away."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from chassis.errors import Conflict, Rejected
from chassis.messaging import parked
from chassis.messaging.consumer import Consumer
from chassis.storage.tables import attempts, inbox
from chassis.storage.tables import parked_messages as kept
from contracts import catalogue
from contracts.filing.events import EnterpriseRegistered, OnsiteReviewRequested
from contracts.inspection.commands import DispatchPatrol, PlanVisit, RecordVisit
from contracts.inspection.events import OnsiteReviewPassed, VisitPlanned
from contracts.shared import CommandSettled, Outcome
from services.filing.service import Filings
from services.inspection.service import Inspection
from tests.service.sayings import (
    GRID,
    TODAY,
    after,
    complained,
    only,
    refused,
    register,
    registered,
    reopened,
    types,
    visit,
)

AWAY = OperationalError("COMMIT", {}, Exception("the disk is full"))


class Fault:
    """A handler that fails on what concerns one enterprise, until it is mended."""

    def __init__(self, story, kind, error=None, shop="bad"):
        self.error, self.shop, self.calls = error or RuntimeError("broken"), shop, 0
        story.consumer.handlers[kind.type].insert(0, self)

    def __call__(self, fact, _db):
        if self.error and fact.enterprise_id == self.shop:
            self.calls += 1
            raise self.error

    def mend(self):
        self.error = None


class Killed(BaseException):
    """The process ended in the middle of a handler."""


def review(shop):
    return OnsiteReviewRequested(
        enterprise_id=shop, filing_id=f"f-{shop}", premises="restaurant", grid=GRID
    )


def waiting(story):
    """Return the state and the type of each parked message, in order."""
    with story.store.read() as session:
        rows = session.execute(select(kept.c.state, kept.c.type).order_by(kept.c.seq))
        return [(row.state, row.type) for row in rows]


def tries(story):
    with story.store.read() as session:
        return session.scalar(select(kept.c.attempts).order_by(kept.c.seq).limit(1))


def time_comes(story):
    """Have every parked message due, and tried; give what is said."""
    with story.store.write() as uow:
        uow.execute(update(kept).values(try_at=0.0))
    story.consumer.retries.retry_due()
    return story.when()


@pytest.fixture
def inspection(given):
    return given(Inspection)


# what has not arrived


def test_a_complaint_that_comes_before_its_enterprise_waits_for_it(inspection):
    assert inspection.when(complained()) == []
    assert waiting(inspection) == [("retrying", "complaint-received")]
    assert types(inspection.when(registered())) == ["visit-planned"]
    assert waiting(inspection) == []


def test_it_is_handled_in_the_batch_that_brings_its_enterprise(inspection):
    assert types(inspection.when(complained(), registered())) == ["visit-planned"]
    assert waiting(inspection) == []


def test_what_awaits_a_fact_waits_as_long_as_it_takes(inspection):
    inspection.facts(complained())
    for _ in range(parked.RETRIES + 2):
        assert time_comes(inspection) == []
    assert waiting(inspection) == [("retrying", "complaint-received")]


@pytest.mark.parametrize("attempts", [10, 1023, 1024, 10**6])
def test_the_pause_after_any_number_of_attempts_has_an_end(attempts):
    assert 0.75 * 3.0 <= parked.pause(attempts, longest=3.0) <= 1.25 * 3.0


def test_the_age_of_what_waits_can_be_measured(inspection):
    assert parked.ages(inspection.store) == {}
    inspection.facts(complained())
    assert 0.0 <= parked.ages(inspection.store)["retrying"] < 60.0
    inspection.when(registered())
    assert parked.ages(inspection.store) == {}


def test_a_complaint_that_waits_holds_nobody_elses(inspection):
    inspection.facts(registered("known"), complained("one"))
    said = inspection.when(complained("two", enterprise_id="known"))
    assert only(VisitPlanned, said).complaint_id == "two"


def test_a_command_that_waits_is_settled_when_it_has_been_carried_out(inspection):
    assert inspection.when(visit()) == []
    said = inspection.when(registered())
    assert types(said) == ["visit-recorded"]
    assert only(CommandSettled, said).outcome is Outcome.DONE


def test_a_command_that_waited_may_be_refused_in_the_end(inspection):
    said = inspection.facts(visit()).when(visit("dine_in"))
    assert said == []
    said = inspection.when(registered())
    outcomes = [fact.outcome for fact in said if isinstance(fact, CommandSettled)]
    assert outcomes == [Outcome.DONE, Outcome.REJECTED]
    assert waiting(inspection) == []


# the same again


@pytest.mark.parametrize("said", [review("shop"), visit(), visit(day=after(1))])
def test_the_same_message_twice_is_handled_once(inspection, said):
    inspection.facts(registered())
    once = inspection.message(said)
    first = inspection.deliver(once, once)
    assert len({type(fact) for fact in first}) == len(first) > 0
    assert inspection.deliver(once) == []
    assert inspection.acknowledged.count(once.id) == 3
    assert waiting(inspection) == []


@pytest.mark.parametrize("together", [True, False])
def test_the_same_id_with_another_body_is_a_rejected_parked_message(inspection, together):
    first = inspection.message(registered("one"), identity="same")
    other = inspection.message(registered("two"), identity="same")
    for batch in [(first, other)] if together else [(first,), (other,)]:
        inspection.deliver(*batch)
    assert waiting(inspection) == [("dead", "enterprise-registered")]
    assert types(inspection.when(review("one"))) == ["visit-planned"]


# what can never be handled


def test_a_refused_command_is_answered_and_leaves_no_parked_message(inspection):
    said = inspection.when(DispatchPatrol(patrol_id="p", agencies=[], officers=["A"], day=TODAY))
    assert refused(said) == (422, "not-acceptable")
    assert waiting(inspection) == []


def test_a_refused_command_costs_its_neighbours_nothing(inspection):
    inspection.facts(registered())
    said = inspection.when(
        visit(visit="one"), visit(visit="one"), visit("not_cleaned", visit="two")
    )
    assert types(said).count("visit-recorded") == 2
    outcomes = [fact.outcome for fact in said if isinstance(fact, CommandSettled)]
    assert outcomes == [Outcome.DONE, Outcome.REJECTED, Outcome.DONE]


def test_an_event_that_cannot_be_is_a_rejected_parked_message_and_holds_nothing_back(given):
    filing = given(Filings).facts(
        OnsiteReviewPassed(enterprise_id="shop", filing_id="none", visit_id="visit")
    )
    assert waiting(filing) == [("dead", "onsite-review-passed")]
    assert types(filing.when(register())) == ["enterprise-registered"]


@pytest.mark.parametrize(
    "body", ["not json", "[]", '{"enterprise_id": "bad"}', '{"findings": [1]}']
)
def test_what_cannot_be_read_is_a_rejected_parked_message_and_costs_its_neighbours_nothing(
    inspection, body
):
    inspection.facts(registered(), registered("bad"))
    unreadable = inspection.message(review("bad"))
    unreadable.body = body
    del unreadable.__dict__["payload"]
    following = inspection.message(review("bad"))
    said = inspection.deliver(unreadable, inspection.message(review("shop")), following)
    assert types(said) == ["visit-planned", "visit-planned"]
    assert waiting(inspection) == [("dead", "onsite-review-requested")]


# what a newer version says


def planned(visit="visit"):
    return PlanVisit(visit_id=visit, enterprise_id="shop", day=TODAY)


@contextmanager
def older(story, kind, lacks):
    """Let the process be one of a version that does not know a contract yet, or not its handler, or
    cannot read what is said in it today."""
    handlers = story.consumer.handlers
    with pytest.MonkeyPatch.context() as patch:
        if lacks == "contract":
            known = {name: each for name, each in catalogue.declared.items() if each is not kind}
            patch.setattr(catalogue, "declared", known)
        if lacks == "readable":
            patch.setattr(kind, "from_data", lambda data: kind(**data, unheard_of=1))
        if lacks in ("contract", "handler"):
            patch.delitem(handlers, kind.type)
        yield


def upgraded(story):
    """Let the process of the next version begin, and give what it says."""
    story.consumer = Consumer(story.service, story.store, story.consumer.handlers, list)
    story.consumer.begin()
    with story.store.write() as uow:  # it shall not have to wait for that
        uow.execute(update(kept).values(try_at=story.store.now() + 3600.0))
    said = story.when()
    story.consumer.retries.retry_due()
    said += story.when()
    return said + time_comes(story)  # what it says to itself, apart from what came before it


LACKS = ["contract", "handler", "readable"]


@pytest.mark.parametrize("lacks", LACKS)
def test_a_command_that_only_a_newer_version_knows_waits_for_it_and_is_settled(inspection, lacks):
    inspection.facts(registered())
    message, following = inspection.message(planned()), inspection.message(visit())
    for each in (message, following):
        each.__dict__.pop("payload")
    with older(inspection, PlanVisit, lacks):
        assert inspection.deliver(message, following, message) == []
        held = [("retrying", "plan-visit"), ("retrying", "record-visit")]
        for _ in range(parked.RETRIES + 2):
            assert time_comes(inspection) == []
            assert waiting(inspection) == held
        assert tries(inspection) == 0, "it has not failed"
    said = upgraded(inspection)
    assert types(said) == ["visit-planned", "visit-recorded"]
    assert [outcome(fact) for fact in said if isinstance(fact, CommandSettled)] == [
        (message.id, Outcome.DONE), (following.id, Outcome.DONE),
    ]  # fmt: skip
    assert waiting(inspection) == []


def outcome(fact):
    return fact.command_id, fact.outcome


@pytest.mark.parametrize("lacks", ["contract", "handler"])
def test_an_event_that_only_a_newer_version_hears_waits_for_it(inspection, lacks):
    inspection.facts(registered())
    message = inspection.message(review("shop"))
    message.__dict__.pop("payload")
    with older(inspection, OnsiteReviewRequested, lacks):
        assert inspection.deliver(message) == []
        assert waiting(inspection) == [("retrying", "onsite-review-requested")]
    assert types(upgraded(inspection)) == ["visit-planned"]
    assert waiting(inspection) == []


def test_a_parked_message_says_that_it_waits_for_a_newer_version(inspection):
    with older(inspection, PlanVisit, "contract"):
        message = inspection.message(planned())
        message.__dict__.pop("payload")
        inspection.deliver(message)
    with inspection.store.read() as session:
        (parked_message,) = session.execute(select(kept.c.reason, kept.c.awaits))
    assert (
        parked_message.reason
        == "no contract is called plan-visit; it waits for a version that handles it"
    )
    assert parked_message.awaits == "plan-visit"


# handlers that fail


def test_a_poison_message_costs_its_neighbours_nothing(inspection):
    Fault(inspection, EnterpriseRegistered)
    said = inspection.when(
        registered("good"), registered("bad"), registered("fine"), review("good"), review("fine")
    )
    assert types(said) == ["visit-planned", "visit-planned"]
    assert waiting(inspection) == [("retrying", "enterprise-registered")]


def test_it_is_tried_again_then_stuck_and_holds_only_what_follows_it_until_it_is_mended(inspection):
    fault = Fault(inspection, EnterpriseRegistered)
    poison = inspection.message(registered("bad"))
    followers = [inspection.message(fact) for fact in (review("bad"), reopened("bad", "mall"))]
    inspection.deliver(poison, *followers)
    held = [("retrying", "onsite-review-requested"), ("retrying", "enterprise-reopened")]
    for _ in range(parked.RETRIES):
        assert waiting(inspection) == [("retrying", "enterprise-registered"), *held]
        assert time_comes(inspection) == []
    assert waiting(inspection) == [("exhausted", "enterprise-registered"), *held]

    assert types(inspection.facts(registered("good")).when(review("good"))) == ["visit-planned"]
    fault.mend()
    assert time_comes(inspection) == []
    assert parked.retry(inspection.store, message_id=poison.id)
    said = time_comes(inspection)
    assert types(said) == ["visit-planned", "visit-planned", "prompt-slip-issued"]
    assert waiting(inspection) == []


def test_what_arrives_while_a_parked_message_is_stuck_takes_its_place_behind_it(inspection):
    fault = Fault(inspection, EnterpriseRegistered)
    poison = inspection.message(registered("bad"))
    inspection.deliver(poison)
    for _ in range(parked.RETRIES):
        time_comes(inspection)
    assert inspection.when(review("bad")) == []
    fault.mend()
    parked.retry(inspection.store, message_id=poison.id)
    assert types(time_comes(inspection)) == ["visit-planned"]


def test_only_a_stuck_parked_message_is_retried_by_hand(inspection):
    early = inspection.message(complained())
    inspection.deliver(early)
    assert not parked.retry(inspection.store, message_id=early.id)
    assert not parked.retry(inspection.store, message_id="none")


def test_what_follows_a_failed_message_does_not_spend_its_retries(inspection):
    Fault(inspection, EnterpriseRegistered)
    inspection.facts(registered("bad"))
    for _ in range(parked.RETRIES + 2):
        inspection.facts(review("bad"))
    assert tries(inspection) == 1


def test_a_parked_message_that_is_refused_in_the_end_lets_its_followers_go(inspection):
    fault = Fault(inspection, RecordVisit)
    inspection.facts(registered("bad")).facts(visit(shop="bad"))
    inspection.facts(PlanVisit(visit_id="next", enterprise_id="bad", day=TODAY))
    fault.error = Conflict("no more")
    said = time_comes(inspection)
    outcomes = [fact.outcome for fact in said if isinstance(fact, CommandSettled)]
    assert outcomes == [Outcome.REJECTED, Outcome.DONE]
    assert waiting(inspection) == []


def test_an_event_parked_message_that_is_refused_in_the_end_is_rejected(inspection):
    fault = Fault(inspection, EnterpriseRegistered)
    inspection.facts(registered("bad"))
    fault.error = Rejected("never")
    assert time_comes(inspection) == []
    assert waiting(inspection) == [("dead", "enterprise-registered")]


@pytest.mark.parametrize("late", [True, False])
def test_a_command_whose_identity_is_taken_is_refused(inspection, late):
    inspection.facts(registered("bad"))
    taken = IntegrityError("INSERT", {}, Exception("UNIQUE"))
    fault = Fault(inspection, RecordVisit, RuntimeError("broken") if late else taken)
    said = inspection.when(visit(shop="bad"))
    if late:
        fault.error = taken
        said = time_comes(inspection)
    assert refused(said) == (409, "already-there")
    assert waiting(inspection) == []


# handlers that end the process


def test_a_message_whose_handling_ends_the_process_is_parked_at_the_fifth_attempt(inspection):
    fault = Fault(inspection, EnterpriseRegistered, Killed())
    batch = [inspection.message(registered(shop)) for shop in ("bad", "good")]
    while "exhausted" not in dict(waiting(inspection)):
        try:
            inspection.deliver(*batch)
        except Killed:
            assert inspection.acknowledged == []
        for message in batch:
            message.redelivered = True
        assert fault.calls <= 5
    assert fault.calls == 5
    assert waiting(inspection) == [("exhausted", "enterprise-registered")]
    assert inspection.acknowledged == [message.id for message in batch]
    assert types(inspection.when(review("good"))) == ["visit-planned"]


def test_what_was_delivered_before_and_succeeds_leaves_no_count_behind(inspection):
    again = [inspection.message(registered(shop)) for shop in ("bad", "good")]
    for message in again:
        message.redelivered = True
    Fault(inspection, EnterpriseRegistered)
    inspection.deliver(*again)
    with inspection.store.read() as session:
        assert session.scalar(select(func.count()).select_from(attempts)) == 0


# storage that is away


@pytest.fixture
def outage(inspection, no_pauses):
    """Has the next commits fail; the database still answers."""

    def begin(commits, then=lambda: None):
        left = iter(range(commits))

        @event.listens_for(inspection.store.engine, "commit")
        def fail(connection):
            if (number := next(left, None)) is not None:
                if number == commits - 1:
                    then()
                connection.connection.rollback()
                raise AWAY

    return begin


@pytest.mark.parametrize("commits", range(1, parked.RETRIES + 1))
def test_what_storage_refuses_is_handled_as_soon_as_it_recovers(inspection, outage, commits):
    inspection.facts(registered())
    outage(commits)
    message = inspection.message(review("shop"))
    assert types(inspection.deliver(message)) == ["visit-planned"]
    assert message.id in inspection.acknowledged


@pytest.mark.parametrize("commits", range(parked.RETRIES + 1, parked.RETRIES + 8))
def test_what_storage_refuses_for_long_is_handled_in_the_end(inspection, outage, commits):
    inspection.facts(registered())
    outage(commits)
    message = inspection.message(review("shop"))
    said = inspection.deliver(message) + time_comes(inspection)
    assert types(said) == ["visit-planned"]
    assert message.id in inspection.acknowledged
    assert waiting(inspection) == []


def test_nothing_is_acknowledged_while_storage_is_away(inspection, outage):
    outage(3, then=inspection.consumer.stop)
    inspection.facts(registered())
    assert inspection.acknowledged == []
    with inspection.store.read() as session:
        assert session.scalar(select(func.count()).select_from(inbox)) == 0


def test_storage_may_go_away_between_a_failure_and_its_parked_message(inspection, outage):
    Fault(inspection, EnterpriseRegistered)
    outage(2)
    inspection.facts(registered("bad"))
    assert waiting(inspection) == [("retrying", "enterprise-registered")]
    assert len(inspection.acknowledged) == 1


def test_storage_may_go_away_before_the_parked_messages_are_looked_at(inspection, monkeypatch):
    def away(*_args):
        raise AWAY

    monkeypatch.setattr(parked, "freed_by", away)
    inspection.facts(registered())
    assert len(inspection.acknowledged) == 1


def test_a_statement_that_can_never_work_is_a_failed_message_and_no_outage(inspection, no_pauses):
    Fault(inspection, EnterpriseRegistered, OperationalError("SELECT", {}, Exception("nonsense")))
    assert types(inspection.when(registered("bad"), registered("good"))) == []
    for _ in range(parked.RETRIES):
        time_comes(inspection)
    assert waiting(inspection) == [("exhausted", "enterprise-registered")]
