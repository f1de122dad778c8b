"""Issues, notices, closures and slips: their read models and command endpoints."""

from __future__ import annotations

from contracts.inspection import (
    AcknowledgeSlip,
    ClosureLifted,
    ClosureOrdered,
    ClosureReinspected,
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
    ProblemSlipIssued,
    PromptSlipIssued,
    Reinspect,
    ReinspectClosure,
    SlipAcknowledged,
    SupervisionSlipIssued,
)
from services.gateway.resources.filing import INVOLVED, OF_ENTERPRISE, enterprises
from services.gateway.resources.inspection import visits
from services.gateway.resources.post import ENTERPRISE_ID, TODAY, Post
from services.gateway.resources.roles import ENTERPRISE, HEADS, HOTLINE, INSPECTORS, OFFICE, ON_SITE
from services.gateway.resources.view import Document, View, begins, follows

issues = View(
    "issues",
    "issue_id",
    INVOLVED,
    (
        begins(IssueFound, state="open"),
        follows(IssueRectified, "rectified_on", state="rectified"),
    ),
    lambda document: {
        "inspection.issues_found": 1,
        "inspection.rectified_on_the_spot": int(document["rectified_on_the_spot"]),
        "inspection.issues_open": int(document["state"] == "open"),
    },
    filters=("state", "enterprise_id", "visit_id", "severity"),
    days=("found_on",),
    worklists=("found_on",),
)


def _open(_document: Document, event: NoticeIssued) -> Document:
    return {"open": [event.point.words.to_data()]}


def _still_open(document: Document, event: NoticeReinspected) -> Document:
    if event.rectified:
        return {"open": []}
    parts = [{"zh": part, "en": part} for part in event.left]
    return {"open": parts or document["open"]}


def _due_again(_document: Document, event: NoticeOverdue) -> Document:
    data = event.to_data()
    if event.next_due_at is None:
        return {"level": event.level, "state": "ended_in_closure"}
    return {"level": event.level, "due_on": data["next_due_on"], "due_at": data["next_due_at"]}


notices = View(
    "notices",
    "notice_id",
    INVOLVED,
    (
        begins(
            NoticeIssued,
            then=_open,
            state="open",
            level=0,
            open=[],
            reinspections=[],
            extensions=[],
            moves=[],
            presses=[],
        ),
        follows(
            NoticeReinspected,
            append={
                "reinspections": (
                    "visit_id", "day", "rectified", "left", "remark", "evidence", "by",
                )
            },
            then=_still_open,
        ),
        follows(
            NoticeExtended,
            "due_on",
            "due_at",
            append={"extensions": ("was_due_on", "due_on", "approver", "reason", "by")},
        ),
        follows(
            NoticeDeadlineMoved,
            "due_on",
            "due_at",
            append={"moves": ("was_due_on", "due_on", "calendar")},
        ),
        follows(
            NoticeOverdue,
            append={"presses": ("level", "addressee", "due_on", "next_due_on")},
            then=_due_again,
        ),
        follows(NoticeSatisfied, "satisfied_on", state="satisfied", open=[]),
    ),
    lambda document: {
        "inspection.notices_issued": 1,
        "inspection.notices_open": int(document["state"] == "open"),
    },
    filters=("state", "number", "enterprise_id", "issue_id", "severity"),
    days=("due_on", "issued_on"),
    numbers=("level",),
    worklists=("due_on",),
)  # fmt: skip
"""Notices, as a re-inspection needs them: the `open` issues, and the whole history."""


def _lifted(_document: Document, event: ClosureLifted) -> Document:
    data = event.to_data()
    lifted = {name: data[name] for name in ("ground", "reason", "visit_id", "approver", "by")}
    return {"state": "lifted", "lifted_on": data["lifted_on"], "lifted": lifted}


closures = View(
    "closures",
    "closure_id",
    INVOLVED,
    (
        begins(ClosureOrdered, state="standing", reinspections=[]),
        follows(
            ClosureReinspected,
            append={
                "reinspections": (
                    "visit_id", "day", "clean", "standing", "remark", "evidence", "by",
                )
            },
        ),
        follows(ClosureLifted, then=_lifted, writes=("lifted_on", "lifted")),
    ),
    lambda document: {
        "inspection.closures_ordered": 1,
        "inspection.closures_standing": int(document["state"] == "standing"),
    },
    filters=("state", "number", "enterprise_id", "grounds"),
    days=("ordered_on",),
)  # fmt: skip

slips = View(
    "slips",
    "slip_id",
    INVOLVED | {HOTLINE},
    (
        begins(PromptSlipIssued, kind="prompt", acknowledged=False),
        begins(ProblemSlipIssued, kind="problem", acknowledged=False),
        begins(SupervisionSlipIssued, kind="supervision", acknowledged=False),
        begins(FeedbackSlipIssued, kind="feedback", acknowledged=False),
        follows(SlipAcknowledged, "acknowledged_by", "acknowledged_at", acknowledged=True),
    ),
    lambda document: {f"slips.{document['kind']}": 1},
    filters=(
        "kind",
        "number",
        "about",
        "enterprise_id",
        "complaint_id",
        "addressee",
        "acknowledged",
    ),
    days=("issued_on", "due_on"),
)

VIEWS = (issues, notices, closures, slips)

POSTS = (
    Post(
        "/v1/notices/<id>/reinspection",
        Reinspect,
        roles=ON_SITE,
        example={"day": TODAY, "rectified": True},
        of=notices,
        creates=visits,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/notices/<id>/extension",
        ExtendNotice,
        roles=HEADS,
        example={"due_on": "2020-03-01", "approver": "head-1", "reason": "消毒液缺貨"},
        of=notices,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/closures",
        OrderClosure,
        roles=INSPECTORS,
        example={"enterprise_id": ENTERPRISE_ID, "reason": "擅自營業"},
        creates=closures,
        refers={"enterprise_id": enterprises},
    ),
    Post(
        "/v1/closures/<id>/lifting",
        LiftClosure,
        roles=HEADS,
        example={"reason": "已整改", "approver": "head-1"},
        of=closures,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/closures/<id>/reinspection",
        ReinspectClosure,
        roles=ON_SITE,
        example={"day": TODAY, "remark": "已整改"},
        of=closures,
        creates=visits,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/slips/<id>/acknowledgement",
        AcknowledgeSlip,
        roles={ENTERPRISE, OFFICE},
        example={"by": "owner-1"},
        of=slips,
        copies={"about": "about"},
    ),
)
