"""The four slips (四單): each is inspection's reaction to a fact of its own kind.

提示單明重點、問題單疏漏洞、督辦單抓落實、反饋單示結果 (the article).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from chassis.ids import derived_id
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.complaints import ComplaintAnswered, ComplaintOverdue, Stage
from contracts.filing import EnterpriseReopened
from contracts.inspection import (
    AcknowledgeSlip,
    ClosureLifted,
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
from rulebook import FollowsRules
from rulebook.chapters.inspection import Until
from services.inspection.finding import premises_of, seen
from services.inspection.model import Premises, Slip
from services.inspection.numbers import PAPERS, enter
from services.inspection.wording import addressed_to, letter, subject_of

ENTERPRISE, DISTRICT_OFFICE = "enterprise", "district-office"
NOT_DONE = {
    Stage.ACCEPTANCE: "The complaint has not been accepted by %(day)s.",
    Stage.MEDIATION: "The mediation has not been ended by %(day)s.",
    Stage.CASE: "It has not been decided by %(day)s whether to file a case.",
    Stage.DECISION: "The case has not been decided by %(day)s.",
    Stage.TELLING: "The result has not been told by %(day)s.",
}
"""What a supervision slip says of a complaint past its clock."""


class WritesSlips(FollowsRules):
    """Mixed into inspection: who is told what, on which slip."""

    @on(EnterpriseReopened)
    def prompt(self, fact: EnterpriseReopened, db: Work) -> None:
        """Tell a reopened enterprise the key points for its trade."""
        points = self.rules(db).key_points(fact.premises)
        self._write(db, PromptSlipIssued, fact.enterprise_id, ENTERPRISE, points)

    @on(IssueFound)
    def name_the_fault(self, fact: IssueFound, db: Work) -> None:
        """Tell the enterprise what was found, and by when it must be right."""
        until = None
        if not fact.rectified_on_the_spot:
            until = self.rules(db).notice_until(fact.severity, db.now)
        about = fact.enterprise_id, ENTERPRISE
        points, day = [fact.point], fact.found_on
        self._write(db, ProblemSlipIssued, *about, points, found_on=day, until=until)

    @on(NoticeOverdue)
    def press_for_the_notice(self, fact: NoticeOverdue, db: Work) -> None:
        """Tell an office, by the ladder, that a notice was not met, and what comes next."""
        book, until = self.rules(db), None
        said = {"number": fact.notice_number, "day": Until(fact.due_at).words}
        if fact.next_due_at:
            until = Until(fact.next_due_at)
            words = book.say(
                "Notice %(number)s was not met by %(day)s: put it right by %(next)s.",
                **said,
                next=until.words,
            )
        else:
            words = book.say(
                "Notice %(number)s was not met by %(day)s and the enterprise is to close.", **said
            )
        points = [fact.point, Point(code="overdue", words=words)]
        about = fact.enterprise_id, fact.addressee
        self._write(db, SupervisionSlipIssued, *about, points, until=until)

    @on(ComplaintOverdue)
    def press_for_the_complaint(self, fact: ComplaintOverdue, db: Work) -> None:
        """Tell whose turn it is that a clock has run out: the complaints desk first."""
        words = self.rules(db).say(NOT_DONE[fact.stage], day=fact.due_on)
        points = [Point(code=f"overdue-{fact.stage}", words=words)]
        self._write_on_complaint(db, SupervisionSlipIssued, fact, fact.addressee, points)

    @on(NoticeSatisfied)
    def report_the_notice_met(self, fact: NoticeSatisfied, db: Work) -> None:
        """Show that what a notice asked for was done."""
        words = self.rules(db).say("Put right: %(point)s", point=fact.point.words)
        self._feed_back(db, fact.enterprise_id, Point(code=fact.point.code, words=words))

    @on(IssueRectified)
    def report_put_right_on_the_spot(self, fact: IssueRectified, db: Work) -> None:
        """Show that a fault was put right on the spot."""
        if fact.on_the_spot:
            words = self.rules(db).say("Put right on the spot: %(point)s", point=fact.point.words)
            self._feed_back(db, fact.enterprise_id, Point(code=fact.point.code, words=words))

    @on(ClosureOrdered)
    def report_closed(self, fact: ClosureOrdered, db: Work) -> None:
        """Show that an enterprise was closed."""
        words = self.rules(db).say("Closed: %(reason)s", reason=fact.reason)
        self._feed_back(db, fact.enterprise_id, Point(code="closed", words=words))

    @on(ClosureLifted)
    def report_lifted(self, fact: ClosureLifted, db: Work) -> None:
        """Show that a closure was lifted."""
        words = self.rules(db).say("Lifted: %(reason)s", reason=fact.reason)
        self._feed_back(db, fact.enterprise_id, Point(code="lifted", words=words))

    @on(ComplaintAnswered)
    def report_answered(self, fact: ComplaintAnswered, db: Work) -> None:
        """Show that a complaint was answered."""
        words: Words = self.rules(db).say("Answered: %(answer)s", answer=fact.answer)
        points = [Point(code="answered", words=words)]
        self._write_on_complaint(db, FeedbackSlipIssued, fact, DISTRICT_OFFICE, points)

    @on(AcknowledgeSlip)
    def acknowledge(self, asked: AcknowledgeSlip, db: Work) -> object:
        """Note that a slip was read by whom it went to."""
        return seen(db, Slip, asked.slip_id, asked).acknowledge(asked, db.now)

    # -- writing

    def _feed_back(self, db: Work, enterprise_id: str, point: Point) -> None:
        self._write(db, FeedbackSlipIssued, enterprise_id, DISTRICT_OFFICE, [point])

    def _write(
        self,
        db: Work,
        kind: type[SlipIssued],
        enterprise_id: str,
        addressee: str,
        points: list[Point],
        *,
        found_on: date | None = None,
        until: Until | None = None,
    ) -> None:
        premises = premises_of(db, enterprise_id)
        about = {"about": Key(enterprise_id), "enterprise_id": Id(enterprise_id)}
        self._issue(
            db, kind, addressee, points, about, premises=premises, found_on=found_on, until=until
        )

    def _write_on_complaint(
        self,
        db: Work,
        kind: type[SlipIssued],
        fact: ComplaintOverdue | ComplaintAnswered,
        addressee: str,
        points: list[Point],
    ) -> None:
        about = {
            "about": fact.complaint_id,
            "enterprise_id": fact.enterprise_id,
            "complaint_id": Id(fact.complaint_id),
        }
        self._issue(db, kind, addressee, points, about)

    def _issue(
        self,
        db: Work,
        kind: type[SlipIssued],
        addressee: str,
        points: list[Point],
        about: dict[str, Any],
        *,
        premises: Premises | None = None,
        found_on: date | None = None,
        until: Until | None = None,
    ) -> None:
        book = self.rules(db)
        to = addressed_to(book, addressee, premises)
        subject = subject_of(book, premises, about.get("complaint_id"))
        slip = kind(
            slip_id=Id(derived_id(kind.type, db.message.id)),
            addressee=addressee,
            to=to,
            points=points,
            text=letter(
                book,
                PAPERS[kind],
                to,
                subject,
                points,
                today=db.today,
                found_on=found_on,
                until=until,
            ),
            issued_on=db.today,
            due_on=until.on if until else None,
            due_at=until.at if until else None,
            **about,
        )
        enter(db, Slip.issue(slip))
