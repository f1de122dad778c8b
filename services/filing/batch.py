"""What the handlers of filing share in one transaction."""

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
    """The enterprises to which the codes of the batch belong: by the field, then by the code."""
    unassigned: dict[str, Message] = field(default_factory=dict)
    """The enterprises that want an officer, each with the message that led to it."""
    moved: Counter[str] = field(default_factory=Counter)
    """By how many enterprises the load of each officer has grown."""


Uow = UnitOfWork[Batch]
