"""Patrols, plans and visits: their read models and command endpoints."""

from __future__ import annotations

from contracts.inspection.commands import (
    CancelVisit,
    DispatchPatrol,
    DrawPatrolPlan,
    PlanVisit,
    RecordPart,
    RecordVisit,
    ReplanVisit,
    SignVisit,
)
from contracts.inspection.events import (
    PartRecorded,
    PatrolDispatched,
    PatrolPlanDrawn,
    VisitCancelled,
    VisitPlanned,
    VisitRecorded,
    VisitReplanned,
    VisitSigned,
)
from services.gateway.resources.filing import OF_ENTERPRISE, enterprises
from services.gateway.resources.post import ENTERPRISE_ID, TODAY, Post
from services.gateway.resources.roles import AUDITOR, HEADS, HOTLINE, INSPECTORS, ON_SITE
from services.gateway.resources.view import Document, View, begins, follows


def _count_visit(document: Document) -> dict[str, int]:
    return {"inspection.visits": 1} if document["state"] == "recorded" else {}


patrols = View(
    "patrols",
    "patrol_id",
    ON_SITE | {AUDITOR},
    (begins(PatrolDispatched),),
    lambda document: {
        "inspection.patrols": 1,
        "inspection.officers_dispatched": len(document["officers"]),
    },
    filters=("grid",),
    days=("day",),
)

visits = View(
    "visits",
    "visit_id",
    ON_SITE | {HOTLINE, AUDITOR},
    (
        begins(VisitPlanned, state="planned", signed=[]),
        begins(
            VisitRecorded,
            keeps=True,
            then=lambda document, _event: {"urgent": document.get("urgent", False)},
            state="recorded",
            urgent=False,
            signed=[],
            parts=[],
            complete=False,
        ),
        follows(VisitReplanned, "day", "warnings"),
        follows(VisitCancelled, "reason", state="cancelled"),
        follows(
            PartRecorded,
            append={"parts": ("agency", "findings", "answers", "checklist_version")},
        ),
        follows(VisitSigned, "complete", append={"signed": ("agency", "officer")}),
    ),
    _count_visit,
    filters=("state", "purpose", "enterprise_id", "patrol_id", "complaint_id", "grid", "urgent"),
    days=("day",),
    worklists=("day",),
)
"""Enterprises cannot read visits, so none is announced to them."""

plans = View(
    "plans",
    "plan_id",
    ON_SITE | {AUDITOR},
    (begins(PatrolPlanDrawn),),
    filters=("grid", "day"),
)

VIEWS = (patrols, plans, visits)

POSTS = (
    Post(
        "/v1/patrols",
        DispatchPatrol,
        roles=INSPECTORS,
        example={
            "agencies": ["police", "market-regulation"],
            "officers": ["P-1", "M-2"],
            "day": TODAY,
            "grid": "350503003",
        },
        creates=patrols,
    ),
    Post(
        "/v1/visits/plans",
        PlanVisit,
        roles=ON_SITE,
        example={"enterprise_id": ENTERPRISE_ID, "day": TODAY, "urgent": True},
        creates=visits,
        refers={"enterprise_id": enterprises},
    ),
    Post(
        "/v1/patrols/plans",
        DrawPatrolPlan,
        roles=HEADS,
        example={"grid": "350503003", "day": TODAY, "officers": ["P-1", "P-2"]},
        creates=plans,
    ),
    Post(
        "/v1/visits/<id>/day",
        ReplanVisit,
        roles=ON_SITE,
        example={"day": "2020-02-12", "reason": "下雨"},
        of=visits,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/visits/<id>/cancellation",
        CancelVisit,
        roles=HEADS,
        example={"reason": "下雨"},
        of=visits,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/visits",
        RecordVisit,
        roles=ON_SITE,
        example={
            "enterprise_id": ENTERPRISE_ID,
            "day": TODAY,
            "agencies": ["market-regulation"],
            "findings": [{"rule": "dine_in", "remark": "三桌客人"}],
        },
        creates=visits,
        adopts=True,
        takes_batches=True,
        derives=("device", "client_id"),
        refers={"enterprise_id": enterprises, "patrol_id": patrols},
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/visits/<id>/part",
        RecordPart,
        roles=ON_SITE,
        example={"agency": "health", "answers": {"masks": "some_without"}},
        of=visits,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/visits/<id>/signature",
        SignVisit,
        roles=ON_SITE,
        example={"agency": "health", "officer": "H-1"},
        of=visits,
        copies=OF_ENTERPRISE,
    ),
)
