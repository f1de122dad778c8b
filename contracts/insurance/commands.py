"""Insurance: the commands that it accepts."""

from __future__ import annotations

from dataclasses import field
from datetime import date

from contracts.insurance.types import ClaimDecision
from contracts.message import RULE, Act, Command
from contracts.shapes import Code, Id, Key, Sealed, Text


class EnrolMedic(Command):
    """Enrol a front-line medic for cover; `holder_ref` is a keyed hash of the identity number.

    `earlier_refs` are hashes of other spellings, under which the same person may be on record.
    """

    medic_id: Key
    name: Sealed
    identity: Sealed
    holder_ref: Code
    institution: Text
    earlier_refs: list[Code] = field(default_factory=list)


class CorrectMedic(Act):
    """Correct the institution of a medic."""

    medic_id: Key
    institution: Text


class ReidentifyMedic(Act):
    """Change a medic's keyed hash to that of the normalized identity number."""

    medic_id: Key
    holder_ref: Code


class WithdrawMedic(Act):
    """Withdraw a medic: today is the last day of the cover."""

    medic_id: Key
    reason: Text


class CoverHolder(Command):
    """Cover a holder without cover: sent by insurance to itself."""

    holder_id: Key
    scheme: Code
    by: Code = RULE


class ExpirePolicy(Command):
    """End a policy whose last day is over: sent by insurance to itself."""

    holder_id: Key
    policy_id: Id
    covers_until: date
    by: Code = RULE


class FileClaim(Command):
    """File a claim under a medic's policy, for a casualty that its scheme covers."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    casualty: Code
    occurred_on: date
    claimant: Sealed | None = None


class CheckClaim(Act):
    """Record that a claim's documents are complete, or the codes of the missing ones."""

    claim_id: Id
    medic_id: Key
    by: Code
    missing: list[str] = field(default_factory=list)


class DecideClaim(Act):
    """Approve a claim, or reject it for reasons of the rulebook, by their codes."""

    claim_id: Id
    medic_id: Key
    decision: ClaimDecision
    by: Code
    reasons: list[str] = field(default_factory=list)
    remark: str = ""


class PayClaim(Act):
    """Pay an approved claim, under a payment reference that no other claim has."""

    claim_id: Id
    medic_id: Key
    reference: Code
