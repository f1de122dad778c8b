"""The complaint as a state machine: no sequence of what may be asked breaks an invariant."""

from contextlib import suppress
from datetime import date, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chassis.errors import Rejected
from contracts.complaints.commands import (
    AcceptComplaint,
    CommentComplaint,
    ConcludeCase,
    DecideCase,
    EndMediation,
    EscalateComplaint,
    ExtendClock,
    FileComplaint,
    LinkDuplicate,
    MatchComplaint,
    MoveDeadline,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
    UnlinkDuplicate,
    UnmatchComplaint,
)
from contracts.complaints.types import MediationOutcome, Stage, Track
from contracts.shapes import Sealed
from rulebook import Rulebook
from services.complaints.model import ENDED, Complaint
from tests.unit.sayings import DIRTY, WORDS

LAST = Rulebook.load()
ABOUT = {"complaint_id": "complaint"}
AFTER_THE_END = {"complaint-reopened", "answer-rated", "penalty-imposed", "complaint-closed"}
FIRST_DAY = date(2020, 11, 10)
"""A notice of 25 November 2020 moves what runs over the New Year."""
ENDS = {"complaint-answered", "complaint-refused", "complaint-referred", "complaint-closed"}
ACTS = {
    "accept": lambda c, b, t: c.accept(AcceptComplaint(**ABOUT, by="d"), b, t),
    "refuse": lambda c, _b, t: c.refuse(
        RefuseComplaint(**ABOUT, by="d", ground="not_competent"), DIRTY, t
    ),
    "refer": lambda c, _b, t: c.refer(ReferComplaint(**ABOUT, by="d", agency="x", reason="x"), t),
    "mediated": lambda c, b, t: c.end_mediation(
        EndMediation(**ABOUT, by="d", outcome=MediationOutcome.NOT_AGREED), b, t
    ),
    "filed": lambda c, b, t: c.decide_case(
        DecideCase(**ABOUT, by="d", file=True, reason="x"), b, t
    ),
    "not filed": lambda c, b, t: c.decide_case(
        DecideCase(**ABOUT, by="d", file=False, reason="x"), b, t
    ),
    "conclude": lambda c, b, t: c.conclude_case(
        ConcludeCase(**ABOUT, by="d", reason="x", findings=["dine_in"]), [DIRTY], b, t
    ),
    "answer": lambda c, b, t: c.answer(WORDS, "d", b, t, substantiated=False),
    "pause": lambda c, _b, t: c.pause(DIRTY, "", t),
    "resume": lambda c, b, t: c.resume(b, t),
    "extend": lambda c, b, t: c.extend(ExtendClock(**ABOUT, approver="h", reason="x"), b, t),
    "match": lambda c, _b, t: c.match(MatchComplaint(**ABOUT, by="d", enterprise_id="e"), t),
    "unmatch": lambda c, _b, t: c.unmatch(UnmatchComplaint(**ABOUT, by="d", reason="x"), t),
    "reopen": lambda c, b, t: c.reopen(ReopenComplaint(**ABOUT, reason="x"), b, t),
    "rate": lambda c, _b, t: c.rate(RateAnswer(**ABOUT, satisfied=True), t),
    "unlink": lambda c, b, t: c.unlink(
        UnlinkDuplicate(**ABOUT, main_id="main", by="d", reason="x"), b, t
    ),
}


