"""What inspection accepts and says: patrols, visits, issues, notices, closures, the four slips."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from enum import StrEnum

from contracts.message import Command, Event
from contracts.shapes import Code, Count, Id, Key, Part, Point, Text, Words


class Purpose(StrEnum):
    """What a visit is for."""

    PATROL = "patrol"
    REVIEW = "review"
    COMPLAINT = "complaint"
    REINSPECTION = "reinspection"


class Severity(StrEnum):
    """How grave an issue is; a grave one closes at once."""

    ORDINARY = "ordinary"
    GRAVE = "grave"


class Grounds(StrEnum):
    """Why a closure was ordered."""

    GRAVE_ISSUE = "grave_issue"
    OVERDUE_NOTICE = "overdue_notice"
    ORDER = "order"


class Finding(Part):
    """What officers found against one rule of the checklist.

    `on_record` asks for a notice although the issue was rectified on the spot.
    """

    rule: Code
    remark: str = ""
    rectified_on_the_spot: bool = False
    on_record: bool = False


class DispatchPatrol(Command):
    """Send a team out for a day; it goes on to visit several premises."""

    patrol_id: Key
    agencies: list[str]
    officers: list[str]
    day: date
    grid: Code | None = None


class PlanVisit(Command):
    """Plan a visit to an enterprise."""

    visit_id: Id
    enterprise_id: Key
    day: date
    urgent: bool = False


class RecordVisit(Command):
    """Record what a visit found; of a planned visit, or of one that nobody planned."""

    visit_id: Id
    enterprise_id: Key
    day: date
    agencies: list[str] = field(default_factory=list)
    patrol_id: Id | None = None
    findings: list[Finding] = field(default_factory=list)


class SignVisit(Command):
    """An agency signs its own part of a visit."""

    visit_id: Id
    enterprise_id: Key
    agency: Code
    officer: Code


class Reinspect(Command):
    """Look again at what a notice still leaves open."""

    notice_id: Id
    enterprise_id: Key
    visit_id: Id
    day: date
    rectified: bool
    remark: str = ""


class ExtendNotice(Command):
    """Give a notice a later day, with the approver and the reason."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    approver: Code
    reason: Text


class OrderClosure(Command):
    """Order an enterprise closed."""

    closure_id: Id
    enterprise_id: Key
    reason: Text


class LiftClosure(Command):
    """Lift a closure; the enterprise may file again."""

    closure_id: Id
    enterprise_id: Key
    reason: Text


class PressNotice(Command):
    """Press for a notice that is past due: sent by inspection to itself."""

    notice_id: Id
    enterprise_id: Key
    level: Count
    due_on: date


class PatrolDispatched(Event):
    """A team has been sent out; its officers count as person-times (人次)."""

    patrol_id: Key
    agencies: list[str]
    officers: list[str]
    day: date
    grid: Code | None = None


class VisitPlanned(Event):
    """A visit is to be made."""

    visit_id: Id
    enterprise_id: Key
    purpose: Purpose
    day: date
    urgent: bool
    grid: Code
    filing_id: Id | None = None
    complaint_id: Id | None = None


class VisitRecorded(Event):
    """A visit was made, and this is what it found."""

    visit_id: Id
    enterprise_id: Key
    purpose: Purpose
    day: date
    grid: Code
    agencies: list[str]
    findings: list[Finding]
    patrol_id: Id | None = None
    filing_id: Id | None = None
    complaint_id: Id | None = None
    notice_id: Id | None = None


class VisitSigned(Event):
    """An agency has signed its part; `complete` when all have."""

    visit_id: Id
    enterprise_id: Key
    agency: Code
    officer: Code
    complete: bool


class OnsiteReviewPassed(Event):
    """Officers saw the premises before they open, and found them fit."""

    enterprise_id: Key
    filing_id: Id
    visit_id: Id


class OnsiteReviewFailed(Event):
    """Officers saw the premises before they open, and this is what stands against it."""

    enterprise_id: Key
    filing_id: Id
    visit_id: Id
    reasons: list[Point]


class IssueFound(Event):
    """A visit found a fault, under the checklist of that version."""

    issue_id: Id
    enterprise_id: Key
    visit_id: Id
    point: Point
    severity: Severity
    checklist_version: Code
    found_on: date
    rectified_on_the_spot: bool
    on_record: bool
    remark: str = ""


class IssueRectified(Event):
    """A fault was put right, on the spot or later."""

    issue_id: Id
    enterprise_id: Key
    point: Point
    rectified_on: date
    on_the_spot: bool


class NoticeIssued(Event):
    """A rectification notice (整改通知書) for one issue, with the day by which it must be met."""

    notice_id: Id
    enterprise_id: Key
    issue_id: Id
    point: Point
    issued_on: date
    due_on: date
    on_record: bool


class NoticeExtended(Event):
    """A notice was given a later day."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    approver: Code
    reason: Text


class NoticeOverdue(Event):
    """A notice has passed its day; `level` counts how often. It is now due again on `next_due_on`,
    unless this was the last time."""

    notice_id: Id
    enterprise_id: Key
    issue_id: Id
    point: Point
    level: Count
    due_on: date
    next_due_on: date | None = None


class NoticeSatisfied(Event):
    """What a notice asked for was done."""

    notice_id: Id
    enterprise_id: Key
    issue_id: Id
    point: Point
    satisfied_on: date


class ClosureOrdered(Event):
    """An enterprise was ordered closed (關停)."""

    closure_id: Id
    enterprise_id: Key
    grounds: Grounds
    reason: Words
    ordered_on: date
    issue_id: Id | None = None
    notice_id: Id | None = None


class ClosureLifted(Event):
    """A closure was lifted."""

    closure_id: Id
    enterprise_id: Key
    reason: Text
    lifted_on: date


class ComplaintChecked(Event):
    """Officers looked into a complaint on site."""

    complaint_id: Key
    enterprise_id: Id
    visit_id: Id
    substantiated: bool
    points: list[Point]
    checked_on: date


class Slip(Event, abstract=True):
    """One of the four slips: about an enterprise or a complaint, to somebody, with its points."""

    slip_id: Id
    about: Key
    addressee: Code
    points: list[Point]
    issued_on: date
    due_on: date | None = None
    enterprise_id: Id | None = None
    complaint_id: Id | None = None


class PromptSlipIssued(Slip):
    """提示單明重點: the key points for a trade, when it reopens."""


class ProblemSlipIssued(Slip):
    """問題單疏漏洞: names a fault that was found."""


class SupervisionSlipIssued(Slip):
    """督辦單抓落實: presses for what is past due."""


class FeedbackSlipIssued(Slip):
    """反饋單示結果: shows the result."""
