"""complaints: given facts, then facts. 10 February 2020 is a Monday."""

from datetime import date

import pytest

from contracts.complaints.commands import (
    AcceptComplaint,
    AnswerComplaint,
    AnswerDuplicate,
    CommentComplaint,
    ConcludeCase,
    DecideCase,
    EndMediation,
    ExtendClock,
    LinkDuplicate,
    MatchComplaint,
    PauseClock,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
    ResumeClock,
    UnlinkDuplicate,
    UnmatchComplaint,
)
from contracts.complaints.events import (
    AnswerRated,
    CaseConcluded,
    CaseDecided,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintReceived,
    ComplaintReopened,
    ComplaintRevised,
    DuplicateUnlinked,
    MediationEnded,
    PenaltyImposed,
)
from contracts.complaints.types import MediationOutcome, Stage, Track
from contracts.inspection.events import ComplaintChecked
from contracts.shapes import Point, Sealed, Words
from services.complaints.service import Complaints
from tests.service.sayings import (
    DIRTY,
    TODAY,
    complain,
    faults,
    hour,
    only,
    refusal,
    refused,
    types,
)

ABOUT = {"complaint_id": "complaint"}
ACCEPT = AcceptComplaint(**ABOUT, by="desk")
REFUSE = RefuseComplaint(**ABOUT, by="desk", ground="not_competent", reason="不屬管轄")
REFER = ReferComplaint(**ABOUT, by="desk", agency="health", reason="屬衛健部門")
PAUSE = PauseClock(**ABOUT, ground="testing", reason="送檢")
RESUME = ResumeClock(**ABOUT)
ANSWER = AnswerComplaint(**ABOUT, by="desk", answer="已處理")
FILE = DecideCase(**ABOUT, by="head", file=True, reason="線索屬實")
END = EndMediation(**ABOUT, by="desk", outcome=MediationOutcome.AGREED)
REOPEN = ReopenComplaint(**ABOUT, by="caller", reason="問題仍在")
RATE = RateAnswer(**ABOUT, satisfied=True)
COMMENT = CommentComplaint(**ABOUT, comment="仍在堂食")
ACCEPT_BY = date(2020, 2, 19)
"""Seven working days after 10 February."""
DINE_IN = Point(code="dine_in", words=Words(zh="堂食", en="Dine-in"))


def feb(day):
    return date(2020, 2, day)


def checked(*points, shop="shop", **about):
    return ComplaintChecked(
        **ABOUT | about,
        enterprise_id=shop,
        visit_id="visit",
        substantiated=bool(points),
        points=list(points),
        checked_on=TODAY,
    )


def link(complaint, main):
    return LinkDuplicate(complaint_id=complaint, main_id=main, by="desk")


@pytest.fixture
def desk(given):
    return given(Complaints)


@pytest.fixture
def filed(desk):
    return desk.facts(complain())


@pytest.fixture
def described(desk):
    return desk.facts(complain(enterprise_id=None, against="門口的小店"))


def test_a_complaint_names_a_channel_and_somebody(desk):
    wrong = complain(channel="pigeon", enterprise_id=None)
    assert faults(desk.when(wrong)) == ["channel", "against"]


def test_an_enterprise_that_is_only_described_will_do(desk):
    said = desk.when(complain(enterprise_id=None, against="門口的小店"))
    assert types(said) == ["complaint-received"]


def test_acceptance_starts_the_clock_of_the_track(desk):
    desk.facts(complain("dispute", track=Track.DISPUTE), complain("report"))
    desk.on(feb(12))
    stages = {}
    for name in ("dispute", "report"):
        said = desk.when(AcceptComplaint(complaint_id=name, by="desk"))
        counting = only(ComplaintAccepted, said).counting
        stages[name] = counting.stage, counting.counted_from
    assert stages == {
        "dispute": (Stage.MEDIATION, feb(12)),
        "report": (Stage.CASE, TODAY),  # which counts from the receipt
    }


def test_a_complaint_is_accepted_once_and_then_not_refused(filed):
    filed.facts(ACCEPT)
    assert refused(filed.when(ACCEPT)) == (409, "already-accepted")
    assert refused(filed.when(REFUSE)) == (409, "already-accepted")


@pytest.mark.parametrize("end", [REFUSE, ANSWER, REFER], ids=lambda c: c.type)
def test_a_complaint_that_has_ended_is_left_alone(filed, end):
    filed.facts(end)
    for command in (ACCEPT, REFUSE, REFER, ANSWER, PAUSE, RESUME, COMMENT):
        assert refused(filed.when(command)) == (409, "already-ended")
    assert filed.when(checked(DIRTY)) == []
    said = filed.on(date(2020, 6, 1)).when(hour(date(2020, 6, 1)))
    assert {*types(said)} <= {"sweep-hour"}


