"""What the tables of filing stand on, and why it refuses."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON
from sqlalchemy.orm import DeclarativeBase

from chassis.errors import Conflict, Invalid


class CodeTaken(Conflict):
    """An enterprise with this code or number is already in the registry."""


class FilingLive(Conflict):
    """The enterprise has a filing that is not finished."""


class AlreadyOpen(Conflict):
    """The enterprise is open already."""


class OrderedClosed(Conflict):
    """The enterprise was ordered closed, and may not file until that is lifted."""


class FilingFinished(Conflict):
    """The filing has already been decided or withdrawn."""


class MustBeSeenFirst(Conflict):
    """Five-small premises may not open without an on-site review (未經現場審核不得擅自營業)."""


class NotOpen(Conflict):
    """The enterprise is not open."""


class NothingToCorrect(Conflict):
    """The registry says all this already."""


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class Base(DeclarativeBase):
    """The tables of filing."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        list[str]: JSON,
        dict[str, Any]: JSON,
    }


class EnterpriseState(StrEnum):
    """Where an enterprise stands."""

    REGISTERED = "registered"
    OPEN = "open"
    SUSPENDED = "suspended"
