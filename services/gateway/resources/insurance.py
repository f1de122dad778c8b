"""Policies, medics, claims and who lacks cover: their read models, and what may be asked for."""

from __future__ import annotations

from contracts.insurance import (
    CheckClaim,
    ClaimApproved,
    ClaimChecked,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    CorrectMedic,
    CoverMissing,
    CoverNotDue,
    DecideClaim,
    EnrolMedic,
    FileClaim,
    MedicCorrected,
    MedicEnrolled,
    MedicReidentified,
    MedicWithdrawn,
    PayClaim,
    PolicyEnded,
    PolicyExpired,
    PolicyIssued,
    WithdrawMedic,
)
from services.gateway.resources.post import Post, Reference
from services.gateway.resources.view import Document, View


def _policy_figures(document: Document) -> dict[str, int]:
    """Count the cover that runs: what has ended counts no more."""
    if document["state"] != "active":
        return {}
    if document["holder_kind"] == "enterprise":
        return {"insurance.enterprises_covered": 1}
    return {
        "insurance.medics_covered": 1,
        "insurance.medics_sum_insured": document["sum_insured"] or 0,
    }


policies = View(
    "policies",
    "policy_id",
    ("state", "scheme", "holder_id", "holder_kind"),
    _policy_figures,
    days=("covers_until",),
)
policies.begins(PolicyIssued, state="active")
policies.follows(PolicyExpired, state="expired")
policies.follows(PolicyEnded, "covers_until", "reason", state="ended")

medics = View("medics", "medic_id", ("state",), names=("institution",), days=("enrolled_on",))
medics.begins(MedicEnrolled, state="enrolled")
medics.follows(MedicCorrected, "institution")
medics.follows(MedicReidentified, "holder_ref")
medics.follows(MedicWithdrawn, "withdrawn_on", "reason", state="withdrawn")

uncovered = View(
    "uncovered",
    "holder_id",
    ("state", "holder_kind", "reason", "scheme"),
    lambda document: {"insurance.uncovered": int(document["state"] == "uncovered")},
    days=("since",),
    worklists=("since",),
)
uncovered.begins(CoverMissing, state="uncovered")
uncovered.follows(CoverNotDue, state="not_due")
uncovered.follows(PolicyIssued, "policy_id", state="covered")
uncovered.others.add(PolicyIssued)

claims = View(
    "claims",
    "claim_id",
    ("state", "policy_id", "medic_id", "scheme", "casualty"),
    lambda document: {
        "insurance.claims_filed": 1,
        "insurance.claims_paid": int(document["state"] == "paid"),
        "insurance.amount_paid": document["amount"] if document["state"] == "paid" else 0,
    },
    days=("occurred_on",),
    numbers=("amount",),
    worklists=("occurred_on",),
)
claims.begins(ClaimFiled, state="filed")
claims.follows_by(
    ClaimChecked,
    lambda document, fact: {
        **document,
        "state": "incomplete" if fact.missing else "checked",
        "checked_by": fact.by,
        "missing": fact.to_data()["missing"],
    },
    "checked_by",
    "missing",
)
claims.follows(ClaimApproved, "by", state="approved")
claims.follows(ClaimRejected, "by", "reasons", "remark", state="rejected")
claims.follows(ClaimPaid, "reference", "paid_on", state="paid")

_OF_A_MEDIC = {"medic_id": "medic_id"}

POSTS = (
    Post(
        "/v1/medics",
        EnrolMedic,
        creates=("medic_id", medics),
        reference=Reference("holder_ref", "earlier_refs", "identity"),
        takes_batches=True,
    ),
    Post("/v1/medics/<id>/correction", CorrectMedic, of=("medic_id", medics)),
    Post("/v1/medics/<id>/withdrawal", WithdrawMedic, of=("medic_id", medics)),
    Post(
        "/v1/claims",
        FileClaim,
        creates=("claim_id", claims),
        refers={"policy_id": policies},
        copies={"medic_id": "holder_id"},
    ),
    Post("/v1/claims/<id>/check", CheckClaim, of=("claim_id", claims), copies=_OF_A_MEDIC),
    Post("/v1/claims/<id>/decision", DecideClaim, of=("claim_id", claims), copies=_OF_A_MEDIC),
    Post("/v1/claims/<id>/payment", PayClaim, of=("claim_id", claims), copies=_OF_A_MEDIC),
)
