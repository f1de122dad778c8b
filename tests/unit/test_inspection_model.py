"""The aggregates of inspection by themselves: they guard, then state the fact."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.inspection.commands import (
    AcknowledgeSlip,
    DispatchPatrol,
    ExtendNotice,
    LiftClosure,
    RecordVisit,
    Reinspect,
    ReinspectClosure,
    SignVisit,
)
from contracts.inspection.events import IssueFound, NoticeOverdue, PromptSlipIssued
from contracts.inspection.types import Grounds, Lifting, Purpose, Severity
from contracts.shapes import Words
from rulebook import Rulebook
from rulebook.chapters.inspection import Until
from rulebook.working_days import SHANGHAI, end_of
from services.inspection import model as inspection
from tests.unit.sayings import DIRTY, TODAY, WORDS, day, said

NOW = datetime(2020, 2, 10, 9, tzinfo=SHANGHAI)
RULE = Rulebook.load().extension
SLIP = PromptSlipIssued(
    slip_id="slip",
    about="shop",
    addressee="enterprise",
    to=WORDS,
    points=[DIRTY],
    text=Words(zh="提示單", en="Prompt slip"),
    issued_on=TODAY,
)


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
    made = inspection.Notice.issue(found(severity), Until(end_of(day(3))), TODAY)
    made.take_pending()
    return made


def reinspect(*, rectified=False, left=()):
    about = {"notice_id": "n", "enterprise_id": "shop", "visit_id": "v", "day": TODAY}
    return Reinspect(**about, rectified=rectified, left=list(left))


def look_again(on=TODAY, **more):
    about = {"closure_id": "c1", "enterprise_id": "shop", "visit_id": "again", "day": on}
    return ReinspectClosure(**about | more)


def lift(**more):
    return LiftClosure(closure_id="c1", enterprise_id="shop", reason="已整改", **more)


def extend(to, **more):
    return ExtendNotice(
        notice_id="n", enterprise_id="shop", due_on=to, approver="head", reason="缺貨", **more
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
    made = inspection.Notice.issue(found(rectified=True, on_record=True), Until(NOW), TODAY)
    assert said(made) == ["notice-issued", "notice-satisfied"]
    with pytest.raises(inspection.NoticeSettled):
        made.satisfy(TODAY)


def test_a_notice_is_pressed_with_grace_and_without_it_ends():
    made = notice()
    made.bear("豐整〔2020〕0001號")
    for n, grace in enumerate([Until(end_of(day(6))), Until(end_of(day(8))), None], start=1):
        assert made.is_open
        made.press(f"office-{n}", grace)
    assert made.state == inspection.NoticeState.ENDED_IN_CLOSURE
    facts = made.take_pending()
    assert all(isinstance(fact, NoticeOverdue) for fact in facts)
    assert [fact.level for fact in facts] == [1, 2, 3]
    assert [fact.due_on for fact in facts] == [day(3), day(6), day(8)]
    assert [fact.next_due_on for fact in facts] == [day(6), day(8), None]
    assert [fact.addressee for fact in facts] == ["office-1", "office-2", "office-3"]
    assert {fact.notice_number for fact in facts} == {"豐整〔2020〕0001號"}


def test_a_notice_is_extended_so_often_and_by_another_than_who_asks():
    made = notice()
    with pytest.raises(inspection.NotAcceptable) as error:
        made.extend(extend(day(2), by="head"), RULE, TODAY)
    assert [fault["pointer"] for fault in error.value.errors] == ["#/due_on", "#/approver"]
    made.extend(extend(day(4), by="head"), replace(RULE, other_approver=False), TODAY)
    made.extend(extend(day(5), by="officer"), RULE, TODAY)
    with pytest.raises(inspection.ExtendedTooOften) as refused:
        made.extend(extend(day(6)), RULE, TODAY)
    assert refused.value.extra["extensions"] == 2
    assert said(made) == ["notice-extended", "notice-extended"]


def test_what_is_left_of_a_notice_only_becomes_less():
    made = notice()
    for left in (["後廚", "大堂"], [], ["大堂"]):
        asked = reinspect(left=left)
        made.must_allow(asked)
        made.reinspect(asked)
    assert [fact.left for fact in made.take_pending()] == [
        ["後廚", "大堂"],
        ["後廚", "大堂"],
        ["大堂"],
    ]
    for wrong in (["後廚"], ["大堂", "大堂"]):
        with pytest.raises(inspection.NotAcceptable):
            made.must_allow(reinspect(left=wrong))
    with pytest.raises(inspection.NotAcceptable):
        made.must_allow(reinspect(rectified=True, left=["大堂"]))
    made.reinspect(reinspect(rectified=True))
    assert (said(made), made.left) == (["notice-reinspected", "notice-satisfied"], [])
    with pytest.raises(inspection.NoticeSettled):
        made.must_allow(reinspect())


@pytest.mark.parametrize(
    ("today", "counted", "due"),
    [(0, 5, 5), (0, 2, 2), (2, 1, 2), (4, 5, 5), (4, 1, 3), (1, 3, 3)],
)
def test_a_calendar_moves_a_deadline_but_makes_nothing_overdue_in_hindsight(today, counted, due):
    made = notice()
    made.move(Until(end_of(day(counted)), TODAY, 2, "2020-1"), day(today))
    assert made.due_on == day(due)
    assert said(made) == ([] if due == 3 else ["notice-deadline-moved"])
    assert made.calendar == "2020-1"


def test_a_closure_is_lifted_by_a_clean_reinspection_or_by_an_approver(premises):
    closure = inspection.Closure.order("c1", premises, Grounds.ORDER, WORDS, TODAY)
    with pytest.raises(inspection.NotReinspected):
        closure.lift(lift(), premises, RULE, TODAY)
    with pytest.raises(inspection.NotAcceptable):
        closure.lift(lift(by="head", approver="head"), premises, RULE, TODAY)
    wrong = look_again(on=day(-1), standing=["another"])
    with pytest.raises(inspection.NotAcceptable) as error:
        closure.must_allow(wrong, {"issue"})
    assert [fault["pointer"] for fault in error.value.errors] == ["#/standing/0", "#/day"]
    closure.reinspect(look_again())
    closure.reinspect(look_again(standing=["issue"]))
    with pytest.raises(inspection.NotReinspected):
        closure.lift(lift(), premises, RULE, TODAY)
    closure.reinspect(look_again())
    for refused, standing in (({}, {"issue"}), ({"visit_id": "another"}, ())):
        with pytest.raises(inspection.NotReinspected):
            closure.lift(lift(**refused), premises, RULE, TODAY, standing=standing)
    fact = closure.lift(lift(visit_id="again"), premises, RULE, TODAY)
    assert (fact.ground, fact.visit_id) == (Lifting.REINSPECTION, "again")
    assert premises.closure_id is None


def test_a_slip_is_acknowledged_once_and_its_number_stands_above_its_text():
    slip = inspection.Slip.issue(SLIP)
    slip.bear("豐提〔2020〕0001號")
    assert slip.text == {
        "zh": "豐提〔2020〕0001號\n提示單",
        "en": "豐提〔2020〕0001號\nPrompt slip",
    }
    asked = AcknowledgeSlip(slip_id="slip", about="shop", by="owner")
    first = slip.acknowledge(asked, NOW)
    assert slip.acknowledge(asked, NOW + timedelta(days=1)) == first
    assert (first.acknowledged_by, first.acknowledged_at) == ("owner", NOW)
    assert said(slip) == ["prompt-slip-issued", "slip-acknowledged"]
    other = AcknowledgeSlip(slip_id="slip", about="shop", by="clerk")
    with pytest.raises(inspection.AlreadyAcknowledged) as refused:
        slip.acknowledge(other, NOW)
    assert refused.value.extra["acknowledged_by"] == "owner"


@given(later=st.integers(-5, 10), now=st.integers(0, 8))
def test_an_extension_is_after_the_day_set_and_after_today(later, now):
    made = notice()
    if later > max(3, now):
        made.extend(extend(day(later)), RULE, day(now))
        assert (said(made), made.due_on) == (["notice-extended"], day(later))
    else:
        with pytest.raises(inspection.NotAcceptable):
            made.extend(extend(day(later)), RULE, day(now))
        assert (said(made), made.due_on) == ([], day(3))


def test_one_closure_stands_at_a_time(premises):
    closure = inspection.Closure.order("c1", premises, Grounds.ORDER, WORDS, TODAY)
    with pytest.raises(inspection.AlreadyClosed):
        inspection.Closure.order("c2", premises, Grounds.ORDER, WORDS, TODAY)
    closure.lift(lift(approver="head"), premises, RULE, TODAY)
    assert said(closure) == ["closure-ordered", "closure-lifted"]
    with pytest.raises(inspection.AlreadyLifted):
        closure.lift(lift(approver="head"), premises, RULE, TODAY)
    inspection.Closure.order("c2", premises, Grounds.ORDER, WORDS, TODAY)
