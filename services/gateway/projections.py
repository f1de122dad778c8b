"""Which event fills which read model, and what each read model counts.

The figures are those of the article (design, section 9): `reopened` and `on_duty` count enterprises
that are open now.
"""

from __future__ import annotations

from contracts.complaints import (
    ClockPaused,
    ClockResumed,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintOverdue,
    ComplaintReceived,
    ComplaintRefused,
    PenaltyImposed,
)
from contracts.filing import (
    EnterpriseRegistered,
    EnterpriseReopened,
    EnterpriseSuspended,
    FilingApproved,
    FilingReturned,
    FilingSubmitted,
    FilingWithdrawn,
    LiaisonAssigned,
    OnsiteReviewRequested,
    RosterReported,
    SuspensionLifted,
)
from contracts.inspection import (
    ClosureLifted,
    ClosureOrdered,
    FeedbackSlipIssued,
    IssueFound,
    IssueRectified,
    NoticeExtended,
    NoticeIssued,
    NoticeOverdue,
    NoticeSatisfied,
    PatrolDispatched,
    ProblemSlipIssued,
    PromptSlipIssued,
    SupervisionSlipIssued,
    VisitPlanned,
    VisitRecorded,
    VisitSigned,
)
from contracts.insurance import (
    ClaimApproved,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    MedicEnrolled,
    PolicyIssued,
)
from contracts.message import Event
from services.gateway.views import Document, View


def _enterprise_figures(document: Document) -> dict[str, int]:
    figures = {"registered.total": 1, f"registered.{document['kind']}": 1}
    if document["state"] == "open":
        figures |= {
            "reopened.total": 1,
            f"reopened.{document['kind']}": 1,
            "on_duty.total": document["on_duty"],
            "on_duty.out_of_province": document["out_of_province"],
        }
    return figures


enterprises = View(
    "enterprises",
    "enterprise_id",
    ("state", "kind", "size", "premises", "grid", "credit_code", "name", "liaison"),
    _enterprise_figures,
)
enterprises.begins(EnterpriseRegistered, state="registered", on_duty=0, out_of_province=0)
enterprises.follows(EnterpriseSuspended, "closure_id", state="suspended")
enterprises.follows(SuspensionLifted, state="registered", closure_id=None)
enterprises.follows(RosterReported, "on_duty", "out_of_province")
enterprises.follows_by(
    LiaisonAssigned, lambda document, fact: {**document, "liaison": fact.officer}
)
enterprises.follows_by(
    EnterpriseReopened,
    lambda document, fact: {
        **document,
        "state": "open",
        "filing_id": fact.filing_id,
        "reopened_on": fact.reopened_on.isoformat(),
        "on_duty": fact.headcount,
        "out_of_province": fact.out_of_province,
    },
)

filings = View(
    "filings",
    "filing_id",
    ("state", "enterprise_id"),
    lambda document: (
        {"filings.submitted": 1, f"filings.{document['state']}": 1}
        if document["state"] != "submitted"
        else {"filings.submitted": 1}
    ),
)
filings.begins(FilingSubmitted, state="submitted", reasons=[])
filings.follows(OnsiteReviewRequested, state="in_review")
filings.follows(FilingApproved, "by", state="approved")
filings.follows(FilingReturned, "reasons", "by", state="returned")
filings.follows(FilingWithdrawn, "reason", state="withdrawn")
filings.follows(EnterpriseReopened, "reopened_on", state="reopened")

patrols = View(
    "patrols",
    "patrol_id",
    ("day", "grid"),
    lambda document: {
        "inspection.patrols": 1,
        "inspection.officers_dispatched": len(document["officers"]),
    },
)
patrols.begins(PatrolDispatched)

visits = View(
    "visits",
    "visit_id",
    ("state", "purpose", "enterprise_id", "patrol_id", "complaint_id", "grid", "day"),
    lambda document: {"inspection.visits": 1} if document["state"] == "recorded" else {},
)
visits.begins(VisitPlanned, state="planned", signed=[])
visits.follows_by(
    VisitRecorded,
    lambda document, fact: {
        **document,
        "id": fact.visit_id,
        **fact.to_data(),
        "state": "recorded",
        "signed": [],
    },
)
visits.follows_by(
    VisitSigned,
    lambda document, fact: {
        **document,
        "signed": [*document["signed"], {"agency": fact.agency, "officer": fact.officer}],
        "complete": fact.complete,
    },
)

