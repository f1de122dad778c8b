"""Complaints: the commands that it accepts."""

from __future__ import annotations

from dataclasses import field
from datetime import date

from contracts.complaints.types import MediationOutcome, Stage, Track
from contracts.message import RULE, Act, Command
from contracts.shapes import Code, Count, Id, Key, Sealed, Text, Words


class FileComplaint(Command):
    """File a complaint against an enterprise on record, or one that is only described.

    A complaint from another register, with its number and revision there, is filed once; a newer
    revision updates it.
    """

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


class AcceptComplaint(Act):
    """Accept a complaint; the next clock starts."""

    complaint_id: Key
    by: Code


class RefuseComplaint(Act):
    """Refuse a complaint, on a ground of the rulebook."""

    complaint_id: Key
    by: Code
    ground: Code
    reason: str = ""


class ReferComplaint(Act):
    """Refer a complaint to another agency."""

    complaint_id: Key
    by: Code
    agency: Code
    reason: Text


class CommentComplaint(Act):
    """Add a remark by the caller or an officer; it changes no clock."""

    complaint_id: Key
    comment: Text


class MatchComplaint(Act):
    """Record which enterprise on record a described one is."""

    complaint_id: Key
    by: Code
    enterprise_id: Id


class UnmatchComplaint(Act):
    """Undo the match of a complaint to an enterprise."""

    complaint_id: Key
    by: Code
    reason: Text


class LinkDuplicate(Act):
    """Link a complaint to the main one about the same matter, whose answer it shares."""

    complaint_id: Key
    main_id: Id
    by: Code


class UnlinkDuplicate(Act):
    """Unlink a complaint from its main one; its clock resumes."""

    complaint_id: Key
    main_id: Id
    by: Code
    reason: Text


class PauseClock(Act):
    """Pause a complaint's clock, on a ground of the rulebook."""

    complaint_id: Key
    ground: Code
    reason: str = ""


class ResumeClock(Act):
    """Resume a paused clock; the days of the pause do not count."""

    complaint_id: Key


class ExtendClock(Act):
    """Extend a complaint's clock by the days that the rules allow, once, with the head's
    approval."""

    complaint_id: Key
    approver: Code
    reason: Text


class EndMediation(Act):
    """End the mediation of a dispute; the parties are to be told."""

    complaint_id: Key
    by: Code
    outcome: MediationOutcome
    reason: str = ""


class DecideCase(Act):
    """Decide whether a report becomes a case."""

    complaint_id: Key
    by: Code
    file: bool
    reason: Text


class ConcludeCase(Act):
    """Decide a filed case: a penalty for these findings against the checklist, or none."""

    complaint_id: Key
    by: Code
    findings: list[str] = field(default_factory=list)
    reason: Text


class AnswerComplaint(Act):
    """Answer the caller by hand."""

    complaint_id: Key
    by: Code
    answer: Text
    substantiated: bool = False


class ReopenComplaint(Act):
    """Reopen an answered complaint, within the days that the rules allow."""

    complaint_id: Key
    reason: Text


class RateAnswer(Act):
    """Rate an answer: whether the caller is satisfied, and if not, why."""

    complaint_id: Key
    satisfied: bool
    reason: str = ""


class EscalateComplaint(Command):
    """Escalate an overdue complaint: sent by complaints to itself.

    `level` counts the escalations of the clock, `setting` how often it was set.
    """

    complaint_id: Key
    stage: Stage
    due_on: date
    level: Count = 0
    setting: Count = 0
    by: Code = RULE


class MoveDeadline(Command):
    """Recount a running clock after a notice on holidays: sent by complaints to itself."""

    complaint_id: Key
    notice: Code
    setting: Count
    by: Code = RULE


class AnswerDuplicate(Command):
    """Answer a linked complaint with the main one's answer: sent by complaints to itself."""

    complaint_id: Key
    main_id: Id
    answer: Words
    substantiated: bool
    by: Code = RULE
