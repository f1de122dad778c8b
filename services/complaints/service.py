"""complaints: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import select

from chassis.errors import Invalid, NotFound, at
from chassis.hours import Due, SweepsHours, page_of
from chassis.service import Service, on
from chassis.store import Work
from contracts.complaints import (
    AcceptComplaint,
    AnswerComplaint,
    ComplaintReceived,
    EscalateComplaint,
    FileComplaint,
    PauseClock,
    RefuseComplaint,
    ResumeClock,
)
from contracts.inspection import ComplaintChecked
from contracts.shapes import Key, Words
from rulebook import Rulebook
from services.complaints.model import Base, Complaint

BY_CHECK = "on-site-check"


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class Complaints(SweepsHours, Service):
    """Takes in what the public reports and answers it, within the clocks."""

    name = "complaints"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {"complaint_id": Complaint}
    rulebook: Rulebook

    @on(FileComplaint)
    def take_in(self, asked: FileComplaint, db: Work) -> ComplaintReceived:
        """Take a complaint in, against an enterprise on record or one that is described."""
        errors = []
        if asked.channel not in self.rulebook.channels:
            errors.append(at("channel", "is not a channel of the rulebook"))
        if not asked.enterprise_id and not asked.against:
            errors.append(at("against", "describe the enterprise, or give its enterprise_id"))
        if errors:
            raise NotAcceptable(errors=errors)
        book = self.rulebook
        days = book.accept_days, book.answer_days(asked.track)
        db.add(Complaint.receive(asked, db.today, *days, book.working_days_after))
        received: ComplaintReceived = db.outgoing[-1].fact
        return received

    @on(AcceptComplaint)
    def accept(self, asked: AcceptComplaint, db: Work) -> object:
        """Take a complaint up."""
        complaint = self._complaint(db, asked.complaint_id)
        days = self.rulebook.answer_days(complaint.track)
        answer_by = self.rulebook.working_days_after(db.today, days)
        return complaint.accept(asked.by, db.today, answer_by)

    @on(RefuseComplaint)
    def refuse(self, asked: RefuseComplaint, db: Work) -> object:
        """Decline a complaint."""
        return self._complaint(db, asked.complaint_id).refuse(asked.by, asked.reason, db.today)

    @on(PauseClock)
    def pause(self, asked: PauseClock, db: Work) -> object:
        """Stop a complaint's clock."""
        return self._complaint(db, asked.complaint_id).pause(asked.reason, db.today)

    @on(ResumeClock)
    def resume(self, asked: ResumeClock, db: Work) -> object:
        """Let a complaint's clock run on."""
        complaint, book = self._complaint(db, asked.complaint_id), self.rulebook
        paused_on = complaint.paused_on or db.today
        stood = book.working_days_between(paused_on, db.today)
        return complaint.resume(db.today, stood, book.working_days_after)

    @on(AnswerComplaint)
    def answer_by_hand(self, asked: AnswerComplaint, db: Work) -> object:
        """Answer a caller by hand."""
        words = Words(zh=asked.answer, en=asked.answer)
        complaint = self._complaint(db, asked.complaint_id)
        return complaint.answer(words, asked.by, db.today, substantiated=asked.substantiated)

    @on(ComplaintChecked)
    def answer(self, fact: ComplaintChecked, db: Work) -> None:
        """Answer the caller with what officers found; penalise what is substantiated."""
        complaint = self._complaint(db, fact.complaint_id)
        if complaint.has_ended:
            return
        complaint.answer(self._words(fact), BY_CHECK, db.today, substantiated=fact.substantiated)
        if fact.substantiated:
            complaint.penalise(self.rulebook.penalty_law, fact.points, db.today)

    def _words(self, fact: ComplaintChecked) -> Words:
        if not fact.substantiated:
            return self.rulebook.say(
                "The complaint was looked into on %(day)s; nothing was found against the rules.",
                day=fact.checked_on,
            )
        points = Words(
            zh="、".join(point.words.zh for point in fact.points),
            en="; ".join(point.words.en for point in fact.points),
        )
        return self.rulebook.say(
            "The complaint was looked into on %(day)s and found true: %(points)s.",
            day=fact.checked_on,
            points=points,
        )

    @on(EscalateComplaint)
    def escalate(self, asked: EscalateComplaint, db: Work) -> None:
        """Say that a clock has run out, unless something has come between."""
        complaint = self._complaint(db, asked.complaint_id)
        complaint.run_out(asked.stage, asked.due_on, db.today)

    def due(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find complaints whose clock has run out, the oldest first."""
        query = select(Complaint).where(Complaint.clock_due_on < db.today)
        query = page_of(query, Complaint.clock_due_on, Complaint.id, after, most)
        return [
            Due(
                [complaint.clock_due_on.isoformat(), complaint.id],
                EscalateComplaint(
                    complaint_id=Key(complaint.id),
                    stage=complaint.stage,
                    due_on=complaint.clock_due_on,
                ),
            )
            for complaint in db.scalars(query)
            if complaint.clock_due_on
        ]

    def _complaint(self, db: Work, identity: str) -> Complaint:
        found: Complaint | None = db.get(Complaint, identity)
        if found is None:
            raise NotFound(f"There is no complaint {identity}.")
        return found
