"""filing: given facts, then facts."""

import pytest

from contracts.filing.commands import (
    AssignLiaison,
    DecideFiling,
    ReopenEnterprise,
    ReportRoster,
    WithdrawFiling,
)
from contracts.filing.events import (
    EnterpriseReopened,
    EnterpriseSuspended,
    FilingApproved,
    FilingReferred,
    FilingReturned,
    FilingSubmitted,
    LiaisonAssigned,
    OnsiteReviewRequested,
    RosterReported,
)
from contracts.filing.types import Decision
from contracts.inspection.events import (
    ClosureLifted,
    ClosureOrdered,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
)
from contracts.inspection.types import Grounds, Lifting
from contracts.shapes import Words
from contracts.shared import CommandSettled, HourSwept
from rulebook import Rulebook
from services.filing.service import Filings
from tests.service.sayings import (
    DIRTY,
    GRID,
    TODAY,
    after,
    faults,
    hour,
    only,
    refusal,
    refused,
    register,
    submit,
    types,
)

RULES = Rulebook.load().on(TODAY).version
ABOUT = {"enterprise_id": "shop", "filing_id": "filing"}
PASSED = OnsiteReviewPassed(**ABOUT, visit_id="visit")
FAILED = OnsiteReviewFailed(**ABOUT, visit_id="visit", reasons=[DIRTY])
CLOSED = ClosureOrdered(
    closure_id="closure",
    enterprise_id="shop",
    grounds=Grounds.ORDER,
    reason=Words(zh="關停", en="Closed"),
    ordered_on=TODAY,
)
LIFTED = ClosureLifted(
    closure_id="closure",
    enterprise_id="shop",
    reason="已整改",
    lifted_on=TODAY,
    ground=Lifting.REINSPECTION,
)
WITHDRAW = WithdrawFiling(**ABOUT, reason="改日再報")


def decide(decision, *reasons):
    return DecideFiling(**ABOUT, decision=decision, by="officer", reasons=list(reasons))


def roster(**more):
    return ReportRoster(**{"enterprise_id": "shop", "day": TODAY, "staff": 10} | more)


@pytest.fixture
def filing(given):
    return given(Filings)


@pytest.fixture
def office(filing):
    return filing.facts(register())


@pytest.fixture
def restaurant(filing):
    return filing.facts(register(premises="restaurant", industry="H6210"))


# registering


def test_an_enterprise_is_entered_in_the_registry(filing):
    said = filing.when(register())
    assert types(said) == ["enterprise-registered"]
    assert only(CommandSettled, said).result["registered_on"] == "2020-02-10"


def test_a_registration_is_refused_with_every_fault_at_once(filing):
    wrong = register(credit_code="91350100M000100Y4Z", industry="?", premises="moon", grid="0")
    assert faults(filing.when(wrong)) == ["credit_code", "industry", "premises", "grid"]


def test_a_credit_code_in_small_letters_is_refused(filing):
    small = register(credit_code="91350100m000100y43")
    assert faults(filing.when(small)) == ["credit_code"]


def test_a_credit_code_is_registered_once(office):
    assert refusal(office.when(register("other")))["enterprise_id"] == "shop"


def test_a_credit_code_twice_in_one_batch_is_registered_once(filing):
    said = filing.when(register("one"), register("two"))
    assert types(said) == ["enterprise-registered"]
    assert [s.outcome for s in said if isinstance(s, CommandSettled)] == ["done", "rejected"]


# filing


def test_a_complete_filing_is_approved_without_a_meeting_and_opens_the_same_day(office):
    said = office.when(submit())
    assert types(said) == [
        "filing-submitted",
        "filing-approved",
        "enterprise-reopened",
        "liaison-assigned",
    ]
    assert only(FilingApproved, said).by == "rule"
    assert only(LiaisonAssigned, said).officer.startswith("FZ-003-")


