"""The aggregates by themselves, without a database: they guard, then state the fact."""

from datetime import date, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.complaints import FileComplaint, Stage, Track
from contracts.filing import (
    Decision,
    EnterpriseReopened,
    Kind,
    RegisterEnterprise,
    ReportRoster,
    RosterReported,
    Size,
    SubmitFiling,
)
from contracts.inspection import (
    DispatchPatrol,
    ExtendNotice,
    Grounds,
    IssueFound,
    NoticeOverdue,
    Purpose,
    RecordVisit,
    Severity,
    SignVisit,
)
from contracts.insurance import (
    Casualty,
    ClaimDecision,
    ClaimFiled,
    DecideClaim,
    FileClaim,
    HolderKind,
    PolicyIssued,
)
from contracts.shapes import Point, Words
from rulebook import Rulebook
from services.complaints import model as complaints
from services.filing import model as filing
from services.inspection import model as inspection
from services.insurance import model as insurance

TODAY = date(2020, 2, 10)
DIRTY = Point(code="not_cleaned", words=Words(zh="未清潔", en="Not cleaned"))
WORDS = Words(zh="好", en="Good")
WORKING = Rulebook.load().working_days_after


def day(number):
    return TODAY + timedelta(days=number)


def said(aggregate):
    return [fact.type for fact in aggregate.unsaid()]


# filing


def enterprise():
    asked = RegisterEnterprise(
        enterprise_id="shop",
        credit_code="91350100M000100Y43",
        name="店",
        kind=Kind.SOLE_TRADER,
        size=Size.MICRO,
        industry="F5211",
        premises="office",
        grid="350503003",
    )
    return filing.Enterprise.register(asked, TODAY)


def submit(shop, **more):
    about = {"filing_id": "filing", "enterprise_id": "shop", "reopen_on": TODAY, "headcount": 5}
    return shop.submit(SubmitFiling(**about | more), TODAY)


@pytest.fixture
def shop():
    made = enterprise()
    made.unsaid()
    return made


@pytest.fixture
def open_shop(shop):
    shop.reopen(submit(shop), TODAY)
    shop.unsaid()
    return shop


def test_what_is_registered_says_so_once():
    made = enterprise()
    assert said(made) == ["enterprise-registered"]
    assert said(made) == []


def test_an_enterprise_reopens_with_the_headcount_of_its_filing(shop):
    shop.reopen(submit(shop, headcount=7, out_of_province=2), TODAY)
    (fact,) = shop.unsaid()
    assert isinstance(fact, EnterpriseReopened)
    assert (fact.headcount, fact.out_of_province) == (7, 2)
    assert shop.live_filing_id is None


def test_a_filing_is_live_until_it_ends(shop):
    made = submit(shop)
    with pytest.raises(filing.FilingLive):
        submit(shop)
    made.send_back(shop, [DIRTY], "rule")
    assert said(made) == ["filing-submitted", "filing-returned"]
    assert not made.is_live
    assert submit(shop).is_live


def test_a_refused_filing_leaves_no_trace(shop):
    with pytest.raises(filing.NotAcceptable):
        submit(shop, reopen_on=day(-1))
    assert shop.live_filing_id is None
    assert said(shop) == []


def test_a_return_without_a_reason_leaves_the_filing_as_it_was(shop):
    made = submit(shop)
    with pytest.raises(filing.NotAcceptable):
        made.decide(shop, Decision.RETURN, [], "officer", five_small=False)
    assert made.is_live
    assert said(made) == ["filing-submitted"]


def test_five_small_premises_that_were_seen_may_be_approved_by_hand(shop):
    made = submit(shop)
    with pytest.raises(filing.MustBeSeenFirst):
        made.decide(shop, Decision.APPROVE, [], "officer", five_small=True)
    made.seen_on_site = True
    made.decide(shop, Decision.APPROVE, [], "officer", five_small=True)
    assert said(made)[-1] == "filing-approved"


def test_a_suspended_enterprise_is_released_by_its_own_closure_only(open_shop):
    open_shop.suspend("closure", TODAY)
    open_shop.release("another", TODAY)
    assert said(open_shop) == ["enterprise-suspended"]
    with pytest.raises(filing.OrderedClosed) as error:
        submit(open_shop)
    assert error.value.problem()["closure_id"] == "closure"
    open_shop.release("closure", TODAY)
    assert said(open_shop) == ["suspension-lifted"]


@given(staff=st.integers(0, 50), unfit=st.integers(0, 50), strangers=st.integers(0, 50))
def test_who_is_on_duty_is_fit_and_counted_once(staff, unfit, strangers):
    shop = enterprise()
    shop.reopen(submit(shop), TODAY)
    shop.unsaid()
    roster = ReportRoster(
        enterprise_id="shop", day=TODAY, staff=staff, unfit=unfit, out_of_province=strangers
    )
    try:
        fact = shop.report(roster, TODAY)
    except filing.NotAcceptable:
        assert unfit > staff or strangers > staff - unfit
        assert shop.unsaid() == []
    else:
        assert isinstance(fact, RosterReported)
        assert 0 <= fact.out_of_province <= fact.on_duty == staff - unfit


