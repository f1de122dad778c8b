"""inspection: what it checks for a complaint, and whom it presses about one."""

import pytest

from contracts.complaints.events import (
    ComplaintClosed,
    ComplaintMatched,
    ComplaintOverdue,
    ComplaintReferred,
    ComplaintReopened,
    ComplaintUnmatched,
)
from contracts.complaints.types import Stage
from contracts.inspection.events import SupervisionSlipIssued, VisitCancelled, VisitPlanned
from services.inspection.service import Inspection
from tests.service.sayings import TODAY, after, complained, only, registered, types


@pytest.fixture
def shop(given):
    return given(Inspection).facts(registered())


def matched(number, shop="shop"):
    return ComplaintMatched(
        complaint_id="complaint", enterprise_id=shop, by="desk", matching=number, matched_on=TODAY
    )


def reopened(number, shop="shop"):
    return ComplaintReopened(
        complaint_id="complaint",
        by="caller",
        reason="仍在",
        reopening=number,
        reopened_on=TODAY,
        counting=complained().counting,
        enterprise_id=shop,
    )


def test_a_described_enterprise_is_checked_when_it_is_matched(shop):
    assert shop.when(complained(enterprise_id=None, against="小店")) == []
    planned = only(VisitPlanned, shop.when(matched(1)))
    assert (planned.urgent, planned.complaint_id) == (True, "complaint")


def test_each_match_and_each_reopening_has_a_check_of_its_own(shop):
    said = shop.when(complained(), matched(1), matched(2), reopened(1), reopened(2))
    assert len({fact.visit_id for fact in said if isinstance(fact, VisitPlanned)}) == 5


def test_a_match_with_an_enterprise_that_is_not_known_yet_waits_for_it(shop):
    assert shop.when(matched(1, "newcomer")) == []
    assert types(shop.when(registered("newcomer", number=2))) == ["visit-planned"]


def test_a_reopened_complaint_against_nobody_on_record_is_not_checked(shop):
    assert shop.when(reopened(1, None)) == []


@pytest.mark.parametrize("stage", [*Stage])
def test_who_is_pressed_about_an_overdue_complaint_reads_what_has_not_been_done(shop, stage):
    overdue = ComplaintOverdue(
        complaint_id="complaint",
        stage=stage,
        due_on=TODAY,
        overdue_on=after(1),
        level=2,
        addressee="district-office",
    )
    slip = only(SupervisionSlipIssued, shop.when(overdue))
    assert slip.addressee == "district-office"
    assert slip.points[0].code == f"overdue-{stage}"
    assert TODAY.isoformat() in slip.points[0].words.zh


# what nobody waits for any more


@pytest.mark.parametrize(
    "end",
    [
        ComplaintReferred(
            complaint_id="complaint", by="desk", agency="health", reason="x", referred_on=TODAY
        ),
        ComplaintClosed(complaint_id="complaint", by="head", closed_on=TODAY),
        ComplaintUnmatched(
            complaint_id="complaint",
            enterprise_id="shop",
            by="desk",
            matching=1,
            reason="同名",
            unmatched_on=TODAY,
        ),
    ],
    ids=lambda fact: fact.type,
)
def test_a_check_that_nobody_waits_for_any_more_is_given_up(shop, end):
    planned = only(VisitPlanned, shop.when(matched(1)))
    said = shop.when(end)
    assert only(VisitCancelled, said).visit_id == planned.visit_id
    assert only(VisitPlanned, shop.when(matched(2))).visit_id != planned.visit_id


def test_a_check_is_given_up_that_was_planned_in_the_same_breath(shop):
    unmatched = ComplaintUnmatched(
        complaint_id="complaint",
        enterprise_id="shop",
        by="desk",
        matching=1,
        reason="同名",
        unmatched_on=TODAY,
    )
    assert only(VisitCancelled, shop.when(matched(1), unmatched))
