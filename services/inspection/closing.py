"""Closures: ordered by hand, by a grave issue or by a lapse, and lifted when nothing stands."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from chassis.ids import derived_id
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.inspection import (
    Grounds,
    LiftClosure,
    OrderClosure,
    Purpose,
    RecordVisit,
    Reinspect,
    ReinspectClosure,
    VisitRecorded,
)
from contracts.shapes import Words
from rulebook import FollowsRules
from services.inspection.finding import premises_of, seen
from services.inspection.model import Closure, Issue, IssueState, Notice, Premises, Visit
from services.inspection.numbers import enter


class ClosesPremises(FollowsRules):
    """Mixed into inspection: closes enterprises, and lets them file again."""

    @on(OrderClosure)
    def order_closure(self, asked: OrderClosure, db: Work) -> object:
        """Order an enterprise closed by hand."""
        reason = Words(zh=asked.reason, en=asked.reason)
        premises = premises_of(db, asked.enterprise_id)
        said = len(db.outgoing)
        enter(db, Closure.order(asked.closure_id, premises, Grounds.ORDER, reason, db.today))
        return db.outgoing[said].fact

    @on(ReinspectClosure)
    def reinspect_closure(self, asked: ReinspectClosure, db: Work) -> VisitRecorded:
        """Look again at all that is open at a closed enterprise: what no longer stands is put
        right, and so are the notices that still wait for it."""
        closure = seen(db, Closure, asked.closure_id, asked)
        issues = open_issues(db, asked.enterprise_id)
        closure.must_allow(asked, issues)
        fact = look_again(asked, db)
        done = issues.keys() - asked.standing
        for issue_id in sorted(done):
            issues[issue_id].rectify(asked.day)
        for notice in notices_of(db, asked.enterprise_id):
            if notice.is_open and notice.issue_id in done:
                notice.satisfy(asked.day)
        closure.reinspect(asked)
        return fact

    @on(LiftClosure)
    def lift_closure(self, asked: LiftClosure, db: Work) -> object:
        """Lift a closure."""
        premises = premises_of(db, asked.enterprise_id)
        closure = seen(db, Closure, asked.closure_id, asked)
        rule, standing = self.rules(db).extension, open_issues(db, asked.enterprise_id)
        return closure.lift(asked, premises, rule, db.today, standing=standing)


def close(
    db: Work, enterprise_id: str, grounds: Grounds, reason: Words,
    *, issue_id: str | None = None, notice_id: str | None = None,
) -> None:  # fmt: skip
    """Order premises closed, unless they are closed already."""
    premises: Premises = premises_of(db, enterprise_id)
    if premises.closure_id is None:
        closure_id = derived_id("closure", issue_id, notice_id)
        about = {"issue_id": issue_id, "notice_id": notice_id}
        enter(db, Closure.order(closure_id, premises, grounds, reason, db.today, **about))


def open_issues(db: Work, enterprise_id: str) -> dict[str, Issue]:
    """Find all that is open at an enterprise, by its identity."""
    query = select(Issue).where(
        Issue.enterprise_id == enterprise_id, Issue.state == IssueState.OPEN
    )
    return {issue.id: issue for issue in db.scalars(query)}


def notices_of(db: Work, enterprise_id: str) -> Sequence[Notice]:
    """Find every notice that an enterprise has had."""
    query = select(Notice).where(Notice.enterprise_id == enterprise_id)
    return db.scalars(query.order_by(Notice.id)).all()


def look_again(
    asked: Reinspect | ReinspectClosure, db: Work, notice_id: str | None = None
) -> VisitRecorded:
    """Record the visit of a re-inspection."""
    premises = premises_of(db, asked.enterprise_id)
    visit = Visit.unplanned(asked.visit_id, premises, Purpose.REINSPECTION)
    visited = RecordVisit(
        visit_id=asked.visit_id, enterprise_id=asked.enterprise_id, day=asked.day, by=asked.by
    )
    fact = visit.carry_out(visited, db.today, notice_id)
    db.add(visit)
    return fact
