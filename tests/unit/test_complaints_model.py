"""The aggregates of complaints by themselves: they guard, then state the fact."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.complaints.commands import (
    AcceptComplaint,
    EscalateComplaint,
    FileComplaint,
    PauseClock,
)
from contracts.complaints.types import Stage, Track
from rulebook import Rulebook
from services.complaints.model import Complaint, base
from tests.unit.sayings import DIRTY, TODAY, WORDS, day, said

BOOK = Rulebook.load()
ACCEPT = AcceptComplaint(complaint_id="complaint", by="desk")
PAUSE = PauseClock(complaint_id="complaint", ground="testing")


def complaint(on=TODAY, track=Track.REPORT, enterprise="shop"):
    asked = FileComplaint(
        complaint_id="complaint",
        track=track,
        channel="12315",
        content="堂食",
        enterprise_id=enterprise,
    )
    made = Complaint.receive(asked, BOOK, on)
    made.take_pending()
    return made


def ring(made, today, **changed):
    about = {"level": made.level, "setting": made.setting} | changed
    asked = EscalateComplaint(
        complaint_id="complaint", stage=Stage.ACCEPTANCE, due_on=TODAY, **about
    )
    made.run_out(asked, BOOK, today)


@settings(deadline=None)
@given(filed=st.integers(0, 60), pause=st.integers(0, 9), stood=st.integers(0, 30))
def test_a_pause_moves_the_deadline_by_the_working_days_that_it_lasted(filed, pause, stood):
    made = complaint(day(filed))
    due_on = made.due_on
    begins = min(day(filed + pause), due_on)
    ends = begins + timedelta(days=stood)
    made.pause(DIRTY, "檢測", begins)
    assert (made.due_on, made.rings_on, made.calendar_from) == (None, None, None)
    made.resume(BOOK, ends)
    moved = BOOK.working_days_between(due_on, made.due_on)
    one = timedelta(days=1)
    stood_still = max(begins, day(filed) + one)  # the day of the call does not count anyway
    assert moved == BOOK.working_days_between(stood_still - one, max(ends, stood_still) - one)
    assert made.counting(BOOK).paused_days == moved


def test_a_pause_after_the_last_day_moves_nothing():
    made = complaint()
    due_on = made.due_on
    made.pause(DIRTY, "", due_on + timedelta(days=1))
    made.resume(BOOK, due_on + timedelta(days=9))
    assert made.due_on == due_on


def test_a_clock_runs_out_once_for_each_rung_and_the_next_one_starts_with_acceptance():
    made = complaint()
    for today in (20, 20, 21, 40, 41, 60):
        ring(made, day(today))
    assert said(made) == ["complaint-overdue"] * 2
    made.accept(ACCEPT, BOOK, day(60))
    assert (made.level, made.stage) == (0, Stage.CASE)
    ring(made, day(90))
    assert said(made) == ["complaint-accepted", "complaint-overdue"]


@pytest.mark.parametrize("changed", [{"level": 1}, {"setting": 0}, {"setting": 2}])
def test_a_clock_does_not_run_out_by_what_is_no_longer_so(changed):
    made = complaint()
    ring(made, day(60), **changed)
    ring(made, made.due_on)
    assert said(made) == []


def test_nobody_on_record_gets_no_penalty():
    made = complaint(enterprise=None)
    made.penalise([DIRTY], BOOK, TODAY)
    assert said(made) == []


def test_what_has_ended_is_not_touched():
    made = complaint()
    made.answer(WORDS, "desk", BOOK, TODAY, substantiated=False)
    for touch in (
        lambda: made.accept(ACCEPT, BOOK, TODAY),
        lambda: made.pause(DIRTY, "x", TODAY),
        lambda: made.resume(BOOK, TODAY),
        lambda: made.answer(WORDS, "desk", BOOK, TODAY, substantiated=True),
    ):
        with pytest.raises(base.AlreadyEnded):
            touch()
    assert said(made) == ["complaint-answered"]
