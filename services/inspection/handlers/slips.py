"""Handlers that issue the four slips (四單), each in reaction to events of its own kind.

提示單明重點、問題單疏漏洞、督辦單抓落實、反饋單示結果 (the article).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from chassis.ids import derived_id
from chassis.service import on
from contracts.complaints import ComplaintAnswered, ComplaintOverdue, Stage
from contracts.filing import EnterpriseReopened
from contracts.inspection import (
    AcknowledgeSlip,
    ClosureLifted,
    ClosureOrdered,
    FeedbackSlipIssued,
    IssueFound,
    IssueRectified,
    NoticeOverdue,
    NoticeSatisfied,
    ProblemSlipIssued,
    PromptSlipIssued,
    SlipAcknowledged,
    SupervisionSlipIssued,
)
from contracts.inspection import Slip as SlipIssued
from contracts.message import Contract
from contracts.shapes import Id, Key, Point, Words
from rulebook import rules_of
from rulebook.chapters.inspection import Until
from services.inspection.batch import Uow
from services.inspection.handlers.premises import premises_of
from services.inspection.model import Slip
from services.inspection.numbers import PAPERS, enter
from services.inspection.wording import addressed_to, letter, subject_of

ENTERPRISE, DISTRICT_OFFICE = "enterprise", "district-office"
NOT_DONE = {
    Stage.ACCEPTANCE: "The complaint has not been accepted by %(day)s.",
    Stage.MEDIATION: "The mediation has not been ended by %(day)s.",
    Stage.CASE: "It has not been decided by %(day)s whether to file a case.",
    Stage.DECISION: "The case has not been decided by %(day)s.",
    Stage.TELLING: "The result has not been told by %(day)s.",
}
"""The sentence of a supervision slip for each overdue clock of a complaint."""


@on(EnterpriseReopened)
def prompt(event: EnterpriseReopened, uow: Uow) -> None:
    """Send a reopened enterprise the key points for its trade."""
    points = rules_of(uow).key_points(event.premises)
    _write(uow, PromptSlipIssued, event, ENTERPRISE, points)


@on(IssueFound)
def name_the_fault(event: IssueFound, uow: Uow) -> None:
    """Inform the enterprise of a fault and of the deadline to rectify it."""
    until = None
    if not event.rectified_on_the_spot:
        until = rules_of(uow).notice_until(event.severity, uow.now)
    about, day = (event, ENTERPRISE, [event.point]), event.found_on
    _write(uow, ProblemSlipIssued, *about, found_on=day, until=until)


@on(NoticeOverdue)
def press_for_the_notice(event: NoticeOverdue, uow: Uow) -> None:
    """Inform an office, by the ladder, that a notice is overdue, and of the next step."""
    book, until = rules_of(uow), None
    about = {"number": event.notice_number, "day": Until(event.due_at).words}
    if event.next_due_at:
        until = Until(event.next_due_at)
        words = book.say(
            "Notice %(number)s was not met by %(day)s: put it right by %(next)s.",
            **about,
            next=until.words,
        )
    else:
        words = book.say(
            "Notice %(number)s was not met by %(day)s and the enterprise is to close.", **about
        )
    points = [event.point, Point(code="overdue", words=words)]
    _write(uow, SupervisionSlipIssued, event, event.addressee, points, until=until)


@on(ComplaintOverdue)
def press_for_the_complaint(event: ComplaintOverdue, uow: Uow) -> None:
    """Inform the office that is responsible for an overdue complaint: the complaints desk first."""
    words = rules_of(uow).say(NOT_DONE[event.stage], day=event.due_on)
    points = [Point(code=f"overdue-{event.stage}", words=words)]
    _write(uow, SupervisionSlipIssued, event, event.addressee, points)


@on(NoticeSatisfied)
def report_the_notice_met(event: NoticeSatisfied, uow: Uow) -> None:
    """Report that a notice was met."""
    words = rules_of(uow).say("Put right: %(point)s", point=event.point.words)
    _feed_back(uow, event, event.point.code, words)


@on(IssueRectified)
def report_put_right_on_the_spot(event: IssueRectified, uow: Uow) -> None:
    """Report that a fault was rectified on the spot."""
    if event.on_the_spot:
        words = rules_of(uow).say("Put right on the spot: %(point)s", point=event.point.words)
        _feed_back(uow, event, event.point.code, words)


@on(ClosureOrdered)
def report_closed(event: ClosureOrdered, uow: Uow) -> None:
    """Report that an enterprise was closed."""
    words = rules_of(uow).say("Closed: %(reason)s", reason=event.reason)
    _feed_back(uow, event, "closed", words)


@on(ClosureLifted)
def report_lifted(event: ClosureLifted, uow: Uow) -> None:
    """Report that a closure was lifted."""
    words = rules_of(uow).say("Lifted: %(reason)s", reason=event.reason)
    _feed_back(uow, event, "lifted", words)


@on(ComplaintAnswered)
def report_answered(event: ComplaintAnswered, uow: Uow) -> None:
    """Report that a complaint was answered."""
    words = rules_of(uow).say("Answered: %(answer)s", answer=event.answer)
    _feed_back(uow, event, "answered", words)


@on(AcknowledgeSlip)
def acknowledge(command: AcknowledgeSlip, uow: Uow) -> SlipAcknowledged:
    """Record that the recipient has read a slip."""
    slip = uow.require(Slip, command.slip_id, seen_by=command)
    return slip.acknowledge(command, uow.now)


# -- issuing


def _feed_back(uow: Uow, event: Contract, code: str, words: Words) -> None:
    _write(uow, FeedbackSlipIssued, event, DISTRICT_OFFICE, [Point(code=code, words=words)])


def _write(
    uow: Uow,
    kind: type[SlipIssued],
    event: Any,
    addressee: str,
    points: list[Point],
    *,
    found_on: date | None = None,
    until: Until | None = None,
) -> None:
    """Issue a slip about the complaint, or else the enterprise, of an event."""
    book = rules_of(uow)
    on_complaint = isinstance(event, ComplaintOverdue | ComplaintAnswered)
    complaint_id = Id(event.complaint_id) if on_complaint else None
    premises = None if on_complaint else premises_of(uow, event.enterprise_id)
    to = addressed_to(book, addressee, premises)
    subject = subject_of(book, premises, complaint_id)
    text = letter(
        book, PAPERS[kind], to, subject, points, today=uow.today, found_on=found_on, until=until
    )
    slip = kind(
        slip_id=Id(derived_id(kind.type, uow.message.id)),
        about=Key(event.key),
        enterprise_id=event.enterprise_id,
        complaint_id=complaint_id,
        addressee=addressee,
        to=to,
        points=points,
        text=text,
        issued_on=uow.today,
        due_on=until.on if until else None,
        due_at=until.at if until else None,
    )
    enter(uow, Slip.issue(slip))
