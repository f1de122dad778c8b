"""inspection: given facts, then facts."""

import pytest

from contracts.complaints.events import ComplaintAnswered, ComplaintOverdue
from contracts.complaints.types import Stage
from contracts.filing.events import OnsiteReviewRequested
from contracts.inspection.commands import (
    DispatchPatrol,
    ExtendNotice,
    LiftClosure,
    OrderClosure,
    PlanVisit,
    PressNotice,
    Reinspect,
    SignVisit,
)
from contracts.inspection.events import (
    ClosureOrdered,
    ComplaintChecked,
    FeedbackSlipIssued,
    IssueFound,
    IssueRectified,
    NoticeIssued,
    NoticeOverdue,
    OnsiteReviewFailed,
    ProblemSlipIssued,
    PromptSlipIssued,
    SupervisionSlipIssued,
    VisitPlanned,
    VisitRecorded,
    VisitSigned,
)
from contracts.inspection.types import Finding, Grounds, Purpose
from contracts.shapes import Words
from contracts.shared import HourSwept
from rulebook.working_days import end_of
from services.inspection.service import Inspection
from tests.service.sayings import (
    GRID,
    TODAY,
    after,
    complained,
    faults,
    hour,
    only,
    refused,
    registered,
    reopened,
    types,
    visit,
)

REVIEW = OnsiteReviewRequested(
    enterprise_id="shop", filing_id="filing", premises="restaurant", grid=GRID
)
ON_THE_SPOT = Finding(rule="not_cleaned", rectified_on_the_spot=True)
ON_RECORD = Finding(rule="not_cleaned", rectified_on_the_spot=True, on_record=True)
CLOSE = OrderClosure(closure_id="closure", enterprise_id="shop", reason="擅自營業")
LIFT = LiftClosure(closure_id="closure", enterprise_id="shop", reason="已整改", approver="head")


def patrol(**more):
    said = {"patrol_id": "patrol", "agencies": ["street"], "officers": ["A", "B"], "day": TODAY}
    return DispatchPatrol(**said | more)


def reinspect(notice, *, rectified=True, day=TODAY):
    return Reinspect(
        notice_id=notice, enterprise_id="shop", visit_id="again", day=day, rectified=rectified
    )


def extend(notice, due_on):
    return ExtendNotice(
        notice_id=notice, enterprise_id="shop", due_on=due_on, approver="head", reason="缺貨"
    )


def sign(agency):
    return SignVisit(visit_id="visit", enterprise_id="shop", agency=agency, officer="A")


@pytest.fixture
def shop(given):
    return given(Inspection).facts(registered(premises="restaurant"))


@pytest.fixture
def notice(shop):
    """A notice issued today, due in three days."""
    return only(NoticeIssued, shop.when(visit("not_cleaned"))).notice_id


# planning


def test_a_requested_review_is_planned(shop):
    planned = only(VisitPlanned, shop.when(REVIEW))
    assert (planned.purpose, planned.filing_id) == (Purpose.REVIEW, "filing")


def test_a_reopened_enterprise_is_told_the_key_points_for_its_trade(shop):
    slip = only(PromptSlipIssued, shop.when(reopened(premises="restaurant")))
    assert slip.points == shop.service.rulebook.key_points("restaurant")
    assert (slip.addressee, slip.about) == ("enterprise", "shop")


@pytest.mark.parametrize(("premises", "within"), [("mall", 3), ("restaurant", 5)])
def test_a_patrol_is_planned_by_risk(shop, premises, within):
    planned = only(VisitPlanned, shop.when(reopened(premises=premises)))
    assert (planned.purpose, planned.day) == (Purpose.PATROL, after(within))


def test_where_the_risk_asks_for_none_no_patrol_is_planned(shop):
    assert types(shop.when(reopened(premises="office"))) == ["prompt-slip-issued"]


def test_a_complaint_plans_an_urgent_check(shop):
    planned = only(VisitPlanned, shop.when(complained()))
    assert planned.urgent
    assert (planned.purpose, planned.complaint_id) == (Purpose.COMPLAINT, "complaint")


def test_a_complaint_against_nobody_on_record_waits_to_be_matched(shop):
    assert shop.when(complained(enterprise_id=None, against="門口的小店")) == []


