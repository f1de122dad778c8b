"""Handlers of patrols and visits, from the plan to the signature."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import select

from chassis.errors import at
from chassis.ids import derived_id
from chassis.message import Message
from chassis.service import on
from contracts.filing import (
    EnterpriseReopened,
    FilingReturned,
    FilingWithdrawn,
    OnsiteReviewRequested,
)
from contracts.inspection import (
    CancelVisit,
    DispatchPatrol,
    PartRecorded,
    PatrolDispatched,
    PlanVisit,
    Purpose,
    RecordPart,
    RecordVisit,
    ReplanVisit,
    SignVisit,
    VisitCancelled,
    VisitPlanned,
    VisitRecorded,
    VisitReplanned,
    VisitSigned,
    VisitWarning,
)
from contracts.message import RULE
from contracts.shapes import Id, Key
from rulebook import rules_of
from services.inspection.batch import Uow
from services.inspection.handlers.premises import premises_of
from services.inspection.judging import judge
from services.inspection.model import NotAcceptable, Patrol, Visit, VisitState
from services.inspection.model.visits import named

PLANS = (PlanVisit, RecordVisit, ReplanVisit)
"""Commands that may send a second team to the same premises on the same day."""
DECIDED = (EnterpriseReopened, FilingReturned, FilingWithdrawn)
"""Events after which a filing needs no review."""


def load_visits(messages: Iterable[Message], uow: Uow) -> None:
    """Load the visits on the days for which the batch plans or records visits, and the planned
    reviews of filings that the batch decides."""
    messages, state = [*messages], uow.state
    state.of_day, state.reviews = [], {}
    commands = [message.payload for message in messages if isinstance(message.payload, PLANS)]
    if commands:
        query = select(Visit).where(
            Visit.enterprise_id.in_({each.enterprise_id for each in commands}),
            Visit.day.in_({each.day for each in commands}),
        )
        state.of_day += uow.scalars(query)
    decided = [message.payload for message in messages if isinstance(message.payload, DECIDED)]
    if decided:
        query = select(Visit).where(
            Visit.id.in_({derived_id("review", each.filing_id) for each in decided}),
            Visit.state == VisitState.PLANNED,
        )
        state.reviews = {visit.id: visit for visit in uow.scalars(query)}


def _warnings(uow: Uow, command: PlanVisit | RecordVisit | ReplanVisit) -> list[VisitWarning]:
    """Return a warning for each other visit to the same premises on the same day, by any agency."""
    others = sorted(
        (
            visit
            for visit in uow.state.of_day
            if (visit.enterprise_id, visit.day) == (command.enterprise_id, command.day)
            and visit.id != command.visit_id
            and visit.state != VisitState.CANCELLED
        ),
        key=lambda visit: visit.id,
    )
    return [
        VisitWarning(
            code=f"other-visit-{visit.state}",
            words=rules_of(uow).say(
                "Another visit to these premises is planned for %(day)s."
                if visit.is_planned
                else "These premises were visited on %(day)s already.",
                day=command.day,
            ),
            visit_id=Id(visit.id),
            agencies=visit.agencies,
        )
        for visit in others
    ]


# -- reactions to filing


@on(OnsiteReviewRequested)
def plan_review(event: OnsiteReviewRequested, uow: Uow) -> None:
    """Plan the on-site review that five-small premises need before opening."""
    visit = Visit.plan(
        derived_id("review", event.filing_id),
        premises_of(uow, event.enterprise_id),
        Purpose.REVIEW,
        uow.today,
        filing_id=event.filing_id,
    )
    uow.add(visit)
    uow.state.reviews[visit.id] = visit


@on(EnterpriseReopened)
def plan_first_patrol(event: EnterpriseReopened, uow: Uow) -> None:
    """Plan a first patrol if the trade's risk requires one."""
    days = rules_of(uow).patrol_within(event.premises)
    if days is not None:
        uow.add(
            Visit.plan(
                derived_id("first-patrol", event.filing_id),
                premises_of(uow, event.enterprise_id),
                Purpose.PATROL,
                event.reopened_on + timedelta(days=days),
            )
        )