def test_an_unknown_complaint_is_not_found(desk):
    for command in (ACCEPT, REFUSE, REFER, ANSWER, PAUSE, RESUME, COMMENT, REOPEN, RATE, FILE):
        assert refused(desk.when(command)) == (404, "not-found")
    assert refused(desk.when(link("complaint", "main"))) == (404, "not-found")


def test_a_refusal_names_a_ground_of_the_track(filed):
    for ground in ("bad_mood", "after_three_years"):  # the second is for disputes
        wrong = RefuseComplaint(**ABOUT, by="desk", ground=ground)
        assert faults(filed.when(wrong)) == ["ground"]
    assert types(filed.when(REFUSE)) == ["complaint-refused"]


# two tracks


def test_when_mediation_ends_the_parties_are_to_be_told(desk):
    desk.facts(complain(track=Track.DISPUTE))
    assert refused(desk.when(END)) == (409, "not-accepted")
    ended = only(MediationEnded, desk.facts(ACCEPT).on(feb(12)).when(END))
    assert (ended.counting.stage, ended.counting.days) == (Stage.TELLING, 7)
    assert refused(desk.when(FILE)) == (409, "other-track")
    assert types(desk.when(ANSWER)) == ["complaint-answered"]


def test_a_filed_case_is_decided_in_90_calendar_days_and_a_named_reporter_told_in_5(desk):
    desk.facts(complain(caller=Sealed("k.c")), ACCEPT)
    decided = only(CaseDecided, desk.on(feb(12)).when(FILE))
    assert decided.counting.due_on == date(2020, 5, 12)
    penalise = ConcludeCase(**ABOUT, by="head", reason="屬實", findings=["dine_in", "dine_in"])
    said = desk.on(date(2020, 4, 24)).when(penalise)
    assert types(said) == ["case-concluded", "penalty-imposed"]
    assert only(CaseConcluded, said).counting.due_on == date(2020, 4, 30)
    assert [p.code for p in only(PenaltyImposed, said).points] == ["dine_in"]


def test_a_case_that_is_not_filed_ends_the_report_of_somebody_without_a_name(filed):
    drop = DecideCase(**ABOUT, by="head", file=False, reason="查無實據")
    said = filed.facts(ACCEPT).when(drop)
    assert types(said) == ["case-decided", "complaint-closed"]
    assert only(CaseDecided, said).counting is None
    assert refused(filed.when(ANSWER)) == (409, "already-ended")


def test_a_penalty_needs_a_case_findings_of_the_checklist_and_an_enterprise(described):
    penalise = ConcludeCase(**ABOUT, by="head", reason="屬實", findings=["dine_in"])
    assert refused(described.when(penalise)) == (409, "no-case")
    described.facts(ACCEPT, FILE)
    wrong = ConcludeCase(**ABOUT, by="head", reason="屬實", findings=["dine_in", "ugly"])
    assert faults(described.when(wrong)) == ["findings/1"]
    assert refused(described.when(penalise)) == (409, "not-matched")


# what officers found


def test_a_check_that_found_nothing_answers_the_caller(filed):
    said = filed.when(checked())
    assert types(said) == ["complaint-answered"]
    assert not only(ComplaintAnswered, said).substantiated


def test_a_substantiated_complaint_is_answered_and_penalised(filed):
    said = filed.when(checked(DIRTY, DINE_IN))
    assert types(said) == ["complaint-answered", "penalty-imposed"]
    assert DIRTY.words.zh in only(ComplaintAnswered, said).answer.zh
    penalty = only(PenaltyImposed, said)
    assert penalty.points == [DIRTY, DINE_IN]
    assert [(c.article, c.version.isoformat(), c.findings) for c in penalty.citations] == [
        (None, "2013-06-29", ["not_cleaned"]),
        ("infectious-disease-law-42", "2013-06-29", ["dine_in"]),
    ]


# two officers, one case (docs/elsewhere.md, 3)


def test_of_two_officers_who_answer_one_case_from_the_same_state_one_succeeds(filed):
    """Both saw version 1. The other learns who did what."""
    first = AnswerComplaint(**ABOUT, by="officer-1", answer="屬實", seen_version=1)
    second = AnswerComplaint(**ABOUT, by="officer-2", answer="不屬實", seen_version=1)
    said = filed.when(first, second)
    assert types(said) == ["complaint-answered"]
    (problem,) = [fact.problem for fact in said if getattr(fact, "problem", None)]
    assert (problem["status"], problem["version"]) == (409, 2)
    assert problem["last_change"]["by"] == "officer-1"
    assert problem["last_change"]["what"] == "complaint-answered"


