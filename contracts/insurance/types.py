"""Insurance: the values that its commands and events are made of."""

from __future__ import annotations

from enum import StrEnum

from contracts.shapes import Code, Count, Part


class HolderKind(StrEnum):
    """The kind of a policy's holder."""

    ENTERPRISE = "enterprise"
    MEDIC = "medic"


class ClaimDecision(StrEnum):
    """The insurer's decision on a claim."""

    APPROVE = "approve"
    REJECT = "reject"


class GapReason(StrEnum):
    """The reason for missing cover: no scheme has begun yet, or the cover has ended."""

    NOT_BEGUN = "not_begun"
    EXPIRED = "expired"


class Benefit(Part):
    """The total benefit for a casualty, in yuan, before earlier payments are deducted."""

    casualty: Code
    amount: Count
