"""Commands and events of filing: the registry, filings to reopen, rosters and liaison officers."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from enum import StrEnum
from typing import Annotated

from marshmallow import validate

from contracts.message import RULE, Act, Change, Command
from contracts.shapes import Code, Count, Id, Key, Part, Point, Sealed, Text

Amount = Annotated[int, validate.Range(min=0, max=1_000_000_000)]
"""A sum of money in units of 10,000 yuan (萬元), the unit of 〔2011〕300號."""

Tenths = Annotated[int, validate.Range(min=300, max=450)]
"""A body temperature in tenths of a degree Celsius."""

LINES = 5000
"""Maximum number of persons on the roster of a day."""


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


class SizeBasis(StrEnum):
    """The basis of the size class: the limits of 〔2011〕300號, or a statement."""

    COMPUTED = "computed"
    STATED = "stated"


class Decision(StrEnum):
    """A reviewer's decision on a filing."""

    APPROVE = "approve"
    RETURN = "return"


class Stock(Part):
    """A quantity in stock: pieces, or litres."""

    measure: Code
    amount: Count


class RosterLine(Part):
    """One person on the roster of a day: the row, and the state of health.

    `worker_ref` is a keyed hash of the enterprise's staff number. `home` and `arrived_from` are
    division codes of six digits. The gateway validates the name and drops it.
    """

    row: Count
    worker_ref: Code
    name: Sealed | None = None
    home: Code
    arrived_on: date | None = None
    arrived_from: Code | None = None
    temperature: Tenths | None = None
    unwell: bool = False


class RowFault(Part):
    """An error in one column of a row, by JSON pointer."""

    pointer: str
    detail: str


class UnreadLine(Part):
    """An unreadable row of a roster, with all its errors."""

    row: Count
    errors: list[RowFault]


class RegisterEnterprise(Command):
    """Register an enterprise of the district.

    It has a credit code (GB 32100) or an older registration number of 15 digits, or both. `revenue`
    and `assets` are in 10,000 yuan. `size` is used only if figures are missing that the limits of
    its trade need.
    """

    enterprise_id: Key
    credit_code: Code | None = None
    registration_number: Code | None = None
    name: Text
    kind: Kind
    size: Size | None = None
    staff: Count | None = None
    revenue: Amount | None = None
    assets: Amount | None = None
    industry: Code
    premises: Code
    grid: Code
    address: str = ""
    key_project: bool = False


class CorrectEnterprise(Act):
    """Correct the registry data of an enterprise; omitted fields stay as they are."""

    enterprise_id: Key
    reason: Text
    credit_code: Code | None = None
    registration_number: Code | None = None
    name: Text | None = None
    kind: Kind | None = None
    size: Size | None = None
    staff: Count | None = None
    revenue: Amount | None = None
    assets: Amount | None = None
    industry: Code | None = None
    premises: Code | None = None
    grid: Code | None = None
    address: str | None = None
    key_project: bool | None = None


class SubmitFiling(Command):
    """Submit a filing to reopen on a day, with the headcount and the prevention measures in
    place."""

    filing_id: Id
    enterprise_id: Key
    reopen_on: date
    headcount: Count
    out_of_province: Count = 0
    measures: list[str] = field(default_factory=list)
    stock: list[Stock] = field(default_factory=list)
    pledge: bool = False


class WithdrawFiling(Act):
    """Withdraw a filing that has not led to reopening yet."""

    filing_id: Id
    enterprise_id: Key
    reason: Text


class DecideFiling(Act):
    """Approve or return a live filing by hand; a return needs its reasons."""

    filing_id: Id
    enterprise_id: Key
    decision: Decision
    by: Code
    reasons: list[str] = field(default_factory=list)


class ReportRoster(Act):
    """Report the staff of a day: in total, from other provinces, and unfit for duty."""

    enterprise_id: Key
    day: date
    staff: Count
    out_of_province: Count = 0
    unfit: Count = 0


class ReportRosterLines(Act):
    """Report the staff of a day person by person; `unread` are the unreadable rows."""

    enterprise_id: Key
    day: date
    lines: Annotated[list[RosterLine], validate.Length(max=LINES)]
    unread: Annotated[list[UnreadLine], validate.Length(max=LINES)] = field(default_factory=list)


