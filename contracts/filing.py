"""What filing accepts and says: the registry, filings to reopen, staff and liaison officers."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from enum import StrEnum

from contracts.message import Command, Event
from contracts.shapes import Code, Count, Id, Key, Point, Text


class Kind(StrEnum):
    """The statistical kind: 四上 above-scale, 四下 below-scale, 個體戶 sole trader."""

    ABOVE_SCALE = "above_scale"
    BELOW_SCALE = "below_scale"
    SOLE_TRADER = "sole_trader"


class Size(StrEnum):
    """The size class of 工信部聯企業〔2011〕300號."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"
    MICRO = "micro"


class Decision(StrEnum):
    """What a reviewer decides of a filing."""

    APPROVE = "approve"
    RETURN = "return"


class RegisterEnterprise(Command):
    """Enter an enterprise in the district's registry."""

    enterprise_id: Key
    credit_code: Code
    name: Text
    kind: Kind
    size: Size
    industry: Code
    premises: Code
    grid: Code
    address: str = ""
    key_project: bool = False


class SubmitFiling(Command):
    """File to reopen on a day, stating the headcount and the prevention measures in place."""

    filing_id: Id
    enterprise_id: Key
    reopen_on: date
    headcount: Count
    out_of_province: Count = 0
    measures: list[str] = field(default_factory=list)
    pledge: bool = False


class WithdrawFiling(Command):
    """Take back a filing that has not led to reopening yet."""

    filing_id: Id
    enterprise_id: Key
    reason: Text


class DecideFiling(Command):
    """Approve or return a live filing by hand; a return gives its reasons."""

    filing_id: Id
    enterprise_id: Key
    decision: Decision
    by: Code
    reasons: list[str] = field(default_factory=list)


class ReportRoster(Command):
    """Report the staff of a day: all, of them from other provinces, and those not fit for duty."""

    enterprise_id: Key
    day: date
    staff: Count
    out_of_province: Count = 0
    unfit: Count = 0


class AssignLiaison(Command):
    """Give an enterprise a liaison officer (掛鉤聯繫指導員), by staff number."""

    enterprise_id: Key
    officer: Code


class ReopenEnterprise(Command):
    """Reopen an approved enterprise whose day has come: sent by filing to itself."""

    enterprise_id: Key
    filing_id: Id
    due_on: date


class EnterpriseRegistered(Event):
    """An enterprise is in the registry."""

    enterprise_id: Key
    credit_code: Code
    name: Text
    kind: Kind
    size: Size
    industry: Code
    premises: Code
    grid: Code
    address: str = ""
    key_project: bool = False
    registered_on: date


class FilingSubmitted(Event):
    """A filing to reopen has been submitted and waits for its decision."""

    enterprise_id: Key
    filing_id: Id
    reopen_on: date
    headcount: Count
    out_of_province: Count
    measures: list[str]
    pledge: bool
    submitted_on: date


class FilingApproved(Event):
    """A filing was approved: without meeting anyone (零見面審核), after a review, or by hand."""

    enterprise_id: Key
    filing_id: Id
    reopen_on: date
    by: Code


class FilingReturned(Event):
    """A filing was returned with every reason at once; the enterprise may file again."""

    enterprise_id: Key
    filing_id: Id
    reasons: list[Point]
    by: Code


class FilingWithdrawn(Event):
    """The enterprise took its filing back."""

    enterprise_id: Key
    filing_id: Id
    reason: Text


class OnsiteReviewRequested(Event):
    """Five-small premises must be seen before they may open (未經現場審核不得擅自營業)."""

    enterprise_id: Key
    filing_id: Id
    premises: Code
    grid: Code


class EnterpriseReopened(Event):
    """An enterprise whose filing was approved has resumed business."""

    enterprise_id: Key
    filing_id: Id
    grid: Code
    premises: Code
    kind: Kind
    headcount: Count
    out_of_province: Count
    reopened_on: date


class EnterpriseSuspended(Event):
    """An enterprise was ordered closed and may neither do business nor file."""

    enterprise_id: Key
    closure_id: Id
    was_open: bool
    suspended_on: date


class SuspensionLifted(Event):
    """A closed enterprise may file again."""

    enterprise_id: Key
    closure_id: Id
    lifted_on: date


class LiaisonAssigned(Event):
    """An enterprise has a liaison officer."""

    enterprise_id: Key
    officer: Code


class RosterReported(Event):
    """The staff of a day is known; who is not fit for duty is not on duty."""

    enterprise_id: Key
    day: date
    on_duty: Count
    out_of_province: Count
    unfit: Count
