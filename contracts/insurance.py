"""What insurance accepts and says: free cover for small enterprises, medics' cover and claims."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from contracts.message import Command, Event
from contracts.shapes import Code, Count, Id, Key, Sealed, Text


class HolderKind(StrEnum):
    """Who holds a policy."""

    ENTERPRISE = "enterprise"
    MEDIC = "medic"


class ClaimDecision(StrEnum):
    """What the insurer decides of a claim."""

    APPROVE = "approve"
    REJECT = "reject"


class Casualty(StrEnum):
    """What a claim is for. The article covers death from COVID-19 only."""

    DEATH = "death"


class EnrolMedic(Command):
    """Enter a front-line medic for cover; `holder_ref` is a keyed hash of the identity number."""

    medic_id: Key
    name: Sealed
    identity: Sealed
    holder_ref: Code
    institution: Text


class FileClaim(Command):
    """Claim under a medic's policy."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    casualty: Casualty
    occurred_on: date
    claimant: Sealed | None = None


class DecideClaim(Command):
    """Approve or reject a claim."""

    claim_id: Id
    medic_id: Key
    decision: ClaimDecision
    by: Code
    reason: str = ""


class PayClaim(Command):
    """Pay an approved claim, under the insurer's payment reference."""

    claim_id: Id
    medic_id: Key
    reference: Code


class MedicEnrolled(Event):
    """A front-line medic is on record, sealed."""

    medic_id: Key
    name: Sealed
    holder_ref: Code
    institution: Text
    enrolled_on: date


class PolicyIssued(Event):
    """Cover was given, once for a holder and a scheme. A sum, where one is set, is in yuan."""

    policy_id: Id
    holder_id: Key
    holder_kind: HolderKind
    scheme: Code
    covers_from: date
    covers_until: date
    sum_insured: Count | None = None


class ClaimFiled(Event):
    """A claim was entered."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    casualty: Casualty
    occurred_on: date
    amount: Count
    claimant: Sealed | None = None


class ClaimApproved(Event):
    """A claim was approved for its amount, in yuan."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    amount: Count
    by: Code


class ClaimRejected(Event):
    """A claim was rejected, with the reason."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    by: Code
    reason: Text


class ClaimPaid(Event):
    """A claim was paid, at most once, in yuan."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    amount: Count
    reference: Code
    paid_on: date
