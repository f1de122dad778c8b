"""Inspection: the values that its commands and events are made of."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from contracts.shapes import Code, Id, Part, Words


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
