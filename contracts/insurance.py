"""What insurance accepts and says: free cover for small enterprises, medics' cover and claims."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from enum import StrEnum

from contracts.message import RULE, Act, Change, Command
from contracts.shapes import Code, Count, Id, Key, Part, Point, Sealed, Text


class HolderKind(StrEnum):
    """Who holds a policy."""

    ENTERPRISE = "enterprise"
    MEDIC = "medic"


class ClaimDecision(StrEnum):
    """What the insurer decides of a claim."""

    APPROVE = "approve"
    REJECT = "reject"


class GapReason(StrEnum):
    """Why one who should be covered is not: no scheme has begun yet, or the cover has ended."""

    NOT_BEGUN = "not_begun"
    EXPIRED = "expired"


class Benefit(Part):
    """What a cover pays in all for a casualty, in yuan, less what was paid before."""

    casualty: Code
    amount: Count


class EnrolMedic(Command):
    """Enter a front-line medic for cover; `holder_ref` is a keyed hash of the identity number.

    `earlier_refs` are hashes of other spellings, under which the same person may be on record.
    """

    medic_id: Key
    name: Sealed
    identity: Sealed
    holder_ref: Code
    institution: Text
    earlier_refs: list[Code] = field(default_factory=list)


class CorrectMedic(Act):
    """Put right at which institution a medic works."""

    medic_id: Key
    institution: Text


class ReidentifyMedic(Act):
    """Know who a medic is by another keyed hash: that of the normal form of the same number."""

    medic_id: Key
    holder_ref: Code


class WithdrawMedic(Act):
    """Take a medic off the record: today is the last day of the cover."""

    medic_id: Key
    reason: Text


class CoverHolder(Command):
    """Cover one who should be and is not: sent by insurance to itself."""

    holder_id: Key
    scheme: Code
    by: Code = RULE


class ExpirePolicy(Command):
    """End a cover whose last day is over: sent by insurance to itself."""

    holder_id: Key
    policy_id: Id
    covers_until: date
    by: Code = RULE


class FileClaim(Command):
    """Claim under a medic's policy, for a casualty that its scheme pays for."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    casualty: Code
    occurred_on: date
    claimant: Sealed | None = None


class CheckClaim(Act):
    """State that the documents of a claim are complete, or which are missing, by their codes."""

    claim_id: Id
    medic_id: Key
    by: Code
    missing: list[str] = field(default_factory=list)


class DecideClaim(Act):
    """Approve a claim, or reject it for reasons of the rulebook, given by their codes."""

    claim_id: Id
    medic_id: Key
    decision: ClaimDecision
    by: Code
    reasons: list[str] = field(default_factory=list)
    remark: str = ""


class PayClaim(Act):
    """Pay an approved claim, under the insurer's payment reference, which serves for no other."""

    claim_id: Id
    medic_id: Key
    reference: Code


class MedicEnrolled(Change):
    """A front-line medic is on record, sealed."""

    medic_id: Key
    name: Sealed
    holder_ref: Code
    institution: Text
    enrolled_on: date
    identity: Sealed | None = None


class MedicCorrected(Change):
    """It was put right at which institution a medic works."""

    medic_id: Key
    institution: Text


class MedicReidentified(Change):
    """A medic is the person with this keyed hash of the identity number, and was with another."""

    medic_id: Key
    holder_ref: Code
    earlier_ref: Code


class MedicWithdrawn(Change):
    """A medic is no longer on record; a claim for a day before that may still be filed."""

    medic_id: Key
    withdrawn_on: date
    reason: Text


class PolicyIssued(Change):
    """Cover was given, once for a holder and a scheme. A sum, where one is set, is in yuan.

    `edition` is that of the rulebook whose terms the policy keeps, whatever they become later.
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
    """The last day of a cover is over."""

    policy_id: Id
    holder_id: Key
    covers_until: date


class PolicyEnded(Change):
    """A cover ended before its time, with this day as its last."""

    policy_id: Id
    holder_id: Key
    covers_until: date
    reason: Text


class CoverMissing(Change):
    """One who should be covered is not: a scheme begins on a later day, or the cover has ended."""

    holder_id: Key
    holder_kind: HolderKind
    scheme: Code
    reason: GapReason
    since: date
    begins_on: date | None = None


class CoverNotDue(Change):
    """One who was not covered need not be any more."""

    holder_id: Key
    on: date


class ClaimFiled(Change):
    """A claim was entered; its amount is the benefit less what was paid before, in yuan."""

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
    """The documents of a claim were looked at: complete, or with some missing."""

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
    """A claim was paid, at most once, in yuan."""

    claim_id: Id
    medic_id: Key
    policy_id: Id
    amount: Count
    reference: Code
    paid_on: date
