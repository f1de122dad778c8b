"""What inspection accepts and says: patrols, visits, issues, notices, closures, the four slips."""

from __future__ import annotations

from dataclasses import field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self

from contracts.message import PUBLIC, RULE, Act, Change, Command, Event
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


class Lifting(StrEnum):
    """On what ground a closure was lifted."""

    REINSPECTION = "reinspection"
    EXCEPTION = "exception"


class Finding(Part):
    """What officers found against one rule of the checklist.

    `on_record` asks for a notice although the issue was rectified on the spot. `evidence` names
    what the phones have stored: photographs, say, by their ids or hashes.
    """

    rule: Code
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)
    rectified_on_the_spot: bool = False
    on_record: bool = False


class VisitWarning(Part):
    """What those who plan or record a visit should know, although nothing is refused.

    `visit_id` is the other visit to the same premises on the same day, by those agencies.
    """

    code: Code
    words: Words
    visit_id: Id
    agencies: list[str]


class Factor(Part):
    """One factor of a risk: its value, and in words what made it."""

    code: Code
    value: float
    words: Words


class Why(StrEnum):
    """Why premises are on a day's plan, the most pressing first."""

    URGENT = "urgent"
    OVERDUE = "overdue"
    DUE = "due"
    RISK = "risk"


class Stop(Part):
    """One of the premises on a day's plan; `visit_id` is the visit that was planned already."""

    enterprise_id: Id
    why: Why
    risk: float
    factors: list[Factor]
    visit_id: Id | None = None


class DispatchPatrol(Command):
    """Send a team out for a day; it goes on to visit several premises."""

    patrol_id: Key
    agencies: list[str]
    officers: list[str]
    day: date
    grid: Code | None = None


class DrawPatrolPlan(Command):
    """Draw up whom these officers are to visit in a grid on a day."""

    plan_id: Id
    grid: Key
    day: date
    officers: list[str]


class PlanVisit(Command):
    """Plan a visit to an enterprise; several agencies may make it together."""

    visit_id: Id
    enterprise_id: Key
    day: date
    urgent: bool = False
    agencies: list[str] = field(default_factory=list)
    joint: bool = False


class ReplanVisit(Act):
    """Put a planned visit off, or bring it forward, to another day."""

    visit_id: Id
    enterprise_id: Key
    day: date
    reason: Text


class CancelVisit(Act):
    """Give up a planned visit that nothing waits for."""

    visit_id: Id
    enterprise_id: Key
    reason: Text


class RecordVisit(Act):
    """Record what a visit found; of a planned visit, or of one that nobody planned.

    `answers` gives an answer for each item of the checklist of that version: a truth value, a
    number, a choice or a text. `complete` says that every required item has been asked. `joint`
    says that each of the agencies records and signs a part of its own. `device` and `client_id`
    name the visit as a phone knows it, which may send it again.
    """

    visit_id: Id
    enterprise_id: Key
    day: date
    agencies: list[str] = field(default_factory=list)
    patrol_id: Id | None = None
    findings: list[Finding] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    checklist_version: Code | None = None
    complete: bool = False
    joint: bool = False
    device: Code | None = None
    client_id: Code | None = None


class RecordPart(Act):
    """An agency records its own part of a joint visit: what it was answered, and what it found."""

    visit_id: Id
    enterprise_id: Key
    agency: Code
    findings: list[Finding] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    checklist_version: Code | None = None
    complete: bool = False


class SignVisit(Act):
    """An agency signs its own part of a visit."""

    visit_id: Id
    enterprise_id: Key
    agency: Code
    officer: Code


class Reinspect(Act):
    """Look again at what a notice still leaves open.

    What is rectified in part leaves the parts that `left` names, in the officer's words; of those
    that an earlier re-inspection left, some or all. Without parts the whole of it is left.
    """

    notice_id: Id
    enterprise_id: Key
    visit_id: Id
    day: date
    rectified: bool
    left: list[Text] = field(default_factory=list)
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)


