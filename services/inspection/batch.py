"""What the handlers of inspection share in one transaction."""

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
    """Visits to the premises, and on the days, for which the batch plans or records some."""
    reviews: dict[str, Visit] = field(default_factory=dict)
    """Planned reviews of filings that the batch decides, by their id."""
    checks: dict[str | None, list[Visit]] = field(default_factory=dict)
    """Planned checks for complaints that need none any more, by the complaint."""
    unnumbered: list[Notice | Closure | Slip] = field(default_factory=list)
    """Papers that get their numbers at the end of the transaction."""


Uow = UnitOfWork[Batch]
