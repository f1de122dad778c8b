"""What complaints tell of itself: each refusal whole, and in each fact whom it is about."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from contracts.complaints.commands import (
    ConcludeCase,
    DecideCase,
    EndMediation,
    EscalateComplaint,
    ExtendClock,
    FileComplaint,
    LinkDuplicate,
    MoveDeadline,
    RateAnswer,
    ReopenComplaint,
    UnlinkDuplicate,
)
from contracts.complaints.types import MediationOutcome, Stage, Track
from contracts.shapes import Sealed
from services.complaints.model import Complaint, base
from tests.unit.sayings import DIRTY, TODAY, WORDS, day, refusal, told
from tests.unit.test_complaints_model import ACCEPT, BOOK, ring

ABOUT = {"complaint_id": "complaint"}
CALLER = Sealed("k.c")
EXTEND = ExtendClock(**ABOUT, approver="head", reason="案情複雜")
MEDIATED = EndMediation(**ABOUT, by="desk", outcome=MediationOutcome.AGREED)
REOPEN = ReopenComplaint(**ABOUT, reason="問題仍在")
NO_CASE = DecideCase(**ABOUT, by="desk", file=False, reason="輕微")
A_CASE = replace(NO_CASE, file=True)
CONCLUDE = ConcludeCase(**ABOUT, by="head", reason="屬實")
LINK = LinkDuplicate(**ABOUT, main_id="main", by="desk")
UNLINK = UnlinkDuplicate(**ABOUT, main_id="main", by="desk", reason="不同")


def says(**more):
    about = {"track": Track.REPORT, "channel": "12315", "content": "堂食"}
    return FileComplaint(**ABOUT | about | more)


def received(on=TODAY, **more):
    made = Complaint.receive(says(**more), BOOK, on)
    made.take_pending()
    return made


def accepted(**more):
    made = received(**more)
    made.accept(ACCEPT, BOOK, TODAY)
    made.take_pending()
    return made


def answered(**more):
    made = received(**more)
    answer(made)
    return made


def answer(made, **more):
    return made.answer(WORDS, "desk", BOOK, TODAY, substantiated=False, **more)


def main():
    made = received()
    made.id = "main"
    return made


def linked(**more):
    made = received(**more)
    made.link(LINK, main(), TODAY, has_duplicates=False)
    made.take_pending()
    return made


def stood(made, begins, ends):
    made.pause(DIRTY, "檢測", day(begins))
    made.resume(BOOK, day(ends))


# refusals


def test_a_clock_that_stands_says_since_when():
    made = received()
    made.pause(DIRTY, "檢測", day(1))
    refused = refusal(base.ClockStands, made.pause, DIRTY, "檢測", day(2))
    assert refused["paused_on"] == "2020-02-11"


def test_a_clock_says_why_it_is_given_no_more_days():
    made = received()
    assert refusal(base.NotExtendable, made.extend, EXTEND, BOOK, TODAY)["stage"] == "acceptance"
    made.accept(ACCEPT, BOOK, TODAY)
    made.extend(EXTEND, BOOK, TODAY)
    refused = refusal(base.AlreadyExtended, made.extend, EXTEND, BOOK, TODAY)
    assert refused["extension_days"] == BOOK.clock("report", "case").extension == 15


def test_what_is_not_done_on_a_track_or_not_yet_says_where_the_complaint_stands():
    made = received()
    assert refusal(base.OtherTrack, made.end_mediation, MEDIATED, BOOK, TODAY)["track"] == "report"
    refused = refusal(base.NotAccepted, made.decide_case, NO_CASE, BOOK, TODAY)
    assert refused["state"] == "received"
    assert refusal(base.NotAnswered, made.reopen, REOPEN, BOOK, TODAY)["state"] == "received"


def test_what_has_ended_says_how():
    refused = refusal(base.AlreadyEnded, answered().accept, ACCEPT, BOOK, TODAY)
    assert (refused["detail"], refused["state"]) == ("The complaint is answered.", "answered")


def test_a_duplicate_says_which_complaint_answers_it():
    made = linked()
    assert refusal(base.IsDuplicate, made.accept, ACCEPT, BOOK, TODAY)["main_id"] == "main"
    other = replace(UNLINK, main_id="other")
    assert refusal(base.NotDuplicate, made.unlink, other, BOOK, TODAY)["main_id"] == "main"
    made.unlink(UNLINK, BOOK, TODAY)
    assert refusal(base.NotDuplicate, made.unlink, UNLINK, BOOK, TODAY)["main_id"] is None


def test_a_complaint_is_not_its_own_duplicate():
    made = received()
    assert told(made.link, LINK, main=made, today=TODAY, has_duplicates=False) == [
        ("main_id", "is the complaint itself")
    ]


def test_a_caller_who_is_not_satisfied_is_asked_why():
    take_pending = RateAnswer(**ABOUT, satisfied=False, reason=" ")
    assert told(answered().rate, take_pending, TODAY) == [
        ("reason", "is needed if the caller is not satisfied")
    ]


def test_a_revision_on_the_other_track_is_told_the_track():
    assert told(received().revise, says(revision=1, track=Track.DISPUTE), TODAY) == [
        ("track", "is not that of the revisions before, report")
    ]


def test_a_revision_against_another_enterprise_is_told_the_one_on_record():
    made = received(enterprise_id="shop")
    other = says(revision=1, enterprise_id="other")
    assert refusal(base.AlreadyMatched, made.revise, other, TODAY)["enterprise_id"] == "shop"


@pytest.mark.parametrize(
    "other", [{"against": "另一店"}, {"content": "聚餐"}, {"enterprise_id": "other"}]
)
def test_a_revision_that_says_something_else_under_its_number_is_told_the_number(other):
    made = received(revision=3, against="一號店", enterprise_id="shop")
    same = says(revision=3, against="一號店")
    assert made.revise(same, TODAY) is None
    refused = refusal(base.RevisionDiffers, made.revise, replace(same, **other), TODAY)
    assert refused["revision"] == 3


# revisions


def test_a_complaint_keeps_its_number_in_the_register_that_it_is_from():
    assert received(outside_number="12315-7").outside_number == "12315-7"


def test_a_revision_that_names_nobody_keeps_whom_the_complaint_is_against():
    fact = received(against="一號店").revise(says(revision=1), TODAY)
    assert fact.against == "一號店"
    assert received(against="一號店").revise(says(revision=1, against="二號店"), TODAY).against == (
        "二號店"
    )


@pytest.mark.parametrize(
    ("before", "after", "to_be_told"),
    [(CALLER, None, True), (None, CALLER, True), (None, None, False)],
)
def test_who_gave_a_name_once_is_to_be_told_whatever_a_revision_leaves_out(
    before, after, to_be_told
):
    made = received(caller=before)
    made.revise(says(revision=1, caller=after), TODAY)
    assert made.is_to_be_told is to_be_told


# whom each fact is about


@pytest.mark.parametrize("enterprise", ["shop", None])
def test_each_fact_names_the_enterprise_where_it_is_known(enterprise):
    made = received(enterprise_id=enterprise)
    facts = [made.revise(says(revision=1), TODAY)]
    ring(made, day(60))
    facts += [*made.take_pending()[-1:], answer(made), made.reopen(REOPEN, BOOK, TODAY)]
    assert [(fact.type, fact.enterprise_id) for fact in facts] == [
        ("complaint-revised", enterprise),
        ("complaint-overdue", enterprise),
        ("complaint-answered", enterprise),
        ("complaint-reopened", enterprise),
    ]


def test_a_complaint_that_is_reopened_counts_how_often():
    made = received()
    times = []
    for _ in range(3):
        answer(made)
        times.append(made.reopen(REOPEN, BOOK, TODAY).reopening)
    assert times == [1, 2, 3]


def test_a_pause_says_its_reason():
    assert received().pause(DIRTY, "送檢", TODAY).reason == "送檢"


# cases, and whom nobody needs to tell


def test_a_report_that_becomes_no_case_is_told_to_who_gave_a_name():
    fact = accepted(caller=CALLER).decide_case(NO_CASE, BOOK, day(3))
    assert (fact.counting.stage, fact.counting.counted_from) == (Stage.TELLING, day(3))


def test_a_case_of_nobody_who_gave_a_name_closes_with_its_decision():
    made = accepted()
    made.decide_case(A_CASE, BOOK, TODAY)
    fact = made.conclude_case(CONCLUDE, [], BOOK, day(9))
    assert (fact.penalty, fact.counting) == (False, None)
    closed = made.take_pending()[-1]
    assert (closed.type, closed.by, closed.closed_on) == ("complaint-closed", "head", day(9))


def test_a_case_that_ends_in_a_penalty_says_so():
    made = accepted(caller=CALLER, enterprise_id="shop")
    made.decide_case(A_CASE, BOOK, TODAY)
    fact = made.conclude_case(replace(CONCLUDE, findings=["dine_in"]), [DIRTY], BOOK, day(9))
    assert (fact.penalty, fact.counting.stage) == (True, Stage.TELLING)
    assert made.take_pending()[-1].type == "penalty-imposed"


# clocks


def test_whatever_sets_a_clock_or_stops_it_is_counted():
    made = received()
    settings = [made.setting]
    for act in (
        lambda: made.pause(DIRTY, "檢測", TODAY),
        lambda: made.resume(BOOK, day(1)),
        lambda: made.accept(ACCEPT, BOOK, day(1)),
        lambda: made.extend(EXTEND, BOOK, day(1)),
        lambda: made.pause(DIRTY, "檢測", day(1)),
        lambda: made.resume(BOOK, day(2)),
        lambda: answer(made),
    ):
        act()
        settings.append(made.setting)
    assert settings == [1, 2, 3, 4, 5, 6, 7, 8]


def test_days_that_the_head_has_added_are_not_days_that_the_clock_stood():
    made = accepted()
    stood(made, 1, 3)
    counting = made.extend(EXTEND, BOOK, day(3)).counting
    assert (counting.days, counting.extension_days, counting.paused_days) == (15, 15, 2)


@pytest.mark.parametrize(("begins", "ends", "days"), [(0, 3, 2), (1, 3, 2), (3, 7, 2), (2, 2, 0)])
def test_a_clock_that_stands_tells_the_working_days_that_it_stood_before(begins, ends, days):
    """Of a report, which counts from its receipt on a Monday; that day does not count anyway."""
    made = received()
    stood(made, begins, ends)
    made.pause(DIRTY, "檢測", day(8))
    counting = made.accept(ACCEPT, BOOK, day(9)).counting
    assert (counting.due_on, counting.paused_days) == (None, days)


def test_a_pause_that_ends_on_its_day_leaves_no_span():
    made = received()
    stood(made, 1, 1)
    assert made.spans == []


def test_days_that_the_clock_stood_do_not_bring_the_next_rung_nearer():
    made = received()
    overdue = made.due_on + timedelta(days=1)
    ring(made, overdue)
    made.pause(DIRTY, "檢測", overdue)
    resumed = BOOK.working_days.after(overdue, 5)
    made.resume(BOOK, resumed)
    grace = BOOK.complaint_rungs[1].days
    assert made.rings_on == BOOK.working_days.after(resumed - timedelta(days=1), grace)


def test_a_rung_that_the_rules_have_lost_leaves_the_last_one_to_be_told():
    made = received()
    ring(made, day(20))
    fewer = replace(BOOK, complaint_rungs=BOOK.complaint_rungs[:1])
    again = EscalateComplaint(
        **ABOUT, stage=Stage.ACCEPTANCE, due_on=made.due_on, level=1, setting=made.setting
    )
    made.run_out(again, fewer, day(60))
    fact = made.take_pending()[-1]
    assert (fact.level, fact.addressee, made.rings_on) == (2, "complaints-desk", None)


BEFORE, AFTER = date(2020, 11, 20), date(2020, 11, 25)
"""The holidays of the New Year were told on 25 November 2020."""


@pytest.mark.parametrize(("setting", "moved"), [(2, True), (1, False), (3, False)])
def test_a_calendar_moves_only_the_clock_that_was_looked_at(setting, moved):
    made = Complaint.receive(says(track=Track.DISPUTE), BOOK.on(BEFORE), BEFORE)
    made.accept(ACCEPT, BOOK.on(BEFORE), BEFORE)
    made.take_pending()
    book = BOOK.on(AFTER)
    made.move(MoveDeadline(**ABOUT, notice=book.calendar.code, setting=setting), book)
    assert bool(made.take_pending()) is moved
