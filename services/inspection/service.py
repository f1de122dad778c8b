"""inspection: what it listens to."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, TypeVar

from sqlalchemy import select

from chassis.errors import NotFound, NotYet, at
from chassis.hours import Due, SweepsHours, page_of
from chassis.ids import derived_id
from chassis.service import Service, on
from chassis.store import Work
from contracts.complaints import ComplaintReceived
from contracts.filing import EnterpriseRegistered, EnterpriseReopened, OnsiteReviewRequested
from contracts.inspection import (
    ComplaintChecked,
    DispatchPatrol,
    ExtendNotice,
    Grounds,
    IssueFound,
    LiftClosure,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
    OrderClosure,
    PatrolDispatched,
    PlanVisit,
    PressNotice,
    Purpose,
    RecordVisit,
    Reinspect,
    Severity,
    SignVisit,
    VisitPlanned,
    VisitRecorded,
)
from contracts.shapes import Id, Key, Words
from services.inspection.model import (
    Base,
    Closure,
    Issue,
    NotAcceptable,
    Notice,
    NoticeState,
    Patrol,
    Premises,
    Visit,
)
from services.inspection.slips import WritesSlips

Kind = TypeVar("Kind")


class Inspection(WritesSlips, SweepsHours, Service):
    """Finds what is wrong on the ground and sees it put right."""

    name = "inspection"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {
        "enterprise_id": Premises,
        "visit_id": Visit,
        "issue_id": Issue,
        "notice_id": Notice,
    }

    # -- what filing and complaints say

    @on(EnterpriseRegistered)
    def know(self, fact: EnterpriseRegistered, db: Work) -> None:
        """Know of an enterprise: open without approval, it may be visited too."""
        db.add(Premises(enterprise_id=fact.enterprise_id, kind=fact.premises, grid=fact.grid))

    @on(OnsiteReviewRequested)
    def plan_review(self, fact: OnsiteReviewRequested, db: Work) -> None:
        """Plan the visit without which five-small premises may not open."""
        db.add(
            Visit.plan(
                derived_id("review", fact.filing_id),
                self._premises(db, fact.enterprise_id),
                Purpose.REVIEW,
                db.today,
                filing_id=fact.filing_id,
            )
        )

    @on(EnterpriseReopened)
    def plan_first_patrol(self, fact: EnterpriseReopened, db: Work) -> None:
        """Plan a patrol where the trade's risk asks for one."""
        days = self.rulebook.patrol_within(fact.premises)
        if days is not None:
            db.add(
                Visit.plan(
                    derived_id("first-patrol", fact.filing_id),
                    self._premises(db, fact.enterprise_id),
                    Purpose.PATROL,
                    fact.reopened_on + timedelta(days=days),
                )
            )

    @on(ComplaintReceived)
    def plan_check(self, fact: ComplaintReceived, db: Work) -> None:
        """Plan an urgent check of an enterprise on record; nobody can visit one only described."""
        if fact.enterprise_id:
            db.add(
                Visit.plan(
                    derived_id("check", fact.complaint_id),
                    self._premises(db, fact.enterprise_id),
                    Purpose.COMPLAINT,
                    db.today,
                    urgent=True,
                    complaint_id=fact.complaint_id,
                )
            )

    # -- commands

    @on(DispatchPatrol)
    def dispatch(self, asked: DispatchPatrol, db: Work) -> PatrolDispatched:
        """Send a team out."""
        if asked.grid is not None and asked.grid not in self.rulebook.grids:
            raise NotAcceptable(errors=[at("grid", "is not a grid of the district")])
        db.add(Patrol.dispatch(asked))
        return PatrolDispatched(**asked.__dict__)

    @on(PlanVisit)
    def plan(self, asked: PlanVisit, db: Work) -> VisitPlanned:
        """Plan a patrol's visit by hand."""
        if asked.day < db.today:
            raise NotAcceptable(errors=[at("day", f"lies before today, {db.today}")])
        premises = self._premises(db, asked.enterprise_id)
        visit = Visit.plan(asked.visit_id, premises, Purpose.PATROL, asked.day, urgent=asked.urgent)
        db.add(visit)
        planned: VisitPlanned = db.outgoing[-1].fact
        return planned

    @on(RecordVisit)
    def record(self, asked: RecordVisit, db: Work) -> VisitRecorded:
        """Record a visit, planned or not; what follows from its findings are reactions."""
        premises = self._premises(db, asked.enterprise_id)
        errors = [
            at(f"findings/{n}/rule", "is not a rule of the checklist")
            for n, finding in enumerate(asked.findings)
            if finding.rule not in self.rulebook.rules
        ] + [
            at(f"findings/{n}/on_record", "is for issues that were rectified on the spot")
            for n, finding in enumerate(asked.findings)
            if finding.on_record and not finding.rectified_on_the_spot
        ]
        if errors:
            raise NotAcceptable(errors=errors)
        visit: Visit | None = db.get(Visit, asked.visit_id)
        if visit is None:
            visit = Visit.unplanned(asked.visit_id, premises, Purpose.PATROL)
        elif visit.enterprise_id != asked.enterprise_id:
            raise NotAcceptable(errors=[at("enterprise_id", "is not the one that is visited")])
        fact = visit.carry_out(asked, db.today)
        db.add(visit)
        return fact

    @on(SignVisit)
    def sign(self, asked: SignVisit, db: Work) -> object:
        """Let an agency sign its part of a visit."""
        return self._get(db, Visit, asked.visit_id).sign(asked)

    @on(Reinspect)
    def reinspect(self, asked: Reinspect, db: Work) -> VisitRecorded:
        """Look again at what a notice leaves open, and at nothing else."""
        notice = self._get(db, Notice, asked.notice_id)
        notice.must_be_open()
        premises = self._premises(db, asked.enterprise_id)
        visit = Visit.unplanned(asked.visit_id, premises, Purpose.REINSPECTION)
        visited = RecordVisit(
            visit_id=asked.visit_id, enterprise_id=asked.enterprise_id, day=asked.day
        )
        fact = visit.carry_out(visited, db.today, notice.id)
        db.add(visit)
        if asked.rectified:
            self._get(db, Issue, notice.issue_id).rectify(asked.day)
            notice.satisfy(asked.day)
        return fact

    @on(ExtendNotice)
    def extend(self, asked: ExtendNotice, db: Work) -> object:
        """Give a notice a later day."""
        return self._get(db, Notice, asked.notice_id).extend(asked, db.today)

    @on(OrderClosure)
    def order_closure(self, asked: OrderClosure, db: Work) -> object:
        """Order an enterprise closed by hand."""
        reason = Words(zh=asked.reason, en=asked.reason)
        premises = self._premises(db, asked.enterprise_id)
        db.add(Closure.order(asked.closure_id, premises, Grounds.ORDER, reason, db.today))
        return db.outgoing[-1].fact

    @on(LiftClosure)
    def lift_closure(self, asked: LiftClosure, db: Work) -> object:
        """Lift a closure."""
        premises = self._premises(db, asked.enterprise_id)
        return self._get(db, Closure, asked.closure_id).lift(premises, asked.reason, db.today)

    @on(PressNotice)
    def press(self, asked: PressNotice, db: Work) -> None:
        """Press for a notice that has passed its day, unless something has come between."""
        notice = self._get(db, Notice, asked.notice_id)
        if not notice.is_open or (notice.level, notice.due_on) != (asked.level, asked.due_on):
            return
        book = self.rulebook
        if notice.press(book.supervision_days, book.presses, db.today):
            self._close(
                db,
                notice.enterprise_id,
                Grounds.OVERDUE_NOTICE,
                book.say("Notice overdue: %(point)s", point=notice.words.words),
                notice_id=notice.id,
                issue_id=notice.issue_id,
            )

    # -- what a visit leads to

    @on(VisitRecorded)
    def name_issues(self, fact: VisitRecorded, db: Work) -> None:
        """Name each fault; a grave one that still stands closes the enterprise at once."""
        for number, finding in enumerate(fact.findings):
            rule = self.rulebook.rules[finding.rule]
            found = IssueFound(
                issue_id=Id(derived_id("issue", fact.visit_id, number)),
                enterprise_id=fact.enterprise_id,
                visit_id=fact.visit_id,
                point=rule.point,
                severity=Severity(rule.severity),
                checklist_version=self.rulebook.checklist_version,
                found_on=fact.day,
                rectified_on_the_spot=finding.rectified_on_the_spot,
                on_record=finding.on_record,
                remark=finding.remark,
            )
            db.add(Issue.find(found))
            if found.severity is Severity.GRAVE and not found.rectified_on_the_spot:
                self._close(
                    db,
                    fact.enterprise_id,
                    Grounds.GRAVE_ISSUE,
                    self.rulebook.say("Grave issue: %(point)s", point=rule.point.words),
                    issue_id=found.issue_id,
                )

    @on(VisitRecorded)
    def conclude_review(self, fact: VisitRecorded, db: Work) -> None:
        """Say how an on-site review ended: passed if nothing that it found still stands."""
        if fact.purpose is not Purpose.REVIEW or fact.filing_id is None:
            return
        standing = [
            self.rulebook.rules[finding.rule].point
            for finding in fact.findings
            if not finding.rectified_on_the_spot
        ]
        about = {
            "enterprise_id": fact.enterprise_id,
            "filing_id": fact.filing_id,
            "visit_id": fact.visit_id,
        }
        if standing:
            db.record(OnsiteReviewFailed(**about, reasons=standing))
        else:
            db.record(OnsiteReviewPassed(**about))

    @on(VisitRecorded)
    def conclude_check(self, fact: VisitRecorded, db: Work) -> None:
        """Say what was found of a complaint: any finding substantiates it."""
        if fact.complaint_id is None:
            return
        db.record(
            ComplaintChecked(
                complaint_id=Key(fact.complaint_id),
                enterprise_id=Id(fact.enterprise_id),
                visit_id=fact.visit_id,
                substantiated=bool(fact.findings),
                points=[self.rulebook.rules[finding.rule].point for finding in fact.findings],
                checked_on=fact.day,
            )
        )

    @on(IssueFound)
    def issue_notice(self, fact: IssueFound, db: Work) -> None:
        """Issue a notice with a deadline by severity, unless the issue was rectified on the spot
        and nobody asked to put it on record."""
        if not fact.rectified_on_the_spot or fact.on_record:
            db.add(Notice.issue(fact, self.rulebook.notice_days(fact.severity)))

    # -- time

    def due(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find open notices past their day, the oldest first, whoever they belong to."""
        query = select(Notice.enterprise_id, Notice.id, Notice.level, Notice.due_on).where(
            Notice.state == NoticeState.OPEN, Notice.due_on < db.today
        )
        query = page_of(query, Notice.due_on, Notice.id, after, most)
        return [
            Due(
                [due.isoformat(), notice],
                PressNotice(
                    notice_id=Id(notice), enterprise_id=Key(enterprise), level=level, due_on=due
                ),
            )
            for enterprise, notice, level, due in db.execute(query)
        ]

    # -- helpers

    def _close(
        self, db: Work, enterprise_id: str, grounds: Grounds, reason: Words,
        *, issue_id: str | None = None, notice_id: str | None = None,
    ) -> None:  # fmt: skip
        premises = self._premises(db, enterprise_id)
        if premises.closure_id is None:
            closure_id = derived_id("closure", issue_id, notice_id)
            db.add(
                Closure.order(
                    closure_id,
                    premises,
                    grounds,
                    reason,
                    db.today,
                    issue_id=issue_id,
                    notice_id=notice_id,
                )
            )

    def _premises(self, db: Work, enterprise_id: str) -> Premises:
        """Find an enterprise; it may be that filing's word of it has not arrived."""
        found: Premises | None = db.get(Premises, enterprise_id)
        if found is None:
            raise NotYet(enterprise_id)
        return found

    def _get(self, db: Work, kind: type[Kind], identity: str) -> Kind:
        found = db.get(kind, identity)
        if found is None:
            raise NotFound(f"There is no {kind.__name__.lower()} {identity}.")
        return found
