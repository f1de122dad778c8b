"""The visit as a state machine: no sequence of commands breaks what holds of a visit."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chassis.errors import Conflict
from contracts.inspection.commands import (
    CancelVisit,
    PlanVisit,
    RecordPart,
    RecordVisit,
    ReplanVisit,
    SignVisit,
)
from contracts.inspection.types import Finding
from services.inspection import model as inspection
from services.inspection.model import NotAcceptable, VisitState
from tests.unit.sayings import TODAY, said

AGENCIES = ["health", "market", "police"]
agency = st.sampled_from([*AGENCIES, "fire"])
OF = {"visit_id": "visit", "enterprise_id": "shop"}
VERSION = "v1"


class VisitMachine(RuleBasedStateMachine):
    """Invariants: a visit is recorded once at the most, and never once it was given up; each agency
    that takes part records one part at the most and signs once; nobody adds anything after having
    signed; it is said to be complete once, by the last to sign; what was found only grows; each
    fact is one version; and whoever is refused changes nothing."""

    def __init__(self):
        super().__init__()
        premises = inspection.Premises(enterprise_id="shop", kind="restaurant", grid="350503003")
        plan = PlanVisit(**OF, day=TODAY, agencies=AGENCIES, joint=True)
        self.visit = inspection.Visit.plan_by_hand(plan, premises, [])
        self.facts, self.completes, self.findings = said(self.visit), 0, 0

    def act(self, do):
        """Do something, and keep what is said; what is refused leaves no trace."""
        before = {k: v for k, v in vars(self.visit).items() if not k.startswith("_")}
        try:
            fact = do()
        except (Conflict, NotAcceptable):
            after = {k: v for k, v in vars(self.visit).items() if not k.startswith("_")}
            assert (after, said(self.visit)) == (before, [])
            return None
        self.facts += said(self.visit)
        return fact

    @rule(days=st.integers(-2, 3))
    def replan(self, days):
        asked = ReplanVisit(**OF, day=TODAY + timedelta(days=days), reason="下雨")
        self.act(lambda: self.visit.replan(asked, TODAY))

    @precondition(lambda self: len(self.facts) > 4)
    @rule()
    def cancel(self):
        self.act(lambda: self.visit.cancel(CancelVisit(**OF, reason="下雨")))

    @rule(days=st.integers(-1, 1), found=st.integers(0, 2), agencies=st.sets(agency))
    def record(self, days, found, agencies):
        asked = RecordVisit(
            **OF,
            day=TODAY + timedelta(days=days),
            agencies=sorted(agencies),
            findings=[Finding(rule="dine_in")] * found,
        )
        fact = self.act(lambda: self.visit.carry_out(asked, TODAY, checklist_version=VERSION))
        self.findings += len(fact.findings) if fact else 0

    @rule(who=agency)
    def part(self, who):
        had_signed = who in self.visit.signed
        asked = RecordPart(**OF, agency=who)
        findings = [Finding(rule="gathering")]
        if self.act(lambda: self.visit.add_part(asked, findings, VERSION)):
            assert not had_signed
            self.findings += 1

    @rule(who=agency)
    def sign(self, who):
        fact = self.act(lambda: self.visit.sign(SignVisit(**OF, agency=who, officer="A")))
        if fact:
            assert fact.complete == ({*self.visit.agencies} == {*self.visit.signed})
            self.completes += fact.complete

    @invariant()
    def holds(self):
        visit = self.visit
        assert visit.version == len(self.facts)
        assert self.facts.count("visit-recorded") == (visit.state == VisitState.RECORDED)
        assert self.facts.count("visit-cancelled") == (visit.state == VisitState.CANCELLED)
        for some in (visit.signed, visit.parts):
            assert len({*some}) == len(some)
            assert {*some} <= {*visit.agencies}
        assert len(visit.agencies) >= 2
        assert len(visit.found) == self.findings
        assert self.completes == (visit.is_complete and bool(visit.signed))


TestVisit = VisitMachine.TestCase
TestVisit.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