# inspection


@pytest.fixture
def premises():
    return inspection.Premises(enterprise_id="shop", kind="restaurant", grid="350503003")


def found(severity=Severity.ORDINARY, *, rectified=False, on_record=False):
    return IssueFound(
        issue_id="issue",
        enterprise_id="shop",
        visit_id="visit",
        point=DIRTY,
        severity=severity,
        checklist_version="v",
        found_on=TODAY,
        rectified_on_the_spot=rectified,
        on_record=on_record,
    )


def notice(severity=Severity.ORDINARY):
    made = inspection.Notice.issue(found(severity), 3)
    made.unsaid()
    return made


def extend(to):
    return ExtendNotice(
        notice_id="n", enterprise_id="shop", due_on=to, approver="head", reason="缺貨"
    )


def test_a_team_of_nobody_is_not_sent_out():
    nobody = DispatchPatrol(patrol_id="p", agencies=[], officers=["A", "A"], day=TODAY)
    with pytest.raises(inspection.NotAcceptable) as error:
        inspection.Patrol.dispatch(nobody)
    assert [fault["pointer"] for fault in error.value.errors] == ["#/agencies", "#/officers"]


def test_a_visit_is_recorded_once_and_not_before_its_day(premises):
    visit = inspection.Visit.plan("visit", premises, Purpose.PATROL, TODAY)
    with pytest.raises(inspection.NotAcceptable):
        visit.carry_out(RecordVisit(visit_id="visit", enterprise_id="shop", day=day(1)), TODAY)
    asked = RecordVisit(visit_id="visit", enterprise_id="shop", day=TODAY)
    visit.carry_out(asked, TODAY)
    with pytest.raises(inspection.AlreadyRecorded):
        visit.carry_out(asked, TODAY)
    assert said(visit) == ["visit-planned", "visit-recorded"]


@given(st.permutations(["health", "market", "street"]))
def test_a_visit_is_signed_for_when_every_agency_has_signed(order):
    premises = inspection.Premises(enterprise_id="shop", kind="restaurant", grid="350503003")
    visit = inspection.Visit.unplanned("visit", premises, Purpose.PATROL)
    asked = RecordVisit(
        visit_id="visit", enterprise_id="shop", day=TODAY, agencies=["street", "health", "market"]
    )
    visit.carry_out(asked, TODAY)
    signs = [
        SignVisit(visit_id="visit", enterprise_id="shop", agency=agency, officer="A")
        for agency in order
    ]
    assert [visit.sign(one).complete for one in signs] == [False, False, True]


def test_an_issue_is_put_right_once():
    issue = inspection.Issue.find(found(rectified=True))
    assert said(issue) == ["issue-found", "issue-rectified"]
    with pytest.raises(inspection.AlreadyRectified):
        issue.rectify(TODAY)


def test_a_notice_put_on_record_is_met_as_it_is_issued():
    made = inspection.Notice.issue(found(rectified=True, on_record=True), 3)
    assert said(made) == ["notice-issued", "notice-satisfied"]
    with pytest.raises(inspection.NoticeSettled):
        made.satisfy(TODAY)


@pytest.mark.parametrize("presses", [0, 1, 3])
def test_a_notice_is_pressed_so_often_and_then_closes(presses):
    made = notice()
    ends = [made.press(2, presses, day(4 * n)) for n in range(1, presses + 2)]
    assert ends == [False] * presses + [True]
    facts = made.unsaid()
    assert all(isinstance(fact, NoticeOverdue) for fact in facts)
    assert [fact.level for fact in facts] == list(range(1, presses + 2))
    assert [fact.next_due_on is None for fact in facts] == ends
    assert not made.is_open


def test_a_grave_notice_gets_no_further_day():
    assert notice(Severity.GRAVE).press(2, 9, day(4))


@given(later=st.integers(-5, 10), now=st.integers(0, 8))
def test_an_extension_is_after_the_day_set_and_after_today(later, now):
    made = notice()
    if later > max(3, now):
        made.extend(extend(day(later)), day(now))
        assert (said(made), made.due_on) == (["notice-extended"], day(later))
    else:
        with pytest.raises(inspection.NotAcceptable):
            made.extend(extend(day(later)), day(now))
        assert (said(made), made.due_on) == ([], day(3))


def test_one_closure_stands_at_a_time(premises):
    closure = inspection.Closure.order("c1", premises, Grounds.ORDER, WORDS, TODAY)
    with pytest.raises(inspection.AlreadyClosed):
        inspection.Closure.order("c2", premises, Grounds.ORDER, WORDS, TODAY)
    closure.lift(premises, "已整改", TODAY)
    assert said(closure) == ["closure-ordered", "closure-lifted"]
    with pytest.raises(inspection.AlreadyLifted):
        closure.lift(premises, "已整改", TODAY)
    inspection.Closure.order("c2", premises, Grounds.ORDER, WORDS, TODAY)


# complaints


