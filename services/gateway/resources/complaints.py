"""Complaints: their read model, and what may be asked for of them."""

from __future__ import annotations

from typing import Any

from contracts.complaints import (
    AcceptComplaint,
    AnswerComplaint,
    AnswerRated,
    CaseConcluded,
    CaseDecided,
    ClockExtended,
    ClockPaused,
    ClockResumed,
    CommentComplaint,
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
    ConcludeCase,
    DeadlineMoved,
    DecideCase,
    DuplicateLinked,
    DuplicateUnlinked,
    EndMediation,
    ExtendClock,
    FileComplaint,
    LinkDuplicate,
    MatchComplaint,
    MediationEnded,
    PauseClock,
    PenaltyImposed,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
    ResumeClock,
    UnlinkDuplicate,
    UnmatchComplaint,
)
from contracts.message import Event
from services.gateway.resources.filing import enterprises
from services.gateway.resources.post import Post
from services.gateway.resources.view import Document, View

RUNNING, PAUSED, ENDED = "running", "paused", "ended"


def _figures(document: Document) -> dict[str, int]:
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


complaints = View(
    "complaints",
    "complaint_id",
    (
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
    _figures,
    days=("received_on", "due_on"),
    worklists=("due_on",),
    search=("content", "against", "outside_number"),
)


def _with_clock(document: Document) -> Document:
    """Tell of a document's clock what lists look for: its stage, and the day on which it is due."""
    counting = document["counting"]
    if counting is None:
        return document | {"clock": ENDED, "due_on": None}
    clock = PAUSED if counting["due_on"] is None else RUNNING
    return document | {"clock": clock, "stage": counting["stage"], "due_on": counting["due_on"]}


def _sets_the_clock(kind: type[Event], *taken: str, **constants: Any) -> None:
    """Let an event that says how a clock counts change a document."""

    def follow(document: Document, fact: Any) -> Document:
        data = fact.to_data()
        named = {name: data[name] for name in (*taken, "counting")}
        return _with_clock(document | named | constants)

    complaints.follows_by(kind, follow, takes=(*taken, "counting"), **constants)


def _begun(document: Document, fact: Any) -> Document:
    return _with_clock(_begins(document, fact))


def _commented(document: Document, fact: ComplaintCommented) -> Document:
    said = {"by": fact.by, "comment": fact.comment, "on": fact.commented_on.isoformat()}
    return document | {"comments": [*document["comments"], said]}


complaints.begins(
    ComplaintReceived,
    state="received",
    overdue=False,
    penalised=False,
    main_id=None,
    satisfied=None,
    reopening=0,
    comments=[],
)
_begins = complaints.changes[ComplaintReceived]
complaints.follows_by(ComplaintReceived, _begun, "clock", "stage", "due_on")
complaints.follows(ComplaintRevised, "content", "against", "revision", "revised_on")
complaints.follows_by(ComplaintCommented, _commented)
complaints.follows(ComplaintMatched, "enterprise_id", "matched_on")
complaints.follows(ComplaintUnmatched, enterprise_id=None, matched_on=None)
_sets_the_clock(ComplaintAccepted, "accepted_on", state="accepted")
_sets_the_clock(MediationEnded, "outcome", "ended_on", state="concluded")
complaints.follows_by(
    CaseDecided,
    lambda document, fact: _with_clock(
        document
        | {"state": "case_filed" if fact.filed else "concluded", "case_filed": fact.filed}
        | {"counting": fact.counting.to_data() if fact.counting else None}
    ),
    "case_filed",
    takes=["counting"],
)
_sets_the_clock(CaseConcluded, "concluded_on", state="concluded")
_over = {"clock": ENDED, "due_on": None}
complaints.follows(ComplaintClosed, "closed_on", state="closed", **_over)
complaints.follows(ComplaintRefused, "ground", "reason", "refused_on", state="refused", **_over)
complaints.follows(ComplaintReferred, "agency", "reason", "referred_on", state="referred", **_over)
complaints.follows(ClockPaused, "ground", "paused_on", clock=PAUSED, due_on=None)
_sets_the_clock(ClockResumed, paused_on=None)
_sets_the_clock(ClockExtended, "approver")
_sets_the_clock(DeadlineMoved)
complaints.follows(DuplicateLinked, "main_id", clock=PAUSED, due_on=None)
_sets_the_clock(DuplicateUnlinked, main_id=None, paused_on=None)
complaints.follows(ComplaintOverdue, "level", overdue=True)
complaints.follows(PenaltyImposed, "citations", penalised=True)
complaints.follows(
    ComplaintAnswered,
    "answer",
    "substantiated",
    "answered_on",
    "reopen_until",
    state="answered",
    **_over,
)
_sets_the_clock(
    ComplaintReopened, "reopening", "reopened_on", state="accepted", main_id=None, satisfied=None
)
complaints.follows(AnswerRated, "satisfied")


def _upon(what: str, command: type[Any], **more: Any) -> Post:
    return Post(f"/v1/complaints/<id>/{what}", command, of=("complaint_id", complaints), **more)


POSTS = (
    Post(
        "/v1/complaints",
        FileComplaint,
        creates=("complaint_id", complaints),
        derives=("channel", "outside_number"),
        refers={"enterprise_id": enterprises},
        takes_batches=True,
    ),
    _upon("acceptance", AcceptComplaint),
    _upon("refusal", RefuseComplaint),
    _upon("referral", ReferComplaint),
    _upon("comments", CommentComplaint),
    _upon("matching", MatchComplaint, refers={"enterprise_id": enterprises}),
    _upon("unmatching", UnmatchComplaint),
    _upon("link", LinkDuplicate, refers={"main_id": complaints}),
    _upon("unlinking", UnlinkDuplicate),
    _upon("pause", PauseClock),
    _upon("resumption", ResumeClock),
    _upon("extension", ExtendClock),
    _upon("mediation", EndMediation),
    _upon("case", DecideCase),
    _upon("conclusion", ConcludeCase),
    _upon("answer", AnswerComplaint),
    _upon("reopening", ReopenComplaint),
    _upon("rating", RateAnswer),
)
