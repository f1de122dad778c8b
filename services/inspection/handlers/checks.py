"""Checks for complaints: planned when it is known whom one is against, cancelled when the complaint
needs none any more."""

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
    """Load by one query the checks that are planned for complaints that need none any more."""
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
    """Plan an urgent check of an enterprise on record; one only described cannot be visited."""
    _check(event, derived_id("check", event.complaint_id), uow)


@on(ComplaintMatched)
def plan_check_of_match(event: ComplaintMatched, uow: Uow) -> None:
    """Plan the check when it is known which enterprise a complaint is against."""
    _check(event, derived_id("check", event.complaint_id, "matched", event.matching), uow)


@on(ComplaintReopened)
def plan_check_again(event: ComplaintReopened, uow: Uow) -> None:
    """Plan another check when the caller has had the complaint reopened."""
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
    """Order the check to be cancelled that a complaint needs no more: it has ended, or is against
    another. The key is the enterprise, under which the visit may be on its way."""
    for visit in uow.state.checks.get(event.complaint_id, ()):
        if visit.is_planned:
            words = rules_of(uow).say("The complaint needs no check any more.")
            uow.record(cancellation(visit, words.zh))