def test_an_incomplete_filing_is_returned_with_every_reason(office):
    said = office.when(submit(measures=["masks"], pledge=False))
    assert types(said) == ["filing-submitted", "filing-returned"]
    reasons = [reason.code for reason in only(FilingReturned, said).reasons]
    assert reasons == ["thermometer", "disinfectant", "pledge"]


def test_a_returned_filing_may_be_followed_by_another(office):
    office.facts(submit(pledge=False))
    assert "enterprise-reopened" in types(office.when(submit("second")))


def test_five_small_premises_must_be_seen_first(restaurant):
    said = restaurant.when(submit())
    assert types(said) == ["filing-submitted", "onsite-review-requested"]
    assert only(OnsiteReviewRequested, said).premises == "restaurant"


def test_a_passed_review_approves_the_filing(restaurant):
    said = restaurant.facts(submit()).when(PASSED)
    assert types(said)[:2] == ["filing-approved", "enterprise-reopened"]
    assert only(FilingApproved, said).by == "on-site-review"


def test_a_failed_review_returns_the_filing_with_its_reasons(restaurant):
    said = restaurant.facts(submit()).when(FAILED)
    assert types(said) == ["filing-returned"]
    assert only(FilingReturned, said).reasons == [DIRTY]


def test_a_review_of_a_filing_that_was_withdrawn_decides_nothing(restaurant):
    assert restaurant.facts(submit(), WITHDRAW).when(PASSED, FAILED) == []


def test_a_filing_already_decided_is_not_decided_again(office):
    submitted = only(FilingSubmitted, office.when(submit()))
    assert office.when(submitted) == []


def test_a_filing_for_the_past_or_with_more_strangers_than_staff_is_refused(office):
    wrong = submit(reopen_on=after(-1), headcount=1, out_of_province=2)
    assert faults(office.when(wrong)) == ["reopen_on", "out_of_province"]


def test_an_enterprise_has_one_live_filing(restaurant):
    said = restaurant.facts(submit()).when(submit("second"))
    assert refusal(said)["filing_id"] == "filing"
    assert refused(said) == (409, "filing-live")


def test_an_open_enterprise_does_not_file(office):
    assert refused(office.facts(submit()).when(submit("second"))) == (409, "already-open")


@pytest.mark.parametrize(
    "command", [submit(), roster(), WITHDRAW, decide(Decision.APPROVE)], ids=lambda c: c.type
)
def test_what_concerns_nobody_on_record_is_not_found(filing, command):
    assert refused(filing.when(command)) == (404, "not-found")


# the day


def test_a_filing_for_a_later_day_opens_when_that_day_begins(office):
    said = office.when(submit(reopen_on=after(2)))
    assert types(said) == ["filing-submitted", "filing-approved"]
    assert types(office.on(after(1)).when(hour(after(1)))) == []
    said = office.on(after(2)).when(hour(after(2)))
    assert types(said) == ["reopen-enterprise", "enterprise-reopened", "liaison-assigned"]
    assert only(EnterpriseReopened, said).reopened_on == after(2)
    assert only(HourSwept, said).cases == 1


def test_a_filing_withdrawn_between_the_hour_and_its_command_stays_closed(office):
    office.facts(submit(reopen_on=after(1))).on(after(1)).facts(WITHDRAW)
    assert types(office.when(ReopenEnterprise(**ABOUT, due_on=after(1)))) == []


def test_an_enterprise_opens_once_though_two_hours_find_it_due(office):
    office.facts(submit(reopen_on=after(1))).on(after(1))
    said = office.when(hour(after(1), 0), hour(after(1), 1))
    assert types(said).count("enterprise-reopened") == 1


# by hand


def test_an_official_may_return_a_filing_with_reasons(restaurant):
    said = restaurant.facts(submit()).when(decide(Decision.RETURN, "材料不清"))
    assert [reason.words.zh for reason in only(FilingReturned, said).reasons] == ["材料不清"]


def test_a_return_needs_a_reason(restaurant):
    assert faults(restaurant.facts(submit()).when(decide(Decision.RETURN))) == ["reasons"]


