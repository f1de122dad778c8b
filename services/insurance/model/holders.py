"""Whoever may be covered: the enterprises of the district, and its front-line medics."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, at
from contracts.filing import EnterpriseRegistered
from contracts.insurance import (
    CorrectMedic,
    CoverMissing,
    CoverNotDue,
    EnrolMedic,
    GapReason,
    HolderKind,
    MedicCorrected,
    MedicEnrolled,
    MedicReidentified,
    MedicWithdrawn,
    ReidentifyMedic,
    WithdrawMedic,
)
from contracts.shapes import Key
from rulebook.chapters.insurance import Insurance, Scheme
from services.insurance.model.base import Base, NotAcceptable


class AlreadyEnrolled(Conflict):
    """The person is on record already."""


class AlreadyWithdrawn(Conflict):
    """The medic is no longer on record."""


class Medic(Aggregate, Base):
    """A front-line medic, sealed; the keyed hash of the identity number keeps a person unique.

    Who was withdrawn may be enrolled again, under another id; the person stays the same.
    """

    __tablename__ = "medics"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder_ref: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(512))
    identity: Mapped[str] = mapped_column(String(512))
    institution: Mapped[str] = mapped_column(Text)
    withdrawn_on: Mapped[date | None]

    @classmethod
    def enrol(cls, command: EnrolMedic, today: date) -> Medic:
        """Put a medic on record."""
        made = cls(
            id=command.medic_id,
            holder_ref=command.holder_ref,
            name=command.name,
            identity=command.identity,
            institution=command.institution,
        )
        made.record(MedicEnrolled.echo(command, enrolled_on=today))
        return made

    def correct(self, command: CorrectMedic) -> MedicCorrected:
        """Put the institution right."""
        self._expect_on_record()
        if command.institution == self.institution:
            raise NotAcceptable(errors=[at("institution", "is what is on record already")])
        self.institution = command.institution
        return self.record(MedicCorrected.echo(command))

    @property
    def is_on_record(self) -> bool:
        """Whether the medic was not withdrawn."""
        return self.withdrawn_on is None

    def reidentify(self, command: ReidentifyMedic) -> MedicReidentified:
        """Be the person with another reference, also when no longer on record."""
        earlier, self.holder_ref = self.holder_ref, command.holder_ref
        return self.record(MedicReidentified.echo(command, earlier_ref=earlier))

    def withdraw(self, command: WithdrawMedic, today: date) -> MedicWithdrawn:
        """Take the medic off the record, once."""
        self._expect_on_record()
        self.withdrawn_on = today
        return self.record(MedicWithdrawn.echo(command, withdrawn_on=today))

    def _expect_on_record(self) -> None:
        if self.withdrawn_on is not None:
            raise self.conflict(AlreadyWithdrawn, withdrawn_on=self.withdrawn_on.isoformat())


Index(
    "medics_once_per_person",
    Medic.holder_ref,
    unique=True,
    sqlite_where=Medic.withdrawn_on.is_(None),
    postgresql_where=Medic.withdrawn_on.is_(None),
)
Index("ix_medics_holder_ref", Medic.holder_ref)


class Holder(Aggregate, Base):
    """One who is covered or may come to be: what the rules ask of an enterprise or a medic.

    `scheme` is that of the latest cover, and `covered_until` its last day as long as it runs.
    `gap` says why there is no cover where there should be one.
    """

    __tablename__ = "holders"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    size: Mapped[str | None] = mapped_column(String(16))
    institution: Mapped[str | None] = mapped_column(Text)
    since: Mapped[date]
    scheme: Mapped[str | None] = mapped_column(String(64))
    covered_until: Mapped[date | None]
    gap: Mapped[str | None] = mapped_column(String(16))
    withdrawn: Mapped[bool]

    @classmethod
    def enterprise(cls, event: EnterpriseRegistered) -> Holder:
        """Know of an enterprise, which is covered by its size."""
        return cls(
            id=event.enterprise_id,
            kind=HolderKind.ENTERPRISE,
            size=event.size,
            since=event.registered_on,
            withdrawn=False,
        )

    @classmethod
    def medic(cls, event: MedicEnrolled) -> Holder:
        """Know of a medic, who is covered by the institution."""
        return cls(
            id=event.medic_id,
            kind=HolderKind.MEDIC,
            institution=event.institution,
            since=event.enrolled_on,
            withdrawn=False,
        )

    def due(self, book: Insurance) -> Scheme | None:
        """Return which cover the rules give, if any."""
        if self.withdrawn:
            return None
        if self.kind == HolderKind.MEDIC:
            return book.scheme_for_medic(self.institution or "")
        return book.scheme_for_size(self.size or "")

    def is_covered(self) -> bool:
        """Return whether a cover runs."""
        return self.covered_until is not None

    def cover(self, scheme: str, until: date) -> None:
        """Be covered, which closes the gap."""
        self.scheme, self.covered_until, self.gap = scheme, until, None

    def lapse(self) -> None:
        """Be covered no longer."""
        self.covered_until = None

    def lack(
        self, scheme: str, reason: GapReason, today: date, begins_on: date | None = None
    ) -> None:
        """State, once for a reason, that there is no cover where there should be."""
        if self.gap == reason:
            return
        self.gap = reason
        self.record(
            CoverMissing(
                holder_id=Key(self.id),
                holder_kind=HolderKind(self.kind),
                scheme=scheme,
                reason=reason,
                since=today,
                begins_on=begins_on,
            )
        )

    def need_none(self, today: date) -> None:
        """State that a cover that was missing is not due any more."""
        if self.gap is not None:
            self.gap = None
            self.record(CoverNotDue(holder_id=Key(self.id), on=today))


Index(
    "holders_uncovered",
    Holder.since,
    Holder.id,
    sqlite_where=Holder.covered_until.is_(None),
    postgresql_where=Holder.covered_until.is_(None),
)