def test_a_visit_is_not_planned_for_the_past(shop):
    past = PlanVisit(visit_id="visit", enterprise_id="shop", day=after(-1))
    assert faults(shop.when(past)) == ["day"]


def test_a_team_is_sent_out(shop):
    assert types(shop.when(patrol())) == ["patrol-dispatched"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"officers": []}, "officers"),
        ({"officers": ["A", "A"]}, "officers"),
        ({"agencies": []}, "agencies"),
        ({"grid": "nowhere"}, "grid"),
    ],
)
def test_a_team_is_somebody_once_from_somewhere_to_a_grid_of_the_district(shop, wrong, field):
    assert faults(shop.when(patrol(**wrong))) == [field]


# visits


def test_a_planned_visit_keeps_its_purpose_when_it_is_recorded(shop):
    planned = only(VisitPlanned, shop.when(REVIEW))
    said = shop.when(visit(visit=planned.visit_id))
    assert only(VisitRecorded, said).purpose is Purpose.REVIEW
    assert types(said) == ["visit-recorded", "onsite-review-passed"]


def test_a_review_that_leaves_something_standing_fails(shop):
    planned = only(VisitPlanned, shop.when(REVIEW))
    said = shop.when(visit("dine_in", ON_THE_SPOT, visit=planned.visit_id))
    assert [reason.code for reason in only(OnsiteReviewFailed, said).reasons] == ["dine_in"]


def test_a_review_whose_findings_were_put_right_on_the_spot_passes(shop):
    planned = only(VisitPlanned, shop.when(REVIEW))
    said = shop.when(visit(ON_THE_SPOT, visit=planned.visit_id))
    assert "onsite-review-passed" in types(said)


@pytest.mark.parametrize("findings", [[], ["dine_in"]])
def test_a_check_says_what_was_found_of_the_complaint(shop, findings):
    planned = only(VisitPlanned, shop.when(complained()))
    checked = only(ComplaintChecked, shop.when(visit(*findings, visit=planned.visit_id)))
    assert checked.complaint_id == "complaint"
    assert checked.substantiated == bool(findings)
    assert [point.code for point in checked.points] == findings


def test_a_visit_is_recorded_once(shop):
    assert refused(shop.facts(visit()).when(visit("dine_in"))) == (409, "already-recorded")


def test_a_finding_names_a_rule_and_a_visit_is_over(shop):
    on_record = Finding(rule="not_cleaned", on_record=True)
    wrong = visit("witchcraft", on_record)
    assert faults(shop.when(wrong)) == ["findings/0/rule", "findings/1/on_record"]
    assert faults(shop.when(visit(day=after(1)))) == ["day"]


def test_a_planned_visit_is_to_the_enterprise_for_which_it_was_planned(shop):
    planned = only(VisitPlanned, shop.facts(registered("other")).when(REVIEW))
    said = shop.when(visit(shop="other", visit=planned.visit_id))
    assert faults(said) == ["enterprise_id"]


def test_each_agency_signs_its_own_part_once(shop):
    shop.facts(visit(agencies=["health", "market"]))
    assert not only(VisitSigned, shop.when(sign("health"))).complete
    assert refused(shop.when(sign("health"))) == (409, "already-signed")
    assert faults(shop.when(sign("fire"))) == ["agency"]
    assert only(VisitSigned, shop.when(sign("market"))).complete


# findings


def test_a_finding_is_an_issue_with_a_slip_and_a_notice(shop):
    said = shop.when(visit("not_cleaned"))
    assert types(said) == [
        "visit-recorded",
        "issue-found",
        "problem-slip-issued",
        "notice-issued",
    ]
    version = shop.service.rulebook.checklist_version
    assert version.startswith("fengze-2020-02-10-")
    assert only(IssueFound, said).checklist_version == version
    assert only(NoticeIssued, said).due_on == after(3)
    assert only(ProblemSlipIssued, said).points == [only(IssueFound, said).point]


def test_each_finding_is_an_issue_of_its_own(shop):
    said = shop.when(visit("not_cleaned", "dine_in", "dine_in"))
    assert len({fact.issue_id for fact in said if isinstance(fact, IssueFound)}) == 3


