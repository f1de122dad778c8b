"""The declarative base of filing, the states of an enterprise, and its errors."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON
from sqlalchemy.orm import DeclarativeBase

from chassis.errors import Conflict, Invalid


class CodeTaken(Conflict):
    """An enterprise with this code or number is already in the registry."""


class FilingLive(Conflict):
    """The enterprise has an unfinished filing."""


class AlreadyOpen(Conflict):
    """The enterprise is already open."""


class OrderedClosed(Conflict):
    """The enterprise was ordered closed, and may not file until the closure is lifted."""


class FilingFinished(Conflict):
    """The filing has already been decided or withdrawn."""


class MustBeSeenFirst(Conflict):
    """Five-small premises may not open without an on-site review (未經現場審核不得擅自營業)."""


class NotOpen(Conflict):
    """The enterprise is not open."""


class NothingToCorrect(Conflict):
    """The registry already has these values."""


class NotAcceptable(Invalid):
    """The data is not acceptable."""


class Base(DeclarativeBase):
    """The declarative base of filing's tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        list[str]: JSON,
        dict[str, Any]: JSON,
    }


class EnterpriseState(StrEnum):
    """The state of an enterprise."""

    REGISTERED = "registered"
    OPEN = "open"
    SUSPENDED = "suspended"
