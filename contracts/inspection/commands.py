"""Inspection: the commands that it accepts."""

from __future__ import annotations

from dataclasses import field
from datetime import date, datetime
from typing import Any

from contracts.inspection.types import Finding
from contracts.message import RULE, Act, Command
from contracts.shapes import Code, Count, Id, Key, Text


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