def test_what_was_put_right_on_the_spot_gets_no_notice_but_shows_its_result(shop):
    said = shop.when(visit(ON_THE_SPOT))
    assert types(said) == [
        "visit-recorded",
        "issue-found",
        "issue-rectified",
        "problem-slip-issued",
        "feedback-slip-issued",
    ]
    assert only(IssueRectified, said).on_the_spot


def test_what_is_put_on_record_gets_a_notice_that_is_met_as_it_is_issued(shop):
    said = types(shop.when(visit(ON_RECORD)))
    assert said[said.index("notice-issued") + 1] == "notice-satisfied"


def test_a_grave_issue_closes_at_once(shop):
    said = shop.when(visit("opened_without_approval"))
    closure = only(ClosureOrdered, said)
    assert closure.grounds is Grounds.GRAVE_ISSUE
    assert closure.issue_id == only(IssueFound, said).issue_id
    assert only(FeedbackSlipIssued, said).points[0].code == "closed"


def test_two_grave_issues_close_once(shop):
    said = shop.when(visit("opened_without_approval", "opened_without_approval"))
    assert types(said).count("closure-ordered") == 1


# notices


def test_a_notice_past_due_is_pressed_with_a_supervision_slip(shop, notice):
    assert types(shop.on(after(3)).when(hour(after(3)))) == []
    said = shop.on(after(4)).when(hour(after(4)))
    assert types(said) == ["press-notice", "notice-overdue", "supervision-slip-issued"]
    overdue, slip = only(NoticeOverdue, said), only(SupervisionSlipIssued, said)
    assert (overdue.notice_id, overdue.level, overdue.due_on) == (notice, 1, after(3))
    assert overdue.next_due_on == slip.due_on == after(6)
    assert slip.addressee == "grid-office"


def test_a_notice_that_nobody_meets_climbs_the_ladder_and_closes(shop, notice):
    """Three days, then two, one and one; each lapse is noticed on the day after."""
    pressed = [4, 7, 9]
    slips = []
    for day in range(1, 11):
        said = shop.on(after(day)).when(hour(after(day)))
        assert ("press-notice" in types(said)) == (day in pressed)
        slips += [slip for slip in said if isinstance(slip, SupervisionSlipIssued)]
    offices = ["grid-office", "subdistrict-office", "district-office"]
    assert [slip.addressee for slip in slips] == offices
    assert [slip.due_on for slip in slips] == [after(6), after(8), after(10)]
    assert slips[0].to.zh == "泉秀街道網格辦公室"
    said = shop.on(after(11)).when(hour(after(11)))
    assert only(NoticeOverdue, said).next_due_on is None
    closure = only(ClosureOrdered, said)
    assert (closure.grounds, closure.notice_id) == (Grounds.OVERDUE_NOTICE, notice)
    assert only(SupervisionSlipIssued, said).due_on is None
    assert types(shop.on(after(30)).when(hour(after(30)))) == []


def test_a_reinspection_that_finds_it_put_right_satisfies_the_notice(shop, notice):
    said = shop.when(reinspect(notice))
    assert types(said) == [
        "visit-recorded",
        "issue-rectified",
        "notice-reinspected",
        "notice-satisfied",
        "feedback-slip-issued",
    ]
    assert only(VisitRecorded, said).notice_id == notice
    assert types(shop.on(after(9)).when(hour(after(9)))) == []


def test_a_reinspection_that_finds_it_as_it_was_leaves_the_notice_open(shop, notice):
    said = types(shop.when(reinspect(notice, rectified=False)))
    assert said == ["visit-recorded", "notice-reinspected"]
    assert "notice-overdue" in types(shop.on(after(4)).when(hour(after(4))))


def test_a_notice_that_is_settled_is_not_touched(shop, notice):
    shop.facts(reinspect(notice))
    assert refused(shop.when(reinspect(notice))) == (409, "notice-settled")
    assert refused(shop.when(extend(notice, after(9)))) == (409, "notice-settled")


def test_an_extended_notice_is_due_on_its_later_day(shop, notice):
    assert types(shop.when(extend(notice, after(5)))) == ["notice-extended"]
    assert types(shop.on(after(5)).when(hour(after(5)))) == []
    assert "notice-overdue" in types(shop.on(after(6)).when(hour(after(6))))


