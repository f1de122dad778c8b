"""No sequence of commands and facts breaks what is always true of an enterprise and its filings.

What that is, the docstrings of `Enterprise` and `Filing` say.
"""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chassis.errors import Rejected
from contracts.filing.commands import (
    CorrectEnterprise,
    RegisterEnterprise,
    ReportRoster,
    SubmitFiling,
)
from contracts.filing.types import Decision, Kind, Size
from rulebook import Rulebook
from services.filing.model import LIVE, Enterprise, FilingState
from tests.unit.sayings import DIRTY, TODAY

BOOK = Rulebook.load().on(TODAY)
MEASURES = ["masks", "disinfectant", "thermometer"]


class Office(RuleBasedStateMachine):
    """One enterprise, all its filings, and whatever may be asked of them, in any order."""

    def __init__(self):
        super().__init__()
        self.today, self.stated, self.filings = TODAY, [], []
        asked = RegisterEnterprise(
            enterprise_id="shop",
            credit_code="91350100M000100Y43",
            name="店",
            kind=Kind.SOLE_TRADER,
            size=Size.MICRO,
            industry="H6210",
            premises="restaurant",
            grid="350503003",
        )
        self.shop = Enterprise.register(asked, BOOK, TODAY)
        self.hear()

    def hear(self):
        for thing in (self.shop, *self.filings):
            self.stated += [(fact, thing) for fact in thing.take_pending()]

    def ask(self, do, *given):
        """Ask for something; if it is refused, nothing has changed and nothing is stated."""
        before = self.picture()
        try:
            made = do(*given)
        except Rejected:
            assert self.picture() == before
            made = None
        self.hear()
        return made

    def picture(self):
        things = (self.shop, *self.filings)
        columns = [
            {c.key: getattr(one, c.key) for c in type(one).__mapper__.column_attrs}
            for one in things
        ]
        return columns, [one.__dict__.get("_pending") for one in things], len(self.stated)

    @property
    def latest(self):
        return self.filings[-1]

    # -- what may be asked

    @rule(premises=st.sampled_from(["restaurant", "office", "shop"]), key=st.booleans())
    def correct(self, premises, key):
        asked = CorrectEnterprise(
            enterprise_id="shop", reason="有誤", premises=premises, key_project=key
        )
        self.ask(self.shop.correct, asked, BOOK, self.today)

    @rule(
        ahead=st.integers(-1, 40),
        measures=st.lists(st.sampled_from([*MEASURES, "moon"])) | st.just(MEASURES),
        pledge=st.sampled_from([True, True, True, False]),
        strangers=st.integers(0, 12),
    )
    def submit(self, ahead, measures, pledge, strangers):
        asked = SubmitFiling(
            filing_id=f"filing-{len(self.filings)}",
            enterprise_id="shop",
            reopen_on=self.today + timedelta(days=ahead),
            headcount=10,
            out_of_province=strangers,
            measures=measures,
            pledge=pledge,
        )
        previous = self.latest if self.filings else None
        made = self.ask(self.shop.submit, asked, previous, BOOK, self.today)
        if made is not None:
            self.filings.append(made)
            self.hear()

    @precondition(lambda self: self.filings)
    @rule()
    def judge(self):
        self.ask(self.latest.judge, self.shop, BOOK, self.today)

    @precondition(lambda self: self.filings)
    @rule(passed=st.booleans())
    def review(self, passed):
        if passed:
            self.ask(self.latest.judge_after_review, self.shop, BOOK, self.today)
        else:
            self.ask(self.latest.return_after_review, self.shop, [DIRTY], BOOK)

    @precondition(lambda self: self.filings)
    @rule(decision=st.sampled_from(Decision), reasons=st.sampled_from([[], [DIRTY]]))
    def decide(self, decision, reasons):
        self.ask(self.latest.decide, self.shop, decision, reasons, "reviewer", BOOK)

    @rule(data=st.data())
    @precondition(lambda self: self.filings)
    def act_on_any_filing(self, data):
        """An old message about an old filing may always come."""
        old = data.draw(st.sampled_from(range(len(self.filings))))
        filing = self.filings[old]
        act = data.draw(st.sampled_from(["withdraw", "reopen", "approve", "judge"]))
        if act == "withdraw":
            self.ask(filing.withdraw, self.shop, "改期")
        elif act == "reopen":
            self.ask(self.shop.reopen, filing, self.today)
        elif act == "approve":
            self.ask(filing.decide, self.shop, Decision.APPROVE, [], "reviewer", BOOK)
        else:
            self.ask(filing.judge, self.shop, BOOK, self.today)

    @rule(closure=st.sampled_from(["one", "two"]))
    def suspend(self, closure):
        """As the service does when a closure is ordered: a live filing is returned first."""
        if self.filings and self.latest.is_live:
            self.latest.send_back(self.shop, [DIRTY], "rule", BOOK)
        self.ask(self.shop.suspend, closure, self.today)

    @rule(closure=st.sampled_from(["one", "two"]))
    def release(self, closure):
        self.ask(self.shop.release, closure, self.today)

    @rule(staff=st.integers(0, 5), unfit=st.integers(0, 6))
    def report(self, staff, unfit):
        asked = ReportRoster(enterprise_id="shop", day=self.today, staff=staff, unfit=unfit)
        self.ask(self.shop.report, asked, self.today, BOOK)

    @rule(days=st.integers(1, 20))
    def days_pass(self, days):
        self.today += timedelta(days=days)

    # -- what is always true

    @invariant()
    def one_filing_at_the_most_is_live_and_the_enterprise_knows_it(self):
        live = [filing.id for filing in self.filings if filing.state in LIVE]
        assert live == ([self.shop.live_filing_id] if self.shop.live_filing_id else [])

    @invariant()
    def it_is_open_only_by_a_filing_that_was_approved(self):
        if self.shop.state == "open":
            assert self.latest.state == FilingState.REOPENED
        for filing in self.filings:
            if filing.state == FilingState.REOPENED:
                assert "filing-approved" in self.stated_by(filing)
        openings = self.stated_by(self.shop).count("enterprise-reopened")
        assert openings == sum(one.state == FilingState.REOPENED for one in self.filings)

    @invariant()
    def five_small_premises_are_never_approved_unseen(self):
        """At the approval they had been seen, whatever the premises became later."""
        premises = None
        for fact, thing in self.stated:
            kind = fact.type
            if kind in ("enterprise-registered", "enterprise-corrected"):
                premises = fact.premises
            elif kind == "filing-approved" and BOOK.five_small(premises):
                assert thing.seen_on_site

    @invariant()
    def a_suspended_enterprise_has_no_live_filing(self):
        if self.shop.state == "suspended":
            assert self.shop.live_filing_id is None
            assert self.shop.closure_id

    @invariant()
    def versions_count_what_was_stated(self):
        for thing in (self.shop, *self.filings):
            versions = [fact.version for fact, by in self.stated if by is thing]
            assert versions == list(range(1, thing.version + 1))

    @invariant()
    def what_has_ended_stays_ended(self):
        for filing in self.filings[:-1]:
            assert not filing.is_live

    def stated_by(self, thing):
        return [fact.type for fact, by in self.stated if by is thing]


Office.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOffice = Office.TestCase