class ExtendNotice(Act):
    """Give a notice a later day, with the approver and the reason."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    approver: Code
    reason: Text


class PressNotice(Command):
    """Press for a notice that is past due: sent by inspection to itself."""

    notice_id: Id
    enterprise_id: Key
    level: Count
    due_at: datetime
    by: Code = RULE


class MoveNoticeDeadline(Command):
    """Count a notice's working days by a calendar that came later: sent by inspection to itself."""

    notice_id: Id
    enterprise_id: Key
    calendar: Code
    by: Code = RULE


class OrderClosure(Command):
    """Order an enterprise closed."""

    closure_id: Id
    enterprise_id: Key
    reason: Text


class ReinspectClosure(Act):
    """Look again at a closed enterprise: of its open issues these still stand, no others."""

    closure_id: Id
    enterprise_id: Key
    visit_id: Id
    day: date
    standing: list[Id] = field(default_factory=list)
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)


class LiftClosure(Act):
    """Lift a closure, whose latest re-inspection found nothing standing, or as an exception that an
    approver answers for; the enterprise may file again."""

    closure_id: Id
    enterprise_id: Key
    reason: Text
    visit_id: Id | None = None
    approver: Code | None = None


class AcknowledgeSlip(Act):
    """Confirm that a slip has been read, by whom it went to."""

    slip_id: Id
    about: Key


class PatrolDispatched(Change):
    """A team has been sent out; its officers count as person-times (人次)."""

    patrol_id: Key
    agencies: list[str]
    officers: list[str]
    day: date
    grid: Code | None = None


class PatrolPlanDrawn(Change):
    """Whom the officers are to visit in a grid on a day, the most pressing first.

    `capacity` is how many premises they can visit; `left_out` counts the visits that were due and
    found no place. `rules_version` pins the rules by which the risk was reckoned.
    """

    plan_id: Id
    grid: Key
    day: date
    officers: list[str]
    capacity: Count
    stops: list[Stop]
    left_out: Count
    rules_version: Code


class VisitPlanned(Change):
    """A visit is to be made."""

    visit_id: Id
    enterprise_id: Key
    purpose: Purpose
    day: date
    urgent: bool
    grid: Code
    filing_id: Id | None = None
    complaint_id: Id | None = None
    agencies: list[str] = field(default_factory=list)
    joint: bool = False
    warnings: list[VisitWarning] = field(default_factory=list)


class VisitReplanned(Change):
    """A planned visit is to be made on another day than before."""

    visit_id: Id
    enterprise_id: Key
    day: date
    day_before: date
    reason: Text
    warnings: list[VisitWarning] = field(default_factory=list)


class VisitCancelled(Change):
    """A planned visit was given up."""

    visit_id: Id
    enterprise_id: Key
    reason: Text


class VisitRecorded(Change):
    """A visit was made, and this is what it found, under the checklist of that version.

    `findings` holds those that officers named, and one for each rule that an answer breaks.
    """

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
    answers: dict[str, Any] = field(default_factory=dict)
    checklist_version: Code | None = None
    joint: bool = False
    device: Code | None = None
    client_id: Code | None = None
    warnings: list[VisitWarning] = field(default_factory=list)


class PartRecorded(Change):
    """An agency has recorded its own part of a joint visit."""

    visit_id: Id
    enterprise_id: Key
    day: date
    agency: Code
    findings: list[Finding]
    answers: dict[str, Any]
    checklist_version: Code


class VisitSigned(Change):
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


class IssueFound(Change):
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
    evidence: list[Code] = field(default_factory=list)


class IssueRectified(Change):
    """A fault was put right, on the spot or later."""

    issue_id: Id
    enterprise_id: Key
    point: Point
    rectified_on: date
    on_the_spot: bool