class ComplaintMachine(RuleBasedStateMachine):
    """A complaint from its receipt on, as days go by.

    - A running clock has one last day, and rings after it or not at all; a clock that stands, and
      one that has ended, has none.
    - The last day follows from what the clock holds: from which day it counts, its days, what was
      added, what stood still, the calendar. Time during which it stood never counts.
    - A comment, a match and a revision move no clock.
    - A clock runs out once for each rung, the first one first.
    - What has ended says nothing more, except that it is reopened or its answer rated.
    - The version counts the facts.
    """

    @initialize(
        track=st.sampled_from([*Track]),
        named=st.booleans(),
        enterprise=st.sampled_from([None, "e"]),
    )
    def receive(self, track, named, enterprise):
        self.today, self.facts, self.rung, self.acted = FIRST_DAY, [], [], False
        asked = FileComplaint(
            **ABOUT,
            track=track,
            channel="12315",
            content="堂食",
            against="店",
            enterprise_id=enterprise,
            caller=Sealed("k.c") if named else None,
        )
        self.main = Complaint.receive(
            FileComplaint(complaint_id="main", track=track, channel="12315", content="堂食"),
            self.book,
            self.today,
        )
        self.complaint = Complaint.receive(asked, self.book, self.today)
        self.hear()

    @property
    def book(self):
        return LAST.on(self.today)

    def hear(self):
        """Take what the complaint has said, and hold it to what it may say."""
        for fact in self.complaint.take_pending():
            if self.facts and self.facts[-1].type in ENDS | {"penalty-imposed", "answer-rated"}:
                closing = self.facts[-1].type == "penalty-imposed" and not self.has_ended_before
                assert closing or fact.type in AFTER_THE_END, (self.facts[-1].type, fact.type)
            self.facts.append(fact)
            if fact.type == "complaint-overdue":
                self.rung.append((self.starts, fact.level))
        self.has_ended_before = self.complaint.has_ended

    has_ended_before = False

    @property
    def starts(self):
        """Count the clocks that have been started."""
        kinds = {
            "complaint-received",
            "complaint-accepted",
            "mediation-ended",
            "case-decided",
            "case-concluded",
            "complaint-reopened",
        }
        return sum(fact.type in kinds for fact in self.facts)

    @rule(days=st.integers(1, 40))
    def days_pass(self, days):
        self.today += timedelta(days=days)

    @rule(act=st.sampled_from(sorted(ACTS)))
    def act(self, act):
        before = self.complaint.version
        try:
            ACTS[act](self.complaint, self.book, self.today)
        except Rejected:
            assert self.complaint.version == before
        self.hear()

    @rule()
    def link(self):
        asked = LinkDuplicate(**ABOUT, main_id="main", by="d")
        with suppress(Rejected):
            self.complaint.link(asked, self.main, self.today, has_duplicates=False)
        self.hear()

    @precondition(lambda self: not self.complaint.has_ended)
    @rule(revision=st.integers(0, 3))
    def what_is_said_moves_no_clock(self, revision):
        before = self.clock
        self.complaint.comment(CommentComplaint(**ABOUT, comment="仍在堂食"), self.today)
        asked = FileComplaint(
            **ABOUT,
            track=self.complaint.track,
            channel="12315",
            content="堂食",
            against="店",
            revision=revision,
        )
        self.complaint.revise(asked, self.today)
        assert self.clock == before
        self.hear()

    @rule()
    def an_hour_is_swept(self):
        """As the service does it: first the calendar, then what has run out; each twice."""
        complaint, book = self.complaint, self.book
        if complaint.calendar_from and complaint.calendar_from < book.calendar.since:
            asked = MoveDeadline(**ABOUT, notice=book.calendar.code, setting=complaint.setting)
            for _ in range(2):
                complaint.move(asked, book)
        if complaint.rings_on and complaint.rings_on < self.today:
            asked = EscalateComplaint(
                **ABOUT,
                stage=Stage(complaint.stage),
                due_on=complaint.due_on,
                level=complaint.level,
                setting=complaint.setting,
            )
            for _ in range(2):
                complaint.run_out(asked, book, self.today)
        self.hear()

    @property
    def clock(self):
        one = self.complaint
        return one.stage, one.counted_from, one.due_on, one.rings_on, one.paused_on, one.setting

    @invariant()
    def a_running_clock_has_one_last_day(self):
        """And none while it stands, while another complaint answers, and when it has ended."""
        one = self.complaint
        runs = not one.has_ended and one.paused_on is None
        assert (one.due_on is not None) is (one.calendar_from is not None) is runs
        assert one.rings_on is None or (runs and one.rings_on >= one.due_on)
        if one.main_id is not None and not one.has_ended:
            assert not runs

    @invariant()
    def the_last_day_can_be_counted_again_and_paused_time_does_not_count(self):
        one = self.complaint
        if one.due_on is None:
            return
        book = next(e for e in reversed(LAST.editions) if e.calendar.code == one.calendar)
        counts = book.counting(one.unit)
        stood = {
            first + timedelta(days=n)
            for first, last in one.spans
            for n in range((last - first).days)
        }
        days = (one.due_on - one.counted_from).days
        counted = [
            day
            for day in (one.counted_from + timedelta(days=n) for n in range(1, days + 1))
            if counts.includes(day) and day not in stood
        ]
        assert len(counted) == one.days + one.extension_days
        assert counted[-1] == one.due_on
        told = one.counting(book)
        allowed = told.days + told.extension_days + told.paused_days
        assert counts.after(told.counted_from, allowed) == told.due_on

    @invariant()
    def a_clock_runs_out_once_for_each_rung_the_first_one_first(self):
        assert len(set(self.rung)) == len(self.rung)
        assert self.rung == sorted(self.rung)
        assert self.complaint.level <= len(self.book.complaint_rungs)

    @invariant()
    def what_has_ended_rings_no_more(self):
        if self.complaint.state in ENDED:
            assert self.complaint.rings_on is None

    @invariant()
    def the_version_counts_the_facts(self):
        assert self.complaint.version == len(self.facts)
        assert [fact.version for fact in self.facts] == [*range(1, len(self.facts) + 1)]


TestComplaintMachine = ComplaintMachine.TestCase
TestComplaintMachine.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
