"""The declarative base of complaints, the states of a complaint, and its errors."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import DeclarativeBase

from chassis.errors import Conflict, Invalid


class NotAcceptable(Invalid):
    """The data is not acceptable."""


class AlreadyAccepted(Conflict):
    """The complaint has already been accepted."""


class NotAccepted(Conflict):
    """The complaint has not been accepted, or is past that stage."""


class OtherTrack(Conflict):
    """The command belongs to the other track."""


class NoCase(Conflict):
    """The complaint has no case."""


class AlreadyEnded(Conflict):
    """The complaint has already ended."""


class ClockStands(Conflict):
    """The clock of the complaint is already paused."""


class ClockRuns(Conflict):
    """The clock of the complaint is already running."""


class NotExtendable(Conflict):
    """The rules allow no extension of this clock."""


class AlreadyExtended(Conflict):
    """The clock has already been extended."""


class AlreadyMatched(Conflict):
    """The complaint already names an enterprise on record."""


class NotMatched(Conflict):
    """The complaint names no enterprise on record."""


class RevisionDiffers(Conflict):
    """The same revision of the complaint is on record with different data."""


class IsDuplicate(Conflict):
    """The complaint is linked to a main one, which answers it."""


class NotDuplicate(Conflict):
    """The complaint is not linked to that one."""


class HasDuplicates(Conflict):
    """Other complaints are linked to this one: it is a main complaint."""


class MainIsDuplicate(Conflict):
    """The main complaint is itself linked to another one: link to that."""


class MainHasEnded(Conflict):
    """The main complaint has already ended."""


class NotAnswered(Conflict):
    """The complaint has no answer to comment on."""


class AlreadyRated(Conflict):
    """The answer has already been rated."""


class TooLateToReopen(Conflict):
    """The period in which the complaint could be reopened is over."""


class Base(DeclarativeBase):
    """The declarative base of complaints' tables."""


class ComplaintState(StrEnum):
    """The state of a complaint."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    CASE_FILED = "case_filed"
    CONCLUDED = "concluded"
    """The result is known, and still to be told."""
    ANSWERED = "answered"
    REFUSED = "refused"
    REFERRED = "referred"
    CLOSED = "closed"
    """Ended, with no party to tell."""


ENDED = (
    ComplaintState.ANSWERED,
    ComplaintState.REFUSED,
    ComplaintState.REFERRED,
    ComplaintState.CLOSED,
)