class Numbered(Change, abstract=True):
    """Paper that begins, with a number of its own: consecutive for its kind in each year."""

    number: str = ""

    def bearing(self, number: str) -> Self:
        """Give the same paper with its number, which is drawn when all else is written."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, number=number)
        return made


class NoticeIssued(Numbered):
    """A rectification notice (整改通知書) for one issue, and when it must be met: before `due_at`,
    of which `due_on` is the last day. `remark` and `evidence` are those of the finding."""

    notice_id: Id
    enterprise_id: Key
    issue_id: Id
    point: Point
    issued_on: date
    due_on: date
    due_at: datetime
    on_record: bool
    severity: Severity
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)


class NoticeReinspected(Change):
    """Officers looked again; where it is not rectified, `left` names the parts that are open, or
    nobody has named parts, and the whole of it is."""

    notice_id: Id
    enterprise_id: Key
    visit_id: Id
    day: date
    rectified: bool
    left: list[Text]
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)
    by: Code = PUBLIC


class NoticeExtended(Change):
    """A notice was given a later day."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    due_at: datetime
    was_due_on: date
    approver: Code
    reason: Text
    by: Code = PUBLIC


class NoticeDeadlineMoved(Change):
    """A holiday that was announced later moved a deadline that is counted in working days."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    due_at: datetime
    was_due_on: date
    calendar: Code


class NoticeOverdue(Change):
    """A notice has passed its deadline; `level` counts how often. It is now due again, unless this
    was the last time; `addressee` is to press for it."""

    notice_id: Id
    enterprise_id: Key
    issue_id: Id
    point: Point
    level: Count
    addressee: Code
    due_on: date
    due_at: datetime
    next_due_on: date | None = None
    next_due_at: datetime | None = None
    notice_number: str = ""


class NoticeSatisfied(Change):
    """What a notice asked for was done."""

    notice_id: Id
    enterprise_id: Key
    issue_id: Id
    point: Point
    satisfied_on: date


class ClosureOrdered(Numbered):
    """An enterprise was ordered closed (關停)."""

    closure_id: Id
    enterprise_id: Key
    grounds: Grounds
    reason: Words
    ordered_on: date
    issue_id: Id | None = None
    notice_id: Id | None = None


class ClosureReinspected(Change):
    """Officers looked again at a closed enterprise; `clean` where nothing stands any more."""

    closure_id: Id
    enterprise_id: Key
    visit_id: Id
    day: date
    clean: bool
    standing: list[Id]
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)
    by: Code = PUBLIC


class ClosureLifted(Change):
    """A closure was lifted: after a re-inspection, or as an exception for which one answers."""

    closure_id: Id
    enterprise_id: Key
    reason: Text
    lifted_on: date
    ground: Lifting
    visit_id: Id | None = None
    approver: Code | None = None
    by: Code = PUBLIC


class ComplaintChecked(Event):
    """Officers looked into a complaint on site."""

    complaint_id: Key
    enterprise_id: Id
    visit_id: Id
    substantiated: bool
    points: list[Point]
    checked_on: date


class Slip(Numbered, abstract=True):
    """One of the four slips: about an enterprise or a complaint, to somebody, with its points.

    `text` is the whole parked message, and keeps its words whatever the rules say later.
    """

    slip_id: Id
    about: Key
    addressee: Code
    to: Words
    points: list[Point]
    text: Words
    issued_on: date
    due_on: date | None = None
    due_at: datetime | None = None
    enterprise_id: Id | None = None
    complaint_id: Id | None = None

    def bearing(self, number: str) -> Self:
        """Give the same slip with its number, which stands above its text too."""
        made = super().bearing(number)
        text = Words(zh=f"{number}\n{self.text.zh}", en=f"{number}\n{self.text.en}")
        made.__dict__.update(text=text)
        return made


class PromptSlipIssued(Slip):
    """提示單明重點: the key points for a trade, when it reopens."""


class ProblemSlipIssued(Slip):
    """問題單疏漏洞: names a fault that was found."""


class SupervisionSlipIssued(Slip):
    """督辦單抓落實: presses for what is past due."""


class FeedbackSlipIssued(Slip):
    """反饋單示結果: shows the result."""


class SlipAcknowledged(Change):
    """Whom a slip went to has read it."""

    slip_id: Id
    about: Key
    acknowledged_by: Code
    acknowledged_at: datetime
    enterprise_id: Id | None = None
    complaint_id: Id | None = None
