"""Commands and events of inspection: patrols, visits, issues, notices, closures, the four slips."""

from __future__ import annotations

from dataclasses import field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self

from contracts.message import PUBLIC, RULE, Act, Change, Command, Event
from contracts.shapes import Code, Count, Id, Key, Part, Point, Text, Words


class Purpose(StrEnum):
    """The purpose of a visit."""

    PATROL = "patrol"
    REVIEW = "review"
    COMPLAINT = "complaint"
    REINSPECTION = "reinspection"


class Severity(StrEnum):
    """The severity of an issue; a grave one closes at once."""

    ORDINARY = "ordinary"
    GRAVE = "grave"


class Grounds(StrEnum):
    """The grounds of a closure."""

    GRAVE_ISSUE = "grave_issue"
    OVERDUE_NOTICE = "overdue_notice"
    ORDER = "order"


class Lifting(StrEnum):
    """The grounds on which a closure was lifted."""

    REINSPECTION = "reinspection"
    EXCEPTION = "exception"


class Finding(Part):
    """A finding against one rule of the checklist.

    `on_record` asks for a notice although the issue was rectified on the spot. `evidence` names
    what the devices have stored, for example photographs, by ids or hashes.
    """

    rule: Code
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)
    rectified_on_the_spot: bool = False
    on_record: bool = False


class VisitWarning(Part):
    """A warning to those who plan or record a visit; nothing is rejected.

    `visit_id` is the other visit to the same premises on the same day, by those agencies.
    """

    code: Code
    words: Words
    visit_id: Id
    agencies: list[str]


class Factor(Part):
    """One factor of a risk: its value, and its explanation."""

    code: Code
    value: float
    words: Words


class Why(StrEnum):
    """The reason why premises are on a day's plan, the most urgent first."""

    URGENT = "urgent"
    OVERDUE = "overdue"
    DUE = "due"
    RISK = "risk"


class Stop(Part):
    """One of the premises on a day's plan; `visit_id` is its planned visit, if any."""

    enterprise_id: Id
    why: Why
    risk: float
    factors: list[Factor]
    visit_id: Id | None = None


class DispatchPatrol(Command):
    """Dispatch a team for a day, to visit several premises."""

    patrol_id: Key
    agencies: list[str]
    officers: list[str]
    day: date
    grid: Code | None = None


class DrawPatrolPlan(Command):
    """Draw the plan of the premises that these officers visit in a grid on a day."""

    plan_id: Id
    grid: Key
    day: date
    officers: list[str]


class PlanVisit(Command):
    """Plan a visit to an enterprise, by one or several agencies together."""

    visit_id: Id
    enterprise_id: Key
    day: date
    urgent: bool = False
    agencies: list[str] = field(default_factory=list)
    joint: bool = False


class ReplanVisit(Act):
    """Move a planned visit to another day."""

    visit_id: Id
    enterprise_id: Key
    day: date
    reason: Text


class CancelVisit(Act):
    """Cancel a planned visit that is not needed by a filing or a complaint."""

    visit_id: Id
    enterprise_id: Key
    reason: Text


class RecordVisit(Act):
    """Record the findings of a visit, planned or not.

    `answers` has an answer for each item of the checklist of that version: a truth value, a number,
    a choice or a text. `complete` tells that every required item was asked. `joint` tells that each
    agency records and signs its own part. `device` and `client_id` identify the visit on a device,
    which may send it again.
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
    """Record one agency's own part of a joint visit: its answers and its findings."""

    visit_id: Id
    enterprise_id: Key
    agency: Code
    findings: list[Finding] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    checklist_version: Code | None = None
    complete: bool = False


class SignVisit(Act):
    """Sign one agency's own part of a visit."""

    visit_id: Id
    enterprise_id: Key
    agency: Code
    officer: Code


class Reinspect(Act):
    """Re-inspect the open parts of a notice.

    A partly rectified issue leaves the parts in `left`, in the officer's words; after an earlier
    re-inspection, some or all of those it left. Without named parts the whole issue is left.
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
    """Extend the deadline of a notice, with the approver and the reason."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    approver: Code
    reason: Text


class PressNotice(Command):
    """Escalate an overdue notice: sent by inspection to itself."""

    notice_id: Id
    enterprise_id: Key
    level: Count
    due_at: datetime
    by: Code = RULE


class MoveNoticeDeadline(Command):
    """Recount a notice's working days by a later calendar: sent by inspection to itself."""

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
    """Re-inspect a closed enterprise: exactly these of its open issues still stand."""

    closure_id: Id
    enterprise_id: Key
    visit_id: Id
    day: date
    standing: list[Id] = field(default_factory=list)
    remark: str = ""
    evidence: list[Code] = field(default_factory=list)


