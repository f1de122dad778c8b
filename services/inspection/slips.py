"""The four slips (四單): each is inspection's reaction to a fact of its own kind.

提示單明重點、問題單疏漏洞、督辦單抓落實、反饋單示結果 (the article).
"""

from __future__ import annotations

from datetime import date

from chassis.ids import derived_id
from chassis.service import on
from chassis.store import Work
from contracts.complaints import ComplaintAnswered, ComplaintOverdue, Stage
from contracts.filing import EnterpriseReopened
from contracts.inspection import (
    ClosureOrdered,
    FeedbackSlipIssued,
    IssueFound,
    IssueRectified,
    NoticeOverdue,
    NoticeSatisfied,
    ProblemSlipIssued,
    PromptSlipIssued,
    SupervisionSlipIssued,
)
from contracts.inspection import Slip as SlipIssued
from contracts.shapes import Id, Key, Point, Words
from rulebook import Rulebook
from services.inspection.model import Slip

ENTERPRISE, GRID_OFFICE, COMPLAINTS_DESK, DISTRICT_OFFICE = (
    "enterprise",
    "grid-office",
    "complaints-desk",
    "district-office",
)


class WritesSlips:
    """Mixed into inspection: who is told what, on which slip."""

    rulebook: Rulebook

    @on(EnterpriseReopened)
    def prompt(self, fact: EnterpriseReopened, db: Work) -> None:
        """Tell a reopened enterprise the key points for its trade."""
        points = self.rulebook.key_points(fact.premises)
        _write(db, PromptSlipIssued, fact.enterprise_id, ENTERPRISE, points)

    @on(IssueFound)
    def name_the_fault(self, fact: IssueFound, db: Work) -> None:
        """Tell the enterprise what was found."""
        _write(db, ProblemSlipIssued, fact.enterprise_id, ENTERPRISE, [fact.point])

    @on(NoticeOverdue)
    def press_for_the_notice(self, fact: NoticeOverdue, db: Work) -> None:
        """Tell the grid's office that a notice was not met, and what comes next."""
        if fact.next_due_on:
            words = self.rulebook.say(
                "The notice was not met by %(day)s: put it right by %(next)s.",
                day=fact.due_on,
                next=fact.next_due_on,
            )
        else:
            words = self.rulebook.say(
                "The notice was not met by %(day)s and the enterprise is to close.",
                day=fact.due_on,
            )
        points = [fact.point, Point(code="overdue", words=words)]
        _write(
            db,
            SupervisionSlipIssued,
            fact.enterprise_id,
            GRID_OFFICE,
            points,
            due_on=fact.next_due_on,
        )

    @on(ComplaintOverdue)
    def press_for_the_complaint(self, fact: ComplaintOverdue, db: Work) -> None:
        """Tell the complaints desk that a clock has run out."""
        words = self.rulebook.say(
            "The complaint has not been accepted by %(day)s."
            if fact.stage is Stage.ACCEPTANCE
            else "The complaint has not been answered by %(day)s.",
            day=fact.due_on,
        )
        points = [Point(code=f"overdue-{fact.stage}", words=words)]
        _write_on_complaint(db, SupervisionSlipIssued, fact, COMPLAINTS_DESK, points)

    @on(NoticeSatisfied)
    def report_the_notice_met(self, fact: NoticeSatisfied, db: Work) -> None:
        """Show that what a notice asked for was done."""
        words = self.rulebook.say("Put right: %(point)s", point=fact.point.words)
        self._feed_back(db, fact.enterprise_id, Point(code=fact.point.code, words=words))

    @on(IssueRectified)
    def report_put_right_on_the_spot(self, fact: IssueRectified, db: Work) -> None:
        """Show that a fault was put right on the spot."""
        if fact.on_the_spot:
            words = self.rulebook.say("Put right on the spot: %(point)s", point=fact.point.words)
            self._feed_back(db, fact.enterprise_id, Point(code=fact.point.code, words=words))

    @on(ClosureOrdered)
    def report_closed(self, fact: ClosureOrdered, db: Work) -> None:
        """Show that an enterprise was closed."""
        words = self.rulebook.say("Closed: %(reason)s", reason=fact.reason)
        self._feed_back(db, fact.enterprise_id, Point(code="closed", words=words))

    @on(ComplaintAnswered)
    def report_answered(self, fact: ComplaintAnswered, db: Work) -> None:
        """Show that a complaint was answered."""
        words: Words = self.rulebook.say("Answered: %(answer)s", answer=fact.answer)
        points = [Point(code="answered", words=words)]
        _write_on_complaint(db, FeedbackSlipIssued, fact, DISTRICT_OFFICE, points)

    def _feed_back(self, db: Work, enterprise_id: str, point: Point) -> None:
        _write(db, FeedbackSlipIssued, enterprise_id, DISTRICT_OFFICE, [point])


def _write(
    db: Work,
    kind: type[SlipIssued],
    enterprise_id: str,
    addressee: str,
    points: list[Point],
    *,
    due_on: date | None = None,
) -> None:
    db.add(
        Slip.issue(
            kind(
                slip_id=Id(derived_id(kind.type, db.message.id)),
                about=Key(enterprise_id),
                addressee=addressee,
                points=points,
                issued_on=db.today,
                due_on=due_on,
                enterprise_id=Id(enterprise_id),
            )
        )
    )


def _write_on_complaint(
    db: Work,
    kind: type[SlipIssued],
    fact: ComplaintOverdue | ComplaintAnswered,
    addressee: str,
    points: list[Point],
) -> None:
    db.add(
        Slip.issue(
            kind(
                slip_id=Id(derived_id(kind.type, db.message.id)),
                about=fact.complaint_id,
                addressee=addressee,
                points=points,
                issued_on=db.today,
                enterprise_id=fact.enterprise_id,
                complaint_id=Id(fact.complaint_id),
            )
        )
    )
