"""The clocks of complaints: given facts, then facts. 10 February 2020 is a Monday."""

import shutil
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

import rulebook
from chassis.messaging.consumer import Consumer
from chassis.messaging.outbox import Outbox
from chassis.service import handlers_of
from contracts.complaints.commands import (
    AcceptComplaint,
    CommentComplaint,
    DecideCase,
    EndMediation,
    EscalateComplaint,
    ExtendClock,
    MoveDeadline,
    PauseClock,
    ReopenComplaint,
    ResumeClock,
)
from contracts.complaints.events import (
    ClockExtended,
    ClockPaused,
    ClockResumed,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintOverdue,
    ComplaintReceived,
    DeadlineMoved,
)
from contracts.complaints.types import MediationOutcome, Stage, Track
from contracts.inspection.events import ComplaintChecked
from contracts.shared import HourSwept
from rulebook import Rulebook
from services.complaints.service import Complaints
from tests.service.sayings import complain, faults, hour, only, refused, types

ABOUT = {"complaint_id": "complaint"}
ACCEPT = AcceptComplaint(**ABOUT, by="desk")
PAUSE = PauseClock(**ABOUT, ground="testing")
RESUME = ResumeClock(**ABOUT)
EXTEND = ExtendClock(**ABOUT, approver="head", reason="案情複雜")
COMMENT = CommentComplaint(**ABOUT, comment="仍在堂食")
ACCEPT_BY = date(2020, 2, 19)
"""Seven working days after 10 February."""
FENGZE = Path(rulebook.__file__).parent / "fengze"
LATE = """
[[notice]]
code = "late"
zh = "臨時放假通知"
en = "On days off at short notice"
holidays = [[2020-02-17, 2020-02-18]]
source = "district practice, to be confirmed"
from = 2020-02-13
"""
SHORTER = """
[[clock]]
code = "report-acceptance"
zh = "舉報登記"
en = "Taking up a report"
days = 2
unit = "working_days"
source = "district practice, to be confirmed"
from = 2020-02-12

[[clock]]
code = "report-case"
zh = "舉報核查及立案決定"
en = "Check of a report"
days = 3
unit = "working_days"
extension = 1
counted_from = "receipt"
source = "district practice, to be confirmed"
from = 2020-02-17
"""


def feb(day):
    return date(2020, 2, day)


def march(day):
    return date(2020, 3, day)


def overdue(said):
    return [(f.stage, f.level, f.due_on) for f in said if isinstance(f, ComplaintOverdue)]


@pytest.fixture
def desk(given):
    return given(Complaints)


@pytest.fixture
def filed(desk):
    return desk.facts(complain())


@pytest.fixture
def ruled(desk, tmp_path):
    """Return the desk the rules of a district of its own, some files of which say more."""

    def rule(**more):
        folder = Path(shutil.copytree(FENGZE, tmp_path / "district"))
        for name, text in more.items():
            with (folder / f"{name}.toml").open("a", encoding="utf-8") as file:
                file.write(text)
        desk.service.rulebook = Rulebook.load(folder)
        return desk

    return rule


# golden dates


@pytest.mark.parametrize(
    ("received", "due"),
    [(date(2020, 2, 28), march(10)), (date(2020, 4, 24), date(2020, 5, 7))],
)
def test_a_dispute_is_accepted_or_refused_within_7_working_days(desk, received, due):
    said = desk.on(received).when(complain(track=Track.DISPUTE))
    assert only(ComplaintReceived, said).counting.due_on == due


def test_a_report_is_checked_within_15_working_days(desk):
    day = date(2020, 4, 28)
    said = desk.on(day).facts(complain()).when(ACCEPT)
    assert only(ComplaintAccepted, said).counting.due_on == date(2020, 5, 21)


def test_the_mediation_of_a_dispute_ends_within_45_working_days_of_its_acceptance(desk):
    desk.on(feb(28)).facts(complain(track=Track.DISPUTE))
    said = desk.on(march(2)).when(ACCEPT)
    assert only(ComplaintAccepted, said).counting.due_on == date(2020, 5, 7)


# when a clock has run out


