"""Inspection: the events that it publishes."""

from __future__ import annotations

from dataclasses import field
from datetime import date, datetime
from typing import Any, Self

from contracts.inspection.types import (
    Finding,
    Grounds,
    Lifting,
    Purpose,
    Severity,
    Stop,
    VisitWarning,
)
from contracts.message import PUBLIC, Change, Event
from contracts.shapes import Code, Count, Id, Key, Point, Text, Words


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