def complaint(on=TODAY):
    asked = FileComplaint(
        complaint_id="complaint",
        track=Track.REPORT,
        channel="12315",
        content="堂食",
        enterprise_id="shop",
    )
    made = complaints.Complaint.receive(asked, on, 7, 15, WORKING)
    made.unsaid()
    return made


@settings(deadline=None)
@given(filed=st.integers(0, 60), pause=st.integers(0, 20), stood=st.integers(0, 30))
def test_a_pause_moves_the_deadlines_by_the_working_days_that_it_lasted(filed, pause, stood):
    book = Rulebook.load()
    made = complaint(day(filed))
    accept_by, answer_by = made.accept_by, made.answer_by
    begins, ends = day(filed + pause), day(filed + pause + stood)
    made.pause("檢測", begins)
    assert made.clock_due_on is None
    days = book.working_days_between(begins, ends)
    made.resume(ends, days, WORKING)
    assert book.working_days_between(accept_by, made.accept_by) == days
    assert book.working_days_between(answer_by, made.answer_by) == days
    assert made.clock_due_on == made.accept_by


def test_a_clock_runs_out_once_and_the_next_one_starts_with_acceptance():
    made = complaint()
    for _ in range(2):
        made.run_out(Stage.ACCEPTANCE, made.accept_by, day(20))
    assert said(made) == ["complaint-overdue"]
    made.accept("desk", day(20), WORKING(day(20), 15))
    made.run_out(Stage.ACCEPTANCE, made.accept_by, day(30))
    assert said(made) == ["complaint-accepted"]
    made.run_out(Stage.ANSWER, made.answer_by, day(60))
    assert said(made) == ["complaint-overdue"]


@pytest.mark.parametrize("moved", [-1, 1])
def test_a_clock_does_not_run_out_on_a_day_that_is_no_longer_its_own(moved):
    made = complaint()
    made.run_out(Stage.ACCEPTANCE, made.accept_by + timedelta(days=moved), day(60))
    assert said(made) == []


def test_nobody_on_record_gets_no_penalty():
    made = complaint()
    made.enterprise_id = None
    made.penalise(DIRTY, [DIRTY], TODAY)
    assert said(made) == []


def test_what_has_ended_is_not_touched():
    made = complaint()
    made.answer(WORDS, "desk", TODAY, substantiated=False)
    for touch in (
        lambda: made.accept("desk", TODAY, TODAY),
        lambda: made.refuse("desk", "x", TODAY),
        lambda: made.pause("x", TODAY),
        lambda: made.resume(TODAY, 0, WORKING),
        lambda: made.answer(WORDS, "desk", TODAY, substantiated=True),
    ):
        with pytest.raises(complaints.AlreadyEnded):
            touch()
    assert said(made) == ["complaint-answered"]


# insurance


def policy(on=TODAY, years=1, sum_insured=300_000):
    return insurance.Policy.issue("scheme", HolderKind.MEDIC, "medic", on, years, sum_insured)


def claim(on=TODAY):
    return FileClaim(
        claim_id="claim",
        medic_id="medic",
        policy_id="p",
        casualty=Casualty.DEATH,
        occurred_on=on,
    )


def decide(decision, reason=""):
    return DecideClaim(
        claim_id="claim", medic_id="medic", decision=decision, by="insurer", reason=reason
    )


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 5))
@example(date(2020, 2, 29), 1)
@example(date(2020, 2, 29), 4)
def test_cover_ends_the_day_before_its_anniversary(start, years):
    (fact,) = policy(start, years).unsaid()
    assert isinstance(fact, PolicyIssued)
    try:
        anniversary = start.replace(year=start.year + years)
    except ValueError:  # 29 February, in a year that has none
        anniversary = date(start.year + years, 3, 1)
    assert fact.covers_until + timedelta(days=1) == anniversary


@pytest.mark.parametrize("on", [day(-1), day(366), day(6)])
def test_a_casualty_outside_the_term_or_still_to_come_is_not_claimed_for(on):
    with pytest.raises(insurance.NotAcceptable):
        policy().claim(claim(on), day(5))


def test_a_claim_is_decided_once_and_paid_once():
    made = policy().claim(claim(), TODAY)
    (filed,) = made.unsaid()
    assert isinstance(filed, ClaimFiled)
    with pytest.raises(insurance.NotApproved):
        made.pay("P-1", TODAY)
    made.decide(decide(ClaimDecision.APPROVE))
    with pytest.raises(insurance.AlreadyDecided):
        made.decide(decide(ClaimDecision.REJECT, "reason"))
    made.pay("P-1", TODAY)
    with pytest.raises(insurance.NotApproved):
        made.pay("P-1", TODAY)
    assert said(made) == ["claim-approved", "claim-paid"]


def test_a_rejection_without_a_reason_decides_nothing():
    made = policy().claim(claim(), TODAY)
    with pytest.raises(insurance.NotAcceptable):
        made.decide(decide(ClaimDecision.REJECT))
    made.decide(decide(ClaimDecision.REJECT, "不屬保險責任"))
    assert said(made) == ["claim-filed", "claim-rejected"]