def test_an_extension_is_to_a_later_day(shop, notice):
    assert faults(shop.when(extend(notice, after(3)))) == ["due_on"]


@pytest.mark.parametrize(("level", "due"), [(1, 3), (0, 2)])
def test_a_press_for_what_has_come_between_says_nothing(shop, notice, level, due):
    due_at = end_of(after(due))
    stale = PressNotice(notice_id=notice, enterprise_id="shop", level=level, due_at=due_at)
    assert types(shop.when(stale)) == []


def test_what_is_not_on_record_is_not_found(shop):
    for command in (reinspect("?"), extend("?", after(9)), sign("health"), LIFT):
        assert refused(shop.when(command)) == (404, "not-found")


# closures


def test_a_closure_by_hand_shows_its_result(shop):
    said = shop.when(CLOSE)
    assert types(said) == ["closure-ordered", "feedback-slip-issued"]
    assert only(ClosureOrdered, said).grounds is Grounds.ORDER


def test_one_closure_stands_at_a_time(shop):
    another = OrderClosure(**CLOSE.__dict__ | {"closure_id": "another"})
    assert refused(shop.facts(CLOSE).when(another)) == (409, "already-closed")
    assert types(shop.when(LIFT)) == ["closure-lifted", "feedback-slip-issued"]
    assert refused(shop.when(LIFT)) == (409, "already-lifted")
    assert "closure-ordered" in types(shop.when(another))


def test_a_grave_issue_of_closed_premises_orders_nothing_more(shop):
    said = shop.facts(CLOSE).when(visit("opened_without_approval"))
    assert "issue-found" in types(said)
    assert "closure-ordered" not in types(said)


# slips on complaints


@pytest.mark.parametrize("stage", Stage)
def test_an_overdue_complaint_gets_a_supervision_slip(shop, stage):
    about = {"complaint_id": "complaint", "stage": stage}
    overdue = ComplaintOverdue(**about, due_on=TODAY, overdue_on=after(1))
    slip = only(SupervisionSlipIssued, shop.when(overdue))
    assert (slip.about, slip.addressee) == ("complaint", "complaints-desk")


def test_an_answered_complaint_shows_its_result(shop):
    answered = ComplaintAnswered(
        complaint_id="complaint",
        answer=Words(zh="已處理", en="Dealt with"),
        substantiated=True,
        by="desk",
        answered_on=TODAY,
    )
    slip = only(FeedbackSlipIssued, shop.when(answered))
    assert "Dealt with" in slip.points[0].words.en
    assert "已處理" in slip.points[0].words.zh


# hours


@pytest.fixture
def overdue(shop):
    """250 notices past due, the later the higher their number, on as many enterprises."""
    names = [f"shop-{n:03}" for n in range(250)]
    shop.facts(*(registered(name) for name in names))
    for day in range(5):
        some = names[day * 50 : day * 50 + 50]
        shop.on(after(day)).facts(
            *(visit("not_cleaned", shop=n, visit=f"v-{n}", day=after(day)) for n in some)
        )
    return shop.on(after(30))


def pressed(said):
    return [fact for fact in said if isinstance(fact, PressNotice)]


def test_an_hour_presses_every_notice_past_due_the_oldest_first_page_by_page(overdue):
    said = overdue.when(hour(after(30)))
    due = [command.due_at for command in pressed(said)]
    assert len(due) == 250
    assert due == sorted(due)
    swept = [(f.cases, f.last) for f in said if isinstance(f, HourSwept)]
    assert swept == [(0, False), (100, False), (100, False), (50, True)]
    assert types(said).count("notice-overdue") == 250


def test_the_next_hour_presses_nothing_twice_though_it_comes_before_the_commands(overdue):
    said = overdue.when(hour(after(30), 0), hour(after(30), 1))
    assert len({command.notice_id for command in pressed(said)}) == len(pressed(said)) == 250
    assert types(said).count("notice-overdue") == 250


def test_an_hour_looked_at_twice_presses_nothing_twice(overdue):
    once = overdue.message(hour(after(30)))
    said = overdue.deliver(once) + overdue.deliver(once)
    assert types(said).count("notice-overdue") == 250
