"""No sequence of what may happen to a notice breaks what must hold of every notice.

The invariants:

- the due moment never moves earlier, except when a calendar changes, and even then not into what
  has passed;
- the level only grows, by one for each lapse, and a notice lapses at most once more often than
  there are levels;
- a settled notice never changes, and is satisfied at most once;
- the parts that are left only become fewer;
- the version counts each fact that was stated;
- extensions are no more than the rules allow.

That an issue has one notice at most is the database's to hold (`issue_id` is unique).
"""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chassis.errors import Rejected
from contracts.inspection.commands import ExtendNotice, Reinspect
from contracts.inspection.events import IssueFound
from contracts.inspection.types import Severity
from rulebook import Rulebook
from rulebook.chapters.inspection import Until
from rulebook.working_days import SHANGHAI, day_of, end_of
from services.inspection.model import Notice, NoticeState
from tests.unit.sayings import DIRTY

BOOK = Rulebook.load()
LEVELS = len(BOOK.levels)
TERMS = [
    BOOK.notices["ordinary"],
    replace(BOOK.notices["ordinary"], days=None, working_days=2),
    replace(BOOK.notices["ordinary"], days=None, hours=24),
]
PARTS = ["後廚", "大堂", "門口"]


class NoticeMachine(RuleBasedStateMachine):
    @initialize(
        term=st.sampled_from(TERMS), severity=st.sampled_from(Severity), on_record=st.booleans()
    )
    def issue(self, term, severity, on_record):
        self.now = datetime(2020, 2, 14, 9, tzinfo=SHANGHAI)
        self.facts, self.lapses, self.moved = [], 0, False
        found = IssueFound(
            issue_id="issue",
            enterprise_id="shop",
            visit_id="visit",
            point=DIRTY,
            severity=severity,
            checklist_version="v",
            found_on=self.today,
            rectified_on_the_spot=on_record,
            on_record=on_record,
        )
        self.notice = Notice.issue(found, BOOK.until(term, self.now), self.today)
        self.before = self.look()

    @property
    def today(self):
        return day_of(self.now)

    def look(self):
        n = self.notice
        return n.state, n.level, n.due_at, list(n.left), n.version, n.extensions

    def attempt(self, act, *given):
        """Do it as the service does: a refusal states nothing."""
        said = self.notice.version
        try:
            act(*given)
        except Rejected:
            assert self.notice.version == said

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours):
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.notice.due_at <= self.now)
    @rule()
    def the_hour_presses(self):
        if not self.notice.is_open:
            return
        level = None if self.notice.is_grave else BOOK.level(self.notice.level + 1)
        grace = BOOK.until(level, self.now) if level else None
        self.lapses += 1
        self.notice.press("office", grace)

    @rule(days=st.integers(-2, 9), by=st.sampled_from(["officer", "head"]))
    def extend(self, days, by):
        asked = ExtendNotice(
            notice_id="n",
            enterprise_id="shop",
            due_on=self.today + timedelta(days=days),
            approver="head",
            reason="缺貨",
            by=by,
        )
        self.attempt(self.notice.extend, asked, BOOK.extension, self.today)

    @rule(rectified=st.booleans(), left=st.lists(st.sampled_from(PARTS), max_size=3))
    def reinspect(self, rectified, left):
        asked = Reinspect(
            notice_id="n",
            enterprise_id="shop",
            visit_id="v",
            day=self.today,
            rectified=rectified,
            left=left,
        )

        def look_again():
            self.notice.must_allow(asked)
            self.notice.reinspect(asked)

        self.attempt(look_again)

    @precondition(lambda self: self.notice.is_open and self.notice.calendar)
    @rule(days=st.integers(-3, 6))
    def a_holiday_is_announced(self, days):
        counted = BOOK.counted(self.notice.counted_from, self.notice.working_days)
        at = max(end_of(self.notice.counted_from), counted.at + timedelta(days=days))
        self.moved = True
        self.notice.move(Until(at, counted.since, counted.working_days, f"c{days}"), self.today)

    @invariant()
    def holds(self):
        if not hasattr(self, "notice"):
            return
        state, level, due_at, left, version, extensions = self.before
        now = self.look()
        self.facts += self.notice.take_pending()
        if state != NoticeState.OPEN:
            assert now == self.before, "a settled notice never changes"
        if self.moved:
            assert self.notice.due_at >= min(due_at, end_of(self.today))
        else:
            assert self.notice.due_at >= due_at, "it is never due earlier"
        assert self.notice.level == self.lapses <= LEVELS + 1
        assert level <= self.notice.level <= level + 1
        if left and self.notice.left:
            assert set(self.notice.left) <= set(left), "what is left only becomes less"
        assert self.notice.extensions <= BOOK.extension.times
        assert extensions <= self.notice.extensions
        assert self.notice.version == len(self.facts) >= version
        assert [fact.version for fact in self.facts] == list(range(1, len(self.facts) + 1))
        satisfied = sum(fact.type == "notice-satisfied" for fact in self.facts)
        assert satisfied == (self.notice.state == NoticeState.SATISFIED)
        self.before, self.moved = now, False


TestNotice = NoticeMachine.TestCase
TestNotice.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
