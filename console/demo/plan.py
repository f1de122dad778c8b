"""The Fengze month as a plan: filings, visits and findings, day by day.

The scale determines everything: synthetic enterprises, always the same, with the article's totals.
Most closures (關停違規經營戶) are of premises that opened without approval, some end the ladder
from notice to closure, a few are ordered by hand; the number of open enterprises allows for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import cycle, islice
from typing import Any

from console.demo.figures import scaled
from console.demo.synthetic import credit_code
from console.exits import UsageError

FIRST, LAST = date(2020, 2, 10), date(2020, 3, 6)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
GRIDS = [f"350503{n:03d}" for n in range(1, 9)]
FIVE_SMALL = ("restaurant", "food_shop", "supermarket", "barbershop", "pharmacy")
MEASURES = ("masks", "disinfectant", "thermometer", "isolation_room")
AGENCIES = ("market-regulation", "public-security", "health", "urban-management")
TEAM = 4
LADDER_DAYS = 12
"""Days from a finding to its closure: three to the deadline, two, one and one for the three
supervision slips, and the days on which each lapse is noticed."""


class Infeasible(UsageError):
    """The scale is too small for the figures to fit together."""


@dataclass
class Enterprise:
    """One synthetic enterprise, and its course through the month."""

    number: int
    kind: str
    size: str
    premises: str
    industry: str
    files_on: date | None = None
    reopens_on: date | None = None
    headcount: int = 0
    out_of_province: int = 0
    by_roster: bool = False
    fails_review: bool = False

    @property
    def five_small(self) -> bool:
        """Whether it must be visited before it opens."""
        return self.premises in FIVE_SMALL

    @property
    def key_project(self) -> bool:
        """Whether it is a key project, whose filing a reviewer decides."""
        return self.kind == "above_scale" and self.number % 20 == 0

    def registration(self) -> dict[str, Any]:
        """Return the body of its registration."""
        return {
            "credit_code": credit_code(self.number, sole_trader=self.kind == "sole_trader"),
            "name": f"豐澤第{self.number}號{_NAMES[self.premises]}",
            "kind": self.kind,
            "size": self.size,
            "industry": self.industry,
            "premises": self.premises,
            "grid": GRIDS[self.number % len(GRIDS)],
            "address": f"豐澤區第{self.number % 400 + 1}號",
            "key_project": self.key_project,
        }


_NAMES = {
    "restaurant": "小餐館",
    "food_shop": "小食品店",
    "supermarket": "小超市",
    "barbershop": "小理髮店",
    "pharmacy": "小藥店",
    "factory": "工廠",
    "office": "公司",
    "shop": "商店",
}
_TRADES = {
    "restaurant": "H6210",
    "food_shop": "F5221",
    "supermarket": "F5212",
    "barbershop": "O8040",
    "pharmacy": "F5251",
    "factory": "C1810",
    "office": "L7211",
    "shop": "F5299",
}


@dataclass
class Finding:
    """A visit with a finding."""

    enterprise: Enterprise
    day: date
    rule: str
    on_the_spot: bool = True
    on_record: bool = False
    ends: str = ""
    """The end of a standing finding: `rectified`, `late`, `closed` or `lifted`."""


@dataclass
class Complaint:
    """A call to 12315, and the finding of the officers' visit, if any."""

    enterprise: Enterprise
    day: date
    finding: Finding | None = None


@dataclass
class MonthPlan:
    """The whole plan at a scale."""

    scale: float
    figures: dict[str, int]
    enterprises: list[Enterprise] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    closed_by_order: list[tuple[Enterprise, date]] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    patrols: dict[date, list[int]] = field(default_factory=dict)
    """The size of each team, by day."""
    routine: dict[date, int] = field(default_factory=dict)
    """The number of visits without findings, by day."""

    @property
    def medics(self) -> int:
        """The number of medics enrolled."""
        return self.figures["insurance.medics_covered"]

    def filing_on(self, day: date) -> list[Enterprise]:
        """Return the enterprises that file on a day."""
        return [e for e in self.enterprises if e.files_on == day]

    def open_on(self, day: date) -> list[Enterprise]:
        """Return the enterprises that have reopened before a day."""
        return [e for e in self.enterprises if e.reopens_on and e.reopens_on < day]


