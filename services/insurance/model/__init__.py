"""The aggregates of insurance: cover, once for a holder and a scheme, and claims, paid at most
once."""

from services.insurance.model.base import Base, NotAcceptable
from services.insurance.model.claims import (
    AlreadyChecked,
    AlreadyDecided,
    AlreadyPaid,
    Claim,
    ClaimState,
    NotApproved,
    NotChecked,
    ReferenceUsed,
    SamePerson,
)
from services.insurance.model.holders import (
    AlreadyEnrolled,
    AlreadyWithdrawn,
    Holder,
    Medic,
)
from services.insurance.model.policies import BenefitSpent, ClaimStands, Policy, PolicyState

__all__ = [
    "AlreadyChecked",
    "AlreadyDecided",
    "AlreadyEnrolled",
    "AlreadyPaid",
    "AlreadyWithdrawn",
    "Base",
    "BenefitSpent",
    "Claim",
    "ClaimStands",
    "ClaimState",
    "Holder",
    "Medic",
    "NotAcceptable",
    "NotApproved",
    "NotChecked",
    "Policy",
    "PolicyState",
    "ReferenceUsed",
    "SamePerson",
]
