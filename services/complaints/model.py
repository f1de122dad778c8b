"""Complaints through 12315: two tracks, their clocks in working days (Order No. 20 of 2019)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import StrEnum

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict
from contracts.complaints import (
    ClockPaused,
    ClockResumed,
    ComplaintAccepted,
    ComplaintAnswered,
    ComplaintOverdue,
    ComplaintReceived,
    ComplaintRefused,
    FileComplaint,
    PenaltyImposed,
    Stage,
)
from contracts.shapes import Id, Key, Point, Words

WorkingDaysAfter = Callable[[date, int], date]


class AlreadyAccepted(Conflict):
    """The complaint has been taken up already."""


class AlreadyEnded(Conflict):
    """The complaint has been answered or refused already."""


class ClockStands(Conflict):
    """The clock of the complaint stands still already."""


class ClockRuns(Conflict):
    """The clock of the complaint runs already."""


class Base(DeclarativeBase):
    """The tables of complaints."""


class ComplaintState(StrEnum):
    """Where a complaint stands."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    ANSWERED = "answered"
    REFUSED = "refused"


ENDED = (ComplaintState.ANSWERED, ComplaintState.REFUSED)


class Complaint(Aggregate, Base):
    """A dispute or a report, from the call to the answer."""

    __tablename__ = "complaints"
    __table_args__ = (Index("complaints_due", "clock_due_on", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    track: Mapped[str] = mapped_column(String(16))
    enterprise_id: Mapped[str | None] = mapped_column(String(64))
    content: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    accept_by: Mapped[date]
    answer_by: Mapped[date]
    paused_on: Mapped[date | None]
    clock_due_on: Mapped[date | None]
    """The day on which the running clock runs out; none while it stands or has already run out."""
    ran_out: Mapped[str | None] = mapped_column(String(16))
    """The stage whose clock has run out last: it does not run out again."""

    @classmethod
    def receive(
        cls, asked: FileComplaint, today: date, accept_days: int, answer_days: int,
        after: WorkingDaysAfter,
    ) -> Complaint:  # fmt: skip
        """Take a complaint in. Its clocks count working days, from the next day on."""
        accept_by = after(today, accept_days)
        made = cls(
            id=asked.complaint_id,
            track=asked.track,
            enterprise_id=asked.enterprise_id,
            content=asked.content,
            state=ComplaintState.RECEIVED,
            accept_by=accept_by,
            answer_by=after(accept_by, answer_days),
            clock_due_on=accept_by,
        )
        made.record(
            ComplaintReceived(
                **asked.__dict__,
                received_on=today,
                accept_by=accept_by,
                answer_by=made.answer_by,
            )
        )
        return made

    @property
    def stage(self) -> Stage:
        """What the running clock waits for."""
        return Stage.ACCEPTANCE if self.state == ComplaintState.RECEIVED else Stage.ANSWER

    @property
    def has_ended(self) -> bool:
        """Whether the complaint is answered or refused."""
        return self.state in ENDED

    def accept(self, by: str, today: date, answer_by: date) -> ComplaintAccepted:
        """Take the complaint up: the clock to the answer starts now."""
        self.must_not_have_ended()
        if self.state == ComplaintState.ACCEPTED:
            raise AlreadyAccepted
        self.state, self.answer_by = ComplaintState.ACCEPTED, answer_by
        if self.paused_on is None:
            self.clock_due_on = answer_by
        else:
            self.paused_on = today  # this clock stands from its first day, not from before it
        fact = ComplaintAccepted(
            complaint_id=Key(self.id), by=by, accepted_on=today, answer_by=answer_by
        )
        self.record(fact)
        return fact

    def refuse(self, by: str, reason: str, today: date) -> ComplaintRefused:
        """Decline the complaint; one that was taken up must be answered instead."""
        self.must_not_have_ended()
        if self.state == ComplaintState.ACCEPTED:
            raise AlreadyAccepted
        self._end(ComplaintState.REFUSED)
        fact = ComplaintRefused(complaint_id=Key(self.id), by=by, reason=reason, refused_on=today)
        self.record(fact)
        return fact

    def pause(self, reason: str, today: date) -> ClockPaused:
        """Stop the clock."""
        self.must_not_have_ended()
        if self.paused_on:
            raise ClockStands(paused_on=self.paused_on.isoformat())
        self.paused_on, self.clock_due_on = today, None
        fact = ClockPaused(complaint_id=Key(self.id), reason=reason, paused_on=today)
        self.record(fact)
        return fact

    def resume(self, today: date, stood: int, after: WorkingDaysAfter) -> ClockResumed:
        """Let the clock run on; the working days that it stood still do not count."""
        self.must_not_have_ended()
        if self.paused_on is None:
            raise ClockRuns
        self.paused_on = None
        self.accept_by = after(self.accept_by, stood)
        self.answer_by = after(self.answer_by, stood)
        if self.ran_out != self.stage:
            self.clock_due_on = self.accept_by if self.stage is Stage.ACCEPTANCE else self.answer_by
        fact = ClockResumed(
            complaint_id=Key(self.id),
            resumed_on=today,
            accept_by=self.accept_by,
            answer_by=self.answer_by,
        )
        self.record(fact)
        return fact

    def answer(
        self, words: Words, by: str, today: date, *, substantiated: bool
    ) -> ComplaintAnswered:
        """Tell the caller what came of it."""
        self.must_not_have_ended()
        self._end(ComplaintState.ANSWERED)
        fact = ComplaintAnswered(
            complaint_id=Key(self.id),
            answer=words,
            substantiated=substantiated,
            by=by,
            answered_on=today,
            enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
        )
        self.record(fact)
        return fact

    def penalise(self, law: Point, points: list[Point], today: date) -> None:
        """Impose a penalty on the enterprise under the cited law (依法予以處罰, the article)."""
        if self.enterprise_id:
            self.record(
                PenaltyImposed(
                    complaint_id=Key(self.id),
                    enterprise_id=Id(self.enterprise_id),
                    law=law,
                    points=points,
                    imposed_on=today,
                )
            )

    def run_out(self, stage: Stage, due_on: date, today: date) -> None:
        """Have passed its clock; each clock runs out once."""
        if self.has_ended or self.stage is not stage or self.clock_due_on != due_on:
            return
        self.clock_due_on, self.ran_out = None, stage
        self.record(
            ComplaintOverdue(
                complaint_id=Key(self.id),
                stage=stage,
                due_on=due_on,
                overdue_on=today,
                enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
            )
        )

    def must_not_have_ended(self) -> None:
        """Refuse to touch a complaint that has ended."""
        if self.has_ended:
            raise AlreadyEnded(f"The complaint is {self.state}.", state=self.state)

    def _end(self, state: ComplaintState) -> None:
        self.state, self.clock_due_on, self.paused_on = state, None, None
