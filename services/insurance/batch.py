"""What the handlers of insurance share in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from chassis.storage.unit_of_work import UnitOfWork
from rulebook import Rulebook


@dataclass(slots=True)
class Batch:
    """The state of a batch."""

    rulebook: Rulebook
    persons: set[str] = field(default_factory=set)
    """References of the persons of the batch who may be on record as medics."""


Uow = UnitOfWork[Batch]
