"""What inspection tells of itself: each refusal whole, and what is kept of a visit."""

import time
from dataclasses import replace

import pytest

from chassis.ids import derived_id
from contracts.filing.events import EnterpriseReopened, RosterReported
from contracts.filing.types import Kind
from contracts.inspection.commands import (
    AcknowledgeSlip,
    CancelVisit,
    DispatchPatrol,
    DrawPatrolPlan,
    PlanVisit,
    RecordPart,
    RecordVisit,
    ReplanVisit,
    SignVisit,
)
from contracts.inspection.types import Finding, Grounds, Purpose, VisitWarning
from rulebook.chapters.inspection import Until
from rulebook.working_days import end_of
from services.inspection import model as inspection
from services.inspection.model import Visit
from tests.unit.sayings import DIRTY, TODAY, WORDS, day, refusal, told
from tests.unit.test_inspection_model import (
    NOW,
    RULE,
    SLIP,
    extend,
    found,
    lift,
    look_again,
    notice,
    reinspect,
)

OF = {"visit_id": "visit", "enterprise_id": "shop"}
DINE_IN = Finding(rule="dine_in")
WARNING = VisitWarning(code="same_day", words=WORDS, visit_id="other", agencies=["health"])


@pytest.fixture
def premises():
    return inspection.Premises(enterprise_id="shop", kind="restaurant", grid="350503003")


@pytest.fixture
def closure(premises):
    made = inspection.Closure.order("c1", premises, Grounds.ORDER, WORDS, TODAY)
    made.take_pending()
    return made


@pytest.fixture
def planned(premises):
    made = Visit.plan("visit", premises, Purpose.PATROL, TODAY)
    made.take_pending()
    return made


def plan(premises, *agencies, joint=False, warnings=()):
    asked = PlanVisit(**OF, day=TODAY, agencies=[*agencies], joint=joint)
    return Visit.plan_by_hand(asked, premises, warnings)


@pytest.fixture
def joint(premises):
    made = plan(premises, "health", "market", joint=True)
    made.carry_out(record(findings=[DINE_IN]), TODAY, checklist_version="v1")
    made.take_pending()
    return made


def record(**more):
    return RecordVisit(**OF | {"day": TODAY} | more)


# patrols


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"agencies": []}, ("agencies", "names nobody")),
        ({"officers": []}, ("officers", "names nobody")),
        ({"agencies": ["health", "health"]}, ("agencies", "names somebody twice")),
    ],
)
def test_a_patrol_is_told_whom_it_lacks(given, says):
    asked = {"patrol_id": "p", "agencies": ["health"], "officers": ["A"], "day": TODAY} | given
    assert told(inspection.Patrol.dispatch, DispatchPatrol(**asked)) == [says]


def test_a_patrol_keeps_who_goes_out_and_for_whom():
    asked = DispatchPatrol(patrol_id="p", agencies=["health"], officers=["A", "B"], day=TODAY)
    made = inspection.Patrol.dispatch(asked)
    assert (made.id, made.day) == ("p", TODAY)
    assert (made.agencies, made.officers) == (["health"], ["A", "B"])


def test_a_plan_keeps_whose_day_it_is():
    asked = DrawPatrolPlan(plan_id="plan", grid="350503003", day=TODAY, officers=["A"])
    made = inspection.PatrolPlan.draw(asked, [], capacity=8, left_out=2, rules_version="r")
    assert (made.officers, made.enterprises) == (["A"], [])
    (fact,) = made.take_pending()
    assert (fact.capacity, fact.left_out, fact.rules_version) == (8, 2, "r")


# visits


@pytest.mark.parametrize(
    ("on", "says"), [(-1, f"lies before today, {TODAY}"), (0, "is its day already")]
)
def test_a_visit_is_told_why_it_is_not_put_off_to_that_day(planned, on, says):
    asked = ReplanVisit(**OF, day=day(on), reason="下雨")
    assert told(planned.replan, asked, TODAY) == [("day", says)]


def test_a_visit_that_is_put_off_says_what_to_look_out_for(planned):
    asked = ReplanVisit(**OF, day=day(1), reason="下雨")
    fact = planned.replan(asked, TODAY, [WARNING])
    assert (fact.day, fact.day_before, fact.warnings) == (day(1), TODAY, [WARNING])


