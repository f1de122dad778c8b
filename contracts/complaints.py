"""What complaints accepts and says: disputes and reports through 12315, clocks and answers."""

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
    """What a complaint's running clock waits for."""

    ACCEPTANCE = "acceptance"
    MEDIATION = "mediation"
    CASE = "case"
    DECISION = "decision"
    TELLING = "telling"


class Unit(StrEnum):
    """What a clock counts."""

    WORKING_DAYS = "working_days"
    CALENDAR_DAYS = "calendar_days"


class MediationOutcome(StrEnum):
    """How the mediation of a dispute ended."""

    AGREED = "agreed"
    NOT_AGREED = "not_agreed"
    WITHDRAWN = "withdrawn"
    DECLINED = "declined"


class Counting(Part):
    """How a clock counts, from which its last day can always be counted again.

    Counting begins on the day after `counted_from`; of its `unit` it allows `days` and
    `extension_days`, and leaves out `paused_days`. `calendar` is the latest notice on holidays that
    was known, `rules` the edition of the rulebook under which the clock began. `due_on` is absent
    while the clock stands.
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
    """An article of a law, or a law as a whole, as it stood from the day that is its version; and
    the findings for which it is cited."""

    law: Code
    version: date
    article: Code | None = None
    words: Words
    findings: list[str]


class FileComplaint(Command):
    """Take in a complaint against an enterprise on record, or one that is only described.

    One that comes from another register, with its number and revision there, is taken in once; a
    newer revision of it changes what it says.
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
    """Take a complaint up; the next clock starts."""

    complaint_id: Key
    by: Code


class RefuseComplaint(Act):
    """Decline a complaint, on a ground of the rulebook."""

    complaint_id: Key
    by: Code
    ground: Code
    reason: str = ""


class ReferComplaint(Act):
    """Hand a complaint over to another agency."""

    complaint_id: Key
    by: Code
    agency: Code
    reason: Text


class CommentComplaint(Act):
    """Add a remark, by the caller or by an officer; it moves no clock."""

    complaint_id: Key
    comment: Text


class MatchComplaint(Act):
    """Name the enterprise on record that a described one is."""

    complaint_id: Key
    by: Code
    enterprise_id: Id


class UnmatchComplaint(Act):
    """Take back whom a complaint is against, since it is another."""

    complaint_id: Key
    by: Code
    reason: Text


class LinkDuplicate(Act):
    """Link a complaint to the main one about the same matter, whose answer answers it too."""

    complaint_id: Key
    main_id: Id
    by: Code


class UnlinkDuplicate(Act):
    """Let a complaint go its own way again; its clock runs on."""

    complaint_id: Key
    main_id: Id
    by: Code
    reason: Text


class PauseClock(Act):
    """Stop a complaint's clock, on a ground of the rulebook."""

    complaint_id: Key
    ground: Code
    reason: str = ""


class ResumeClock(Act):
    """Let a paused clock run on; the days it stood still do not count."""

    complaint_id: Key


class ExtendClock(Act):
    """Add to a complaint's clock what the rules allow, once, with the head's approval."""

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
    """Have an answered complaint dealt with again, within the days that the rules leave for it."""

    complaint_id: Key
    reason: Text


class RateAnswer(Act):
    """Rate an answer: whether the caller is satisfied, and if not, why."""

    complaint_id: Key
    satisfied: bool
    reason: str = ""


class EscalateComplaint(Command):
    """Escalate a complaint past its clock: sent by complaints to itself.

    `level` counts how often the clock has been escalated, `setting` how often it was set.
    """

    complaint_id: Key
    stage: Stage
    due_on: date
    level: Count = 0
    setting: Count = 0
    by: Code = RULE


class MoveDeadline(Command):
    """Count a running clock again, since a notice has changed the calendar: sent by complaints to
    itself."""

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
    """A complaint is in, and its first clock runs."""

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
    """A newer revision of a complaint has come from the register that it is from."""

    complaint_id: Key
    revision: Count
    content: Text
    revised_on: date
    enterprise_id: Id | None = None
    against: str = ""
    caller: Sealed | None = None
    phone: Sealed | None = None


