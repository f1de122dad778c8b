"""The risk of premises, by which patrols are ranked.

Risk = impact^0.2 · probability^0.3 · detectability^0.5, after the formula published by MonitorFish;
every number of it is in the rulebook, with its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from marshmallow import validate

from rulebook.chapters.district import ForPremises
from rulebook.entries import Entry
from rulebook.reading import AnyField, Files, Number, Whole, fault

FILE = "risk.toml"
EXPONENTS = ("impact", "probability", "detectability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponent(Entry):
    """The exponent of a factor."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(Entry):
    """A level from 1 to 4 from a threshold on, or from any value without one."""

    level: int
    at_least: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PremisesImpact(ForPremises):
    """The impact of a fault at such premises, from 1 to 4."""

    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Infractions(Entry):
    """The points of the latest visits: each counts less, by `decay`, than the next later one."""

    visits: int
    years: int
    decay: float
    clean: float
    violation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Points(Entry):
    """The points of one kind."""

    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity(Entry):
    """The number of premises that an officer visits in a day."""

    visits: int


@dataclass(frozen=True, slots=True)
class Record:
    """The record of premises: staff, visits and complaints.

    `visits` holds (day, number of violations), the latest first; `complaints` the days of the
    substantiated ones.
    """

    premises: str
    size: str
    staff: int
    out_of_province: int
    visits: Sequence[tuple[date, int]]
    complaints: Sequence[date]

    @property
    def share(self) -> float:
        """The share of the staff from other provinces."""
        return min(self.out_of_province / self.staff, 1.0) if self.staff else 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """The risk of premises on a day, and its three factors with their inputs."""

    risk: float
    impact: float
    probability: float
    detectability: float
    points: float
    unseen: int | None
    """Days since the last visit, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """The formula with its numbers."""

    exponents: Mapping[str, Exponent]
    premises: Mapping[str, PremisesImpact]
    sizes: Mapping[str, Level]
    shares: Sequence[Level]
    infractions: Infractions
    complaints: Points
    probabilities: Sequence[Level]
    detectabilities: Sequence[Level]

    def assess(self, record: Record, day: date) -> Assessment:
        """Return the risk of premises on a day."""
        points = self.points_of(record, day)
        last = max((visited for visited, _ in record.visits), default=None)
        unseen = None if last is None else max((day - last).days, 0)
        impact = self.impact_of(record)
        probability = _level(self.probabilities, points)
        detectability = (
            self.detectabilities[-1].level
            if unseen is None
            else _level(self.detectabilities, unseen)
        )
        risk = (
            impact ** self.exponents["impact"].value
            * probability ** self.exponents["probability"].value
            * detectability ** self.exponents["detectability"].value
        )
        return Assessment(round(risk, 4), impact, probability, detectability, points, unseen)

    def impact_of(self, record: Record) -> float:
        """Return the mean of the levels of premises, size and share from other provinces."""
        kind = (one.level for one in self.premises.values() if one.holds_for(record.premises))
        size = self.sizes.get(record.size)
        levels = max(kind, default=1), size.level if size else 1, _level(self.shares, record.share)
        return round(sum(levels) / len(levels), 2)

    def points_of(self, record: Record, day: date) -> float:
        """Return the points of the latest visits and of substantiated complaints."""
        rule = self.infractions
        since = day.replace(year=day.year - rule.years, day=min(day.day, 28))
        visits = [violations for visited, violations in record.visits if visited >= since]
        points = sum(
            max(1 - rule.decay * n, 0)
            * (rule.violation * violations if violations else -rule.clean)
            for n, violations in enumerate(visits[: rule.visits])
        )
        true = sum(1 for found in record.complaints if found >= since)
        return round(points + self.complaints.points * true, 1)


def _level(levels: Iterable[Level], value: float) -> int:
    """Return the level of a value: that of the highest threshold it reaches."""
    reached = 1
    for one in levels:
        if one.at_least is None or value >= one.at_least:
            reached = one.level
    return reached


def read(files: Files, which: AnyField) -> tuple[Formula, Capacity]:
    """Read the formula, and an officer's capacity."""
    level = Whole(required=True, validate=validate.Range(1, 4))
    step: dict[str, AnyField] = {"level": level, "at_least": Number(load_default=None)}
    number = Number(required=True)
    formula = Formula(
        exponents=_exponents(files),
        premises=files.perhaps(
            "patrols.toml", "premises_impact", PremisesImpact,
            premises=which, level=level,
        ),
        sizes=files.table(FILE, "size_impact", Level, **step),
        shares=_steps(files, "share_impact", step),
        infractions=files.single(
            FILE, "infractions", Infractions,
            visits=Whole(required=True), years=Whole(required=True),
            decay=number, clean=number, violation=number,
        ),
        complaints=files.single(FILE, "complaints", Points, points=number),
        probabilities=_steps(files, "probability", step),
        detectabilities=_steps(files, "detectability", step),
    )  # fmt: skip
    return formula, files.single(FILE, "capacity", Capacity, visits=Whole(required=True))


def _exponents(files: Files) -> Mapping[str, Exponent]:
    found = files.table(FILE, "exponent", Exponent, value=Number(required=True))
    if {*found} != {*EXPONENTS}:
        raise fault(FILE, "exponent", "code", f"is not each of {', '.join(EXPONENTS)}")
    return found


def _steps(files: Files, name: str, fields: Mapping[str, Any]) -> Sequence[Level]:
    """Read levels in order: the first has no threshold or the lowest one."""
    steps = files.table(FILE, name, Level, **fields).values()
    return sorted(steps, key=lambda one: (one.at_least is not None, one.at_least or 0))