# pulls of the hotline's list (docs/elsewhere.md, 10)


def pulled(revision, content, **more):
    return complain(outside_number="35-7", revision=revision, content=content, **more)


def result(said):
    (settled,) = (fact for fact in said if fact.type == "command-settled")
    return settled.result


def test_an_import_does_not_overwrite_new_with_old(desk):
    desk.facts(pulled(3, "三"))
    said = desk.when(pulled(1, "一"))
    assert types(said) == []
    assert (result(said)["became"], result(said)["revision"]) == ("outdated", 3)
    assert result(desk.when(pulled(3, "三")))["became"] == "unchanged"


def test_an_import_does_not_drop_what_comes_late(desk):
    said = desk.when(complain("late", outside_number="35-1", revision=0))
    desk.on(date(2020, 3, 2))
    assert types(said) == ["complaint-received"]
    revised = desk.when(complain("late", outside_number="35-1", revision=2, content="新"))
    assert only(ComplaintRevised, revised).content == "新"


def test_overlapping_pulls_in_one_batch_make_one_complaint(desk):
    said = desk.when(pulled(0, "零"), pulled(0, "零"), pulled(2, "二"), pulled(1, "一"))
    assert types(said) == ["complaint-received", "complaint-revised"]
    became = [fact.result.get("became") for fact in said if fact.type == "command-settled"]
    assert became == [None, "unchanged", "revised", "outdated"]


def test_the_same_revision_that_says_something_else_is_refused_so_that_nothing_is_lost(desk):
    desk.facts(pulled(1, "一"))
    assert refused(desk.when(pulled(1, "另"))) == (409, "revision-differs")
    assert faults(desk.when(pulled(2, "二", track=Track.DISPUTE))) == ["track"]
    assert refused(desk.when(pulled(2, "二", enterprise_id="b"))) == (409, "already-matched")


def test_a_revision_moves_no_clock_and_is_refused_when_the_complaint_has_ended(desk):
    desk.facts(pulled(0, "零"))
    desk.on(feb(18)).facts(pulled(1, "一"))
    assert "complaint-overdue" in types(desk.on(feb(20)).when(hour(feb(20))))
    desk.facts(ANSWER)
    assert refused(desk.when(pulled(2, "二"))) == (409, "already-ended")


def test_a_revision_that_names_the_enterprise_matches_it(desk):
    desk.facts(pulled(0, "零", enterprise_id=None, against="小店"))
    said = desk.when(pulled(1, "零", enterprise_id="shop"))
    assert types(said) == ["complaint-revised", "complaint-matched"]


# whom it is against


def test_a_described_enterprise_is_matched_by_a_person_and_a_wrong_match_taken_back(described):
    match = MatchComplaint(**ABOUT, by="desk", enterprise_id="wrong")
    unmatch = UnmatchComplaint(**ABOUT, by="desk", reason="同名")
    assert refused(described.when(unmatch)) == (409, "not-matched")
    assert types(described.when(match)) == ["complaint-matched"]
    assert refusal(described.when(match))["enterprise_id"] == "wrong"
    assert types(described.when(unmatch)) == ["complaint-unmatched"]
    assert described.when(checked(DIRTY, shop="wrong")) == []  # it answers nothing any more
    right = MatchComplaint(**ABOUT, by="desk", enterprise_id="right")
    assert described.when(right)[0].matching == 2
    assert "penalty-imposed" in types(described.when(checked(DIRTY, shop="right")))


# duplicates


def test_the_main_case_answers_all_that_are_linked_to_it(desk):
    names = [f"same-{n}" for n in range(3)]
    desk.facts(complain(), *map(complain, names), *(link(name, "complaint") for name in names))
    said = desk.when(checked(DIRTY))
    assert types(said).count("complaint-answered") == 4
    assert types(said).count("penalty-imposed") == 1
    answers = {f.complaint_id: f for f in said if isinstance(f, ComplaintAnswered)}
    for name in names:
        assert (answers[name].main_id, answers[name].by) == ("complaint", "main-complaint")
        assert answers[name].answer == answers["complaint"].answer


def test_links_make_neither_chains_nor_circles(desk):
    desk.facts(complain("a"), complain("b"), complain("c"), link("a", "b"))
    assert refused(desk.when(link("b", "a"))) == (409, "has-duplicates")
    assert refused(desk.when(link("b", "c"))) == (409, "has-duplicates")
    assert refusal(desk.when(link("c", "a")))["main_id"] == "b"
    assert faults(desk.when(link("c", "c"))) == ["main_id"]
    assert refused(desk.when(link("a", "c"))) == (409, "is-duplicate")
    said = desk.when(link("c", "b"))
    assert types(said) == ["duplicate-linked"]


