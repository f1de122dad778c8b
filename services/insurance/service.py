"""insurance: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from chassis.service import Service
from services.insurance.claims import SettlesClaims
from services.insurance.cover import GivesCover
from services.insurance.model import Base, Claim, Holder, Medic, Policy


class Insurance(GivesCover, SettlesClaims, Service):
    """Covers small firms and medics, once each, and pays a claim at most once."""

    name = "insurance"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {
        "medic_id": Medic,
        "holder_id": Holder,
        "enterprise_id": Holder,
        "claim_id": Claim,
        "policy_id": Policy,
    }
