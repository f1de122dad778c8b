"""Policies, medics, claims and missing cover: their read models and endpoints."""

from __future__ import annotations

from contracts.insurance.commands import (
    CheckClaim,
    CorrectMedic,
    DecideClaim,
    EnrolMedic,
    FileClaim,
    PayClaim,
    WithdrawMedic,
)
from contracts.insurance.events import (
    ClaimApproved,
    ClaimChecked,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    CoverMissing,
    CoverNotDue,
    MedicCorrected,
    MedicEnrolled,
    MedicReidentified,
    MedicWithdrawn,
    PolicyEnded,
    PolicyExpired,
    PolicyIssued,
)
from services.gateway.resources.post import POLICY_ID, TODAY, Disclosure, Post, Reference
from services.gateway.resources.roles import AUDITOR, ENTERPRISE, INSURER, INSURERS
from services.gateway.resources.view import Document, View, begins, follows

READERS = INSURERS | {AUDITOR}


def _count_policy(document: Document) -> dict[str, int]:
    """Count active cover; ended cover does not count."""
    if document["state"] != "active":
        return {}
    if document["holder_kind"] == "enterprise":
        return {"insurance.enterprises_covered": 1}
    return {
        "insurance.medics_covered": 1,
        "insurance.medics_sum_insured": document["sum_insured"] or 0,
    }


def _checked(_document: Document, event: ClaimChecked) -> Document:
    return {
        "state": "incomplete" if event.missing else "checked",
        "checked_by": event.by,
        "missing": event.to_data()["missing"],
    }


policies = View(
    "policies",
    "policy_id",
    READERS | {ENTERPRISE},
    (
        begins(PolicyIssued, state="active"),
        follows(PolicyExpired, state="expired"),
        follows(PolicyEnded, "covers_until", "reason", state="ended"),
    ),
    _count_policy,
    filters=("state", "scheme", "holder_id", "holder_kind"),
    days=("covers_until",),
)

medics = View(
    "medics",
    "medic_id",
    READERS,
    (
        begins(MedicEnrolled, state="enrolled"),
        follows(MedicCorrected, "institution"),
        follows(MedicReidentified, "holder_ref"),
        follows(MedicWithdrawn, "withdrawn_on", "reason", state="withdrawn"),
    ),
    filters=("state",),
    names=("institution",),
    days=("enrolled_on",),
)

uncovered = View(
    "uncovered",
    "holder_id",
    READERS,
    (
        begins(CoverMissing, state="uncovered"),
        follows(CoverNotDue, state="not_due"),
        follows(PolicyIssued, "policy_id", state="covered"),
    ),
    lambda document: {"insurance.uncovered": int(document["state"] == "uncovered")},
    filters=("state", "holder_kind", "reason", "scheme"),
    days=("since",),
    worklists=("since",),
    others=(PolicyIssued,),
)

claims = View(
    "claims",
    "claim_id",
    READERS,
    (
        begins(ClaimFiled, state="filed"),
        follows(ClaimChecked, then=_checked, writes=("checked_by", "missing")),
        follows(ClaimApproved, "by", state="approved"),
        follows(ClaimRejected, "by", "reasons", "remark", state="rejected"),
        follows(ClaimPaid, "reference", "paid_on", state="paid"),
    ),
    lambda document: {
        "insurance.claims_filed": 1,
        "insurance.claims_paid": int(document["state"] == "paid"),
        "insurance.amount_paid": document["amount"] if document["state"] == "paid" else 0,
    },
    filters=("state", "policy_id", "medic_id", "scheme", "casualty"),
    days=("occurred_on",),
    numbers=("amount",),
    worklists=("occurred_on",),
)

VIEWS = (policies, medics, uncovered, claims)
_OF_A_MEDIC = {"medic_id": "medic_id"}

POSTS = (
    Post(
        "/v1/medics",
        EnrolMedic,
        roles=INSURERS,
        example={
            "name": "林醫生",
            "identity": "350503198001019997",
            "institution": "豐澤區醫院",
        },
        creates=medics,
        reference=Reference("holder_ref", "earlier_refs", "identity"),
        takes_batches=True,
    ),
    Post(
        "/v1/medics/<id>/correction",
        CorrectMedic,
        roles=INSURERS,
        example={"institution": "第一醫院"},
        of=medics,
    ),
    Post(
        "/v1/medics/<id>/withdrawal",
        WithdrawMedic,
        roles=INSURERS,
        example={"reason": "非一線人員"},
        of=medics,
    ),
    Post(
        "/v1/claims",
        FileClaim,
        roles=INSURERS,
        example={"policy_id": POLICY_ID, "casualty": "death", "occurred_on": TODAY},
        creates=claims,
        refers={"policy_id": policies},
        copies={"medic_id": "holder_id"},
    ),
    Post(
        "/v1/claims/<id>/check",
        CheckClaim,
        roles={INSURER},
        example={"by": "insurer-1", "missing": ["diagnosis"]},
        of=claims,
        copies=_OF_A_MEDIC,
    ),
    Post(
        "/v1/claims/<id>/decision",
        DecideClaim,
        roles={INSURER},
        example={"by": "insurer-2", "decision": "reject", "reasons": ["documents_missing"]},
        of=claims,
        copies=_OF_A_MEDIC,
    ),
    Post(
        "/v1/claims/<id>/payment",
        PayClaim,
        roles={INSURER},
        example={"reference": "PICC-2020-9"},
        of=claims,
        copies=_OF_A_MEDIC,
    ),
)
DISCLOSURES = (
    Disclosure(
        medics,
        (MedicEnrolled,),
        "id",
        {INSURER},
        {"identity": "35050319800101001X", "name": "林醫生"},
    ),
    Disclosure(claims, (ClaimFiled,), "medic_id", {INSURER}, {"claimant": "林小英"}),
)