@pytest.mark.parametrize("waits", [{"filing_id": "filing"}, {"complaint_id": "complaint"}])
def test_a_person_does_not_give_up_a_visit_that_something_waits_for(premises, waits):
    made = Visit.plan("visit", premises, Purpose.REVIEW, TODAY, **waits)
    asked = CancelVisit(**OF, reason="下雨")
    with pytest.raises(inspection.StillAwaited):
        made.cancel(asked)
    made.cancel(asked, by_rule=True)
    assert made.state == "cancelled"


def test_a_visit_that_is_planned_says_who_makes_it(premises):
    (fact,) = plan(premises, "health", "market", joint=True, warnings=[WARNING]).take_pending()
    assert (fact.agencies, fact.joint) == (["health", "market"], True)
    assert (fact.urgent, fact.warnings) == (False, [WARNING])


def test_a_visit_that_a_rule_plans_is_urgent_only_if_the_rule_says_so(premises):
    (fact,) = Visit.plan("visit", premises, Purpose.PATROL, TODAY).take_pending()
    assert fact.urgent is False


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"day": day(1)}, [("day", f"lies after today, {TODAY}")]),
        ({"device": "d"}, [("client_id", "goes with device")]),
        ({"client_id": "c"}, [("device", "goes with client_id")]),
        ({"agencies": ["health", "health"]}, [("agencies", "names somebody twice")]),
        ({"joint": True}, [("agencies", "names nobody")]),
        ({"joint": True, "agencies": ["health"]}, [("agencies", "names fewer than 2")]),
    ],
)
def test_a_record_is_told_what_it_cannot_say(planned, given, says):
    assert told(planned.carry_out, record(**given), TODAY) == says
    assert planned.is_planned


@pytest.mark.parametrize("about", [{}, {"filing_id": "filing", "complaint_id": "complaint"}])
def test_a_record_says_all_that_the_visit_is_about(premises, about):
    made = Visit.plan("visit", premises, Purpose.REVIEW, TODAY, **about)
    asked = record(agencies=["health"], patrol_id="p", answers={"masks": "some_without"})
    fact = made.carry_out(
        asked, TODAY, "notice", checklist_version="v1", findings=[DINE_IN], warnings=[WARNING]
    )
    assert fact.purpose == "review"
    assert (fact.filing_id, fact.complaint_id) == (
        about.get("filing_id"),
        about.get("complaint_id"),
    )
    assert (fact.notice_id, fact.patrol_id, fact.grid) == ("notice", "p", "350503003")
    assert (fact.agencies, fact.joint, fact.day) == (["health"], False, TODAY)
    assert (fact.findings, fact.answers) == ([DINE_IN], {"masks": "some_without"})
    assert (fact.checklist_version, fact.warnings) == ("v1", [WARNING])
    assert (fact.device, fact.client_id, made.recorded) == (None, None, None)


def test_what_a_visit_found_is_kept_with_its_checklist_whoever_found_it(joint):
    asked = RecordPart(**OF, agency="health", checklist_version="v2")
    joint.add_part(asked, [replace(DINE_IN, rectified_on_the_spot=True), DINE_IN], "v2")
    assert joint.found == [
        {"rule": "dine_in", "version": "v1", "stands": True},
        {"rule": "dine_in", "version": "v2", "stands": False},
        {"rule": "dine_in", "version": "v2", "stands": True},
    ]


def test_a_joint_visit_is_recorded_as_one(premises):
    fact = plan(premises, "health", "market", joint=True).carry_out(record(), TODAY)
    assert (fact.joint, fact.agencies) == (True, ["health", "market"])


def test_a_visit_that_nobody_planned_was_not_urgent(premises):
    made = Visit.unplanned("visit", premises, Purpose.PATROL)
    made.carry_out(record(), TODAY)
    assert (made.urgent, made.day) == (False, TODAY)


def test_who_took_no_part_in_a_visit_neither_signs_nor_adds(joint):
    says = [("agency", "took no part in the visit")]
    assert told(joint.sign, SignVisit(**OF, agency="police", officer="A")) == says
    assert told(joint.add_part, RecordPart(**OF, agency="police"), [], "v1") == says


