"""The chapter of filing: measures, referral to a reviewer, fitness for duty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from contracts.shapes import Point, Words
from rulebook.chapters import registry
from rulebook.chapters.district import ForPremises
from rulebook.entries import Deadline, Entry, find
from rulebook.reading import Files, Truth, Whole, among, fault, several, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(ForPremises):
    """A prevention measure and the enterprises that need it, by premises, industry and
    headcount."""

    industries: tuple[str, ...]
    from_headcount: int
    of: str
    per_head: int
    """The pieces or litres a head that must be in stock; 0 for none."""

    @property
    def measure(self) -> str:
        """The code of the measure: another one's if it names one, or else its own."""
        return self.of or self.code

    def is_asked_of(self, premises: str, industry: str, headcount: int) -> bool:
        """Return whether an enterprise needs it."""
        trades = self.industries
        return (
            self.holds_for(premises)
            and (not trades or industry.startswith(trades))
            and headcount >= self.from_headcount
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral(Entry):
    """A reason to refer a complete filing to a person."""

    key_project: bool
    percent: int | None
    from_headcount: int
    days: int | None

    def holds(
        self, *, key_project: bool, headcount: int, out_of_province: int, days_free: int | None
    ) -> bool:
        """Return whether it applies; `days_free` counts from the day a closure was lifted."""
        if self.key_project:
            return key_project
        if self.percent is not None:
            many = out_of_province * 100 > headcount * self.percent
            return many and headcount >= self.from_headcount
        return days_free is not None and self.days is not None and days_free < self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class Fever(Entry):
    """The temperature from which a person is unfit for duty, in tenths of a degree Celsius."""

    tenths: int


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Filing(registry.Registry):
    """The chapter of filing; an unknown code raises `Unknown`."""

    measures: Mapping[str, Measure]
    horizon: Deadline
    referrals: Mapping[str, Referral]
    quarantine: Deadline
    fever: Fever
    areas: Mapping[str, Entry]

    def measures_for(self, premises: str, industry: str = "", headcount: int = 0) -> list[Measure]:
        """Return the measures that an enterprise must meet."""
        find(self.premises, premises, "premises")
        every = self.measures.values()
        return [one for one in every if one.is_asked_of(premises, industry, headcount)]

    def required_measures(
        self, premises: str, industry: str = "", headcount: int = 0
    ) -> list[Point]:
        """Return the measures that an enterprise's filing must state, each once, as a new list."""
        asked = {one.measure: None for one in self.measures_for(premises, industry, headcount)}
        return [self.measures[code].point for code in asked]

    def last_day_to_ask_for(self, today: date) -> date:
        """Return the last day for which an enterprise may file today."""
        return today + timedelta(days=self.horizon.days)

    def reasons_to_refer(self, **case: Any) -> list[Point]:
        """Return the reasons for a person's decision; the case has the arguments of
        `Referral.holds`."""
        return [one.point for one in self.referrals.values() if one.holds(**case)]

    def quarantined_until(self, area: str, arrived_on: date) -> tuple[date, Words] | None:
        """Return the last day of an arrival's quarantine and the listed area, or None."""
        for entry in self.areas.values():
            if area.startswith(entry.code.removesuffix("00").removesuffix("00")):
                return arrived_on + timedelta(days=self.quarantine.days), entry.words
        return None


def read(files: Files, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read the chapter, and that of the registry."""
    days = Whole(required=True)
    return registry.read(files) | {
        "measures": _measures(files, known),
        "horizon": files.single("filings.toml", "horizon", Deadline, days=days),
        "referrals": _referrals(files),
        "quarantine": files.single("health.toml", "quarantine", Deadline, days=days),
        "fever": files.single("health.toml", "fever", Fever, tenths=Whole(required=True)),
        "areas": files.table("health.toml", "area", Entry),
    }


def _measures(files: Files, known: Mapping[str, Any]) -> Mapping[str, Measure]:
    """Read the measures; a variant names its measure."""
    measures = files.table(
        "measures.toml",
        "measure",
        Measure,
        premises=several(text(among(known["premises"], "premises.toml"))),
        industries=several(text()),
        from_headcount=Whole(load_default=0),
        of=text(load_default=""),
        per_head=Whole(load_default=0),
    )
    for one in measures.values():
        if one.measure not in measures or measures[one.measure].of:
            label = f'measure "{one.code}"'
            raise fault("measures.toml", label, "of", f'"{one.of}" is not a measure')
    return measures


def _referrals(files: Files) -> Mapping[str, Referral]:
    """Read the referrals, each of which has exactly one condition."""
    referrals = files.table(
        "filings.toml",
        "referral",
        Referral,
        key_project=Truth(load_default=False),
        percent=Whole(load_default=None),
        from_headcount=Whole(load_default=0),
        days=Whole(load_default=None),
    )
    for one in referrals.values():
        if one.key_project + (one.percent is not None) + (one.days is not None) != 1:
            label, what = (
                f'referral "{one.code}"',
                "exactly one of it, percent and days is needed",
            )
            raise fault("filings.toml", label, "key_project", what)
    return referrals
