"""Complaints: the events that it publishes."""

from __future__ import annotations

from datetime import date

from contracts.complaints.types import Citation, Counting, MediationOutcome, Stage, Track
from contracts.message import Change
from contracts.shapes import Code, Count, Id, Key, Point, Sealed, Text, Words


class ComplaintReceived(Change):
    """A complaint was received, and its first clock runs."""

    complaint_id: Key
    track: Track
    channel: Code
    content: Text
    received_on: date
    counting: Counting
    enterprise_id: Id | None = None
    against: str = ""
    caller: Sealed | None = None
    phone: Sealed | None = None
    outside_number: Code | None = None
    revision: Count = 0


class ComplaintRevised(Change):
    """A newer revision of a complaint was received from its register."""

    complaint_id: Key
    revision: Count
    content: Text
    revised_on: date
    enterprise_id: Id | None = None
    against: str = ""
    caller: Sealed | None = None
    phone: Sealed | None = None


class ComplaintAccepted(Change):
    """A complaint was accepted."""

    complaint_id: Key
    by: Code
    accepted_on: date
    counting: Counting


class ComplaintRefused(Change):
    """A complaint was refused."""

    complaint_id: Key
    by: Code
    ground: Point
    reason: str = ""
    refused_on: date


class ComplaintReferred(Change):
    """A complaint was referred to another agency; its clocks have ended."""

    complaint_id: Key
    by: Code
    agency: Code
    reason: Text
    referred_on: date


class ComplaintCommented(Change):
    """A remark was added to a complaint."""

    complaint_id: Key
    by: Code
    comment: Text
    commented_on: date


class ComplaintMatched(Change):
    """A person matched a complaint to an enterprise on record; `matching` counts the matches."""

    complaint_id: Key
    enterprise_id: Id
    by: Code
    matching: Count
    matched_on: date


class ComplaintUnmatched(Change):
    """The match of a complaint to an enterprise was undone."""

    complaint_id: Key
    enterprise_id: Id
    by: Code
    matching: Count
    reason: Text
    unmatched_on: date


class DuplicateLinked(Change):
    """A complaint was linked to a main one; its clock is paused, and the main one's counts."""

    complaint_id: Key
    main_id: Id
    by: Code
    linked_on: date


class DuplicateUnlinked(Change):
    """A complaint was unlinked from its main one; the days while it was linked do not count."""

    complaint_id: Key
    main_id: Id
    by: Code
    reason: Text
    unlinked_on: date
    counting: Counting


class ClockPaused(Change):
    """A complaint's clock is paused."""

    complaint_id: Key
    ground: Point
    reason: str = ""
    paused_on: date


class ClockResumed(Change):
    """A complaint's clock runs again; the days of the pause do not count."""

    complaint_id: Key
    resumed_on: date
    counting: Counting


class ClockExtended(Change):
    """The head has extended a complaint's clock."""

    complaint_id: Key
    approver: Code
    reason: Text
    extended_on: date
    counting: Counting


class DeadlineMoved(Change):
    """A notice on holidays has moved a running deadline."""

    complaint_id: Key
    stage: Stage
    old_due_on: date
    due_on: date
    notice: Code
    counting: Counting


class MediationEnded(Change):
    """The mediation of a dispute has ended."""

    complaint_id: Key
    by: Code
    outcome: MediationOutcome
    reason: str = ""
    ended_on: date
    counting: Counting


class CaseDecided(Change):
    """It was decided whether a report becomes a case. No clock runs if there is no party to
    tell."""

    complaint_id: Key
    by: Code
    filed: bool
    reason: Text
    decided_on: date
    counting: Counting | None = None


class CaseConcluded(Change):
    """A filed case was decided. No clock runs if there is no party to tell."""

    complaint_id: Key
    by: Code
    penalty: bool
    reason: Text
    concluded_on: date
    counting: Counting | None = None


class ComplaintClosed(Change):
    """A complaint has ended without a party to tell."""

    complaint_id: Key
    by: Code
    closed_on: date


class ComplaintAnswered(Change):
    """A complaint was answered; a duplicate has the answer of the main complaint."""

    complaint_id: Key
    answer: Words
    substantiated: bool
    by: Code
    answered_on: date
    reopen_until: date | None = None
    enterprise_id: Id | None = None
    main_id: Id | None = None


class ComplaintReopened(Change):
    """An answered complaint was reopened at the caller's request; `reopening` counts how often."""

    complaint_id: Key
    by: Code
    reason: Text
    reopening: Count
    reopened_on: date
    counting: Counting
    enterprise_id: Id | None = None


class AnswerRated(Change):
    """The caller has rated the answer."""

    complaint_id: Key
    by: Code
    satisfied: bool
    reason: str = ""
    rated_on: date


class ComplaintOverdue(Change):
    """A complaint's clock has expired. `level` counts the escalations; the addressee is the
    latest."""

    complaint_id: Key
    stage: Stage
    due_on: date
    overdue_on: date
    level: Count = 1
    addressee: Code = "complaints-desk"
    enterprise_id: Id | None = None


class PenaltyImposed(Change):
    """A substantiated complaint led to a penalty under the cited articles of law."""

    complaint_id: Key
    enterprise_id: Id
    citations: list[Citation]
    points: list[Point]
    imposed_on: date