def test_a_complaint_past_its_clock_is_escalated_once_for_each_stage_and_level(filed):
    assert overdue(filed.on(ACCEPT_BY).when(hour(ACCEPT_BY))) == []
    late = filed.on(feb(20)).when(hour(feb(20), 0), hour(feb(20), 1))
    assert overdue(late) == [(Stage.ACCEPTANCE, 1, ACCEPT_BY)]
    assert only(ComplaintOverdue, late).addressee == "complaints-desk"
    assert overdue(filed.on(feb(24)).when(hour(feb(24)))) == []
    later = filed.on(feb(25)).when(hour(feb(25), 0), hour(feb(25), 1))
    assert overdue(later) == [(Stage.ACCEPTANCE, 2, ACCEPT_BY)]
    assert only(ComplaintOverdue, later).addressee == "district-office"
    assert overdue(filed.on(march(20)).when(hour(march(20)))) == []
    answer_by = only(ComplaintAccepted, filed.when(ACCEPT)).counting.due_on
    later = date(2020, 3, 21)
    assert overdue(filed.on(later).when(hour(later))) == [(Stage.CASE, 1, answer_by)]


def test_an_escalation_of_what_was_accepted_in_between_says_nothing(filed):
    stale = EscalateComplaint(**ABOUT, stage=Stage.ACCEPTANCE, due_on=ACCEPT_BY, setting=1)
    assert overdue(filed.facts(ACCEPT).on(feb(20)).when(stale)) == []


def test_what_was_paused_when_it_should_be_escalated_is_escalated_after_all(filed):
    """The hour's command comes while the clock stands; it runs on before a day is over."""
    filed.on(feb(20))
    stale = EscalateComplaint(**ABOUT, stage=Stage.ACCEPTANCE, due_on=ACCEPT_BY, setting=1)
    assert overdue(filed.facts(PAUSE).when(stale)) == []
    filed.facts(RESUME)
    assert overdue(filed.when(hour(feb(20), 1))) == [(Stage.ACCEPTANCE, 1, ACCEPT_BY)]


def test_with_500_open_the_oldest_overdue_is_escalated_first_and_each_once_by_three_workers(desk):
    """Nobody has taken any of them up. Pages of a hundred; every worker hears of every hour, and
    every message comes twice (DIGIT reads 100 rows, newest first)."""
    desk.facts(*(complain(f"new-{n:03}") for n in range(250)))
    desk.on(feb(11)).facts(*(complain(f"newer-{n:03}") for n in range(249)))
    desk.on(date(2020, 2, 3)).facts(complain("oldest"))
    desk.on(feb(21))
    workers = [
        Consumer(desk.service, desk.store, handlers_of(desk.service), lambda: None)
        for _ in range(3)
    ]
    said = []
    inbox = [desk.message(hour(feb(21), of_day)) for of_day in range(3)]
    while inbox:
        for number, worker in enumerate([*workers, *workers]):
            if share := [m for m in inbox if m.partition(3) == number % 3]:
                worker.handle(share)
        rows = Outbox(desk.store).unsent(10_000)
        Outbox(desk.store).mark_sent(rows)
        said += [row.payload for row in rows]
        inbox = [m for m in rows if m.envelope.type in ("sweep-hour", "escalate-complaint")]
    escalations = [fact for fact in said if isinstance(fact, EscalateComplaint)]
    assert escalations[0].complaint_id == "oldest"
    assert [f.due_on for f in escalations] == sorted(f.due_on for f in escalations)
    told = Counter(f.complaint_id for f in said if isinstance(f, ComplaintOverdue))
    assert (len(told), {*told.values()}) == (500, {1})
    assert sum(f.cases for f in said if isinstance(f, HourSwept)) == 500


# a clock that stands


def test_a_standing_clock_does_not_run_out(filed):
    filed.on(feb(12)).facts(PAUSE)
    assert overdue(filed.on(feb(28)).when(hour(feb(28)))) == []


def test_a_clock_is_paused_on_a_legal_ground(filed):
    assert faults(filed.when(PauseClock(**ABOUT, ground="lunch"))) == ["ground"]
    paused = only(ClockPaused, filed.when(PAUSE))
    assert paused.ground.words.zh == "檢測、檢驗"


