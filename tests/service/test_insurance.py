"""insurance: given facts, then facts."""

from datetime import date

import pytest

from contracts.filing import Size
from contracts.insurance import (
    Casualty,
    ClaimApproved,
    ClaimDecision,
    ClaimFiled,
    ClaimPaid,
    DecideClaim,
    FileClaim,
    HolderKind,
    PayClaim,
    PolicyIssued,
)
from contracts.shared import CommandSettled
from services.insurance.service import Insurance
from tests.service.sayings import (
    TODAY,
    after,
    enrol,
    faults,
    only,
    refusal,
    refused,
    registered,
    types,
)

PAY = PayClaim(claim_id="claim", medic_id="medic", reference="P-1")


def decide(decision, reason="", claim="claim"):
    return DecideClaim(
        claim_id=claim, medic_id="medic", decision=decision, by="insurer", reason=reason
    )


APPROVE = decide(ClaimDecision.APPROVE)
REJECT = decide(ClaimDecision.REJECT, "不屬保險責任")


@pytest.fixture
def insurer(given):
    return given(Insurance)


@pytest.fixture
def claim(insurer):
    """Makes claims under the policy of the only medic."""
    policy = only(PolicyIssued, insurer.when(enrol())).policy_id

    def make(claim="claim", **more):
        said = {
            "claim_id": claim,
            "medic_id": "medic",
            "policy_id": policy,
            "casualty": Casualty.DEATH,
            "occurred_on": TODAY,
        }
        return FileClaim(**said | more)

    return make


@pytest.mark.parametrize("size", [Size.SMALL, Size.MICRO])
def test_a_small_firm_gets_its_free_cover_for_a_year(insurer, size):
    policy = only(PolicyIssued, insurer.when(registered(size=size)))
    assert (policy.holder_kind, policy.holder_id) == (HolderKind.ENTERPRISE, "shop")
    assert (policy.covers_from, policy.covers_until) == (TODAY, date(2021, 2, 9))


@pytest.mark.parametrize("size", [Size.MEDIUM, Size.LARGE])
def test_a_larger_firm_gets_none(insurer, size):
    assert insurer.when(registered(size=size)) == []


def test_a_medic_is_covered_for_300_000_yuan(insurer):
    said = insurer.when(enrol())
    assert types(said) == ["medic-enrolled", "policy-issued"]
    policy = only(PolicyIssued, said)
    assert (policy.holder_kind, policy.sum_insured) == (HolderKind.MEDIC, 300_000)


def test_a_person_is_enrolled_once(insurer):
    said = insurer.facts(enrol()).when(enrol("again"))
    assert refused(said) == (409, "already-enrolled")
    assert refusal(said)["medic_id"] == "medic"


def test_a_claim_is_for_the_sum_of_the_policy(insurer, claim):
    assert only(ClaimFiled, insurer.when(claim())).amount == 300_000


def test_one_claim_stands_under_a_policy(insurer, claim):
    assert refused(insurer.facts(claim()).when(claim("second"))) == (409, "claim-stands")


def test_of_two_claims_at_once_one_stands(insurer, claim):
    said = insurer.when(claim("one"), claim("two"))
    assert types(said) == ["claim-filed"]
    assert [s.outcome for s in said if isinstance(s, CommandSettled)] == ["done", "rejected"]


def test_after_a_rejected_claim_there_may_be_another(insurer, claim):
    insurer.facts(claim()).facts(REJECT)
    assert types(insurer.when(claim("second"))) == ["claim-filed"]


def test_a_claim_lies_within_the_term_and_not_in_the_future(insurer, claim):
    assert faults(insurer.when(claim(occurred_on=after(-1)))) == ["occurred_on"]
    assert faults(insurer.when(claim(occurred_on=after(1)))) == ["occurred_on"]


def test_a_claim_is_under_the_medics_own_policy(insurer, claim):
    assert faults(insurer.when(claim(medic_id="other"))) == ["policy_id"]
    assert refused(insurer.when(claim(policy_id="none"))) == (404, "not-found")


def test_cover_that_states_no_sum_is_not_claimed_under(insurer):
    policy = only(PolicyIssued, insurer.when(registered("medic"))).policy_id
    said = insurer.when(
        FileClaim(
            claim_id="claim",
            medic_id="medic",
            policy_id=policy,
            casualty=Casualty.DEATH,
            occurred_on=TODAY,
        )
    )
    assert faults(said) == ["policy_id"]


def test_an_approved_claim_is_paid_once(insurer, claim):
    insurer.facts(claim())
    assert refused(insurer.when(PAY)) == (409, "not-approved")
    assert only(ClaimApproved, insurer.when(APPROVE)).amount == 300_000
    assert only(ClaimPaid, insurer.when(PAY)).amount == 300_000
    assert refused(insurer.when(PAY)) == (409, "not-approved")


def test_a_claim_is_decided_once_and_a_rejection_has_a_reason(insurer, claim):
    insurer.facts(claim())
    assert faults(insurer.when(decide(ClaimDecision.REJECT))) == ["reason"]
    assert types(insurer.when(REJECT)) == ["claim-rejected"]
    assert refused(insurer.when(APPROVE)) == (409, "already-decided")


def test_an_unknown_claim_is_not_found(insurer):
    assert refused(insurer.when(APPROVE)) == (404, "not-found")
    assert refused(insurer.when(PAY)) == (404, "not-found")