# what phones send


SENT = {"device": "phone-7", "client_id": "n-1"}


@pytest.fixture
def sent(planned):
    planned.carry_out(record(**SENT, findings=[DINE_IN]), TODAY, checklist_version="v1")
    return planned


@pytest.mark.parametrize("more", [{}, {"by": "officer-2"}, {"seen_version": 7}])
def test_what_is_sent_again_is_known_whoever_sends_it_and_whatever_they_saw(sent, more):
    (fact,) = sent.take_pending()
    again = sent.sent_before(record(**SENT, findings=[DINE_IN], **more))
    assert again.to_data() == fact.to_data()


@pytest.mark.parametrize("more", [{}, {"findings": [DINE_IN, DINE_IN]}])
def test_a_name_of_a_phone_stands_for_one_visit_whoever_sends_the_other(sent, more):
    with pytest.raises(inspection.ClientIdReused):
        sent.sent_before(record(**SENT, **more))


@pytest.mark.parametrize(
    "more", [{}, {"device": "phone-8", "client_id": "n-1"}, {"device": "phone-7", "client_id": "n"}]
)
def test_what_another_phone_sends_is_no_second_sending(sent, more):
    assert sent.sent_before(record(**more)) is None


def test_what_no_phone_has_sent_is_not_known_again(planned):
    planned.carry_out(record(), TODAY)
    assert planned.sent is None
    assert planned.sent_before(record(**SENT)) is None


def test_the_digest_of_what_was_sent_finds_room_in_its_column(sent):
    assert len(sent.sent) <= Visit.__table__.c.sent.type.length


# notices


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"rectified": True, "left": ["大堂"]}, [("left", "is nothing, since it is rectified")]),
        ({"left": ["大堂", "後廚"]}, [("left/1", "was not among what was left")]),
        ({"left": ["大堂", "大堂"]}, [("left", "names something twice")]),
    ],
)
def test_a_reinspection_is_told_how_it_contradicts_what_is_known(asked, says):
    made = notice()
    made.reinspect(reinspect(left=["大堂"]))
    assert told(made.must_allow, reinspect(**asked)) == says


@pytest.mark.parametrize(("today", "says"), [(0, day(3)), (5, day(5))])
def test_an_extension_is_told_the_day_and_who_must_answer_for_it(today, says):
    made = notice()
    assert told(made.extend, extend(day(2), by="head"), RULE, day(today)) == [
        ("due_on", f"is not after {says}"),
        ("approver", "is who asks for it"),
    ]


def test_a_notice_that_is_settled_says_how():
    made = notice()
    made.satisfy(TODAY)
    refused = refusal(inspection.NoticeSettled, made.satisfy, TODAY)
    assert (refused["detail"], refused["state"]) == ("The notice is satisfied.", "satisfied")


@pytest.mark.parametrize("rectified", [True, False])
def test_a_notice_is_known_by_its_issue_and_says_whether_it_is_for_the_record(rectified):
    made = inspection.Notice.issue(found(rectified=rectified), Until(NOW), TODAY)
    assert made.id == derived_id("notice", "issue")
    assert made.take_pending()[0].on_record is rectified


def test_a_notice_without_a_number_is_overdue_all_the_same():
    made = notice()
    made.press("office", None)
    assert made.take_pending()[-1].notice_number == ""


