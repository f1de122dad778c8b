"""The patrol plan: who is visited on a day, in what order, and why."""

import pytest

from contracts.filing.events import RosterReported
from contracts.inspection.commands import DrawPatrolPlan, LiftClosure, PlanVisit
from contracts.inspection.events import ClosureOrdered, PatrolPlanDrawn, VisitPlanned
from contracts.inspection.types import Why
from rulebook import Rulebook
from services.inspection.service import Inspection
from tests.service.sayings import (
    GRID,
    TODAY,
    after,
    complained,
    faults,
    only,
    registered,
    reopened,
    types,
    visit,
)

BOOK = Rulebook.load()


def plan(visit="visit", shop="shop", **more):
    return PlanVisit(**{"visit_id": visit, "enterprise_id": shop, "day": TODAY} | more)


def draw(plan="plan", officers=("A",), day=TODAY, **more):
    said = {"plan_id": plan, "grid": GRID, "day": day, "officers": [*officers]}
    return DrawPatrolPlan(**said | more)


def stops(said):
    return [(stop.enterprise_id, stop.why) for stop in only(PatrolPlanDrawn, said).stops]


@pytest.fixture
def grid(given):
    """Six open offices in a grid; what is planned for some, and on record of others."""
    names = ["a", "b", "c", "d", "e", "f"]
    story = given(Inspection)
    story.facts(*(registered(name) for name in names), *(reopened(name) for name in names))
    return story


def test_visits_that_are_due_come_first_the_urgent_and_the_overdue_before_the_others(grid):
    grid.facts(plan("v1", "f", day=after(3)), plan("v2", "e", day=after(2)))
    grid.facts(plan("v3", "d", day=after(3), urgent=True), plan("v4", "c", day=after(9)))
    said = grid.when(draw(officers="AB", day=after(3)))
    assert stops(said)[:3] == [("d", Why.URGENT), ("e", Why.OVERDUE), ("f", Why.DUE)]
    assert stops(said)[3:] == [("a", Why.RISK), ("b", Why.RISK), ("c", Why.RISK)]
    assert [stop.visit_id for stop in only(PatrolPlanDrawn, said).stops[:3]] == ["v3", "v2", "v1"]


def test_premises_where_more_was_found_or_that_nobody_has_seen_come_before_others(grid):
    far = after(-30)
    grid.on(TODAY)
    grid.facts(
        visit("dine_in", "gathering", shop="c", visit="1", day=far),
        visit(shop="a", visit="2", day=after(-1)),
        visit("dine_in", shop="b", visit="3", day=after(-8)),
    )
    drawn = only(PatrolPlanDrawn, grid.when(draw(officers="AB")))
    assert [stop.enterprise_id for stop in drawn.stops] == ["c", "d", "e", "f", "b", "a"]
    risks = [stop.risk for stop in drawn.stops]
    assert risks == sorted(risks, reverse=True)
    assert drawn.rules_version == BOOK.on(TODAY).version


def test_a_complaint_found_true_raises_the_risk(grid):
    shown = grid.when(complained(enterprise_id="f"))
    grid.facts(visit("dine_in", shop="f", visit=only(VisitPlanned, shown).visit_id))
    grid.facts(visit("dine_in", shop="e", visit="e"))
    grid.on(after(1))
    by_name = {
        stop.enterprise_id: stop
        for stop in only(PatrolPlanDrawn, grid.when(draw(officers="AB", day=after(1)))).stops
    }
    assert by_name["f"].risk > by_name["e"].risk


def roster(day, *, on_duty, out_of_province):
    counted = {"staff": on_duty, "on_duty": on_duty, "out_of_province": out_of_province, "unfit": 0}
    return RosterReported(enterprise_id="a", roster_id=f"roster-{day}", day=day, **counted)


def test_a_risk_says_what_made_each_factor(grid):
    grid.facts(
        roster(TODAY, on_duty=10, out_of_province=6),
        roster(after(-1), on_duty=3, out_of_province=0),
        visit("dine_in", shop="a", visit="1", day=after(-8)),
    )
    (stop,) = (s for s in only(PatrolPlanDrawn, grid.when(draw(officers="AB"))).stops
               if s.enterprise_id == "a")  # fmt: skip
    impact, probability, detectability = stop.factors
    assert [(f.code, f.value) for f in stop.factors] == [
        ("impact", 2.0),  # an office 1, micro 1, more than half from other provinces 4
        ("probability", 2.0),  # 10 points
        ("detectability", 2.0),  # eight days
    ]
    assert stop.risk == 2.0
    assert "6 of 10" in impact.words.en
    assert "省外6人" in impact.words.zh
    assert probability.words.en.startswith("10 points: 1 violations in 1 visits")
    assert detectability.words.en == "Last visited on 2020-02-02, 8 days before"


def test_a_plan_keeps_within_what_its_officers_can_visit(grid):
    grid.facts(*(plan(f"v{n}", name) for n, name in enumerate("abcd")))
    drawn = only(PatrolPlanDrawn, grid.when(draw()))
    assert (drawn.capacity, len(drawn.stops), drawn.left_out) == (3, 3, 1)


def test_two_plans_of_a_day_send_nobody_to_the_same_premises(grid):
    first = {name for name, _ in stops(grid.when(draw("p1")))}
    second = {name for name, _ in stops(grid.when(draw("p2")))}
    assert first | second == {*"abcdef"}
    assert stops(grid.when(draw("p3"))) == []
    assert len(stops(grid.when(draw("p4", day=after(1))))) == 3


def test_closed_premises_and_those_seen_that_day_are_on_no_plan(grid):
    grid.facts(visit("opened_without_approval", shop="a", visit="1", day=after(-1)))
    grid.facts(visit(shop="b", visit="2"))
    assert {name for name, _ in stops(grid.when(draw(officers="AB")))} == {*"cdef"}


def test_a_visit_that_is_due_waits_while_its_premises_are_closed(grid):
    """Those seen that day come again where a visit of theirs is due."""
    grid.facts(plan("v1", "a"), plan("v2", "b", urgent=True), plan("v3", "c"))
    said = grid.when(*(visit("opened_without_approval", shop=name, visit=name) for name in "ab"))
    assert types(said).count("closure-ordered") == 2
    grid.facts(visit(shop="c", visit="c"))
    assert stops(grid.when(draw("p1", officers="AB"))) == [
        ("c", Why.DUE), ("d", Why.RISK), ("e", Why.RISK), ("f", Why.RISK),
    ]  # fmt: skip
    closure = next(fact for fact in said if isinstance(fact, ClosureOrdered))
    lifting = {"closure_id": closure.closure_id, "enterprise_id": "a", "approver": "head"}
    grid.facts(LiftClosure(**lifting, reason="已整改"))
    assert stops(grid.when(draw("p2"))) == [("a", Why.DUE)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"officers": []}, "officers"),
        ({"officers": "AA"}, "officers"),
        ({"grid": "nowhere"}, "grid"),
        ({"day": after(-1)}, "day"),
    ],
)
def test_a_plan_is_for_somebody_in_a_grid_on_a_day_to_come(grid, wrong, field):
    assert faults(grid.when(draw(**wrong))) == [field]
