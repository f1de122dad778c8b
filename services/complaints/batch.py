"""The state that complaints' handlers share in one transaction."""

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
    """Complaints to be filed that were not on record before the batch."""
    received: dict[str, Complaint] = field(default_factory=dict)
    """Complaints that the batch has added."""
    duplicates: dict[str | None, list[str]] = field(default_factory=dict)
    """The duplicates of the batch's ended complaints."""


Uow = UnitOfWork[Batch]
