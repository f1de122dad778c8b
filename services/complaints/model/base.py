"""What the tables of complaints stand on, where a complaint can stand, and why it is left alone."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import DeclarativeBase

from chassis.errors import Conflict, Invalid


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class AlreadyAccepted(Conflict):
    """The complaint has been taken up already."""


class NotAccepted(Conflict):
    """The complaint has not been taken up, or is past that."""


class OtherTrack(Conflict):
    """That is not done on the complaint's track."""


class NoCase(Conflict):
    """No case has been filed on the complaint."""


class AlreadyEnded(Conflict):
    """The complaint has ended already."""


class ClockStands(Conflict):
    """The clock of the complaint stands still already."""


class ClockRuns(Conflict):
    """The clock of the complaint runs already."""


class NotExtendable(Conflict):
    """The rules allow no more days for what the clock waits for."""


class AlreadyExtended(Conflict):
    """The clock has been extended already."""


class AlreadyMatched(Conflict):
    """The complaint is against an enterprise on record already."""


class NotMatched(Conflict):
    """The complaint is against no enterprise on record."""


class RevisionDiffers(Conflict):
    """The same revision of the complaint is on record, and says something else."""


class IsDuplicate(Conflict):
    """The complaint is linked to a main one, which answers it."""


class NotDuplicate(Conflict):
    """The complaint is not linked to that one."""


class HasDuplicates(Conflict):
    """Other complaints are linked to this one: it is a main one itself."""


class MainIsDuplicate(Conflict):
    """The main complaint is itself linked to another one: link to that."""


class MainHasEnded(Conflict):
    """The main complaint has ended already."""


class NotAnswered(Conflict):
    """The complaint has no answer that the caller could speak to."""


class AlreadyRated(Conflict):
    """The answer has been rated already."""


class TooLateToReopen(Conflict):
    """The days in which the complaint could be reopened are over."""


class Base(DeclarativeBase):
    """The tables of complaints."""


class ComplaintState(StrEnum):
    """Where a complaint stands."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    CASE_FILED = "case_filed"
    CONCLUDED = "concluded"
    """What is to be told is known, and has not been told."""
    ANSWERED = "answered"
    REFUSED = "refused"
    REFERRED = "referred"
    CLOSED = "closed"
    """Ended, with nobody to tell."""


ENDED = (
    ComplaintState.ANSWERED,
    ComplaintState.REFUSED,
    ComplaintState.REFERRED,
    ComplaintState.CLOSED,
)
