"""What complaints accepts and says: disputes and reports through 12315, clocks and answers."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from contracts.message import Command, Event
from contracts.shapes import Code, Count, Id, Key, Point, Sealed, Text, Words


class Track(StrEnum):
    """The two tracks of Order No. 20 (2019): 投訴 dispute and 舉報 report."""

    DISPUTE = "dispute"
    REPORT = "report"


class Stage(StrEnum):
    """What a complaint's running clock waits for."""

    ACCEPTANCE = "acceptance"
    ANSWER = "answer"


class FileComplaint(Command):
    """Take in a complaint against an enterprise on record, or one that is only described."""

    complaint_id: Key
    track: Track
    channel: Code
    content: Text
    enterprise_id: Id | None = None
    against: str = ""
    caller: Sealed | None = None
    phone: Sealed | None = None
    outside_number: Code | None = None
    revision: Count = 0


class AcceptComplaint(Command):
    """Take a complaint up; the clock to its answer starts."""

    complaint_id: Key
    by: Code


class RefuseComplaint(Command):
    """Decline a complaint, with the reason."""

    complaint_id: Key
    by: Code
    reason: Text


class PauseClock(Command):
    """Stop a complaint's clock, with the legal reason."""

    complaint_id: Key
    reason: Text


class ResumeClock(Command):
    """Let a paused clock run on; the days it stood still do not count."""

    complaint_id: Key


class AnswerComplaint(Command):
    """Answer the caller by hand."""

    complaint_id: Key
    by: Code
    answer: Text
    substantiated: bool = False


class EscalateComplaint(Command):
    """Escalate a complaint past its clock: sent by complaints to itself."""

    complaint_id: Key
    stage: Stage
    due_on: date


class ComplaintReceived(Event):
    """A complaint is in, and its clocks run; days are working days."""

    complaint_id: Key
    track: Track
    channel: Code
    content: Text
    received_on: date
    accept_by: date
    answer_by: date
    enterprise_id: Id | None = None
    against: str = ""
    caller: Sealed | None = None
    phone: Sealed | None = None
    outside_number: Code | None = None
    revision: Count = 0


class ComplaintAccepted(Event):
    """A complaint was taken up."""

    complaint_id: Key
    by: Code
    accepted_on: date
    answer_by: date


class ComplaintRefused(Event):
    """A complaint was declined."""

    complaint_id: Key
    by: Code
    reason: Text
    refused_on: date


class ClockPaused(Event):
    """A complaint's clock stands still."""

    complaint_id: Key
    reason: Text
    paused_on: date


class ClockResumed(Event):
    """A complaint's clock runs again, its deadlines moved by the working days it stood still."""

    complaint_id: Key
    resumed_on: date
    accept_by: date
    answer_by: date


class ComplaintAnswered(Event):
    """The caller has an answer."""

    complaint_id: Key
    answer: Words
    substantiated: bool
    by: Code
    answered_on: date
    enterprise_id: Id | None = None


class ComplaintOverdue(Event):
    """A complaint has passed its clock."""

    complaint_id: Key
    stage: Stage
    due_on: date
    overdue_on: date
    enterprise_id: Id | None = None


class PenaltyImposed(Event):
    """A substantiated complaint led to a penalty under the cited law."""

    complaint_id: Key
    enterprise_id: Id
    law: Point
    points: list[Point]
    imposed_on: date
