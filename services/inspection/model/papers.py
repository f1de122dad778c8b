"""What all papers have: a number of their own, and deadlines to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from services.inspection.model.base import Base


class Moment(TypeDecorator[datetime]):
    """A moment, to the second, in UTC: as text, so that it sorts alike in every database."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> str | None:
        """Write it."""
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None

    def process_result_value(self, value: Any | None, _dialect: Any) -> datetime | None:
        """Read it."""
        return datetime.fromisoformat(value) if value else None


class Series(Base):
    """How far the numbers of one kind of paper have come in one year of a district."""

    __tablename__ = "series"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    last: Mapped[int]


class Paper:
    """Mixed into an aggregate that begins with a paper; no two of a kind bear one number."""

    number: Mapped[str | None] = mapped_column(String(64), unique=True, sort_order=2)

    def bear(self, number: str) -> None:
        """Take the number, which is drawn when all else is written."""
        self.number = number
