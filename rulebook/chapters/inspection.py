"""The chapter of inspection: key points, patrols, the checklist, notices, escalation, papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, validate

from contracts.shapes import Point, Words
from rulebook.chapters import checklist, risk
from rulebook.chapters.checklist import Checklist, Rule
from rulebook.chapters.district import District, ForPremises
from rulebook.chapters.risk import Capacity, Formula
from rulebook.entries import Entry, RulebookError, find
from rulebook.reading import Files, Truth, Whole, among, fault, several, text
from rulebook.working_days import day_of, end_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Patrol(ForPremises):
    """A first patrol by risk, due some calendar days after reopening."""

    within_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term(Entry):
    """A period: in hours, in calendar days, or in working days."""

    hours: int | None
    days: int | None
    working_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(Term):
    """A rung of the ladder of supervision slips: its number, its addressee, its period."""

    level: int
    addressee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension(Entry):
    """How often a notice may be extended, and whether the approver must differ from the
    requester."""

    times: int
    other_approver: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper(Entry):
    """A kind of paper, and the pattern of its numbers, with `{year}` and `{number}`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Until:
    """A deadline: met before `at`, missed from then on.

    If it is counted in working days, `since` is the day after which they count, and `calendar` the
    notice of the State Council by which they were counted; a later notice moves it.
    """

    at: datetime
    since: date | None = None
    working_days: int | None = None
    calendar: str | None = None

    @property
    def on(self) -> date:
        """The last day, in Shanghai."""
        return day_of(self.at - timedelta(microseconds=1))

    @property
    def words(self) -> Words:
        """The deadline in words: a day, or a day and a time if it does not end with the day."""
        plain = self.on.isoformat()
        if self.at != end_of(self.on):
            plain = f"{plain} {self.at.astimezone(end_of(self.on).tzinfo):%H:%M}"
        return Words(zh=plain, en=plain)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Inspection(District):
    """The chapter of inspection; an unknown code raises `Unknown`."""

    told: Mapping[str, ForPremises]
    patrols: Mapping[str, Patrol]
    checklist: Checklist
    risk: Formula
    capacity: Capacity
    notices: Mapping[str, Term]
    extension: Extension
    levels: Mapping[str, Level]
    papers: Mapping[str, Paper]
    addressees: Mapping[str, Entry]
    issuer: Entry

    def key_points(self, premises: str) -> list[Point]:
        """Return the points of a prompt slip for a kind of premises, as a new list."""
        find(self.premises, premises, "premises")
        return [one.point for one in self.told.values() if one.holds_for(premises)]

    def patrol_within(self, premises: str) -> int | None:
        """Return the calendar days from reopening to the first patrol, or None."""
        find(self.premises, premises, "premises")
        days = (one.within_days for one in self.patrols.values() if one.holds_for(premises))
        return min(days, default=None)

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules of the checklist."""
        return self.checklist.rules

    @property
    def checklist_version(self) -> str:
        """The version of the checklist, which every answer pins."""
        return self.checklist.version

    def visits_of(self, officers: int) -> int:
        """Return the number of premises that some officers visit in a day."""
        return officers * self.capacity.visits

    def until(self, term: Term, moment: datetime) -> Until:
        """Return the deadline that a period sets at a moment."""
        if term.hours is not None:
            return Until(moment.replace(microsecond=0) + timedelta(hours=term.hours))
        if term.days is not None:
            return Until(end_of(day_of(moment) + timedelta(days=term.days)))
        return self.counted(day_of(moment), term.working_days or 0)

    def counted(self, since: date, working_days: int) -> Until:
        """Return the deadline some working days after a day, by the known calendar."""
        day = self.working_days_after(since, working_days)
        return Until(end_of(day), since, working_days, self.calendar.code)

    def notice_until(self, severity: str, moment: datetime) -> Until:
        """Return the deadline of a notice issued at a moment for an issue of this severity."""
        return self.until(find(self.notices, severity, "severity"), moment)

    def level(self, number: int) -> Level | None:
        """Return a rung of the ladder, counted from 1, or None above the last."""
        return next((one for one in self.levels.values() if one.level == number), None)

    @property
    def last_level(self) -> Level:
        """The number of the last rung, after which the enterprise is closed."""
        return max(self.levels.values(), key=lambda one: one.level)

    def number(self, paper: str, year: int, number: int) -> str:
        """Return the number of a paper in the district's pattern."""
        return find(self.papers, paper, "paper").pattern.format(year=year, number=number)

    def basis(self, code: str) -> Words | None:
        """Return the source of a rule or a key point, or None."""
        entry = self.rules.get(code) or self.told.get(code)
        return self.sources[entry.source].words if entry else None


