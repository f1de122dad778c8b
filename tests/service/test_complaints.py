"""complaints: given facts, then facts. 10 February 2020 is a Monday."""

from datetime import date

import pytest

from contracts.complaints import (
    AcceptComplaint,
    AnswerComplaint,
    ClockResumed,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintOverdue,
    ComplaintReceived,
    EscalateComplaint,
    PauseClock,
    PenaltyImposed,
    RefuseComplaint,
    ResumeClock,
    Stage,
    Track,
)
from contracts.inspection import ComplaintChecked
from contracts.shared import HourSwept
from services.complaints.service import Complaints
from tests.service.sayings import (
    DIRTY,
    TODAY,
    complain,
    faults,
    hour,
    only,
    refused,
    types,
)

ABOUT = {"complaint_id": "complaint"}
ACCEPT = AcceptComplaint(**ABOUT, by="desk")
REFUSE = RefuseComplaint(**ABOUT, by="desk", reason="不屬管轄")
PAUSE = PauseClock(**ABOUT, reason="檢測鑑定")
RESUME = ResumeClock(**ABOUT)
ANSWER = AnswerComplaint(**ABOUT, by="desk", answer="已處理")
ACCEPT_BY = date(2020, 2, 19)
"""Seven working days after 10 February."""


def feb(day):
    return date(2020, 2, day)


def checked(*points):
    return ComplaintChecked(
        **ABOUT,
        enterprise_id="shop",
        visit_id="visit",
        substantiated=bool(points),
        points=list(points),
        checked_on=TODAY,
    )


def overdue(said):
    return [(f.stage, f.due_on) for f in said if isinstance(f, ComplaintOverdue)]


@pytest.fixture
def desk(given):
    return given(Complaints)


@pytest.fixture
def filed(desk):
    return desk.facts(complain())


def test_a_complaint_starts_its_clocks_in_working_days(desk):
    received = only(ComplaintReceived, desk.when(complain(track=Track.DISPUTE)))
    assert received.accept_by == ACCEPT_BY
    assert received.answer_by == date(2020, 4, 23)


def test_a_complaint_names_a_channel_and_somebody(desk):
    wrong = complain(channel="pigeon", enterprise_id=None)
    assert faults(desk.when(wrong)) == ["channel", "against"]


def test_an_enterprise_that_is_only_described_will_do(desk):
    said = desk.when(complain(enterprise_id=None, against="門口的小店"))
    assert types(said) == ["complaint-received"]


def test_acceptance_starts_the_clock_to_the_answer(filed):
    accepted = only(ComplaintAccepted, filed.on(feb(12)).when(ACCEPT))
    assert accepted.answer_by == date(2020, 3, 4)


def test_a_complaint_is_accepted_once_and_then_not_refused(filed):
    filed.facts(ACCEPT)
    assert refused(filed.when(ACCEPT)) == (409, "already-accepted")
    assert refused(filed.when(REFUSE)) == (409, "already-accepted")


@pytest.mark.parametrize("end", [REFUSE, ANSWER], ids=lambda c: c.type)
def test_a_complaint_that_has_ended_is_left_alone(filed, end):
    filed.facts(end)
    for command in (ACCEPT, REFUSE, ANSWER, PAUSE, RESUME):
        assert refused(filed.when(command)) == (409, "already-ended")
    assert filed.when(checked(DIRTY)) == []
    assert types(filed.on(date(2020, 6, 1)).when(hour(date(2020, 6, 1)))) == []


def test_an_unknown_complaint_is_not_found(desk):
    for command in (ACCEPT, REFUSE, ANSWER, PAUSE, RESUME):
        assert refused(desk.when(command)) == (404, "not-found")


# what officers found


def test_a_check_that_found_nothing_answers_the_caller(filed):
    said = filed.when(checked())
    assert types(said) == ["complaint-answered"]
    assert not only(ComplaintAnswered, said).substantiated


def test_a_substantiated_complaint_is_answered_and_penalised(filed):
    said = filed.when(checked(DIRTY))
    assert types(said) == ["complaint-answered", "penalty-imposed"]
    assert DIRTY.words.zh in only(ComplaintAnswered, said).answer.zh
    penalty = only(PenaltyImposed, said)
    assert (penalty.points, penalty.law.code) == ([DIRTY], "infectious-disease-law")


# clocks


def test_a_complaint_past_its_clock_is_escalated_once_for_each_stage(filed):
    assert overdue(filed.on(ACCEPT_BY).when(hour(ACCEPT_BY))) == []
    late = filed.on(feb(20)).when(hour(feb(20), 0), hour(feb(20), 1))
    assert overdue(late) == [(Stage.ACCEPTANCE, ACCEPT_BY)]
    assert overdue(filed.on(feb(21)).when(hour(feb(21)))) == []
    answer_by = only(ComplaintAccepted, filed.when(ACCEPT)).answer_by
    later = date(2020, 3, 20)
    assert overdue(filed.on(later).when(hour(later))) == [(Stage.ANSWER, answer_by)]


def test_a_standing_clock_does_not_run_out(filed):
    filed.on(feb(12)).facts(PAUSE)
    assert overdue(filed.on(feb(28)).when(hour(feb(28)))) == []


def test_the_working_days_that_a_clock_stood_still_do_not_count(filed):
    filed.on(feb(12)).facts(PAUSE)
    resumed = only(ClockResumed, filed.on(feb(18)).when(RESUME))
    assert resumed.accept_by == date(2020, 2, 25)
    assert overdue(filed.on(feb(26)).when(hour(feb(26)))) == [(Stage.ACCEPTANCE, feb(25))]


def test_only_the_clock_to_the_answer_stands_after_an_acceptance_during_a_pause(filed):
    filed.on(feb(12)).facts(PAUSE)
    accepted = only(ComplaintAccepted, filed.on(feb(18)).when(ACCEPT))
    resumed = only(ClockResumed, filed.on(feb(19)).when(RESUME))
    days_between = filed.service.rulebook.working_days_between
    assert days_between(accepted.answer_by, resumed.answer_by) == 1


def test_a_clock_that_has_run_out_does_not_run_out_again_after_a_pause(filed):
    filed.on(feb(20)).facts(hour(feb(20)))
    filed.on(feb(21)).facts(PAUSE).on(feb(24)).facts(RESUME)
    assert overdue(filed.on(feb(28)).when(hour(feb(28)))) == []


def test_a_clock_stands_once_and_runs_once(filed):
    assert refused(filed.when(RESUME)) == (409, "clock-runs")
    filed.facts(PAUSE)
    assert refused(filed.when(PAUSE)) == (409, "clock-stands")


def test_an_escalation_of_what_was_accepted_in_between_says_nothing(filed):
    stale = EscalateComplaint(**ABOUT, stage=Stage.ACCEPTANCE, due_on=ACCEPT_BY)
    assert types(filed.facts(ACCEPT).on(feb(20)).when(stale)) == []


def test_with_hundreds_open_the_oldest_overdue_is_escalated_first(desk):
    desk.facts(*(complain(f"new-{n:03}") for n in range(250)))
    desk.on(date(2020, 2, 3)).facts(complain("oldest"))
    said = desk.on(feb(20)).when(hour(feb(20)))
    assert next(f for f in said if isinstance(f, EscalateComplaint)).complaint_id == "oldest"
    assert len(overdue(said)) == 251
    assert sum(f.cases for f in said if isinstance(f, HourSwept)) == 251
