"""A dispute or a report, from the call to the answer, its rating and its reopening."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.errors import at
from contracts.complaints.commands import (
    AcceptComplaint,
    CommentComplaint,
    ConcludeCase,
    DecideCase,
    EndMediation,
    FileComplaint,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
)
from contracts.complaints.events import (
    AnswerRated,
    CaseConcluded,
    CaseDecided,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintClosed,
    ComplaintCommented,
    ComplaintReceived,
    ComplaintReferred,
    ComplaintRefused,
    ComplaintReopened,
    MediationEnded,
    PenaltyImposed,
)
from contracts.complaints.types import Stage, Track
from contracts.shapes import Id, Key, Point, Words
from rulebook import Rulebook
from services.complaints.model import base
from services.complaints.model.base import ENDED, Base, ComplaintState
from services.complaints.model.clock import Timed
from services.complaints.model.identity import Identified

WORKED_ON = {Track.DISPUTE: Stage.MEDIATION, Track.REPORT: Stage.CASE}
"""The clock of each track that starts on acceptance."""


class Complaint(Identified, Timed, Base):
    """A dispute (投訴) or a report (舉報), from the call to the answer."""

    __tablename__ = "complaints"
    __table_args__ = (
        Index("complaints_ringing", "rings_on", "id"),
        Index("complaints_by_calendar", "calendar_from", "due_on", "id"),
        Index("complaints_of_main", "main_id"),
    )

    state: Mapped[str] = mapped_column(String(16))
    channel: Mapped[str] = mapped_column(String(64))
    content: Mapped[str] = mapped_column(Text)
    is_named: Mapped[bool]
    """Whether the caller gave a name, and so is to be told the result."""
    reopen_until: Mapped[date | None]
    reopenings: Mapped[int]
    is_rated: Mapped[bool]

    @classmethod
    def receive(cls, command: FileComplaint, book: Rulebook, today: date) -> Complaint:
        """Receive a complaint; the clock to its acceptance starts (Order No. 20, article 14)."""
        made = cls(
            id=command.complaint_id,
            track=command.track,
            channel=command.channel,
            outside_number=command.outside_number,
            revision=command.revision,
            enterprise_id=command.enterprise_id,
            against=command.against,
            content=command.content,
            is_named=command.caller is not None,
            state=ComplaintState.RECEIVED,
            received_on=today,
            pauses=[],
            matchings=0,
            reopenings=0,
            is_rated=False,
        )
        made.start(Stage.ACCEPTANCE, book, today)
        made.record(
            ComplaintReceived.echo(command, received_on=today, counting=made.counting(book))
        )
        return made

    @property
    def has_ended(self) -> bool:
        """Whether the complaint was answered, refused, referred or closed."""
        return self.state in ENDED

    @property
    def is_to_be_told(self) -> bool:
        """Whether there is a party to tell: those of a dispute, or a reporter with a name."""
        return self.track == Track.DISPUTE or self.is_named

    def must_not_have_ended(self) -> None:
        """Raise an error if the complaint has ended."""
        if self.has_ended:
            raise self.conflict(
                base.AlreadyEnded, f"The complaint is {self.state}.", state=self.state
            )

    def must_be_acted_on(self) -> None:
        """Raise an error if the complaint has ended, or is a duplicate."""
        self.must_not_have_ended()
        if self.main_id is not None:
            raise self.conflict(base.IsDuplicate, main_id=self.main_id)

    # -- from the call to the answer

    def accept(self, command: AcceptComplaint, book: Rulebook, today: date) -> ComplaintAccepted:
        """Accept the complaint: the clock of its mediation, or of its check, starts."""
        self.must_be_acted_on()
        if self.state != ComplaintState.RECEIVED:
            raise self.conflict(base.AlreadyAccepted)
        self.state = ComplaintState.ACCEPTED
        self.start(WORKED_ON[Track(self.track)], book, today)
        return self.record(
            ComplaintAccepted.echo(command, accepted_on=today, counting=self.counting(book))
        )

    def refuse(self, command: RefuseComplaint, ground: Point, today: date) -> ComplaintRefused:
        """Refuse the complaint (article 15); an accepted one must be answered instead."""
        self.must_be_acted_on()
        if self.state != ComplaintState.RECEIVED:
            raise self.conflict(base.AlreadyAccepted)
        self._end(ComplaintState.REFUSED)
        return self.record(ComplaintRefused.echo(command, ground=ground, refused_on=today))

    def refer(self, command: ReferComplaint, today: date) -> ComplaintReferred:
        """Refer the complaint to another agency; the clock ends."""
        self.must_be_acted_on()
        self._end(ComplaintState.REFERRED)
        return self.record(ComplaintReferred.echo(command, referred_on=today))

    def comment(self, command: CommentComplaint, today: date) -> ComplaintCommented:
        """Record a remark, which changes no clock."""
        self.must_not_have_ended()
        return self.record(ComplaintCommented.echo(command, commented_on=today))

    def end_mediation(self, command: EndMediation, book: Rulebook, today: date) -> MediationEnded:
        """End the mediation of a dispute; the clock to telling the parties starts (article 21)."""
        self._must_be_accepted(Track.DISPUTE)
        self._conclude(book, today)
        return self.record(
            MediationEnded.echo(command, ended_on=today, counting=self.counting(book))
        )

    def decide_case(self, command: DecideCase, book: Rulebook, today: date) -> CaseDecided:
        """Decide whether a report becomes a case, whose own clock then starts."""
        self._must_be_accepted(Track.REPORT)
        if command.file:
            self.state = ComplaintState.CASE_FILED
            self.start(Stage.DECISION, book, today)
        else:
            self._conclude(book, today)
        event = self.record(
            CaseDecided.echo(
                command,
                filed=command.file,
                decided_on=today,
                counting=None if self.has_ended else self.counting(book),
            )
        )
        self._say_whether_closed(command.by, today)
        return event

    def conclude_case(
        self, command: ConcludeCase, points: list[Point], book: Rulebook, today: date
    ) -> CaseConcluded:
        """Decide a filed case, with a penalty for what was found or with none."""
        self.must_be_acted_on()
        if self.state != ComplaintState.CASE_FILED:
            raise self.conflict(base.NoCase)
        if points and not self.enterprise_id:
            raise self.conflict(base.NotMatched)
        self._conclude(book, today)
        event = self.record(
            CaseConcluded.echo(
                command,
                penalty=bool(points),
                concluded_on=today,
                counting=None if self.has_ended else self.counting(book),
            )
        )
        if points:
            self.penalise(points, book, today)
        self._say_whether_closed(command.by, today)
        return event

    def answer(
        self,
        words: Words,
        by: str,
        book: Rulebook,
        today: date,
        *,
        substantiated: bool,
        main_id: str | None = None,
    ) -> ComplaintAnswered:
        """Answer the caller, who may have the complaint reopened for some days."""
        self.must_not_have_ended()
        window = book.reopening
        self.reopen_until = book.counting(window.unit).after(today, window.days)
        self._end(ComplaintState.ANSWERED)
        return self.record(
            ComplaintAnswered(
                complaint_id=Key(self.id),
                answer=words,
                substantiated=substantiated,
                by=by,
                answered_on=today,
                reopen_until=self.reopen_until,
                enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
                main_id=Id(main_id) if main_id else None,
            )
        )

    def penalise(self, points: list[Point], book: Rulebook, today: date) -> None:
        """Impose a penalty on the enterprise, under the articles of law cited for its breaches
        (依法予以處罰, the article)."""
        if self.enterprise_id:
            self.record(
                PenaltyImposed(
                    complaint_id=Key(self.id),
                    enterprise_id=Id(self.enterprise_id),
                    citations=book.citations(point.code for point in points),
                    points=points,
                    imposed_on=today,
                )
            )

    def _must_be_accepted(self, track: Track) -> None:
        self.must_be_acted_on()
        if self.track != track:
            raise self.conflict(base.OtherTrack, track=self.track)
        if self.state != ComplaintState.ACCEPTED:
            raise self.conflict(base.NotAccepted, state=self.state)

    def _conclude(self, book: Rulebook, today: date) -> None:
        """Start the clock to telling the parties; end the complaint if there are none."""
        if self.is_to_be_told:
            self.state = ComplaintState.CONCLUDED
            self.start(Stage.TELLING, book, today)
        else:
            self._end(ComplaintState.CLOSED)

    def _say_whether_closed(self, by: str, today: date) -> None:
        if self.state == ComplaintState.CLOSED:
            self.record(ComplaintClosed(complaint_id=Key(self.id), by=by, closed_on=today))

    def _end(self, state: ComplaintState) -> None:
        self.state = state
        self.stop()

    # -- the caller's response

    def reopen(self, command: ReopenComplaint, book: Rulebook, today: date) -> ComplaintReopened:
        """Reopen the complaint; its clock counts from today, by today's rules."""
        self._must_be_answered()
        if self.reopen_until is not None and today > self.reopen_until:
            raise self.conflict(base.TooLateToReopen, last_day=self.reopen_until.isoformat())
        self.state, self.main_id, self.is_rated = ComplaintState.ACCEPTED, None, False
        self.reopenings += 1
        self.start(WORKED_ON[Track(self.track)], book, today, from_today=True)
        return self.record(
            ComplaintReopened.echo(
                command,
                reopening=self.reopenings,
                reopened_on=today,
                counting=self.counting(book),
                enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
            )
        )

    def rate(self, command: RateAnswer, today: date) -> AnswerRated:
        """Record whether the caller is satisfied, once for each answer; dissatisfaction needs a
        reason."""
        self._must_be_answered()
        if self.is_rated:
            raise self.conflict(base.AlreadyRated)
        if not command.satisfied and not command.reason.strip():
            raise base.NotAcceptable(
                errors=[at("reason", "is needed if the caller is not satisfied")]
            )
        self.is_rated = True
        return self.record(AnswerRated.echo(command, rated_on=today))

    def _must_be_answered(self) -> None:
        if self.state != ComplaintState.ANSWERED:
            raise self.conflict(base.NotAnswered, state=self.state)
