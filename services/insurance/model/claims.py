"""Claims: filed, checked by one person, decided by another, and paid once."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, and_
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, at
from contracts.insurance import (
    CheckClaim,
    ClaimApproved,
    ClaimChecked,
    ClaimDecision,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    DecideClaim,
    FileClaim,
    PayClaim,
)
from contracts.shapes import Id, Key, Point
from services.insurance.model.base import Base, NotAcceptable


class AlreadyChecked(Conflict):
    """The claim has already been checked and found complete."""


class NotChecked(Conflict):
    """Only a claim with complete documents can be approved, and only a checked one rejected."""


class SamePerson(Conflict):
    """A claim must be decided by another person than the one who checked it."""


class AlreadyDecided(Conflict):
    """The claim has already been decided."""


class NotApproved(Conflict):
    """Only an approved claim can be paid."""


class AlreadyPaid(Conflict):
    """The claim has already been paid."""


class ReferenceUsed(Conflict):
    """Another claim was paid under this payment reference."""


class ClaimState(StrEnum):
    """The state of a claim; incomplete means checked with documents missing."""

    FILED = "filed"
    INCOMPLETE = "incomplete"
    CHECKED = "checked"
    APPROVED = "approved"
    REJECTED = "rejected"
    PAID = "paid"


class Claim(Aggregate, Base):
    """A claim for a person under a scheme: one open at a time, and one paid for each casualty.

    The person is identified by the keyed hash of the identity number, independent of the medic's
    id.
    """

    __tablename__ = "claims"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    policy_id: Mapped[str] = mapped_column(String(64))
    medic_id: Mapped[str] = mapped_column(String(64))
    person: Mapped[str] = mapped_column(String(64))
    scheme: Mapped[str] = mapped_column(String(64))
    casualty: Mapped[str] = mapped_column(String(64))
    amount: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    checkers: Mapped[list[str]]
    reference: Mapped[str | None] = mapped_column(String(64), unique=True)

    @classmethod
    def filed(cls, command: FileClaim, scheme: str, person: str, amount: int, today: date) -> Claim:
        """File a claim for an amount in yuan."""
        made = cls(
            id=command.claim_id,
            policy_id=command.policy_id,
            medic_id=command.medic_id,
            person=person,
            scheme=scheme,
            casualty=command.casualty,
            amount=amount,
            state=ClaimState.FILED,
            checkers=[],
        )
        made.record(ClaimFiled.echo(command, scheme=scheme, amount=amount, filed_on=today))
        return made

    @property
    def is_under_way(self) -> bool:
        """Whether it is neither rejected nor paid."""
        return self.state not in {ClaimState.REJECTED, ClaimState.PAID}

    @property
    def is_paid(self) -> bool:
        """Whether it is paid."""
        return self.state == ClaimState.PAID

    def stands_beside(self, other: Claim) -> bool:
        """Return whether a person may have both this claim and the other."""
        if self.scheme != other.scheme or ClaimState.REJECTED in {self.state, other.state}:
            return True
        both_under_way = self.is_under_way and other.is_under_way
        return not both_under_way and self.casualty != other.casualty

    def check(self, command: CheckClaim, missing: list[Point]) -> ClaimChecked:
        """Record the check of the documents; a claim with missing documents is checked again."""
        if self.state not in {ClaimState.FILED, ClaimState.INCOMPLETE}:
            raise self._conflict(AlreadyChecked)
        self.state = ClaimState.INCOMPLETE if missing else ClaimState.CHECKED
        self.checkers = sorted({*self.checkers, command.by})
        return self.record(ClaimChecked(**self._about(), by=command.by, missing=missing))

    def decide(
        self, command: DecideClaim, reasons: list[Point], *, four_eyes: bool
    ) -> ClaimApproved | ClaimRejected:
        """Approve a complete claim, or reject a checked one with reasons, once.

        With `four_eyes` the decision needs another person than the check.
        """
        approves = command.decision is ClaimDecision.APPROVE
        self._expect_decidable(approves=approves)
        if four_eyes and command.by in self.checkers:
            raise self._conflict(SamePerson, f"{command.by} has checked the claim.")
        if approves and reasons:
            raise NotAcceptable(errors=[at("reasons", "are for a rejection")])
        if approves:
            self.state = ClaimState.APPROVED
            return self.record(ClaimApproved(**self._about(), amount=self.amount, by=command.by))
        if not reasons:
            raise NotAcceptable(errors=[at("reasons", "a rejection needs a reason")])
        self.state = ClaimState.REJECTED
        return self.record(
            ClaimRejected(**self._about(), by=command.by, reasons=reasons, remark=command.remark)
        )

    def _expect_decidable(self, *, approves: bool) -> None:
        if self.state == ClaimState.FILED or (approves and self.state == ClaimState.INCOMPLETE):
            raise self._conflict(NotChecked)
        if self.state not in {ClaimState.INCOMPLETE, ClaimState.CHECKED}:
            raise self._conflict(AlreadyDecided)

    def pay(self, command: PayClaim, today: date, used_by: Claim | None = None) -> ClaimPaid:
        """Pay the claim once, under a reference that no other claim has.

        `used_by` is the claim that was paid under the reference, if any.
        """
        if self.is_paid:
            raise self._conflict(AlreadyPaid, reference=self.reference)
        if self.state != ClaimState.APPROVED:
            raise self._conflict(NotApproved)
        if used_by is not None:
            raise used_by.conflict(
                ReferenceUsed,
                f"Claim {used_by.id} was paid under {command.reference}.",
                errors=[at("reference", "was used before")],
                claim_id=used_by.id,
            )
        self.state, self.reference = ClaimState.PAID, command.reference
        return self.record(
            ClaimPaid(
                **self._about(), amount=self.amount, reference=command.reference, paid_on=today
            )
        )

    def _about(self) -> dict[str, Any]:
        return {
            "claim_id": Id(self.id),
            "medic_id": Key(self.medic_id),
            "policy_id": Id(self.policy_id),
        }

    def _conflict(self, kind: type[Conflict], detail: str = "", **extra: Any) -> Conflict:
        return self.conflict(
            kind, detail or f"The claim is {self.state}.", state=self.state, **extra
        )


_STANDS = Claim.state != ClaimState.REJECTED
_UNDER_WAY = and_(_STANDS, Claim.state != ClaimState.PAID)
Index(
    "claims_one_under_way",
    Claim.person,
    Claim.scheme,
    unique=True,
    sqlite_where=_UNDER_WAY,
    postgresql_where=_UNDER_WAY,
)
Index(
    "claims_once_for_a_casualty",
    Claim.person,
    Claim.scheme,
    Claim.casualty,
    unique=True,
    sqlite_where=_STANDS,
    postgresql_where=_STANDS,
)
