"""The work on a complaint: from its acceptance to its answer, and what the caller says of that."""

from __future__ import annotations

from chassis.errors import at
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.complaints import (
    AcceptComplaint,
    AnswerComplaint,
    CommentComplaint,
    ConcludeCase,
    DecideCase,
    EndMediation,
    RateAnswer,
    ReferComplaint,
    RefuseComplaint,
    ReopenComplaint,
)
from contracts.inspection import ComplaintChecked
from contracts.shapes import Words
from rulebook import FollowsRules, Rulebook
from services.complaints.finding import complaint_of, seen
from services.complaints.model import NotAcceptable

BY_CHECK = "on-site-check"


class WorksOnComplaints(FollowsRules):
    """Mixed into complaints: what officers and callers do, and what an on-site check leads to."""

    @on(AcceptComplaint)
    def accept(self, asked: AcceptComplaint, db: Work) -> object:
        """Take a complaint up."""
        return seen(db, asked).accept(asked, self.rules(db), db.today)

    @on(RefuseComplaint)
    def refuse(self, asked: RefuseComplaint, db: Work) -> object:
        """Decline a complaint, on a ground that its track knows."""
        complaint = seen(db, asked)
        ground = self.rules(db).refusal_grounds.get(asked.ground)
        if ground is None or (ground.tracks and complaint.track not in ground.tracks):
            what = f"is no ground of the rulebook for refusing a {complaint.track}"
            raise NotAcceptable(errors=[at("ground", what)])
        return complaint.refuse(asked, ground.point, db.today)

    @on(ReferComplaint)
    def refer(self, asked: ReferComplaint, db: Work) -> object:
        """Hand a complaint over to another agency."""
        return seen(db, asked).refer(asked, db.today)

    @on(CommentComplaint)
    def comment(self, asked: CommentComplaint, db: Work) -> object:
        """Note a remark."""
        return seen(db, asked).comment(asked, db.today)

    @on(EndMediation)
    def end_mediation(self, asked: EndMediation, db: Work) -> object:
        """End the mediation of a dispute."""
        return seen(db, asked).end_mediation(asked, self.rules(db), db.today)

    @on(DecideCase)
    def decide_case(self, asked: DecideCase, db: Work) -> object:
        """Decide whether a report becomes a case."""
        return seen(db, asked).decide_case(asked, self.rules(db), db.today)

    @on(ConcludeCase)
    def conclude_case(self, asked: ConcludeCase, db: Work) -> object:
        """Decide a filed case."""
        complaint, book = seen(db, asked), self.rules(db)
        errors = [
            at(f"findings/{n}", "is not a rule of the checklist")
            for n, finding in enumerate(asked.findings)
            if finding not in book.rules
        ]
        if errors:
            raise NotAcceptable(errors=errors)
        points = [book.rules[finding].point for finding in dict.fromkeys(asked.findings)]
        return complaint.conclude_case(asked, points, book, db.today)

    @on(AnswerComplaint)
    def answer_by_hand(self, asked: AnswerComplaint, db: Work) -> object:
        """Answer a caller by hand."""
        words = Words(zh=asked.answer, en=asked.answer)
        complaint = seen(db, asked)
        complaint.must_be_acted_on()
        return complaint.answer(
            words, asked.by, self.rules(db), db.today, substantiated=asked.substantiated
        )

    @on(ComplaintChecked)
    def answer(self, fact: ComplaintChecked, db: Work) -> None:
        """Answer the caller with what officers found; penalise what is substantiated. What was
        found at an enterprise that the complaint is no longer held to be against answers nothing.
        """
        complaint, book = complaint_of(db, fact.complaint_id), self.rules(db)
        if complaint.has_ended or complaint.enterprise_id != fact.enterprise_id:
            return
        words = self._words(fact, book)
        complaint.answer(words, BY_CHECK, book, db.today, substantiated=fact.substantiated)
        if fact.substantiated:
            complaint.penalise(fact.points, book, db.today)

    @staticmethod
    def _words(fact: ComplaintChecked, book: Rulebook) -> Words:
        if not fact.substantiated:
            return book.say(
                "The complaint was looked into on %(day)s; nothing was found against the rules.",
                day=fact.checked_on,
            )
        points = Words(
            zh="、".join(point.words.zh for point in fact.points),
            en="; ".join(point.words.en for point in fact.points),
        )
        return book.say(
            "The complaint was looked into on %(day)s and found true: %(points)s.",
            day=fact.checked_on,
            points=points,
        )

    @on(ReopenComplaint)
    def reopen(self, asked: ReopenComplaint, db: Work) -> object:
        """Deal with an answered complaint again."""
        return seen(db, asked).reopen(asked, self.rules(db), db.today)

    @on(RateAnswer)
    def rate(self, asked: RateAnswer, db: Work) -> object:
        """Note whether the caller is satisfied."""
        return seen(db, asked).rate(asked, db.today)
