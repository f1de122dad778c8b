"""Handlers of complaint checks: planned once the enterprise is known, cancelled when no longer
needed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from chassis.ids import derived_id
from chassis.message import Message
from chassis.service import on
from contracts.complaints import (
    ComplaintAnswered,
    ComplaintClosed,
    ComplaintMatched,
    ComplaintReceived,
    ComplaintReferred,
    ComplaintRefused,
    ComplaintReopened,
    ComplaintUnmatched,
)
from contracts.inspection import Purpose
from rulebook import rules_of
from services.inspection.batch import Uow
from services.inspection.handlers.premises import premises_of
from services.inspection.handlers.visits import cancellation
from services.inspection.model import Visit, VisitState

ENDS = (ComplaintAnswered, ComplaintRefused, ComplaintReferred, ComplaintClosed, ComplaintUnmatched)
"""Events after which a complaint needs no check of the enterprise."""


def load_checks(messages: Iterable[Message], uow: Uow) -> None:
    """Load the planned checks of complaints that no longer need one, in one query."""
    ended = {
        message.payload.complaint_id for message in messages if isinstance(message.payload, ENDS)
    }
    checks: dict[str | None, list[Visit]] = {}
    if ended:
        query = select(Visit).where(
            Visit.complaint_id.in_(ended), Visit.state == VisitState.PLANNED
        )
        for visit in uow.scalars(query.order_by(Visit.id)):
            checks.setdefault(visit.complaint_id, []).append(visit)
    uow.state.checks = checks


@on(ComplaintReceived)
def plan_check(event: ComplaintReceived, uow: Uow) -> None:
    """Plan an urgent check of an enterprise on record; a described one cannot be visited."""
    _check(event, derived_id("check", event.complaint_id), uow)


@on(ComplaintMatched)
def plan_check_of_match(event: ComplaintMatched, uow: Uow) -> None:
    """Plan the check once the enterprise of a complaint is known."""
    _check(event, derived_id("check", event.complaint_id, "matched", event.matching), uow)


@on(ComplaintReopened)
def plan_check_again(event: ComplaintReopened, uow: Uow) -> None:
    """Plan another check of a reopened complaint."""
    _check(event, derived_id("check", event.complaint_id, "reopened", event.reopening), uow)


def _check(
    event: ComplaintReceived | ComplaintMatched | ComplaintReopened, visit_id: str, uow: Uow
) -> None:
    if event.enterprise_id:
        visit = Visit.plan(
            visit_id,
            premises_of(uow, event.enterprise_id),
            Purpose.COMPLAINT,
            uow.today,
            urgent=True,
            complaint_id=event.complaint_id,
        )
        uow.add(visit)
        uow.state.checks.setdefault(event.complaint_id, []).append(visit)


@on(*ENDS)
def drop_check(
    event: ComplaintAnswered
    | ComplaintRefused
    | ComplaintReferred
    | ComplaintClosed
    | ComplaintUnmatched,
    uow: Uow,
) -> None:
    """Order the cancellation of a check that a complaint no longer needs. The command has the
    enterprise's key, as the visit may still be on its way under it."""
    for visit in uow.state.checks.get(event.complaint_id, ()):
        if visit.is_planned:
            words = rules_of(uow).say("The complaint needs no check any more.")
            uow.record(cancellation(visit, words.zh))