def test_whatever_is_asked_of_a_linked_complaint_but_a_comment_is_to_be_asked_of_its_main_one(desk):
    desk.facts(complain(), complain("main"), complain("another"), ACCEPT)
    desk.facts(link("complaint", "main"))
    conclude = ConcludeCase(**ABOUT, by="head", reason="不予處罰")
    extend = ExtendClock(**ABOUT, approver="head", reason="案情複雜")
    asked = (ACCEPT, REFUSE, REFER, ANSWER, PAUSE, RESUME, extend, END, FILE, conclude)
    for command in (*asked, link("complaint", "another")):
        problem = refusal(desk.when(command))
        assert (problem["type"], problem["main_id"]) == ("urn:bihuan:problem:is-duplicate", "main")
    assert types(desk.when(COMMENT)) == ["complaint-commented"]


def test_a_linked_clock_stands_and_runs_on_when_the_main_case_ends_without_an_answer(desk):
    desk.facts(complain(), complain("main"), link("complaint", "main"))
    refer = ReferComplaint(complaint_id="main", by="desk", agency="health", reason="衛健")
    said = desk.on(feb(14)).when(refer)
    freed = only(DuplicateUnlinked, said)
    assert (freed.complaint_id, freed.reason) == ("complaint", "complaint-referred")
    assert (freed.counting.paused_days, freed.counting.due_on) == (3, feb(24))
    assert types(desk.when(ANSWER)) == ["complaint-answered"]


def test_a_complaint_is_not_linked_to_one_that_has_ended(desk):
    desk.facts(complain(), complain("main"), ANSWER)
    assert refused(desk.when(link("main", "complaint"))) == (409, "main-has-ended")


def test_an_answer_for_what_was_unlinked_in_between_says_nothing(desk):
    desk.facts(complain(), complain("main"), link("complaint", "main"))
    unlink = UnlinkDuplicate(**ABOUT, main_id="main", by="desk", reason="並非同一事項")
    assert types(desk.when(unlink)) == ["duplicate-unlinked"]
    assert refused(desk.when(unlink)) == (409, "not-duplicate")
    words = Words(zh="已處理", en="Done")
    late = AnswerDuplicate(**ABOUT, main_id="main", answer=words, substantiated=True)
    assert types(desk.when(late)) == []


# after the answer


def test_a_caller_may_reopen_within_the_window_counted_from_the_answer(filed):
    answered = only(ComplaintAnswered, filed.on(feb(28)).when(ANSWER))
    assert answered.reopen_until == date(2020, 3, 20)  # fifteen working days
    reopened = only(ComplaintReopened, filed.on(date(2020, 3, 20)).when(REOPEN))
    assert reopened.counting.counted_from == date(2020, 3, 20)  # and not from its receipt
    assert refused(filed.when(REOPEN)) == (409, "not-answered")
    assert only(ComplaintAnswered, filed.when(checked())).reopen_until > date(2020, 4, 1)


def test_a_caller_who_comes_too_late_is_told_the_last_day(filed):
    filed.on(feb(28)).facts(ANSWER)
    problem = refusal(filed.on(date(2020, 3, 21)).when(REOPEN))
    assert (problem["status"], problem["last_day"]) == (409, "2020-03-20")


@pytest.mark.parametrize("end", [REFUSE, REFER], ids=lambda c: c.type)
def test_what_was_not_answered_is_neither_reopened_nor_rated(filed, end):
    filed.facts(end)
    for command in (REOPEN, RATE):
        assert refused(filed.when(command)) == (409, "not-answered")


def test_an_answer_is_rated_once_and_who_is_not_satisfied_says_why(filed):
    filed.facts(ANSWER)
    assert faults(filed.when(RateAnswer(**ABOUT, satisfied=False, reason=" "))) == ["reason"]
    assert only(AnswerRated, filed.when(RATE)).satisfied
    assert refused(filed.when(RATE)) == (409, "already-rated")
    unhappy = RateAnswer(**ABOUT, satisfied=False, reason="無人處理")
    said = filed.facts(REOPEN, ANSWER).when(unhappy)
    assert not only(AnswerRated, said).satisfied  # of the second answer


def test_a_received_complaint_names_its_clock_and_its_rules(desk):
    counting = only(ComplaintReceived, desk.when(complain(track=Track.DISPUTE))).counting
    assert counting.to_data() == {
        "stage": "acceptance",
        "counted_from": "2020-02-10",
        "unit": "working_days",
        "days": 7,
        "extension_days": 0,
        "paused_days": 0,
        "calendar": "2020-1",
        "rules": desk.service.rulebook.on(TODAY).version,
        "due_on": ACCEPT_BY.isoformat(),
    }
