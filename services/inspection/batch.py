"""The state that inspection's handlers share in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from chassis.storage.unit_of_work import UnitOfWork
from rulebook import Rulebook
from services.inspection.model import Closure, Notice, Slip, Visit


@dataclass(slots=True)
class Batch:
    """The state of a batch."""

    rulebook: Rulebook
    of_day: list[Visit] = field(default_factory=list)
    """The visits to the premises and on the days that the batch plans or records."""
    reviews: dict[str, Visit] = field(default_factory=dict)
    """The planned reviews of filings that the batch decides, by filing id."""
    checks: dict[str | None, list[Visit]] = field(default_factory=dict)
    """The planned checks of complaints that no longer need one, by complaint id."""
    unnumbered: list[Notice | Closure | Slip] = field(default_factory=list)
    """The papers that get their numbers at the end of the transaction."""


Uow = UnitOfWork[Batch]
