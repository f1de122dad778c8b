"""Handlers of patrol plans: the enterprises that the officers of a grid visit on a day, with
reasons."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from heapq import nsmallest
from typing import NamedTuple

from sqlalchemy import select

from chassis.errors import at
from chassis.service import on
from contracts.inspection import DrawPatrolPlan, Factor, PatrolPlanDrawn, Stop, Why
from contracts.shapes import Id
from rulebook import Rulebook, rules_of
from rulebook.chapters.risk import Assessment, Record
from services.inspection.batch import Uow
from services.inspection.model import NotAcceptable, PatrolPlan, Premises, Visit, VisitState
from services.inspection.model.visits import named


class _Case(NamedTuple):
    """Premises that may come on a plan; cases sort in the order of the visits."""

    rank: int
    day: date
    less_risk: float
    enterprise_id: str
    visit_id: str
    record: Record
    assessed: Assessment


ORDER = (Why.URGENT, Why.OVERDUE, Why.DUE, Why.RISK)


@on(DrawPatrolPlan)
def draw_plan(command: DrawPatrolPlan, uow: Uow) -> PatrolPlanDrawn:
    """Draw a day's plan: due visits first, urgent and overdue before others, then open premises by
    risk that were not visited that day, up to the officers' capacity. Closed premises, and those on
    another plan of the day, are left out."""
    faults = named("officers", command.officers)
    if command.grid not in rules_of(uow).grids:
        faults.append(at("grid", "is not a grid of the district"))
    if command.day < uow.today:
        faults.append(at("day", f"lies before today, {uow.today}"))
    if faults:
        raise NotAcceptable(errors=faults)
    book, taken = uow.state.rulebook.on(command.day), _on_plans(uow, command)
    due = _due(uow, command, book, taken)
    taken |= {case.enterprise_id for case in due}
    capacity = book.visits_of(len(command.officers))
    cases = sorted(due)[:capacity]
    cases += nsmallest(capacity - len(cases), _at_risk(uow, command, book, taken))
    plan = PatrolPlan.draw(
        command,
        [_stop(case, book) for case in cases],
        capacity=capacity,
        left_out=max(len(due) - capacity, 0),
        rules_version=book.version,
    )
    drawn: PatrolPlanDrawn = uow.add_new(plan)
    return drawn


def _on_plans(uow: Uow, command: DrawPatrolPlan) -> set[str]:
    """Return the enterprises on another plan of that day."""
    query = select(PatrolPlan.enterprises).where(
        PatrolPlan.grid == command.grid, PatrolPlan.day == command.day
    )
    return {enterprise for plan in uow.scalars(query) for enterprise in plan}


def _due(uow: Uow, command: DrawPatrolPlan, book: Rulebook, taken: set[str]) -> list[_Case]:
    """Return the visits due by that day, one for each of the premises not closed."""
    query = (
        select(Visit, Premises)
        .join(Premises, Premises.enterprise_id == Visit.enterprise_id)
        .where(
            Visit.grid == command.grid,
            Visit.state == VisitState.PLANNED,
            Visit.day <= command.day,
            Premises.closure_id.is_(None),
        )
    )
    cases: dict[str, _Case] = {}
    for visit, premises in uow.execute(query):
        if premises.enterprise_id in taken:
            continue
        why = (
            Why.URGENT if visit.urgent else Why.OVERDUE if visit.day < command.day else Why.DUE
        )  # fmt: skip
        case = _case(why, visit.day, visit.id, premises, book, command.day)
        other = cases.get(premises.enterprise_id)
        cases[premises.enterprise_id] = min(case, other) if other else case
    return [*cases.values()]


def _at_risk(uow: Uow, command: DrawPatrolPlan, book: Rulebook, taken: set[str]) -> Iterable[_Case]:
    """Return the open premises of the grid that were not visited that day, with their risk."""
    query = select(Premises).where(
        Premises.grid == command.grid, Premises.is_open, Premises.closure_id.is_(None)
    )
    return (
        _case(Why.RISK, command.day, "", premises, book, command.day)
        for premises in uow.scalars(query)
        if premises.visited_on != command.day and premises.enterprise_id not in taken
    )


def _case(
    why: Why, due: date, visit_id: str, premises: Premises, book: Rulebook, day: date
) -> _Case:
    record = premises.record
    assessed = book.risk.assess(record, day)
    return _Case(
        ORDER.index(why), due, -assessed.risk, premises.enterprise_id, visit_id, record, assessed
    )


def _stop(case: _Case, book: Rulebook) -> Stop:
    return Stop(
        enterprise_id=Id(case.enterprise_id),
        why=ORDER[case.rank],
        risk=case.assessed.risk,
        factors=factors(case.record, case.assessed, book),
        visit_id=Id(case.visit_id) if case.visit_id else None,
    )


def factors(record: Record, assessed: Assessment, book: Rulebook) -> list[Factor]:
    """Return the three factors of a risk with their explanations."""
    last = max((day for day, _ in record.visits), default=None)
    impact = book.say(
        "%(premises)s, size %(size)s, %(others)s of %(staff)s staff from other provinces",
        premises=book.premises[record.premises].point,
        size=book.risk.sizes[record.size].point if record.size in book.risk.sizes else "-",
        others=record.out_of_province,
        staff=record.staff,
    )
    probability = book.say(
        "%(points)s points: %(violations)s violations in %(visits)s visits, %(complaints)s "
        "complaints found true",
        points=f"{assessed.points:g}",
        violations=sum(violations for _, violations in record.visits),
        visits=len(record.visits),
        complaints=len(record.complaints),
    )
    if last is None:
        detectability = book.say("Not visited yet")
    else:
        detectability = book.say(
            "Last visited on %(day)s, %(days)s days before", day=last, days=assessed.unseen
        )
    return [
        Factor(code="impact", value=assessed.impact, words=impact),
        Factor(code="probability", value=float(assessed.probability), words=probability),
        Factor(code="detectability", value=float(assessed.detectability), words=detectability),
    ]
