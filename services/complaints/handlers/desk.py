"""Handlers of the work on a complaint: commands of officers and callers, and the result of a
check."""

from __future__ import annotations

from chassis.errors import at
from chassis.service import on
from contracts.complaints import (
    AcceptComplaint,
    AnswerComplaint,
    AnswerRated,
    CaseConcluded,
    CaseDecided,
    CommentComplaint,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintCommented,
    ComplaintReferred,
    ComplaintRefused,
    ComplaintReopened,
    ConcludeCase,
    DecideCase,
    EndMediation,
    MediationEnded,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
)
from contracts.inspection import ComplaintChecked
from contracts.shapes import Words
from rulebook import Rulebook, rules_of
from services.complaints.batch import Uow
from services.complaints.model import Complaint, NotAcceptable

BY_CHECK = "on-site-check"


@on(AcceptComplaint)
def accept(command: AcceptComplaint, uow: Uow) -> ComplaintAccepted:
    """Accept a complaint."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.accept(command, rules_of(uow), uow.today)


@on(RefuseComplaint)
def refuse(command: RefuseComplaint, uow: Uow) -> ComplaintRefused:
    """Refuse a complaint, on a ground of its track."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    ground = rules_of(uow).refusal_grounds.get(command.ground)
    if ground is None or (ground.tracks and complaint.track not in ground.tracks):
        what = f"is no ground of the rulebook for refusing a {complaint.track}"
        raise NotAcceptable(errors=[at("ground", what)])
    return complaint.refuse(command, ground.point, uow.today)


@on(ReferComplaint)
def refer(command: ReferComplaint, uow: Uow) -> ComplaintReferred:
    """Refer a complaint to another agency."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.refer(command, uow.today)


@on(CommentComplaint)
def comment(command: CommentComplaint, uow: Uow) -> ComplaintCommented:
    """Record a remark."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.comment(command, uow.today)


@on(EndMediation)
def end_mediation(command: EndMediation, uow: Uow) -> MediationEnded:
    """End the mediation of a dispute."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.end_mediation(command, rules_of(uow), uow.today)


@on(DecideCase)
def decide_case(command: DecideCase, uow: Uow) -> CaseDecided:
    """Decide whether a report becomes a case."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.decide_case(command, rules_of(uow), uow.today)


@on(ConcludeCase)
def conclude_case(command: ConcludeCase, uow: Uow) -> CaseConcluded:
    """Decide a filed case."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    book = rules_of(uow)
    errors = [
        at(f"findings/{n}", "is not a rule of the checklist")
        for n, finding in enumerate(command.findings)
        if finding not in book.rules
    ]
    if errors:
        raise NotAcceptable(errors=errors)
    points = [book.rules[finding].point for finding in dict.fromkeys(command.findings)]
    return complaint.conclude_case(command, points, book, uow.today)


@on(AnswerComplaint)
def answer_by_hand(command: AnswerComplaint, uow: Uow) -> ComplaintAnswered:
    """Answer a caller by hand."""
    words = Words(zh=command.answer, en=command.answer)
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    complaint.must_be_acted_on()
    return complaint.answer(
        words, command.by, rules_of(uow), uow.today, substantiated=command.substantiated
    )


@on(ComplaintChecked)
def answer(event: ComplaintChecked, uow: Uow) -> None:
    """Answer the caller with the findings, and penalise what is substantiated.

    A check of an enterprise that the complaint no longer names gives no answer.
    """
    complaint = uow.require(Complaint, event.complaint_id)
    book = rules_of(uow)
    if complaint.has_ended or complaint.enterprise_id != event.enterprise_id:
        return
    words = _result_of(event, book)
    complaint.answer(words, BY_CHECK, book, uow.today, substantiated=event.substantiated)
    if event.substantiated:
        complaint.penalise(event.points, book, uow.today)


def _result_of(event: ComplaintChecked, book: Rulebook) -> Words:
    if not event.substantiated:
        return book.say(
            "The complaint was looked into on %(day)s; nothing was found against the rules.",
            day=event.checked_on,
        )
    points = Words(
        zh="、".join(point.words.zh for point in event.points),
        en="; ".join(point.words.en for point in event.points),
    )
    return book.say(
        "The complaint was looked into on %(day)s and found true: %(points)s.",
        day=event.checked_on,
        points=points,
    )


@on(ReopenComplaint)
def reopen(command: ReopenComplaint, uow: Uow) -> ComplaintReopened:
    """Reopen an answered complaint."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.reopen(command, rules_of(uow), uow.today)


@on(RateAnswer)
def rate(command: RateAnswer, uow: Uow) -> AnswerRated:
    """Record whether the caller is satisfied."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.rate(command, uow.today)
