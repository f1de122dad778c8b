"""Insurance: the events that it publishes."""

from __future__ import annotations

from dataclasses import field
from datetime import date

from contracts.insurance.types import Benefit, GapReason, HolderKind
from contracts.message import Change
from contracts.shapes import Code, Count, Id, Key, Point, Sealed, Text


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