@on(*DECIDED)
def drop_review(event: EnterpriseReopened | FilingReturned | FilingWithdrawn, uow: Uow) -> None:
    """Cancel the review that a withdrawn or decided filing no longer needs."""
    visit = uow.state.reviews.get(derived_id("review", event.filing_id))
    if visit is not None and visit.is_planned:
        words = rules_of(uow).say("The filing needs no on-site review any more.")
        visit.cancel(cancellation(visit, words.zh), by_rule=True)


def cancellation(visit: Visit, reason: str) -> CancelVisit:
    """Return the command by which the rules cancel a planned visit."""
    return CancelVisit(
        visit_id=Id(visit.id), enterprise_id=Key(visit.enterprise_id), reason=reason, by=RULE
    )


# -- commands


@on(DispatchPatrol)
def dispatch(command: DispatchPatrol, uow: Uow) -> PatrolDispatched:
    """Dispatch a patrol."""
    if command.grid is not None and command.grid not in rules_of(uow).grids:
        raise NotAcceptable(errors=[at("grid", "is not a grid of the district")])
    dispatched: PatrolDispatched = uow.add_new(Patrol.dispatch(command))
    return dispatched


@on(PlanVisit)
def plan(command: PlanVisit, uow: Uow) -> VisitPlanned:
    """Plan a patrol's visit by hand."""
    faults = named("agencies", command.agencies, 2 if command.joint else 0)
    if command.day < uow.today:
        faults.append(at("day", f"lies before today, {uow.today}"))
    if faults:
        raise NotAcceptable(errors=faults)
    premises = premises_of(uow, command.enterprise_id)
    visit = Visit.plan_by_hand(command, premises, _warnings(uow, command))
    planned: VisitPlanned = uow.add_new(visit)
    uow.state.of_day.append(visit)
    return planned


@on(ReplanVisit)
def replan(command: ReplanVisit, uow: Uow) -> VisitReplanned:
    """Move a planned visit to another day."""
    visit = uow.require(Visit, command.visit_id, seen_by=command)
    replanned = visit.replan(command, uow.today, _warnings(uow, command))
    uow.state.of_day.append(visit)
    return replanned


@on(CancelVisit)
def cancel(command: CancelVisit, uow: Uow) -> VisitCancelled:
    """Cancel a planned visit."""
    visit = uow.require(Visit, command.visit_id, seen_by=command)
    return visit.cancel(command, by_rule=uow.message.envelope.source == uow.source)


@on(RecordVisit)
def record(command: RecordVisit, uow: Uow) -> VisitRecorded:
    """Record a visit, planned or not; its consequences are reactions. A repeat by a device changes
    nothing and gets the same result."""
    premises = premises_of(uow, command.enterprise_id)
    visit = uow.get(Visit, command.visit_id)
    if visit is None:
        visit = Visit.unplanned(command.visit_id, premises, Purpose.PATROL)
    elif visit.enterprise_id != command.enterprise_id:
        raise NotAcceptable(errors=[at("enterprise_id", "is not the enterprise of the visit")])
    elif before := visit.sent_before(command):
        return before
    else:
        visit.as_seen(command)
        visit.must_be_planned()
    checklist, findings = judge(
        command, premises, uow.state.rulebook, command.day, visit.faults(command, uow.today)
    )
    recorded = visit.carry_out(
        command,
        uow.today,
        findings=findings,
        checklist_version=checklist.version,
        warnings=_warnings(uow, command),
    )
    uow.add(visit)
    uow.state.of_day.append(visit)
    return recorded


@on(RecordPart)
def record_part(command: RecordPart, uow: Uow) -> PartRecorded:
    """Record what one agency of a joint visit found."""
    visit = uow.require(Visit, command.visit_id, seen_by=command)
    visit.must_take_part(command.agency)
    premises = premises_of(uow, command.enterprise_id)
    checklist, findings = judge(command, premises, uow.state.rulebook, visit.day)
    return visit.add_part(command, findings, checklist.version)


@on(SignVisit)
def sign(command: SignVisit, uow: Uow) -> VisitSigned:
    """Record that an agency has signed its part of a visit."""
    visit = uow.require(Visit, command.visit_id, seen_by=command)
    return visit.sign(command)
