"""Cover, once for a holder and a scheme, and claims, paid at most once."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, Invalid, at
from chassis.ids import derived_id
from contracts.insurance import (
    Casualty,
    ClaimApproved,
    ClaimDecision,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    DecideClaim,
    EnrolMedic,
    FileClaim,
    HolderKind,
    MedicEnrolled,
    PolicyIssued,
)
from contracts.shapes import Id, Key


class AlreadyEnrolled(Conflict):
    """The person is on record already."""


class ClaimStands(Conflict):
    """There is a claim under this policy already."""


class AlreadyDecided(Conflict):
    """The claim has been decided already."""


class NotApproved(Conflict):
    """Only an approved claim is paid, and only once."""


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class Base(DeclarativeBase):
    """The tables of insurance."""


class Medic(Aggregate, Base):
    """A front-line medic, sealed; the keyed hash of the identity number keeps a person unique."""

    __tablename__ = "medics"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder_ref: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(512))
    identity: Mapped[str] = mapped_column(String(512))
    institution: Mapped[str] = mapped_column(Text)

    @classmethod
    def enrol(cls, asked: EnrolMedic, today: date) -> Medic:
        """Put a medic on record."""
        made = cls(
            id=asked.medic_id,
            holder_ref=asked.holder_ref,
            name=asked.name,
            identity=asked.identity,
            institution=asked.institution,
        )
        made.record(
            MedicEnrolled(
                medic_id=asked.medic_id,
                name=asked.name,
                holder_ref=asked.holder_ref,
                institution=asked.institution,
                enrolled_on=today,
            )
        )
        return made


class Policy(Aggregate, Base):
    """Cover for one holder under one scheme."""

    __tablename__ = "policies"
    __table_args__ = (UniqueConstraint("scheme", "holder_id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    scheme: Mapped[str] = mapped_column(String(64))
    holder_id: Mapped[str] = mapped_column(String(64), index=True)
    covers_from: Mapped[date]
    covers_until: Mapped[date]
    sum_insured: Mapped[int | None]

    @classmethod
    def issue(
        cls,
        scheme: str,
        holder_kind: HolderKind,
        holder_id: str,
        covers_from: date,
        years: int,
        sum_insured: int | None,
    ) -> Policy:
        """Cover a holder for so many years, from this day to the day before its anniversary."""
        made = cls(
            id=derived_id("policy", scheme, holder_id),
            scheme=scheme,
            holder_id=holder_id,
            covers_from=covers_from,
            covers_until=_day_before_anniversary(covers_from, years),
            sum_insured=sum_insured,
        )
        made.record(
            PolicyIssued(
                policy_id=Id(made.id),
                holder_id=Key(holder_id),
                holder_kind=holder_kind,
                scheme=scheme,
                covers_from=made.covers_from,
                covers_until=made.covers_until,
                sum_insured=sum_insured,
            )
        )
        return made

    def claim(self, asked: FileClaim, today: date) -> Claim:
        """Claim for a casualty within the term; the sum is the policy's."""
        errors = []
        if not self.covers_from <= asked.occurred_on <= self.covers_until:
            errors.append(
                at("occurred_on", f"lies outside {self.covers_from} to {self.covers_until}")
            )
        if asked.occurred_on > today:
            errors.append(at("occurred_on", f"lies after today, {today}"))
        if self.sum_insured is None:
            errors.append(at("policy_id", "is of a scheme that states no sum"))
        if errors:
            raise NotAcceptable(errors=errors)
        return Claim.filed(asked, self.sum_insured or 0)


def _day_before_anniversary(start: date, years: int) -> date:
    leap = start.month == 2 and start.day == 29
    anniversary = start.replace(year=start.year + years, day=28 if leap else start.day)
    return anniversary if leap else date.fromordinal(anniversary.toordinal() - 1)


class ClaimState(StrEnum):
    """Where a claim stands."""

    FILED = "filed"
    APPROVED = "approved"
    REJECTED = "rejected"
    PAID = "paid"


class Claim(Aggregate, Base):
    """A claim under a medic's policy; a policy has one that is not rejected, at the most."""

    __tablename__ = "claims"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    policy_id: Mapped[str] = mapped_column(String(64), index=True)
    medic_id: Mapped[str] = mapped_column(String(64))
    amount: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))

    @classmethod
    def filed(cls, asked: FileClaim, amount: int) -> Claim:
        """Enter a claim."""
        made = cls(
            id=asked.claim_id,
            policy_id=asked.policy_id,
            medic_id=asked.medic_id,
            amount=amount,
            state=ClaimState.FILED,
        )
        made.record(
            ClaimFiled(
                claim_id=asked.claim_id,
                medic_id=asked.medic_id,
                policy_id=asked.policy_id,
                casualty=Casualty(asked.casualty),
                occurred_on=asked.occurred_on,
                amount=amount,
                claimant=asked.claimant,
            )
        )
        return made

    def decide(self, asked: DecideClaim) -> ClaimApproved | ClaimRejected:
        """Approve or reject, once; a rejection gives its reason."""
        if self.state != ClaimState.FILED:
            raise AlreadyDecided(f"The claim is {self.state}.", state=self.state)
        about: dict[str, Any] = {
            "claim_id": Id(self.id),
            "medic_id": Key(self.medic_id),
            "policy_id": Id(self.policy_id),
        }
        fact: ClaimApproved | ClaimRejected
        if asked.decision is ClaimDecision.APPROVE:
            self.state = ClaimState.APPROVED
            fact = ClaimApproved(**about, amount=self.amount, by=asked.by)
        else:
            if not asked.reason:
                raise NotAcceptable(errors=[at("reason", "a rejection needs a reason")])
            self.state = ClaimState.REJECTED
            fact = ClaimRejected(**about, by=asked.by, reason=asked.reason)
        self.record(fact)
        return fact

    def pay(self, reference: str, today: date) -> ClaimPaid:
        """Pay, once."""
        if self.state != ClaimState.APPROVED:
            raise NotApproved(f"The claim is {self.state}.", state=self.state)
        self.state = ClaimState.PAID
        fact = ClaimPaid(
            claim_id=Id(self.id),
            medic_id=Key(self.medic_id),
            policy_id=Id(self.policy_id),
            amount=self.amount,
            reference=reference,
            paid_on=today,
        )
        self.record(fact)
        return fact


Index(
    "claims_one_per_policy",
    Claim.policy_id,
    unique=True,
    sqlite_where=Claim.state != ClaimState.REJECTED,
    postgresql_where=Claim.state != ClaimState.REJECTED,
)