class ComplaintAccepted(Change):
    """A complaint was taken up."""

    complaint_id: Key
    by: Code
    accepted_on: date
    counting: Counting


class ComplaintRefused(Change):
    """A complaint was declined."""

    complaint_id: Key
    by: Code
    ground: Point
    reason: str = ""
    refused_on: date


class ComplaintReferred(Change):
    """A complaint was handed over to another agency; no clock of ours runs any more."""

    complaint_id: Key
    by: Code
    agency: Code
    reason: Text
    referred_on: date


class ComplaintCommented(Change):
    """Somebody has added a remark to a complaint."""

    complaint_id: Key
    by: Code
    comment: Text
    commented_on: date


class ComplaintMatched(Change):
    """A person has found which enterprise a complaint is against; `matching` counts how often."""

    complaint_id: Key
    enterprise_id: Id
    by: Code
    matching: Count
    matched_on: date


class ComplaintUnmatched(Change):
    """A complaint is not against the enterprise that it was held to be against."""

    complaint_id: Key
    enterprise_id: Id
    by: Code
    matching: Count
    reason: Text
    unmatched_on: date


class DuplicateLinked(Change):
    """A complaint is the same as another one; its clock stands, and the main one's counts."""

    complaint_id: Key
    main_id: Id
    by: Code
    linked_on: date


class DuplicateUnlinked(Change):
    """A complaint goes its own way again; the days while it was linked do not count."""

    complaint_id: Key
    main_id: Id
    by: Code
    reason: Text
    unlinked_on: date
    counting: Counting


class ClockPaused(Change):
    """A complaint's clock stands still."""

    complaint_id: Key
    ground: Point
    reason: str = ""
    paused_on: date


class ClockResumed(Change):
    """A complaint's clock runs again; the days it stood still do not count."""

    complaint_id: Key
    resumed_on: date
    counting: Counting


class ClockExtended(Change):
    """The head has given a complaint's clock more days."""

    complaint_id: Key
    approver: Code
    reason: Text
    extended_on: date
    counting: Counting


class DeadlineMoved(Change):
    """A running deadline has moved, because of a notice on holidays."""

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
    """It was decided whether a report becomes a case. No clock runs where nobody is to be told."""

    complaint_id: Key
    by: Code
    filed: bool
    reason: Text
    decided_on: date
    counting: Counting | None = None


class CaseConcluded(Change):
    """A filed case was decided. No clock runs where nobody is to be told."""

    complaint_id: Key
    by: Code
    penalty: bool
    reason: Text
    concluded_on: date
    counting: Counting | None = None


class ComplaintClosed(Change):
    """A complaint has ended, and there is nobody to tell."""

    complaint_id: Key
    by: Code
    closed_on: date


class ComplaintAnswered(Change):
    """The caller has an answer; of a duplicate, that of the main complaint."""

    complaint_id: Key
    answer: Words
    substantiated: bool
    by: Code
    answered_on: date
    reopen_until: date | None = None
    enterprise_id: Id | None = None
    main_id: Id | None = None


class ComplaintReopened(Change):
    """The caller has had an answered complaint reopened; `reopening` counts how often."""

    complaint_id: Key
    by: Code
    reason: Text
    reopening: Count
    reopened_on: date
    counting: Counting
    enterprise_id: Id | None = None


class AnswerRated(Change):
    """The caller has said how satisfied they are with the answer."""

    complaint_id: Key
    by: Code
    satisfied: bool
    reason: str = ""
    rated_on: date


class ComplaintOverdue(Change):
    """A complaint has passed its clock. `level` counts who was told: the addressee is the last."""

    complaint_id: Key
    stage: Stage
    due_on: date
    overdue_on: date
    level: Count = 1
    addressee: Code = "complaints-desk"
    enterprise_id: Id | None = None


class PenaltyImposed(Change):
    """A substantiated complaint led to a penalty under the articles of law that are cited."""

    complaint_id: Key
    enterprise_id: Id
    citations: list[Citation]
    points: list[Point]
    imposed_on: date
