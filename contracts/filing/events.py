"""Filing: the events that it publishes."""

from __future__ import annotations

from dataclasses import field
from datetime import date

from contracts.filing.types import Amount, Kind, Size, SizeBasis, Stock
from contracts.message import Change
from contracts.shapes import Code, Count, Id, Key, Point, Text


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
