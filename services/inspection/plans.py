"""The patrol plan: whom the officers of a grid are to visit on a day, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from heapq import nsmallest
from typing import NamedTuple

from sqlalchemy import select

from chassis.errors import at
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.inspection import DrawPatrolPlan, Factor, PatrolPlanDrawn, Stop, Why
from contracts.shapes import Id
from rulebook import FollowsRules, Rulebook
from rulebook.chapters.risk import Assessment, Record
from services.inspection.model import NotAcceptable, PatrolPlan, Premises, Visit, VisitState
from services.inspection.model.visits import named


class _Case(NamedTuple):
    """Premises that may come on a plan; cases sort as they are to be visited."""

    rank: int
    day: date
    less_risk: float
    enterprise_id: str
    visit_id: str
    record: Record
    assessed: Assessment


ORDER = (Why.URGENT, Why.OVERDUE, Why.DUE, Why.RISK)


class DrawsPlans(FollowsRules):
    """Mixed into inspection: sends officers where they are needed most."""

    @on(DrawPatrolPlan)
    def draw_plan(self, asked: DrawPatrolPlan, db: Work) -> PatrolPlanDrawn:
        """Draw up a day's plan: visits that are due first, the urgent and the overdue before the
        others, then open premises by risk that nobody has seen that day; as many as the officers
        can visit. Premises on another plan of the day, or closed, are left out."""
        faults = named("officers", asked.officers)
        if asked.grid not in self.rules(db).grids:
            faults.append(at("grid", "is not a grid of the district"))
        if asked.day < db.today:
            faults.append(at("day", f"lies before today, {db.today}"))
        if faults:
            raise NotAcceptable(errors=faults)
        book, taken = self.rulebook.on(asked.day), _on_plans(db, asked)
        due = _due(db, asked, book, taken)
        taken |= {case.enterprise_id for case in due}
        capacity = book.visits_of(len(asked.officers))
        cases = sorted(due)[:capacity]
        cases += nsmallest(capacity - len(cases), _at_risk(db, asked, book, taken))
        plan = PatrolPlan.draw(
            asked,
            [_stop(case, book) for case in cases],
            capacity=capacity,
            left_out=max(len(due) - capacity, 0),
            rules_version=book.version,
        )
        db.add(plan)
        drawn: PatrolPlanDrawn = db.outgoing[-1].fact
        return drawn


def _on_plans(db: Work, asked: DrawPatrolPlan) -> set[str]:
    """Name those who are on another plan of that day."""
    query = select(PatrolPlan.enterprises).where(
        PatrolPlan.grid == asked.grid, PatrolPlan.day == asked.day
    )
    return {enterprise for plan in db.scalars(query) for enterprise in plan}


def _due(db: Work, asked: DrawPatrolPlan, book: Rulebook, taken: set[str]) -> list[_Case]:
    """Find the visits that are to be made by that day, one for each of the premises not closed."""
    query = (
        select(Visit, Premises)
        .join(Premises, Premises.enterprise_id == Visit.enterprise_id)
        .where(
            Visit.grid == asked.grid,
            Visit.state == VisitState.PLANNED,
            Visit.day <= asked.day,
            Premises.closure_id.is_(None),
        )
    )
    cases: dict[str, _Case] = {}
    for visit, premises in db.execute(query):
        if premises.enterprise_id in taken:
            continue
        why = (
            Why.URGENT if visit.urgent else Why.OVERDUE if visit.day < asked.day else Why.DUE
        )  # fmt: skip
        case = _case(why, visit.day, visit.id, premises, book, asked.day)
        other = cases.get(premises.enterprise_id)
        cases[premises.enterprise_id] = min(case, other) if other else case
    return [*cases.values()]


def _at_risk(db: Work, asked: DrawPatrolPlan, book: Rulebook, taken: set[str]) -> Iterable[_Case]:
    """Assess the open premises of the grid that nobody has seen that day."""
    query = select(Premises).where(
        Premises.grid == asked.grid, Premises.is_open, Premises.closure_id.is_(None)
    )
    return (
        _case(Why.RISK, asked.day, "", premises, book, asked.day)
        for premises in db.scalars(query)
        if premises.visited_on != asked.day and premises.enterprise_id not in taken
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
    """Give the three factors of a risk, and say what made each."""
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
