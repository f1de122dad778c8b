"""Commands and events of complaints: disputes and reports through 12315, clocks and answers."""

from __future__ import annotations

from dataclasses import field
from datetime import date
from enum import StrEnum

from contracts.message import RULE, Act, Change, Command
from contracts.shapes import Code, Count, Id, Key, Part, Point, Sealed, Text, Words


class Track(StrEnum):
    """The two tracks of Order No. 20 (2019): 投訴 dispute and 舉報 report."""

    DISPUTE = "dispute"
    REPORT = "report"


class Stage(StrEnum):
    """The stage of a complaint, which its running clock measures."""

    ACCEPTANCE = "acceptance"
    MEDIATION = "mediation"
    CASE = "case"
    DECISION = "decision"
    TELLING = "telling"


class Unit(StrEnum):
    """The unit of a clock."""

    WORKING_DAYS = "working_days"
    CALENDAR_DAYS = "calendar_days"


class MediationOutcome(StrEnum):
    """The result of the mediation of a dispute."""

    AGREED = "agreed"
    NOT_AGREED = "not_agreed"
    WITHDRAWN = "withdrawn"
    DECLINED = "declined"


class Counting(Part):
    """The parameters of a clock, from which its last day can always be recomputed.

    Counting begins on the day after `counted_from`; it allows `days` and `extension_days` of its
    `unit`, and omits `paused_days`. `calendar` is the latest notice on holidays known then, `rules`
    the edition of the rulebook under which the clock began. `due_on` is absent while the clock is
    paused.
    """

    stage: Stage
    counted_from: date
    unit: Unit
    days: Count
    extension_days: Count = 0
    paused_days: Count = 0
    calendar: Code
    rules: Code
    due_on: date | None = None


class Citation(Part):
    """An article of a law, or a law as a whole, in the version of a day; and the findings for which
    it is cited."""

    law: Code
    version: date
    article: Code | None = None
    words: Words
    findings: list[str]


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