def test_nobody_approves_five_small_premises_that_were_not_seen(restaurant):
    said = restaurant.facts(submit()).when(decide(Decision.APPROVE))
    assert refused(said) == (409, "must-be-seen-first")


def test_what_is_approved_is_not_approved_again(office):
    said = office.facts(submit(reopen_on=after(2))).when(decide(Decision.APPROVE))
    assert refused(said) == (409, "filing-finished")


@pytest.mark.parametrize("again", [WITHDRAW, decide(Decision.APPROVE)], ids=["withdraw", "decide"])
def test_a_finished_filing_is_left_alone(restaurant, again):
    assert types(restaurant.facts(submit()).when(WITHDRAW)) == ["filing-withdrawn"]
    assert refused(restaurant.when(again)) == (409, "filing-finished")


# closing


def test_a_closure_suspends_an_open_enterprise(office):
    said = office.facts(submit()).when(CLOSED)
    assert types(said) == ["enterprise-suspended"]
    assert only(EnterpriseSuspended, said).was_open


def test_a_closure_returns_a_live_filing(restaurant):
    said = restaurant.facts(submit()).when(CLOSED)
    assert types(said) == ["filing-returned", "enterprise-suspended"]
    assert not only(EnterpriseSuspended, said).was_open


def test_a_closed_enterprise_may_not_file_until_the_closure_is_lifted(office):
    office.facts(submit(), CLOSED)
    assert refused(office.when(submit("second"))) == (409, "ordered-closed")
    assert types(office.when(LIFTED)) == ["suspension-lifted"]
    said = office.on(after(14)).when(submit("second", reopen_on=after(14)))
    assert "enterprise-reopened" in types(said)
    assert only(FilingSubmitted, said).follows == "filing"


def test_who_files_again_soon_after_a_closure_waits_for_a_reviewer(office):
    said = office.facts(submit()).facts(CLOSED).facts(LIFTED).when(submit("second"))
    assert types(said) == ["filing-submitted", "filing-referred"]
    assert [reason.code for reason in only(FilingReferred, said).reasons] == ["recent_closure"]
    approve = DecideFiling(
        enterprise_id="shop", filing_id="second", decision=Decision.APPROVE, by="head-1"
    )
    said = office.when(approve)
    assert types(said) == ["filing-approved", "enterprise-reopened"]
    assert only(FilingApproved, said).rules == RULES


def test_lifting_another_closure_changes_nothing(office):
    office.facts(CLOSED)
    other = ClosureLifted(**LIFTED.__dict__ | {"closure_id": "another"})
    assert office.when(other) == []


# staff


def test_who_is_not_fit_is_not_on_duty(office):
    said = office.facts(submit()).when(roster(out_of_province=3, unfit=2))
    assert only(RosterReported, said).on_duty == 8


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"day": after(1)}, "day"),
        ({"day": after(-1)}, "day"),
        ({"unfit": 11}, "unfit"),
        ({"unfit": 5, "out_of_province": 6}, "out_of_province"),
    ],
)
def test_a_roster_that_cannot_be_is_refused(office, wrong, field):
    office.facts(submit()).facts(roster())
    assert faults(office.when(roster(**wrong))) == [field]


def test_an_enterprise_that_is_not_open_reports_no_staff(office):
    assert refused(office.when(roster())) == (409, "not-open")


def test_a_liaison_officer_is_one_of_the_grid(office):
    elsewhere = AssignLiaison(enterprise_id="shop", officer="FZ-001-01")
    assert faults(office.when(elsewhere)) == ["officer"]


def test_a_liaison_officer_chosen_by_hand_stays_when_the_enterprise_reopens(office):
    chosen = AssignLiaison(enterprise_id="shop", officer=f"FZ-{GRID[-3:]}-07")
    assert types(office.when(chosen)) == ["liaison-assigned"]
    assert "liaison-assigned" not in types(office.when(submit()))
    assert types(office.when(chosen)) == []
