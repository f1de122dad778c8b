"""What the handlers of complaints share in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from chassis.storage.unit_of_work import UnitOfWork
from rulebook import Rulebook
from services.complaints.model import Complaint


@dataclass(slots=True)
class Batch:
    """The state of a batch."""

    rulebook: Rulebook
    new: set[str] = field(default_factory=set)
    """Complaints that are filed, and were not on record before the batch."""
    received: dict[str, Complaint] = field(default_factory=dict)
    """Complaints that the batch has put on record."""
    duplicates: dict[str | None, list[str]] = field(default_factory=dict)
    """What is linked to those complaints of the batch that have ended."""


Uow = UnitOfWork[Batch]
