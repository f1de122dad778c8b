"""Papers: aggregates with consecutive numbers, and moments to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from services.inspection.model.base import Base


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, to the second; stored as text, so that every database sorts it alike."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> str | None:
        """Return the stored text of a moment."""
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None

    def process_result_value(self, value: Any | None, _dialect: Any) -> datetime | None:
        """Return the moment of a stored text."""
        return datetime.fromisoformat(value) if value else None


class Series(Base):
    """The last number of one kind of paper in one year of a district."""

    __tablename__ = "series"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    last: Mapped[int]


class Paper:
    """Mixin of aggregates that begin with a paper; numbers are unique within a kind."""

    number: Mapped[str | None] = mapped_column(String(64), unique=True, sort_order=2)

    def bear(self, number: str) -> None:
        """Set the number, which is drawn after everything else is written."""
        self.number = number
