"""filing: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from chassis.message import Message
from chassis.service import Service
from chassis.storage.unit_of_work import Work
from services.filing.decisions import DecidesFilings
from services.filing.liaison import AssignsLiaison
from services.filing.model import Base, Enterprise, Filing
from services.filing.registry import KeepsRegistry


class Filings(KeepsRegistry, DecidesFilings, AssignsLiaison, Service):
    """Registers enterprises and lets them reopen without meeting an official."""

    name = "filing"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {"enterprise_id": Enterprise, "filing_id": Filing}

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Look up at once what a batch is about."""
        super().prepare(messages, db)
        self.look_up_codes(messages, db)
        self.look_up_previous(messages, db)

    def finish(self, db: Work) -> None:
        """Choose the liaison officers that a batch has asked for."""
        super().finish(db)
        self.choose_officers(db)