def test_a_pause_over_a_weekend_moves_the_deadline_by_its_working_days_alone(filed):
    """From Friday to Monday is one working day; from Saturday to Monday is none."""
    filed.on(feb(14)).facts(PAUSE)
    resumed = only(ClockResumed, filed.on(feb(17)).when(RESUME)).counting
    assert (resumed.paused_days, resumed.due_on) == (1, feb(20))
    filed.on(feb(15)).facts(PAUSE)
    resumed = only(ClockResumed, filed.on(feb(17)).when(RESUME)).counting
    assert (resumed.paused_days, resumed.due_on) == (1, feb(20))


def test_the_working_days_that_a_clock_stood_still_do_not_count(filed):
    filed.on(feb(12)).facts(PAUSE)
    resumed = only(ClockResumed, filed.on(feb(18)).when(RESUME))
    assert resumed.counting.due_on == date(2020, 2, 25)
    late = filed.on(feb(26)).when(hour(feb(26)))
    assert overdue(late) == [(Stage.ACCEPTANCE, 1, feb(25))]


def test_only_the_clock_of_mediation_stands_after_an_acceptance_during_a_pause(desk):
    desk.facts(complain(track=Track.DISPUTE)).on(feb(12)).facts(PAUSE)
    accepted = only(ComplaintAccepted, desk.on(feb(18)).when(ACCEPT))
    assert accepted.counting.due_on is None
    resumed = only(ClockResumed, desk.on(feb(20)).when(RESUME)).counting
    assert resumed.paused_days == 1
    assert resumed.due_on == desk.service.rulebook.working_days_after(feb(18), 46)


def test_a_clock_that_has_run_out_does_not_run_out_again_after_a_pause(filed):
    filed.on(feb(20)).facts(hour(feb(20)))
    filed.on(feb(21)).facts(PAUSE).on(feb(24)).facts(RESUME)
    later = filed.on(feb(28)).when(hour(feb(28)))
    assert overdue(later) == [(Stage.ACCEPTANCE, 2, ACCEPT_BY)]


def test_a_clock_stands_once_and_runs_once(filed):
    assert refused(filed.when(RESUME)) == (409, "clock-runs")
    filed.facts(PAUSE)
    assert refused(filed.when(PAUSE)) == (409, "clock-stands")


# what moves a clock, and what does not (docs/elsewhere.md, 5)


def test_a_comment_does_not_restart_a_clock(filed):
    """Neither one that runs, nor one that stands, nor one that has run out."""
    filed.on(feb(18)).facts(COMMENT)
    late = filed.on(feb(20)).when(hour(feb(20)))
    assert overdue(late) == [(Stage.ACCEPTANCE, 1, ACCEPT_BY)]
    assert types(filed.when(COMMENT)) == ["complaint-commented"]
    assert overdue(filed.on(feb(21)).when(hour(feb(21)))) == []
    filed.facts(PAUSE, COMMENT)
    assert overdue(filed.on(feb(28)).when(hour(feb(28)))) == []
    resumed = only(ClockResumed, filed.when(RESUME))
    assert resumed.counting.due_on == ACCEPT_BY


def test_a_policy_that_changes_keeps_the_paused_time_and_the_days_of_a_clock_that_began(ruled):
    """Two working days from 12 February on, and not seven; the clock began on the tenth."""
    desk = ruled(complaints=SHORTER)
    desk.facts(complain()).on(feb(11)).facts(PAUSE)
    resumed = only(ClockResumed, desk.on(feb(13)).when(RESUME)).counting
    assert (resumed.days, resumed.paused_days, resumed.due_on) == (7, 2, feb(21))
    assert resumed.rules == desk.service.rulebook.on(feb(10)).version
    newer = only(ComplaintReceived, desk.when(complain("newer"))).counting
    assert (newer.days, newer.due_on) == (2, feb(17))


def test_the_head_extends_a_clock_once_by_the_days_of_the_rule_under_which_it_began(ruled):
    desk = ruled(complaints=SHORTER)
    desk.facts(complain())
    assert refused(desk.when(EXTEND)) == (409, "not-extendable")
    desk.on(feb(14)).facts(ACCEPT)
    extended = only(ClockExtended, desk.on(feb(18)).when(EXTEND)).counting
    assert (extended.days, extended.extension_days) == (15, 15)
    assert extended.due_on == desk.service.rulebook.working_days_after(feb(10), 30)
    assert refused(desk.when(EXTEND)) == (409, "already-extended")