class AssignLiaison(Act):
    """Assign another liaison officer (掛鉤聯繫指導員), by staff number, with a reason."""

    enterprise_id: Key
    officer: Code
    reason: str = ""


class ReopenEnterprise(Command):
    """Reopen an approved enterprise whose day has come: sent by filing to itself."""

    enterprise_id: Key
    filing_id: Id
    due_on: date
    by: Code = RULE


class _OnRecord(Change, abstract=True):
    """The registry data of an enterprise, with its size class and the class's basis.

    `size_by` tells whether it follows from the figures, by the limits of the trade `branch` in the
    edition `rules` of the rulebook, or was stated. `subdistrict` is the top of the grid's branch.
    """

    enterprise_id: Key
    credit_code: Code | None = None
    registration_number: Code | None = None
    name: Text
    kind: Kind
    size: Size
    size_by: SizeBasis = SizeBasis.STATED
    branch: Code | None = None
    staff: Count | None = None
    revenue: Amount | None = None
    assets: Amount | None = None
    industry: Code
    premises: Code
    grid: Code
    subdistrict: Code | None = None
    address: str = ""
    key_project: bool = False
    rules: Code | None = None


class EnterpriseRegistered(_OnRecord):
    """An enterprise was registered."""

    registered_on: date


class EnterpriseCorrected(_OnRecord):
    """The registry data of an enterprise was corrected: all fields, and the names of the changed
    ones."""

    changed: list[str]
    reason: Text
    corrected_on: date


class FilingSubmitted(Change):
    """A filing to reopen was submitted and waits for its decision.

    `follows` is the enterprise's previous filing, and `changed` the fields that differ.
    """

    enterprise_id: Key
    filing_id: Id
    reopen_on: date
    headcount: Count
    out_of_province: Count
    measures: list[str]
    stock: list[Stock] = field(default_factory=list)
    pledge: bool
    submitted_on: date
    follows: Id | None = None
    changed: list[str] = field(default_factory=list)


class FilingApproved(Change):
    """A filing was approved: without meeting anyone (零見面審核), after a review, or by hand.

    `rules` is the version of the rulebook under which it was decided.
    """

    enterprise_id: Key
    filing_id: Id
    reopen_on: date
    by: Code
    rules: Code | None = None


class FilingReferred(Change):
    """A filing waits for a person's decision, for reasons named by the rules."""

    enterprise_id: Key
    filing_id: Id
    reasons: list[Point]
    rules: Code


class FilingReturned(Change):
    """A filing was returned with every reason at once; the enterprise may file again."""

    enterprise_id: Key
    filing_id: Id
    reasons: list[Point]
    by: Code
    rules: Code | None = None


class FilingWithdrawn(Change):
    """The enterprise withdrew its filing."""

    enterprise_id: Key
    filing_id: Id
    reason: Text


class OnsiteReviewRequested(Change):
    """Five-small premises need an on-site review before they open (未經現場審核不得擅自營業)."""

    enterprise_id: Key
    filing_id: Id
    premises: Code
    grid: Code


class EnterpriseReopened(Change):
    """An enterprise with an approved filing has reopened."""

    enterprise_id: Key
    filing_id: Id
    grid: Code
    premises: Code
    kind: Kind
    headcount: Count
    out_of_province: Count
    reopened_on: date


class EnterpriseSuspended(Change):
    """An enterprise was ordered closed and may neither do business nor file."""

    enterprise_id: Key
    closure_id: Id
    was_open: bool
    suspended_on: date


class SuspensionLifted(Change):
    """A closed enterprise may file again."""

    enterprise_id: Key
    closure_id: Id
    lifted_on: date


class LiaisonAssigned(Change):
    """An enterprise has another liaison officer than before, with the reason and the author."""

    enterprise_id: Key
    officer: Code
    previous: Code | None = None
    why: Point
    by: Code
    assigned_on: date


class RosterReported(Change):
    """The staff of a day was reported; unfit persons and those on unreadable rows are not on duty.
    A later roster of the same day replaces an earlier one."""

    enterprise_id: Key
    roster_id: Id
    day: date
    staff: Count
    on_duty: Count
    out_of_province: Count
    unfit: Count
    unread: Count = 0
    rules: Code | None = None
