"""Complaints: their read model and command endpoints."""

from __future__ import annotations

from typing import Any

from contracts.complaints.commands import (
    AcceptComplaint,
    AnswerComplaint,
    CommentComplaint,
    ConcludeCase,
    DecideCase,
    EndMediation,
    ExtendClock,
    FileComplaint,
    LinkDuplicate,
    MatchComplaint,
    PauseClock,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
    ResumeClock,
    UnlinkDuplicate,
    UnmatchComplaint,
)
from contracts.complaints.events import (
    AnswerRated,
    CaseConcluded,
    CaseDecided,
    ClockExtended,
    ClockPaused,
    ClockResumed,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintClosed,
    ComplaintCommented,
    ComplaintMatched,
    ComplaintOverdue,
    ComplaintReceived,
    ComplaintReferred,
    ComplaintRefused,
    ComplaintReopened,
    ComplaintRevised,
    ComplaintUnmatched,
    DeadlineMoved,
    DuplicateLinked,
    DuplicateUnlinked,
    MediationEnded,
    PenaltyImposed,
)
from contracts.message import Command
from services.gateway.resources.filing import enterprises
from services.gateway.resources.operation import Timeline
from services.gateway.resources.post import COMPLAINT_ID, ENTERPRISE_ID, Disclosure, Post
from services.gateway.resources.roles import (
    AGENCY_HEAD,
    AUDITOR,
    CASES,
    DESK,
    HEADS,
    HOTLINE,
    INSPECTOR,
    Roles,
)
from services.gateway.resources.view import Document, View, begins, follows
from services.gateway.tables import events

RUNNING, PAUSED, ENDED = "running", "paused", "ended"
READERS = CASES | {INSPECTOR, AUDITOR}


def _count(document: Document) -> dict[str, int]:
    state, satisfied = document["state"], document["satisfied"]
    return {
        "complaints.received": 1,
        "complaints.answered": int(state == "answered"),
        "complaints.refused": int(state == "refused"),
        "complaints.referred": int(state == "referred"),
        "complaints.overdue": int(document["overdue"]),
        "complaints.penalties": int(document["penalised"]),
        "complaints.reopened": int(document["reopening"] > 0),
        "complaints.satisfied": int(satisfied is True),
        "complaints.dissatisfied": int(satisfied is False),
    }


def _clock(_document: Document, event: Any) -> Document:
    """Return the filter columns of the clock: its stage, and its due day."""
    counting = event.to_data()["counting"]
    if counting is None:
        return {"clock": ENDED, "due_on": None}
    clock = PAUSED if counting["due_on"] is None else RUNNING
    return {"clock": clock, "stage": counting["stage"], "due_on": counting["due_on"]}


def _decided(document: Document, event: CaseDecided) -> Document:
    state = "case_filed" if event.filed else "concluded"
    return {"state": state, "case_filed": event.filed, **_clock(document, event)}


def _commented(document: Document, event: ComplaintCommented) -> Document:
    comment = {"by": event.by, "comment": event.comment, "on": event.commented_on.isoformat()}
    return {"comments": [*document["comments"], comment]}


