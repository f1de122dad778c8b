"""No sequence of steps breaks what holds of claims: a machine tries thousands of them."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chassis.errors import Rejected
from contracts.insurance.types import ClaimDecision
from contracts.shapes import Point, Words
from services.insurance.model import Claim, ClaimState
from tests.insured import TODAY, approve, check, file_claim, pay, reject
from tests.unit.test_insurance_model import with_benefits

POINT = Point(code="x", words=Words(zh="好", en="Good"))
people = st.sampled_from(["甲", "乙", "丙"])
numbers = st.integers(0, 5)


class Claims(RuleBasedStateMachine):
    """Claims of one person under one policy of three benefits, by three people of the insurer.

    Whatever is tried, in whatever order:
    - what is paid in all never exceeds the sum insured, nor for a casualty its benefit;
    - a claim is decided once and paid once, and what is rejected is never paid;
    - a payment reference pays one claim;
    - nobody decides what they have checked;
    - a person has one claim under way at the most, and one that is not rejected for a casualty;
    - a rejected claim frees the benefit: a claim for it may be filed again;
    - the version of a claim counts each fact about it, and what is refused states none.
    """

    def __init__(self):
        super().__init__()
        self.policy = with_benefits(500, infection=200, disability=450, death=700)
        self.claims: list[Claim] = []
        self.facts = {}

    def try_(self, claim, act):
        """Do something to a claim; what is refused changes nothing."""
        before = claim.state, claim.version, claim.reference, list(claim.checkers)
        try:
            act()
        except Rejected:
            assert before == (claim.state, claim.version, claim.reference, list(claim.checkers))
            assert claim.take_pending() == []
        else:
            self.facts[claim.id] += claim.take_pending()

    def one(self, number):
        return self.claims[number % len(self.claims)] if self.claims else None

    @rule(casualty=st.sampled_from(["infection", "disability", "death"]), ago=st.integers(0, 3))
    def file(self, casualty, ago):
        """File a claim; whether it must be taken follows from what was paid and what stands."""
        name = f"claim-{len(self.claims)}"
        standing = [c for c in self.claims if c.state != "rejected"]
        blocked = any(c.state != "paid" or c.casualty == casualty for c in standing)
        left = min(self.policy.benefits[casualty], 500) - self.paid()
        asked = file_claim(name, casualty=casualty)
        today = TODAY + timedelta(days=ago)
        try:
            made = self.policy.claim(asked, today, "person", list(self.claims))
        except Rejected:
            assert blocked or left <= 0
        else:
            assert not blocked
            assert made.amount == left > 0
            self.claims.append(made)
            self.facts[name] = made.take_pending()

    @rule(number=numbers, by=people, complete=st.booleans())
    def check(self, number, by, complete):
        """Check the documents of a claim."""
        if claim := self.one(number):
            missing = [] if complete else [POINT]
            self.try_(claim, lambda: claim.check(check(claim.id, by), missing))

    @rule(number=numbers, by=people, decision=st.sampled_from(ClaimDecision), why=st.booleans())
    def decide(self, number, by, decision, why):
        """Approve or reject a claim, with or without a reason."""
        if claim := self.one(number):
            say = approve if decision is ClaimDecision.APPROVE else reject
            reasons = [POINT] if why else []
            asked = say(claim.id, by)
            self.try_(claim, lambda: claim.decide(asked, reasons, four_eyes=True))

    @rule(number=numbers, reference=st.sampled_from(["P-1", "P-2", "P-3"]))
    def pay(self, number, reference):
        """Pay a claim, under a reference that may have been used."""
        if claim := self.one(number):
            used = next((c for c in self.claims if c.reference == reference), None)
            self.try_(claim, lambda: claim.pay(pay(claim.id, reference), TODAY, used))

    def paid(self):
        return sum(claim.amount for claim in self.claims if claim.state == ClaimState.PAID)

    def types(self, claim):
        return [fact.type for fact in self.facts[claim.id]]

    @invariant()
    def never_more_than_the_sum_is_paid(self):
        """The total paid stays within the sum, and a casualty's within its benefit."""
        assert self.paid() <= self.policy.sum_insured
        for claim in self.claims:
            assert 0 < claim.amount <= self.policy.benefits[claim.casualty]

    @invariant()
    def decided_and_paid_once(self):
        """A claim has one decision and one payment at the most, the second after an approval."""
        for claim in self.claims:
            said = self.types(claim)
            assert said.count("claim-approved") + said.count("claim-rejected") <= 1
            assert said.count("claim-paid") <= said.count("claim-approved")

    @invariant()
    def a_reference_pays_one_claim(self):
        """No two claims were paid under one reference."""
        used = [claim.reference for claim in self.claims if claim.reference]
        assert len(used) == len(set(used))

    @invariant()
    def nobody_decides_what_they_checked(self):
        """Whoever decided a claim is none of those who checked it."""
        for claim in self.claims:
            by = {"checked": set(), "decided": set()}
            for fact in self.facts[claim.id]:
                if fact.type == "claim-checked":
                    by["checked"].add(fact.by)
                elif fact.type in ("claim-approved", "claim-rejected"):
                    by["decided"].add(fact.by)
            assert not by["checked"] & by["decided"]

    @invariant()
    def one_stands(self):
        """One claim is under way at the most, and one not rejected for a casualty."""
        standing = [claim for claim in self.claims if claim.state != "rejected"]
        assert sum(claim.is_under_way for claim in standing) <= 1
        assert len({claim.casualty for claim in standing}) == len(standing)

    @invariant()
    def the_version_counts_each_fact(self):
        """Facts are numbered one after the other, and the last number is the version."""
        for claim in self.claims:
            numbers_ = [fact.version for fact in self.facts[claim.id]]
            assert numbers_ == [*range(1, claim.version + 1)]


Claims.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
test_no_sequence_of_steps_breaks_what_holds_of_claims = Claims.TestCase