@pytest.fixture
def elsewhere(monkeypatch):
    """Have the machine keep the time of Tokyo."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_a_moment_is_kept_in_utc_whatever_time_the_machine_keeps():
    kept = inspection.Moment().process_bind_param(end_of(TODAY), None)
    assert kept == "2020-02-10T16:00:00Z"
    assert inspection.Moment().process_result_value(kept, None) == end_of(TODAY)


# closures


def test_a_second_closure_is_told_which_one_stands(premises, closure):
    refused = refusal(
        inspection.AlreadyClosed,
        inspection.Closure.order, "c2", premises, Grounds.ORDER, WORDS, TODAY,
    )  # fmt: skip
    assert refused["closure_id"] == closure.id


def test_a_closure_says_what_it_is_for(premises):
    made = inspection.Closure.order(
        "c1", premises, Grounds.OVERDUE_NOTICE, WORDS, TODAY, issue_id="i", notice_id="n"
    )
    (fact,) = made.take_pending()
    assert (fact.issue_id, fact.notice_id, fact.grounds) == ("i", "n", Grounds.OVERDUE_NOTICE)


def test_a_reinspection_of_a_closure_is_told_what_it_cannot_have_found(closure):
    asked = look_again(day(-1), standing=["issue", "other"])
    assert told(closure.must_allow, asked, {"issue"}) == [
        ("standing/1", "is no open issue of the enterprise"),
        ("day", f"lies before the closure, {TODAY}"),
    ]


def test_a_closure_is_told_why_it_is_not_lifted(premises, closure):
    head = lift(approver="head", by="head")
    says = [("approver", "is who asks for it")]
    assert told(closure.lift, head, premises, RULE, TODAY) == says
    refused = refusal(
        inspection.NotReinspected, closure.lift, lift(), premises, RULE, TODAY, standing={"j", "i"}
    )
    assert refused["issues"] == ["i", "j"]


def test_a_closure_that_was_lifted_says_when(premises, closure):
    closure.lift(lift(approver="head"), premises, RULE, day(2))
    refused = refusal(inspection.AlreadyLifted, closure.must_allow, look_again(), ())
    assert refused["lifted_on"] == "2020-02-12"


# slips


@pytest.mark.parametrize("about", [{"enterprise_id": "shop"}, {"complaint_id": "complaint"}, {}])
def test_a_slip_that_was_read_says_what_it_was_about(about):
    slip = inspection.Slip.issue(replace(SLIP, **about, due_on=day(3)))
    assert (slip.due_on, slip.points) == (day(3), [DIRTY.to_data()])
    fact = slip.acknowledge(AcknowledgeSlip(slip_id="slip", about="shop", by="owner"), NOW)
    assert {"enterprise_id": fact.enterprise_id, "complaint_id": fact.complaint_id} == (
        {"enterprise_id": None, "complaint_id": None} | about
    )


# what is known of premises


def reopened(**more):
    about = {"enterprise_id": "shop", "filing_id": "f", "grid": "350503003", "premises": "office"}
    about |= {"kind": Kind.SOLE_TRADER, "headcount": 5, "out_of_province": 1, "reopened_on": TODAY}
    return EnterpriseReopened(**about | more)


def roster(on, duty, away):
    about = {"roster_id": "r", "enterprise_id": "shop", "rules": "v", "unfit": 0}
    return RosterReported(**about, day=on, staff=duty, on_duty=duty, out_of_province=away)


def staff(premises):
    return premises.record.staff, premises.record.out_of_province


def test_premises_have_the_staff_of_the_filing_until_a_roster_says_more(premises):
    premises.opened(reopened())
    assert (premises.is_open, staff(premises)) == (True, (5, 1))
    premises.reported(roster(day(2), 4, 0))
    premises.opened(reopened(headcount=9))
    assert staff(premises) == (4, 0)


def test_premises_have_the_staff_of_the_latest_day_as_it_was_told_last(premises):
    for on, duty, away in ((2, 4, 0), (2, 3, 2), (1, 9, 9)):
        premises.reported(roster(day(on), duty, away))
    assert staff(premises) == (3, 2)


def test_a_further_part_adds_to_what_the_visit_of_its_day_found(premises):
    premises.broke_more(TODAY, 1)
    assert premises.record.visits == []
    for on, violations in ((0, 1), (2, 1), (1, 7), (1, 1)):
        premises.was_visited(day(on), violations)
    premises.broke_more(day(1), 2)
    assert premises.record.visits == [(day(2), 1), (day(1), 3), (day(1), 7), (day(0), 1)]
    assert (premises.visited_on, premises.record.complaints) == (day(2), [])


def test_premises_remember_their_latest_visits_and_the_true_complaints(premises):
    for on in range(30):
        premises.was_visited(day(on), on, complaint_true=on in (7, 3))
    premises.was_visited(day(1), 0, complaint_true=True)
    assert [on for on, _ in premises.record.visits] == [day(on) for on in range(29, 9, -1)]
    assert premises.record.complaints == [day(1), day(3), day(7)]
