"""Filing: the commands that it accepts."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from typing import Annotated

from marshmallow import validate

from contracts.filing.types import (
    LINES,
    Amount,
    Decision,
    Kind,
    RosterLine,
    Size,
    Stock,
    UnreadLine,
)
from contracts.message import RULE, Act, Command
from contracts.shapes import Code, Count, Id, Key, Text


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
