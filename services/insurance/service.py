"""The insurance service and its subscriptions."""

from __future__ import annotations

from typing import ClassVar

from chassis.message import Message
from chassis.schedule import Sweeps
from chassis.service import Service
from rulebook import Rulebook
from services.insurance.batch import Batch, Uow
from services.insurance.handlers import claims, cover
from services.insurance.model import Base, Claim, Holder, Medic, Policy


class Insurance(Service):
    """Covers small firms and medics, once each, and pays a claim at most once."""

    name = "insurance"
    metadata = Base.metadata
    handlers = (cover, claims, Sweeps(cover.lapsed, cover.uncovered))
    preload: ClassVar[dict[str, type]] = {
        "medic_id": Medic,
        "holder_id": Holder,
        "enterprise_id": Holder,
        "claim_id": Claim,
        "policy_id": Policy,
    }
    rulebook: Rulebook

    def before_batch(self, messages: list[Message], uow: Uow) -> None:
        """Load the batch's aggregates, and the medics on record among its persons."""
        uow.state = uow.state or Batch(self.rulebook)
        super().before_batch(messages, uow)
        cover.load_persons(messages, uow)
