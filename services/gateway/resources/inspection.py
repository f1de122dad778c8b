"""Patrols, visits, issues, notices, closures, slips: read models, and what may be asked for."""

from __future__ import annotations

from typing import Any

from contracts.inspection import (
    AcknowledgeSlip,
    CancelVisit,
    ClosureLifted,
    ClosureOrdered,
    ClosureReinspected,
    DispatchPatrol,
    DrawPatrolPlan,
    ExtendNotice,
    FeedbackSlipIssued,
    IssueFound,
    IssueRectified,
    LiftClosure,
    NoticeDeadlineMoved,
    NoticeExtended,
    NoticeIssued,
    NoticeOverdue,
    NoticeReinspected,
    NoticeSatisfied,
    OrderClosure,
    PartRecorded,
    PatrolDispatched,
    PatrolPlanDrawn,
    PlanVisit,
    ProblemSlipIssued,
    PromptSlipIssued,
    RecordPart,
    RecordVisit,
    Reinspect,
    ReinspectClosure,
    ReplanVisit,
    SignVisit,
    SlipAcknowledged,
    SupervisionSlipIssued,
    VisitCancelled,
    VisitPlanned,
    VisitRecorded,
    VisitReplanned,
    VisitSigned,
)
from services.gateway.resources.filing import enterprises
from services.gateway.resources.post import Post
from services.gateway.resources.view import Document, Follow, View

patrols = View(
    "patrols",
    "patrol_id",
    ("grid",),
    lambda document: {
        "inspection.patrols": 1,
        "inspection.officers_dispatched": len(document["officers"]),
    },
    days=("day",),
)
patrols.begins(PatrolDispatched)