class LiftClosure(Act):
    """Lift a closure whose latest re-inspection found no open issue, or as an exception that an
    approver answers for; the enterprise may file again."""

    closure_id: Id
    enterprise_id: Key
    reason: Text
    visit_id: Id | None = None
    approver: Code | None = None


class AcknowledgeSlip(Act):
    """Acknowledge a slip, as its recipient."""

    slip_id: Id
    about: Key


class PatrolDispatched(Change):
    """A team was dispatched; its officers count as person-times (人次)."""

    patrol_id: Key
    agencies: list[str]
    officers: list[str]
    day: date
    grid: Code | None = None


class PatrolPlanDrawn(Change):
    """The plan of the premises that the officers visit in a grid on a day, the most urgent first.

    `capacity` is the number of premises that they can visit; `left_out` counts the due visits that
    did not fit. `rules_version` is the version of the rules by which the risk was computed.
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
    """A visit was planned."""

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
    """A planned visit was moved to another day."""

    visit_id: Id
    enterprise_id: Key
    day: date
    day_before: date
    reason: Text
    warnings: list[VisitWarning] = field(default_factory=list)


class VisitCancelled(Change):
    """A planned visit was cancelled."""

    visit_id: Id
    enterprise_id: Key
    reason: Text


class VisitRecorded(Change):
    """A visit was made, with these findings under the checklist of that version.

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
    """An on-site review found the premises fit to open."""

    enterprise_id: Key
    filing_id: Id
    visit_id: Id


class OnsiteReviewFailed(Event):
    """An on-site review found faults that stand against opening."""

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
    """An issue was rectified, on the spot or later."""

    issue_id: Id
    enterprise_id: Key
    point: Point
    rectified_on: date
    on_the_spot: bool


class Numbered(Change, abstract=True):
    """The first event of a paper, with its number: consecutive for its kind in each year."""

    number: str = ""

    def bearing(self, number: str) -> Self:
        """Return the same event with its number, which is drawn after everything else is
        written."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, number=number)
        return made


class NoticeIssued(Numbered):
    """A rectification notice (整改通知書) for one issue, with its deadline: before `due_at`, with
    `due_on` as the last day. `remark` and `evidence` are those of the finding."""

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
    """A notice was re-inspected; if it is not rectified, `left` names the open parts, or is empty
    if the whole issue is open."""

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
    """The deadline of a notice was extended."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    due_at: datetime
    was_due_on: date
    approver: Code
    reason: Text
    by: Code = PUBLIC


class NoticeDeadlineMoved(Change):
    """A later announcement of holidays moved a deadline that is counted in working days."""

    notice_id: Id
    enterprise_id: Key
    due_on: date
    due_at: datetime
    was_due_on: date
    calendar: Code


class NoticeOverdue(Change):
    """A notice is overdue; `level` counts how often. It has a new deadline, unless this was the
    last; `addressee` is the office that must press for it."""

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
    """A notice was met."""

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
    """A closed enterprise was re-inspected; `clean` means that no issue is open."""

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
    """A closure was lifted: after a re-inspection, or as an exception with an approver."""

    closure_id: Id
    enterprise_id: Key
    reason: Text
    lifted_on: date
    ground: Lifting
    visit_id: Id | None = None
    approver: Code | None = None
    by: Code = PUBLIC


class ComplaintChecked(Event):
    """A complaint was checked on site."""

    complaint_id: Key
    enterprise_id: Id
    visit_id: Id
    substantiated: bool
    points: list[Point]
    checked_on: date


class Slip(Numbered, abstract=True):
    """One of the four slips: about an enterprise or a complaint, with its recipient and points.

    `text` is the whole letter, and keeps its words whatever the rules say later.
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
        """Return the same slip with its number, also above its text."""
        made = super().bearing(number)
        text = Words(zh=f"{number}\n{self.text.zh}", en=f"{number}\n{self.text.en}")
        made.__dict__.update(text=text)
        return made


class PromptSlipIssued(Slip):
    """提示單明重點: the key points for a trade, when it reopens."""


class ProblemSlipIssued(Slip):
    """問題單疏漏洞: names a fault."""


class SupervisionSlipIssued(Slip):
    """督辦單抓落實: presses for an overdue matter."""


class FeedbackSlipIssued(Slip):
    """反饋單示結果: reports a result."""


class SlipAcknowledged(Change):
    """The recipient of a slip has read it."""

    slip_id: Id
    about: Key
    acknowledged_by: Code
    acknowledged_at: datetime
    enterprise_id: Id | None = None
    complaint_id: Id | None = None
