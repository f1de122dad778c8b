"""Policies: cover of one holder under one scheme, on the terms of the day of issue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum

from sqlalchemy import JSON, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, at
from chassis.ids import derived_id
from contracts.insurance import (
    Benefit,
    FileClaim,
    HolderKind,
    PolicyEnded,
    PolicyExpired,
    PolicyIssued,
)
from contracts.shapes import Id, Key
from rulebook.chapters.insurance import Scheme
from services.insurance.model.base import Base, NotAcceptable
from services.insurance.model.claims import Claim
from services.insurance.model.holders import Holder


class ClaimStands(Conflict):
    """The person already has a claim."""


class BenefitSpent(Conflict):
    """The benefit is spent: earlier payments count."""


class PolicyState(StrEnum):
    """The state of a policy."""

    ACTIVE = "active"
    EXPIRED = "expired"
    ENDED = "ended"


class Policy(Aggregate, Base):
    """The cover of one holder under one scheme, on the terms of the day of issue."""

    __tablename__ = "policies"
    __table_args__ = (UniqueConstraint("scheme", "holder_id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    scheme: Mapped[str] = mapped_column(String(64))
    holder_id: Mapped[str] = mapped_column(String(64), index=True)
    edition: Mapped[str] = mapped_column(String(64))
    covers_from: Mapped[date]
    covers_until: Mapped[date]
    sum_insured: Mapped[int | None]
    benefits: Mapped[dict[str, int]] = mapped_column(JSON)
    report_days: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))

    @staticmethod
    def id_of(scheme: str, holder_id: str) -> str:
        """Return the id of a holder's only policy under a scheme."""
        return derived_id("policy", scheme, holder_id)

    @classmethod
    def issue(cls, scheme: Scheme, edition: str, holder: Holder, covers_from: date) -> Policy:
        """Issue a policy for the scheme's term, from this day to the day before its anniversary.

        `edition` is the edition of the rulebook that contains the scheme.
        """
        made = cls(
            id=cls.id_of(scheme.code, holder.id),
            scheme=scheme.code,
            holder_id=holder.id,
            edition=edition,
            covers_from=covers_from,
            covers_until=_day_before_anniversary(covers_from, scheme.years),
            sum_insured=scheme.sum_insured,
            benefits={casualty: one.amount for casualty, one in scheme.benefits.items()},
            report_days=scheme.report_days,
            state=PolicyState.ACTIVE,
        )
        holder.cover(scheme.code, made.covers_until)
        made.record(
            PolicyIssued(
                policy_id=Id(made.id),
                holder_id=Key(holder.id),
                holder_kind=HolderKind(holder.kind),
                scheme=scheme.code,
                edition=edition,
                covers_from=covers_from,
                covers_until=made.covers_until,
                sum_insured=scheme.sum_insured,
                benefits=[Benefit(casualty=c, amount=a) for c, a in made.benefits.items()],
                report_days=scheme.report_days,
            )
        )
        return made

    def expire(self, today: date) -> bool:
        """End the policy once its last day is over; return whether it has ended now."""
        if self.state != PolicyState.ACTIVE or today <= self.covers_until:
            return False
        self.state = PolicyState.EXPIRED
        self.record(
            PolicyExpired(
                policy_id=Id(self.id), holder_id=Key(self.holder_id), covers_until=self.covers_until
            )
        )
        return True

    def end(self, today: date, reason: str) -> None:
        """End the policy early, with today as its last day; an ended policy stays as it is."""
        if self.state != PolicyState.ACTIVE:
            return
        self.state = PolicyState.ENDED
        self.covers_until = min(today, self.covers_until)
        self.record(
            PolicyEnded(
                policy_id=Id(self.id),
                holder_id=Key(self.holder_id),
                covers_until=self.covers_until,
                reason=reason,
            )
        )

    def claim(
        self, command: FileClaim, today: date, person: str, before: Sequence[Claim] = ()
    ) -> Claim:
        """File a claim for a casualty within the term: its benefit, less earlier payments.

        `before` holds the person's claims under the scheme, whatever their state. A person has one
        open claim at a time, and one payment for a casualty. The payments never exceed the sum
        insured.
        """
        if errors := self._faults(command, today):
            raise NotAcceptable(errors=errors)
        paid = 0
        for claim in before:
            if claim.is_under_way or (claim.is_paid and claim.casualty == command.casualty):
                raise claim.conflict(
                    ClaimStands, f"Claim {claim.id} is {claim.state}.", claim_id=claim.id
                )
            paid += claim.amount if claim.is_paid else 0
        left = min(self.benefits[command.casualty], self.sum_insured or 0) - paid
        if left <= 0:
            raise self.conflict(BenefitSpent, f"{paid} yuan were paid before.", paid=paid)
        return Claim.filed(command, self.scheme, person, left, today)

    def _faults(self, command: FileClaim, today: date) -> list[dict[str, str]]:
        if not self.benefits:
            return [at("policy_id", "is of a scheme that states no sum")]
        errors, day = [], command.occurred_on
        if command.casualty not in self.benefits:
            covered = ", ".join(sorted(self.benefits))
            errors.append(at("casualty", f"is not what the scheme pays for: {covered}"))
        if not self.covers_from <= day <= self.covers_until:
            errors.append(
                at("occurred_on", f"lies outside {self.covers_from} to {self.covers_until}")
            )
        if day > today:
            errors.append(at("occurred_on", f"lies after today, {today}"))
        if today > day + timedelta(days=self.report_days):
            errors.append(at("occurred_on", f"lies more than {self.report_days} days back"))
        return errors


def _day_before_anniversary(start: date, years: int) -> date:
    leap = start.month == 2 and start.day == 29
    anniversary = start.replace(year=start.year + years, day=28 if leap else start.day)
    return anniversary if leap else date.fromordinal(anniversary.toordinal() - 1)


Index(
    "policies_to_expire",
    Policy.covers_until,
    Policy.id,
    sqlite_where=Policy.state == PolicyState.ACTIVE,
    postgresql_where=Policy.state == PolicyState.ACTIVE,
)
