"""Complaints: the values that its commands and events are made of."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from contracts.shapes import Code, Count, Part, Words


class Track(StrEnum):
    """The two tracks of Order No. 20 (2019): 投訴 dispute and 舉報 report."""

    DISPUTE = "dispute"
    REPORT = "report"


class Stage(StrEnum):
    """The stage of a complaint, which its running clock measures."""

    ACCEPTANCE = "acceptance"
    MEDIATION = "mediation"
    CASE = "case"
    DECISION = "decision"
    TELLING = "telling"


class Unit(StrEnum):
    """The unit of a clock."""

    WORKING_DAYS = "working_days"
    CALENDAR_DAYS = "calendar_days"


class MediationOutcome(StrEnum):
    """The result of the mediation of a dispute."""

    AGREED = "agreed"
    NOT_AGREED = "not_agreed"
    WITHDRAWN = "withdrawn"
    DECLINED = "declined"


class Counting(Part):
    """The parameters of a clock, from which its last day can always be recomputed.

    Counting begins on the day after `counted_from`; it allows `days` and `extension_days` of its
    `unit`, and omits `paused_days`. `calendar` is the latest notice on holidays known then, `rules`
    the edition of the rulebook under which the clock began. `due_on` is absent while the clock is
    paused.
    """

    stage: Stage
    counted_from: date
    unit: Unit
    days: Count
    extension_days: Count = 0
    paused_days: Count = 0
    calendar: Code
    rules: Code
    due_on: date | None = None


class Citation(Part):
    """An article of a law, or a law as a whole, in the version of a day; and the findings for which
    it is cited."""

    law: Code
    version: date
    article: Code | None = None
    words: Words
    findings: list[str]
