"""The state that filing's handlers share in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from chassis.message import Message
from chassis.storage.unit_of_work import UnitOfWork
from rulebook import Rulebook


@dataclass(slots=True)
class Batch:
    """The state of a batch."""

    rulebook: Rulebook
    owners: dict[str, dict[str, str]] = field(default_factory=dict)
    """The enterprises that have the batch's codes: by field, then by code."""
    unassigned: dict[str, Message] = field(default_factory=dict)
    """The enterprises that need an officer, each with the message that caused it."""
    moved: Counter[str] = field(default_factory=Counter)
    """The change of each officer's load."""


Uow = UnitOfWork[Batch]
