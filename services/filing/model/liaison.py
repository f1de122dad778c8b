"""Liaison officers (掛鉤聯繫指導員) and the number of their enterprises."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from services.filing.model.base import Base


class Officer(Base):
    """A liaison officer, by staff number.

    Always true: `load` is the number of enterprises whose officer it is. It is changed in the same
    transaction as the enterprise, with the row locked, so that concurrent choices by several
    processes happen one after the other.
    """

    __tablename__ = "officers"

    officer: Mapped[str] = mapped_column(String(32), primary_key=True)
    load: Mapped[int]


def least_loaded(officers: Collection[str], loads: Mapping[str, int]) -> str:
    """Return the officer with the fewest enterprises; of several the one with the lowest number."""
    return min(officers, key=lambda officer: (loads.get(officer, 0), officer))
