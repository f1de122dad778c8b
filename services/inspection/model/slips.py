"""The four slips (四單), as issued."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict
from contracts.inspection.commands import AcknowledgeSlip
from contracts.inspection.events import Slip as SlipIssued
from contracts.inspection.events import SlipAcknowledged
from contracts.shapes import Id, Key
from services.inspection.model.base import Base
from services.inspection.model.papers import Moment, Paper


class AlreadyAcknowledged(Conflict):
    """Another person has already acknowledged the slip."""


class Slip(Paper, Aggregate, Base):
    """One of the four slips (四單), as issued."""

    __tablename__ = "slips"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    about: Mapped[str] = mapped_column(String(64), index=True)
    addressee: Mapped[str] = mapped_column(String(32))
    points: Mapped[list[dict[str, Any]]]
    text: Mapped[dict[str, Any]]
    issued_on: Mapped[date]
    due_on: Mapped[date | None]
    enterprise_id: Mapped[str | None] = mapped_column(String(64))
    complaint_id: Mapped[str | None] = mapped_column(String(64))
    acknowledged_by: Mapped[str | None] = mapped_column(String(64))
    acknowledged_at: Mapped[datetime | None] = mapped_column(Moment)

    @classmethod
    def issue(cls, event: SlipIssued) -> Slip:
        """Return a slip; its words stay those of its day, whatever the rulebook says later."""
        made = cls(
            id=event.slip_id,
            kind=event.type,
            about=event.about,
            addressee=event.addressee,
            points=[point.to_data() for point in event.points],
            text=event.text.to_data(),
            issued_on=event.issued_on,
            due_on=event.due_on,
            enterprise_id=event.enterprise_id,
            complaint_id=event.complaint_id,
        )
        made.record(event)
        return made

    def bear(self, number: str) -> None:
        """Set the number, also above the text."""
        super().bear(number)
        self.text = {language: f"{number}\n{said}" for language, said in self.text.items()}

    def acknowledge(self, command: AcknowledgeSlip, now: datetime) -> SlipAcknowledged:
        """Record that the recipient has read the slip; a repeat by the same person changes
        nothing."""
        first = self.acknowledged_at is None
        if not first and self.acknowledged_by != command.by:
            raise self.conflict(AlreadyAcknowledged, acknowledged_by=self.acknowledged_by)
        moment = self.acknowledged_at or now.replace(microsecond=0)
        self.acknowledged_by, self.acknowledged_at = command.by, moment
        event = SlipAcknowledged(
            slip_id=Id(self.id),
            about=Key(self.about),
            acknowledged_by=command.by,
            acknowledged_at=moment,
            enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
            complaint_id=Id(self.complaint_id) if self.complaint_id else None,
        )
        return self.record(event) if first else event.numbered(self.version)
