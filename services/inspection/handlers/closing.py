"""Handlers of closures: ordered by hand, by a grave issue or by a missed deadline, and lifted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from chassis.ids import derived_id
from chassis.service import on
from contracts.inspection import (
    ClosureLifted,
    ClosureOrdered,
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
from rulebook import rules_of
from services.inspection.batch import Uow
from services.inspection.handlers.premises import premises_of
from services.inspection.model import Closure, Issue, IssueState, Notice, Visit
from services.inspection.numbers import enter


@on(OrderClosure)
def order_closure(command: OrderClosure, uow: Uow) -> ClosureOrdered:
    """Order the closure of an enterprise by hand."""
    reason = Words(zh=command.reason, en=command.reason)
    premises = premises_of(uow, command.enterprise_id)
    closure = Closure.order(command.closure_id, premises, Grounds.ORDER, reason, uow.today)
    ordered: ClosureOrdered = enter(uow, closure)
    return ordered


@on(ReinspectClosure)
def reinspect_closure(command: ReinspectClosure, uow: Uow) -> VisitRecorded:
    """Re-inspect all open issues of a closed enterprise: those that no longer stand are rectified,
    with their notices."""
    closure = uow.require(Closure, command.closure_id, seen_by=command)
    issues = open_issues(uow, command.enterprise_id)
    closure.must_allow(command, issues)
    recorded = look_again(command, uow)
    done = issues.keys() - command.standing
    for issue_id in sorted(done):
        issues[issue_id].rectify(command.day)
    for notice in notices_of(uow, command.enterprise_id):
        if notice.is_open and notice.issue_id in done:
            notice.satisfy(command.day)
    closure.reinspect(command)
    return recorded


@on(LiftClosure)
def lift_closure(command: LiftClosure, uow: Uow) -> ClosureLifted:
    """Lift a closure."""
    premises = premises_of(uow, command.enterprise_id)
    closure = uow.require(Closure, command.closure_id, seen_by=command)
    rule, standing = rules_of(uow).extension, open_issues(uow, command.enterprise_id)
    return closure.lift(command, premises, rule, uow.today, standing=standing)


def close(
    uow: Uow, enterprise_id: str, grounds: Grounds, reason: Words,
    *, issue_id: str | None = None, notice_id: str | None = None,
) -> None:  # fmt: skip
    """Order the closure of premises, unless they are closed already."""
    premises = premises_of(uow, enterprise_id)
    if premises.closure_id is None:
        closure_id = derived_id("closure", issue_id, notice_id)
        about = {"issue_id": issue_id, "notice_id": notice_id}
        enter(uow, Closure.order(closure_id, premises, grounds, reason, uow.today, **about))


def open_issues(uow: Uow, enterprise_id: str) -> dict[str, Issue]:
    """Return all open issues of an enterprise, by id."""
    query = select(Issue).where(
        Issue.enterprise_id == enterprise_id, Issue.state == IssueState.OPEN
    )
    return {issue.id: issue for issue in uow.scalars(query)}


def notices_of(uow: Uow, enterprise_id: str) -> Sequence[Notice]:
    """Return all notices of an enterprise."""
    query = select(Notice).where(Notice.enterprise_id == enterprise_id)
    return uow.scalars(query.order_by(Notice.id)).all()


def look_again(
    command: Reinspect | ReinspectClosure, uow: Uow, notice_id: str | None = None
) -> VisitRecorded:
    """Record the visit of a re-inspection."""
    premises = premises_of(uow, command.enterprise_id)
    visit = Visit.unplanned(command.visit_id, premises, Purpose.REINSPECTION)
    visited = RecordVisit(
        visit_id=command.visit_id,
        enterprise_id=command.enterprise_id,
        day=command.day,
        by=command.by,
    )
    recorded = visit.carry_out(visited, uow.today, notice_id)
    uow.add(visit)
    return recorded
