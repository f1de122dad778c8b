"""Commands and events of insurance: cover of small enterprises and medics, and claims."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from enum import StrEnum

from contracts.message import RULE, Act, Change, Command
from contracts.shapes import Code, Count, Id, Key, Part, Point, Sealed, Text


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


class MedicEnrolled(Change):
    """A front-line medic was enrolled; personal data is sealed."""

    medic_id: Key
    name: Sealed
    holder_ref: Code
    institution: Text
    enrolled_on: date
    identity: Sealed | None = None


class MedicCorrected(Change):
    """The institution of a medic was corrected."""

    medic_id: Key
    institution: Text


class MedicReidentified(Change):
    """A medic has a new keyed hash of the identity number, in place of an earlier one."""

    medic_id: Key
    holder_ref: Code
    earlier_ref: Code


class MedicWithdrawn(Change):
    """A medic was withdrawn; a claim for an earlier day may still be filed."""

    medic_id: Key
    withdrawn_on: date
    reason: Text


class PolicyIssued(Change):
    """A policy was issued, once for a holder and a scheme. A sum, if set, is in yuan.

    `edition` is the edition of the rulebook with the policy's terms, which the policy keeps.
    """

    policy_id: Id
    holder_id: Key
    holder_kind: HolderKind
    scheme: Code
    edition: Code
    covers_from: date
    covers_until: date
    sum_insured: Count | None = None
    benefits: list[Benefit] = field(default_factory=list)
    report_days: Count


class PolicyExpired(Change):
    """The last day of a policy is over."""

    policy_id: Id
    holder_id: Key
    covers_until: date


class PolicyEnded(Change):
    """A policy ended early, with this day as its last."""

    policy_id: Id
    holder_id: Key
    covers_until: date
    reason: Text


class CoverMissing(Change):
    """A holder lacks cover: a scheme begins on a later day, or the cover has ended."""

    holder_id: Key
    holder_kind: HolderKind
    scheme: Code
    reason: GapReason
    since: date
    begins_on: date | None = None


class CoverNotDue(Change):
    """A holder's missing cover is no longer due."""

    holder_id: Key
    on: date


class ClaimFiled(Change):
    """A claim was filed; its amount is the benefit less earlier payments, in yuan."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    scheme: Code
    casualty: Code
    occurred_on: date
    filed_on: date
    amount: Count
    claimant: Sealed | None = None


class ClaimChecked(Change):
    """The documents of a claim were checked: complete, or with some missing."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    by: Code
    missing: list[Point]


class ClaimApproved(Change):
    """A claim was approved for its amount, in yuan."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    amount: Count
    by: Code


class ClaimRejected(Change):
    """A claim was rejected, with every reason."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    by: Code
    reasons: list[Point]
    remark: str = ""


class ClaimPaid(Change):
    """A claim was paid, at most once for a casualty, in yuan."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    amount: Count
    reference: Code
    paid_on: date