visits = View(
    "visits",
    "visit_id",
    ("state", "purpose", "enterprise_id", "patrol_id", "complaint_id", "grid", "urgent"),
    lambda document: {"inspection.visits": 1} if document["state"] == "recorded" else {},
    days=("day",),
    worklists=("day",),
)
visits.begins(VisitPlanned, state="planned", signed=[])
visits.follows_by(
    VisitRecorded,
    lambda document, fact: {
        **document,
        "id": fact.visit_id,
        **fact.to_data(),
        "state": "recorded",
        "urgent": document.get("urgent", False),
        "signed": [],
        "parts": [],
        "complete": False,
    },
    takes=VisitRecorded.names(),
    signed=[],
    parts=[],
    complete=False,
)
visits.follows(VisitReplanned, "day", "warnings")
visits.follows(VisitCancelled, "reason", state="cancelled")
visits.follows_by(
    PartRecorded,
    lambda document, fact: {
        **document,
        "parts": [
            *document["parts"],
            {
                name: fact.to_data()[name]
                for name in ("agency", "findings", "answers", "checklist_version")
            },
        ],
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

plans = View("plans", "plan_id", ("grid", "day"))
plans.begins(PatrolPlanDrawn)

issues = View(
    "issues",
    "issue_id",
    ("state", "enterprise_id", "visit_id", "severity"),
    lambda document: {
        "inspection.issues_found": 1,
        "inspection.rectified_on_the_spot": int(document["rectified_on_the_spot"]),
        "inspection.issues_open": int(document["state"] == "open"),
    },
    days=("found_on",),
    worklists=("found_on",),
)
issues.begins(IssueFound, state="open")
issues.follows(IssueRectified, "rectified_on", state="rectified")


def kept(history: str, *taken: str, now: Follow = lambda _document, _fact: {}) -> Follow:
    """Keep an event's data in a list of the document, the latest one last; and what is `now` so."""

    def follow(document: Document, fact: Any) -> Document:
        data = fact.to_data()
        entry = {name: data[name] for name in taken}
        return {**document, history: [*document[history], entry], **now(document, fact)}

    return follow


def _due(_document: Document, fact: Any) -> Document:
    data = fact.to_data()
    return {"due_on": data["due_on"], "due_at": data["due_at"]}


def _due_again(_document: Document, fact: NoticeOverdue) -> Document:
    data = fact.to_data()
    if fact.next_due_at is None:
        return {"level": fact.level, "state": "ended_in_closure"}
    return {"level": fact.level, "due_on": data["next_due_on"], "due_at": data["next_due_at"]}


def _still_open(document: Document, fact: NoticeReinspected) -> Document:
    if fact.rectified:
        return {"open": []}
    parts = [{"zh": part, "en": part} for part in fact.left]
    return {"open": parts or document["open"]}


notices = View(
    "notices",
    "notice_id",
    ("state", "number", "enterprise_id", "issue_id", "severity"),
    lambda document: {
        "inspection.notices_issued": 1,
        "inspection.notices_open": int(document["state"] == "open"),
    },
    days=("due_on", "issued_on"),
    numbers=("level",),
    worklists=("due_on",),
)
"""A notice as a re-inspection needs it: what is `open`, and all that came before."""
notices.follows_by(
    NoticeIssued,
    lambda _document, fact: {
        "id": fact.notice_id,
        **fact.to_data(),
        "state": "open",
        "level": 0,
        "open": [fact.point.words.to_data()],
        "reinspections": [],
        "extensions": [],
        "moves": [],
        "presses": [],
    },
    takes=NoticeIssued.names(),
    state="open",
    level=0,
    open=[],
    reinspections=[],
    extensions=[],
    moves=[],
    presses=[],
)
notices.follows_by(
    NoticeReinspected,
    kept(
        "reinspections",
        "visit_id", "day", "rectified", "left", "remark", "evidence", "by",
        now=_still_open,
    ),
)  # fmt: skip
notices.follows_by(
    NoticeExtended,
    kept("extensions", "was_due_on", "due_on", "approver", "reason", "by", now=_due),
)
notices.follows_by(NoticeDeadlineMoved, kept("moves", "was_due_on", "due_on", "calendar", now=_due))
notices.follows_by(
    NoticeOverdue,
    kept("presses", "level", "addressee", "due_on", "next_due_on", now=_due_again),
)
notices.follows(NoticeSatisfied, "satisfied_on", state="satisfied", open=[])

closures = View(
    "closures",
    "closure_id",
    ("state", "number", "enterprise_id", "grounds"),
    lambda document: {
        "inspection.closures_ordered": 1,
        "inspection.closures_standing": int(document["state"] == "standing"),
    },
    days=("ordered_on",),
)
closures.begins(ClosureOrdered, state="standing", reinspections=[])
closures.follows_by(
    ClosureReinspected,
    kept("reinspections", "visit_id", "day", "clean", "standing", "remark", "evidence", "by"),
)
closures.follows_by(
    ClosureLifted,
    lambda document, fact: {
        **document,
        "state": "lifted",
        "lifted_on": fact.lifted_on.isoformat(),
        "lifted": {
            name: fact.to_data()[name]
            for name in ("ground", "reason", "visit_id", "approver", "by")
        },
    },
    "lifted_on",
    "lifted",
)

slips = View(
    "slips",
    "slip_id",
    ("kind", "number", "about", "enterprise_id", "complaint_id", "addressee", "acknowledged"),
    lambda document: {f"slips.{document['kind']}": 1},
    days=("issued_on", "due_on"),
)
slips.begins(PromptSlipIssued, kind="prompt", acknowledged=False)
slips.begins(ProblemSlipIssued, kind="problem", acknowledged=False)
slips.begins(SupervisionSlipIssued, kind="supervision", acknowledged=False)
slips.begins(FeedbackSlipIssued, kind="feedback", acknowledged=False)
slips.follows(SlipAcknowledged, "acknowledged_by", "acknowledged_at", acknowledged=True)

POSTS = (
    Post("/v1/patrols", DispatchPatrol, creates=("patrol_id", patrols)),
    Post(
        "/v1/visits/plans",
        PlanVisit,
        creates=("visit_id", visits),
        refers={"enterprise_id": enterprises},
    ),
    Post("/v1/patrols/plans", DrawPatrolPlan, creates=("plan_id", plans)),
    Post(
        "/v1/visits/<id>/day",
        ReplanVisit,
        of=("visit_id", visits),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/visits/<id>/cancellation",
        CancelVisit,
        of=("visit_id", visits),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/visits",
        RecordVisit,
        creates=("visit_id", visits),
        adopts=True,
        takes_batches=True,
        derives=("device", "client_id"),
        refers={"enterprise_id": enterprises, "patrol_id": patrols},
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/visits/<id>/part",
        RecordPart,
        of=("visit_id", visits),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/visits/<id>/signature",
        SignVisit,
        of=("visit_id", visits),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/notices/<id>/reinspection",
        Reinspect,
        of=("notice_id", notices),
        creates=("visit_id", visits),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/notices/<id>/extension",
        ExtendNotice,
        of=("notice_id", notices),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/closures",
        OrderClosure,
        creates=("closure_id", closures),
        refers={"enterprise_id": enterprises},
    ),
    Post(
        "/v1/closures/<id>/lifting",
        LiftClosure,
        of=("closure_id", closures),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/closures/<id>/reinspection",
        ReinspectClosure,
        of=("closure_id", closures),
        creates=("visit_id", visits),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/slips/<id>/acknowledgement",
        AcknowledgeSlip,
        of=("slip_id", slips),
        copies={"about": "about"},
    ),
)