def test_a_new_holiday_moves_running_deadlines_on_the_day_that_it_comes_into_force(ruled):
    """Alaveteli's did not move. What is answered, and what stands, is left alone."""
    desk = ruled(calendar=LATE)
    desk.facts(*(complain(name) for name in ("complaint", "paused", "ended")))
    desk.facts(PauseClock(complaint_id="paused", ground="testing"))
    checked = ComplaintChecked(
        complaint_id="ended",
        enterprise_id="shop",
        visit_id="visit",
        substantiated=False,
        points=[],
        checked_on=feb(10),
    )
    assert only(ComplaintAnswered, desk.when(checked))
    said = desk.on(feb(12)).when(hour(feb(12)))
    assert not [fact for fact in said if isinstance(fact, MoveDeadline)]
    said = desk.on(feb(13)).when(hour(feb(13), 0), hour(feb(13), 1))
    moved = only(DeadlineMoved, said)
    assert (moved.complaint_id, moved.notice, moved.counting.calendar) == (
        "complaint",
        *["late"] * 2,
    )
    assert (moved.old_due_on, moved.due_on) == (ACCEPT_BY, feb(21))
    assert overdue(desk.on(feb(21)).when(hour(feb(21)))) == []
    late = desk.on(feb(22)).when(hour(feb(22)))
    assert overdue(late) == [(Stage.ACCEPTANCE, 1, feb(21))]
    resumed = desk.when(ResumeClock(complaint_id="paused"))
    assert only(ClockResumed, resumed).counting.calendar == "late"


def test_hundreds_of_deadlines_move_page_by_page_the_first_to_run_out_first(ruled):
    desk = ruled(calendar=LATE)
    desk.facts(*(complain(f"new-{n:03}") for n in range(250)))
    desk.on(feb(7)).facts(complain("oldest"))
    said = desk.on(feb(13)).when(hour(feb(13)))
    asked = [fact for fact in said if isinstance(fact, MoveDeadline)]
    assert (asked[0].complaint_id, len(asked)) == ("oldest", 251)
    moved = Counter(f.complaint_id for f in said if isinstance(f, DeadlineMoved))
    assert (len(moved), {*moved.values()}) == (251, {1})


def test_a_new_holiday_moves_a_deadline_before_the_hour_finds_it_passed(ruled):
    """After an outage the latest hour suffices: it must not escalate by the old calendar."""
    desk = ruled(calendar=LATE)
    desk.facts(complain())
    said = desk.on(feb(20)).when(hour(feb(20)))
    assert only(DeadlineMoved, said).due_on == feb(21)
    assert overdue(said) == []


def test_an_hour_of_an_older_day_that_comes_late_moves_no_deadline_back(ruled):
    desk = ruled(calendar=LATE)
    desk.on(feb(13)).facts(complain())
    said = desk.on(feb(12)).when(hour(feb(12)))
    assert not [fact for fact in said if isinstance(fact, MoveDeadline)]


def test_a_case_counts_calendar_days_which_no_holiday_moves(ruled):
    desk = ruled(calendar=LATE)
    file = DecideCase(**ABOUT, by="head", file=True, reason="線索屬實")
    desk.facts(complain(), ACCEPT, file)
    said = desk.on(feb(13)).when(hour(feb(13)))
    assert [f for f in said if isinstance(f, MoveDeadline)]
    assert not [f for f in said if isinstance(f, DeadlineMoved)]


def test_a_reopened_complaint_counts_by_the_rules_of_the_day_of_its_reopening(ruled):
    desk = ruled(complaints=SHORTER)
    desk.facts(complain(track=Track.DISPUTE), ACCEPT)
    end = EndMediation(**ABOUT, by="desk", outcome=MediationOutcome.AGREED)
    assert types(desk.when(end)) == ["mediation-ended"]
    desk.facts(complain("report"))
    checked = ComplaintChecked(
        complaint_id="report",
        enterprise_id="shop",
        visit_id="visit",
        substantiated=False,
        points=[],
        checked_on=feb(10),
    )
    desk.facts(checked)
    reopened = desk.on(feb(18)).when(ReopenComplaint(complaint_id="report", reason="仍在"))
    assert reopened[0].counting.due_on == feb(21)  # three working days of the newer rule