def plan(scale: float) -> MonthPlan:
    """Plan the month at a scale; raises `Infeasible`."""
    month = MonthPlan(scale, scaled(scale))
    _people_the_district(month)
    _spread_filings(month)
    _spread_staff(month)
    _plan_findings(month)
    _plan_complaints(month)
    _plan_patrols(month)
    _spread_visits(month)
    return month


def _closures(month: MonthPlan) -> tuple[int, int, int]:
    """Split the closures: open without approval, the end of a ladder, ordered by hand."""
    total = month.figures["inspection.closures_ordered"]
    ladder, ordered = total // 4, total // 14
    return total - ladder - ordered, ladder, ordered


def _people_the_district(month: MonthPlan) -> None:
    figures, numbers = month.figures, iter(range(1, 10_000_000))
    five_small = round(1_600 * month.scale)
    unapproved, ladder, ordered = _closures(month)
    small = cycle(FIVE_SMALL)

    def add(count: int, kind: str, sizes: tuple[str, ...], premises: Iterator[str]) -> None:
        for size, place in zip(islice(cycle(sizes), count), premises, strict=False):
            enterprise = Enterprise(next(numbers), kind, size, place, _TRADES[place])
            month.enterprises.append(enterprise)

    add(figures["reopened.above_scale"], "above_scale", ("large", "medium"), cycle(("factory",)))
    add(
        figures["reopened.below_scale"],
        "below_scale",
        ("small", "micro"),
        cycle(("office", "shop", "factory")),
    )
    sole = figures["reopened.sole_trader"]
    add(min(five_small, sole), "sole_trader", ("micro",), small)
    add(sole - min(five_small, sole), "sole_trader", ("micro",), cycle(("shop",)))
    month.enterprises = month.enterprises[: figures["reopened.total"]]
    add(ladder + ordered, "sole_trader", ("micro",), cycle(("shop",)))
    add(unapproved, "sole_trader", ("micro",), small)
    covered = sum(e.size in ("small", "micro") for e in month.enterprises)
    idle = figures["insurance.enterprises_covered"] - covered
    if idle < 0:
        raise Infeasible("more small enterprises reopen than are covered")
    add(idle, "sole_trader", ("micro",), cycle(("shop", "office")))


def _spread_filings(month: MonthPlan) -> None:
    """Spread the filings over the month, most of them early."""
    _, ladder, ordered = _closures(month)
    reopening = month.enterprises[: month.figures["reopened.total"]]
    for position, enterprise in enumerate(reopening):
        day = DAYS[position * 7 % 23]
        enterprise.files_on = day
        enterprise.reopens_on = day + timedelta(days=position % 3)
    start = month.figures["reopened.total"]
    for enterprise in month.enterprises[start : start + ladder + ordered]:
        enterprise.files_on = enterprise.reopens_on = DAYS[0]


def _spread_staff(month: MonthPlan) -> None:
    """Distribute the staff so that the totals are the article's; every enterprise has at least
    one."""
    reopening = month.enterprises[: month.figures["reopened.total"]]
    if not reopening:
        raise Infeasible("no enterprise reopens")
    total, foreign = month.figures["on_duty.total"], month.figures["on_duty.out_of_province"]
    weights = [{"above_scale": 40, "below_scale": 8}.get(e.kind, 2) for e in reopening]
    spare = total - len(reopening)
    if spare < 0:
        raise Infeasible("fewer people are on duty than enterprises are open")
    for enterprise, share in zip(reopening, _shares(spare, weights), strict=True):
        enterprise.headcount = 1 + share
        enterprise.by_roster = enterprise.number % 50 == 0
    heads = [enterprise.headcount for enterprise in reopening]
    for enterprise, share in zip(reopening, _shares(foreign, heads), strict=True):
        enterprise.out_of_province = share
    for enterprise in month.enterprises[len(reopening) :]:
        enterprise.headcount = 2


def _shares(total: int, weights: list[int]) -> list[int]:
    """Split a total by weight into whole numbers, each rounded by less than one."""
    sum_of, taken, seen, shares = sum(weights), 0, 0, []
    for weight in weights:
        seen += weight
        share = total * seen // sum_of - taken
        taken += share
        shares.append(share)
    return shares