issues = View(
    "issues",
    "issue_id",
    ("state", "enterprise_id", "visit_id", "severity"),
    lambda document: {
        "inspection.issues_found": 1,
        "inspection.rectified_on_the_spot": int(document["rectified_on_the_spot"]),
        "inspection.issues_open": int(document["state"] == "open"),
    },
)
issues.begins(IssueFound, state="open")
issues.follows(IssueRectified, "rectified_on", state="rectified")

notices = View(
    "notices",
    "notice_id",
    ("state", "enterprise_id", "issue_id", "due_on"),
    lambda document: {
        "inspection.notices_issued": 1,
        "inspection.notices_open": int(document["state"] == "open"),
    },
)
notices.begins(NoticeIssued, state="open", level=0)
notices.follows(NoticeExtended, "due_on")
notices.follows(NoticeSatisfied, "satisfied_on", state="satisfied")
notices.follows_by(
    NoticeOverdue,
    lambda document, fact: {
        **document,
        "level": fact.level,
        **(
            {"due_on": fact.next_due_on.isoformat()}
            if fact.next_due_on
            else {"state": "ended_in_closure"}
        ),
    },
)

closures = View(
    "closures",
    "closure_id",
    ("state", "enterprise_id", "grounds"),
    lambda document: {
        "inspection.closures_ordered": 1,
        "inspection.closures_standing": int(document["state"] == "standing"),
    },
)
closures.begins(ClosureOrdered, state="standing")
closures.follows(ClosureLifted, "lifted_on", state="lifted")

slips = View(
    "slips",
    "slip_id",
    ("kind", "about", "enterprise_id", "complaint_id", "addressee"),
    lambda document: {f"slips.{document['kind']}": 1},
)
slips.begins(PromptSlipIssued, kind="prompt")
slips.begins(ProblemSlipIssued, kind="problem")
slips.begins(SupervisionSlipIssued, kind="supervision")
slips.begins(FeedbackSlipIssued, kind="feedback")

complaints = View(
    "complaints",
    "complaint_id",
    ("state", "track", "channel", "enterprise_id", "outside_number"),
    lambda document: {
        "complaints.received": 1,
        "complaints.answered": int(document["state"] == "answered"),
        "complaints.refused": int(document["state"] == "refused"),
        "complaints.overdue": int(document["overdue"]),
        "complaints.penalties": int(document["penalised"]),
    },
)
complaints.begins(
    ComplaintReceived, state="received", clock="running", overdue=False, penalised=False
)
complaints.follows(ComplaintAccepted, "accepted_on", "answer_by", state="accepted")
complaints.follows(ComplaintRefused, "reason", "refused_on", state="refused", clock="ended")
complaints.follows(ClockPaused, clock="paused")
complaints.follows(ClockResumed, "accept_by", "answer_by", clock="running")
complaints.follows(ComplaintOverdue, overdue=True)
complaints.follows(PenaltyImposed, "law", penalised=True)
complaints.follows(
    ComplaintAnswered, "answer", "substantiated", "answered_on", state="answered", clock="ended"
)


def _policy_figures(document: Document) -> dict[str, int]:
    if document["holder_kind"] == "enterprise":
        return {"insurance.enterprises_covered": 1}
    return {
        "insurance.medics_covered": 1,
        "insurance.medics_sum_insured": document["sum_insured"] or 0,
    }


policies = View("policies", "policy_id", ("scheme", "holder_id", "holder_kind"), _policy_figures)
policies.begins(PolicyIssued)

medics = View("medics", "medic_id", ("institution",))
medics.begins(MedicEnrolled)

claims = View(
    "claims",
    "claim_id",
    ("state", "policy_id", "medic_id"),
    lambda document: {
        "insurance.claims_filed": 1,
        "insurance.claims_paid": int(document["state"] == "paid"),
        "insurance.amount_paid": document["amount"] if document["state"] == "paid" else 0,
    },
)
claims.begins(ClaimFiled, state="filed")
claims.follows(ClaimApproved, "by", state="approved")
claims.follows(ClaimRejected, "by", "reason", state="rejected")
claims.follows(ClaimPaid, "reference", "paid_on", state="paid")

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        enterprises, filings, patrols, visits, issues, notices, closures, slips, complaints,
        policies, medics, claims,
    )
}  # fmt: skip

FED_BY: dict[type[Event], list[View]] = {}
for _view in VIEWS.values():
    for _kind in _view.changes:
        FED_BY.setdefault(_kind, []).append(_view)
