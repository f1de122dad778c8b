"""The filing service and its subscriptions."""

from __future__ import annotations

from typing import ClassVar

from chassis.message import Message
from chassis.schedule import Sweeps
from chassis.service import Service
from rulebook import Rulebook
from services.filing.batch import Batch, Uow
from services.filing.handlers import decisions, liaison, registry
from services.filing.model import Base, Enterprise, Filing


class Filings(Service):
    """Registers enterprises and allows them to reopen without meeting an official."""

    name = "filing"
    metadata = Base.metadata
    handlers = (registry, decisions, liaison, Sweeps(decisions.due))
    preload: ClassVar[dict[str, type]] = {"enterprise_id": Enterprise, "filing_id": Filing}
    rulebook: Rulebook

    def before_batch(self, messages: list[Message], uow: Uow) -> None:
        """Load the batch's aggregates in few queries."""
        uow.state = uow.state or Batch(self.rulebook)
        super().before_batch(messages, uow)
        registry.load_owners_of_codes(messages, uow)
        decisions.load_previous_filings(messages, uow)

    def before_commit(self, uow: Uow) -> None:
        """Assign the liaison officers that the batch needs."""
        liaison.choose_officers(uow, self.store)
