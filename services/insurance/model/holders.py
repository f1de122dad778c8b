"""Holders of cover: the enterprises of the district, and its front-line medics."""

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
    """The person is already on record."""


class AlreadyWithdrawn(Conflict):
    """The medic is no longer on record."""


class Medic(Aggregate, Base):
    """A front-line medic, with sealed data; the keyed hash of the identity number keeps a person
    unique.

    A withdrawn medic may be enrolled again, under another id; the person stays the same.
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
        """Enrol a medic."""
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
        """Correct the institution."""
        self._expect_on_record()
        if command.institution == self.institution:
            raise NotAcceptable(errors=[at("institution", "is unchanged")])
        self.institution = command.institution
        return self.record(MedicCorrected.echo(command))

    @property
    def is_on_record(self) -> bool:
        """Whether the medic was not withdrawn."""
        return self.withdrawn_on is None

    def reidentify(self, command: ReidentifyMedic) -> MedicReidentified:
        """Record the person's new reference, also for a withdrawn medic."""
        earlier, self.holder_ref = self.holder_ref, command.holder_ref
        return self.record(MedicReidentified.echo(command, earlier_ref=earlier))

    def withdraw(self, command: WithdrawMedic, today: date) -> MedicWithdrawn:
        """Withdraw the medic, once."""
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
    """An enterprise or a medic that may be covered, with the data that the rules need.

    `scheme` is that of the latest cover, and `covered_until` its last day while it runs. `gap` is
    the reason for missing cover.
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
        """Return the holder of an enterprise, which is covered by its size."""
        return cls(
            id=event.enterprise_id,
            kind=HolderKind.ENTERPRISE,
            size=event.size,
            since=event.registered_on,
            withdrawn=False,
        )

    @classmethod
    def medic(cls, event: MedicEnrolled) -> Holder:
        """Return the holder of a medic, who is covered by the institution."""
        return cls(
            id=event.medic_id,
            kind=HolderKind.MEDIC,
            institution=event.institution,
            since=event.enrolled_on,
            withdrawn=False,
        )

    def due(self, book: Insurance) -> Scheme | None:
        """Return the scheme that the rules grant, or None."""
        if self.withdrawn:
            return None
        if self.kind == HolderKind.MEDIC:
            return book.scheme_for_medic(self.institution or "")
        return book.scheme_for_size(self.size or "")

    def is_covered(self) -> bool:
        """Return whether a cover runs."""
        return self.covered_until is not None

    def cover(self, scheme: str, until: date) -> None:
        """Record the cover, which closes the gap."""
        self.scheme, self.covered_until, self.gap = scheme, until, None

    def lapse(self) -> None:
        """Record that the cover has ended."""
        self.covered_until = None

    def lack(
        self, scheme: str, reason: GapReason, today: date, begins_on: date | None = None
    ) -> None:
        """Record missing cover, once for a reason."""
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
        """Record that missing cover is no longer due."""
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