def read(files: Files, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read the chapter."""
    which = several(text(among(known["premises"], "premises.toml")))
    notices = files.table("deadlines.toml", "notice", Term, **_TIME)
    _one_time("notice", notices)
    addressees = files.table("papers.toml", "addressee", Entry)
    formula, capacity = risk.read(files, which)
    return {
        "told": files.table("key_points.toml", "key_point", ForPremises, premises=which),
        "patrols": files.table(
            "patrols.toml", "patrol", Patrol, premises=which, within_days=Whole(required=True)
        ),
        "checklist": checklist.read(files, which, text(among(notices, "deadlines.toml"))),
        "risk": formula,
        "capacity": capacity,
        "notices": notices,
        "extension": files.single(
            "deadlines.toml",
            "extension",
            Extension,
            times=Whole(required=True),
            other_approver=Truth(required=True),
        ),
        "levels": _ladder(files, addressees),
        "papers": _papers(files),
        "addressees": addressees,
        "issuer": files.single("papers.toml", "issuer", Entry),
    }


_UNITS = tuple(part.name for part in fields(Term))[-3:]
_TIME = {unit: Whole(load_default=None) for unit in _UNITS}
_PAPERS = ("notice", "closure", "prompt", "problem", "supervision", "feedback")


def _one_time(name: str, terms: Mapping[str, Term]) -> None:
    """Validate that each period has exactly one unit."""
    for term in terms.values():
        given = [unit for unit in _UNITS if getattr(term, unit) is not None]
        if len(given) != 1:
            what = "exactly one of hours, days and working_days is needed"
            raise fault("deadlines.toml", f'{name} "{term.code}"', (given or ["days"])[-1], what)


def _ladder(files: Files, addressees: Mapping[str, Entry]) -> Mapping[str, Level]:
    """Read the ladder: its rungs are numbered 1, 2, 3 and so on."""
    levels = files.table(
        "deadlines.toml",
        "level",
        Level,
        level=Whole(required=True),
        addressee=text(among(addressees, "papers.toml")),
        **_TIME,
    )
    _one_time("level", levels)
    if sorted(one.level for one in levels.values()) != list(range(1, len(levels) + 1)):
        raise RulebookError("deadlines.toml: the levels are not numbered 1, 2, 3 and so on.")
    return levels


def _papers(files: Files) -> Mapping[str, Paper]:
    """Read the papers: every issued kind needs a pattern."""
    papers = files.table("papers.toml", "paper", Paper, pattern=text(_numbers))
    for code in _PAPERS:
        if code not in papers:
            raise RulebookError(f'papers.toml: there is no paper "{code}".')
    return papers


def _numbers(pattern: str) -> None:
    """Validate a pattern: different years or numbers must not produce the same text."""
    validate.Length(max=60)(pattern)
    try:
        made = {pattern.format(year=y, number=n) for y in (2020, 2021) for n in (1, 2)}
    except (LookupError, ValueError):
        made = set()
    if len(made) < 4 or any(len(one) > 64 for one in made):
        raise ValidationError("does not distinguish years and numbers")