complaints = View(
    "complaints",
    "complaint_id",
    READERS,
    (
        begins(
            ComplaintReceived,
            then=_clock,
            writes=("clock", "stage", "due_on"),
            state="received",
            overdue=False,
            penalised=False,
            main_id=None,
            satisfied=None,
            reopening=0,
            comments=[],
        ),
        follows(ComplaintRevised, "content", "against", "revision", "revised_on"),
        follows(ComplaintCommented, then=_commented),
        follows(ComplaintMatched, "enterprise_id", "matched_on"),
        follows(ComplaintUnmatched, enterprise_id=None, matched_on=None),
        follows(ComplaintAccepted, "accepted_on", "counting", then=_clock, state="accepted"),
        follows(MediationEnded, "outcome", "ended_on", "counting", then=_clock, state="concluded"),
        follows(CaseDecided, "counting", then=_decided, writes=("case_filed",)),
        follows(CaseConcluded, "concluded_on", "counting", then=_clock, state="concluded"),
        follows(ComplaintClosed, "closed_on", state="closed", clock=ENDED, due_on=None),
        follows(
            ComplaintRefused,
            "ground",
            "reason",
            "refused_on",
            state="refused",
            clock=ENDED,
            due_on=None,
        ),
        follows(
            ComplaintReferred,
            "agency",
            "reason",
            "referred_on",
            state="referred",
            clock=ENDED,
            due_on=None,
        ),
        follows(ClockPaused, "ground", "paused_on", clock=PAUSED, due_on=None),
        follows(ClockResumed, "counting", then=_clock, paused_on=None),
        follows(ClockExtended, "approver", "counting", then=_clock),
        follows(DeadlineMoved, "counting", then=_clock),
        follows(DuplicateLinked, "main_id", clock=PAUSED, due_on=None),
        follows(DuplicateUnlinked, "counting", then=_clock, main_id=None, paused_on=None),
        follows(ComplaintOverdue, "level", overdue=True),
        follows(PenaltyImposed, "citations", penalised=True),
        follows(
            ComplaintAnswered,
            "answer",
            "substantiated",
            "answered_on",
            "reopen_until",
            state="answered",
            clock=ENDED,
            due_on=None,
        ),
        follows(
            ComplaintReopened,
            "reopening",
            "reopened_on",
            "counting",
            then=_clock,
            state="accepted",
            main_id=None,
            satisfied=None,
        ),
        follows(AnswerRated, "satisfied"),
    ),
    _count,
    filters=(
        "state",
        "track",
        "channel",
        "enterprise_id",
        "outside_number",
        "stage",
        "clock",
        "overdue",
        "main_id",
    ),
    days=("received_on", "due_on"),
    worklists=("due_on",),
    search=("content", "against", "outside_number"),
)

VIEWS = (complaints,)


def _upon(what: str, command: type[Command], roles: Roles, example: Document, **more: Any) -> Post:
    path = f"{complaints.document_path}/{what}"
    return Post(path, command, roles=roles, example=example, of=complaints, **more)


POSTS = (
    Post(
        "/v1/complaints",
        FileComplaint,
        roles=DESK,
        example={
            "track": "report",
            "channel": "12315",
            "content": "店內有人堂食",
            "against": "東湖街的一家小館",
            "caller": "王小明",
            "phone": "13800000000",
        },
        creates=complaints,
        derives=("channel", "outside_number"),
        refers={"enterprise_id": enterprises},
        takes_batches=True,
    ),
    _upon("acceptance", AcceptComplaint, DESK, {"by": "desk-1"}),
    _upon("refusal", RefuseComplaint, DESK, {"ground": "not_competent", "reason": "無管轄權"}),
    _upon("referral", ReferComplaint, DESK, {"agency": "health", "reason": "屬衛健部門職責"}),
    _upon("comments", CommentComplaint, CASES | {INSPECTOR}, {"comment": "仍在堂食"}),
    _upon(
        "matching",
        MatchComplaint,
        DESK,
        {"enterprise_id": ENTERPRISE_ID},
        refers={"enterprise_id": enterprises},
    ),
    _upon("unmatching", UnmatchComplaint, DESK, {"reason": "同名"}),
    _upon("link", LinkDuplicate, DESK, {"main_id": COMPLAINT_ID}, refers={"main_id": complaints}),
    _upon(
        "unlinking",
        UnlinkDuplicate,
        DESK,
        {"main_id": COMPLAINT_ID, "reason": "並非同一事項"},
    ),
    _upon("pause", PauseClock, CASES, {"ground": "appraisal"}),
    _upon("resumption", ResumeClock, CASES, {}),
    _upon("extension", ExtendClock, HEADS, {"approver": "head-1", "reason": "案情複雜"}),
    _upon("mediation", EndMediation, CASES, {"outcome": "agreed"}),
    _upon("case", DecideCase, HEADS, {"file": False, "reason": "查無實據"}),
    _upon("conclusion", ConcludeCase, HEADS, {"reason": "不予處罰"}),
    _upon("answer", AnswerComplaint, CASES, {"answer": "已責令整改", "substantiated": True}),
    _upon("reopening", ReopenComplaint, DESK, {"reason": "問題仍在"}),
    _upon("rating", RateAnswer, DESK, {"satisfied": True}),
)
DISCLOSURES = (
    Disclosure(
        complaints,
        (ComplaintReceived, ComplaintRevised),
        "id",
        {AGENCY_HEAD, HOTLINE},
        {"caller": "王小明", "phone": "13800000000"},
    ),
)
TIMELINE = Timeline(complaints, events.c.complaint_id, READERS)
