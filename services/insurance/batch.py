"""The state that insurance's handlers share in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from chassis.storage.unit_of_work import UnitOfWork
from rulebook import Rulebook


@dataclass(slots=True)
class Batch:
    """The state of a batch."""

    rulebook: Rulebook
    persons: set[str] = field(default_factory=set)
    """References of the batch's persons who may be medics on record."""


Uow = UnitOfWork[Batch]
