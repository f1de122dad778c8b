"""The declarative base of inspection, and its knowledge of enterprises."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import JSON, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.errors import Invalid
from contracts.filing.events import EnterpriseReopened, RosterReported
from rulebook.chapters.risk import Record

REMEMBERED = 20
"""Visits to keep: more than the risk formula uses."""


class NotAcceptable(Invalid):
    """The data is not acceptable."""


class Base(DeclarativeBase):
    """The declarative base of inspection's tables."""

    type_annotation_map = {
        list[str]: JSON,
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
        list[list[Any]]: JSON,
    }


class Premises(Base):
    """Inspection's knowledge of an enterprise: place, kind, staff, closure, and latest visits.

    `visits` holds the day and the number of violations of the latest visits, the latest first;
    `true_complaints` the days of the checks that substantiated a complaint.
    """

    __tablename__ = "premises"
    __table_args__ = (Index("premises_of_grid", "grid", "is_open"),)

    enterprise_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(32))
    grid: Mapped[str] = mapped_column(String(16))
    closure_id: Mapped[str | None] = mapped_column(String(64))
    size: Mapped[str] = mapped_column(String(16), default="")
    is_open: Mapped[bool] = mapped_column(default=False)
    staff: Mapped[int] = mapped_column(default=0)
    out_of_province: Mapped[int] = mapped_column(default=0)
    roster_on: Mapped[date | None]
    visited_on: Mapped[date | None]
    visits: Mapped[list[list[Any]]] = mapped_column(default=list)
    true_complaints: Mapped[list[str]] = mapped_column(default=list)

    def opened(self, event: EnterpriseReopened) -> None:
        """Record that the enterprise is open, with the staff of its filing unless a roster is
        newer."""
        self.is_open = True
        if self.roster_on is None:
            self.staff, self.out_of_province = event.headcount, event.out_of_province

    def reported(self, event: RosterReported) -> None:
        """Record the staff of a roster, unless a later day's roster is known."""
        if self.roster_on is None or event.day >= self.roster_on:
            self.roster_on = event.day
            self.staff, self.out_of_province = event.on_duty, event.out_of_province

    def was_visited(self, on: date, violations: int, *, complaint_true: bool = False) -> None:
        """Record a visit, which may arrive after those of later days."""
        visits = [[on.isoformat(), violations], *(self.visits or ())]
        self.visits = sorted(visits, key=lambda visit: visit[0], reverse=True)[:REMEMBERED]
        self.visited_on = max(on, self.visited_on or on)
        if complaint_true:
            self.true_complaints = sorted([*(self.true_complaints or ()), on.isoformat()])

    def broke_more(self, on: date, violations: int) -> None:
        """Add the violations of a further part of that day's visit."""
        visits = [[*visit] for visit in self.visits or ()]
        for visit in visits:
            if visit[0] == on.isoformat():
                visit[1] += violations
                break
        self.visits = visits

    @property
    def record(self) -> Record:
        """The data from which the risk of the premises is computed."""
        return Record(
            self.kind,
            self.size or "",
            self.staff or 0,
            self.out_of_province or 0,
            [(date.fromisoformat(day), violations) for day, violations in self.visits or ()],
            [date.fromisoformat(day) for day in self.true_complaints or ()],
        )