def _plan_findings(month: MonthPlan) -> None:
    figures = month.figures
    found, spot = figures["inspection.issues_found"], figures["inspection.rectified_on_the_spot"]
    standing = found - spot
    on_record = figures["inspection.notices_issued"] - standing
    unapproved, ladder, ordered = _closures(month)
    others = standing - unapproved - ladder
    if not 0 <= on_record <= spot or others < 0:
        raise Infeasible("issues, notices and closures do not fit together")
    outside = month.enterprises[month.figures["reopened.total"] :]
    for number, enterprise in enumerate(outside[:ladder]):
        day = DAYS[2 + number % (len(DAYS) - LADDER_DAYS - 4)]
        month.findings.append(
            Finding(enterprise, day, "gathering", on_the_spot=False, ends="closed")
        )
    for number, enterprise in enumerate(outside[ladder : ladder + ordered]):
        month.closed_by_order.append((enterprise, DAYS[5 + number % 10]))
    lifted = unapproved // 9
    for number, enterprise in enumerate(outside[ladder + ordered : ladder + ordered + unapproved]):
        ends = "lifted" if number < lifted else "closed"
        day = DAYS[1 + number % 18]
        month.findings.append(
            Finding(enterprise, day, "opened_without_approval", on_the_spot=False, ends=ends)
        )
    _find_among_the_open(month, others, spot, on_record)


def _find_among_the_open(month: MonthPlan, standing: int, spot: int, on_record: int) -> None:
    reopening = [
        e
        for e in month.enterprises[: month.figures["reopened.total"]]
        if e.kind != "above_scale" and e.reopens_on and e.reopens_on <= DAYS[12]
    ]
    if len(reopening) < 1:
        raise Infeasible("too few enterprises are open to find anything at")
    shops = cycle(reopening)
    for number in range(standing):
        shop, day = next(shops), DAYS[15 + number % 5]
        ends = "late" if number % 8 == 0 else "rectified"
        month.findings.append(Finding(shop, day, _fault_of(shop), on_the_spot=False, ends=ends))
    for number in range(spot):
        shop, day = next(shops), DAYS[14 + number % 12]
        finding = Finding(shop, day, _fault_of(shop), on_record=number < on_record)
        month.findings.append(finding)


def _fault_of(enterprise: Enterprise) -> str:
    """Return one of the faults that the article names, as the premises allow."""
    own = {"restaurant": "dine_in", "supermarket": "crowding_at_till"}.get(enterprise.premises)
    general = ("mask_worn_improperly", "no_disinfection_ledger")
    return own or general[enterprise.number % 2]


def _plan_complaints(month: MonthPlan) -> None:
    """Plan the complaints; those that officers confirm are among the findings."""
    count = month.figures["complaints.received"]
    on_the_spot = [f for f in month.findings if f.on_the_spot]
    for number in range(count):
        if number % 2 == 0 and number < len(on_the_spot):
            finding = on_the_spot[-1 - number]
            month.findings.remove(finding)
            month.complaints.append(Complaint(finding.enterprise, finding.day, finding))
        else:
            shop = month.enterprises[number % month.figures["reopened.total"]]
            month.complaints.append(Complaint(shop, DAYS[14 + number % 10]))


def _plan_patrols(month: MonthPlan) -> None:
    officers = month.figures["inspection.officers_dispatched"]
    teams = [TEAM] * (officers // TEAM) + ([officers % TEAM] if officers % TEAM else [])
    for number, team in enumerate(teams):
        month.patrols.setdefault(DAYS[1 + number % (len(DAYS) - 1)], []).append(team)


def _spread_visits(month: MonthPlan) -> None:
    """Fill up with visits without findings, after all that the plan needs."""
    reviews = sum(e.five_small for e in month.enterprises[: month.figures["reopened.total"]])
    again = sum(f.ends in ("rectified", "late", "lifted") for f in month.findings)
    needed = reviews + again + len(month.findings) + len(month.complaints)
    spare = month.figures["inspection.visits"] - needed
    if spare < 0:
        raise Infeasible("the plan needs more visits than there are")
    days = DAYS[6:]
    for day, count in zip(days, _shares(spare, [1] * len(days)), strict=True):
        month.routine[day] = count
