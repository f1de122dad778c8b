"""The tables of the rulebook, file by file, and what must hold between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from types import MappingProxyType

from marshmallow import ValidationError, validate

from rulebook.entries import (
    Channel,
    Deadline,
    Entry,
    ForPremises,
    Grid,
    HolidayNotice,
    Patrol,
    Premises,
    Rule,
    Scheme,
    Section,
    Supervision,
    Track,
)
from rulebook.reading import Day, Files, Span, Truth, Whole, among, fault, several, text

_STAFF_NUMBER = validate.Regexp(r"^[A-Z]{2}-\d{3}-\d{2,3}\Z", error="is not a staff number")
_HOLDER = validate.OneOf(["enterprise", "medic"])
ENTERPRISE, MEDIC = "enterprise", "medic"


def read_grids(files: Files) -> Mapping[str, Grid]:
    """Read the subdistricts: each has officers, and an officer has one subdistrict."""
    grids = files.table("grids.toml", "grid", Grid, officers=several(text(_STAFF_NUMBER)))
    posts = Counter(officer for grid in grids.values() for officer in grid.officers)
    for grid in grids.values():
        label = f'grid "{grid.code}"'
        if not grid.officers:
            raise fault("grids.toml", label, "officers", "names nobody")
        for officer in grid.officers:
            if posts[officer] > 1:
                raise fault("grids.toml", label, "officers", f"{officer} is in two grids")
    return grids


def read_premises(files: Files) -> Mapping[str, Premises]:
    """Read the kinds of premises with their key points, required measures and first patrols."""
    premises = files.table("premises.toml", "premises", Premises, five_small=Truth(required=True))
    which = several(text(among(premises, "premises.toml")))
    points = files.table("key_points.toml", "key_point", ForPremises, premises=which)
    measures = files.table("measures.toml", "measure", ForPremises, premises=which)
    patrols = files.table(
        "patrols.toml", "patrol", Patrol, premises=which, within_days=Whole(required=True)
    )
    return MappingProxyType(
        {
            code: replace(
                entry,
                key_points=tuple(one.point for one in points.values() if one.holds_for(code)),
                measures=tuple(one.point for one in measures.values() if one.holds_for(code)),
                patrol_within_days=min(
                    (one.within_days for one in patrols.values() if one.holds_for(code)),
                    default=None,
                ),
            )
            for code, entry in premises.items()
        }
    )


def read_notices(files: Files) -> tuple[Mapping[str, Deadline], Supervision]:
    """Read the days that a notice gives by severity, and how supervision presses for it."""
    days = Whole(required=True)
    return (
        files.table("deadlines.toml", "notice", Deadline, days=days),
        files.single(
            "deadlines.toml", "supervision", Supervision, days=days, presses=Whole(required=True)
        ),
    )


def read_checklist(
    files: Files, severities: Mapping[str, Deadline]
) -> tuple[Entry, Mapping[str, Rule]]:
    """Read the checklist: its version, which is its code, and its rules."""
    severity = text(among(severities, "deadlines.toml"))
    return (
        files.single("checklist.toml", "checklist", Entry),
        files.table("checklist.toml", "rule", Rule, severity=severity),
    )


def read_complaints(files: Files) -> tuple[Deadline, Mapping[str, Track], Mapping[str, Channel]]:
    """Read the clocks of complaints, in working days, and the channels by which they come."""
    days = Whole(required=True)
    return (
        files.single("complaints.toml", "acceptance", Deadline, days=days),
        files.table("complaints.toml", "track", Track, answer_days=days),
        files.table("complaints.toml", "channel", Channel),
    )


def read_penalty_law(files: Files) -> Entry:
    """Read the law that a penalty cites."""
    return files.single("complaints.toml", "penalty_law", Entry)


def read_schemes(files: Files, sizes: Mapping[str, Entry]) -> Mapping[str, Scheme]:
    """Read the covers: one for all medics, and at most one for each size of enterprise."""
    schemes = files.table(
        "schemes.toml",
        "scheme",
        Scheme,
        holder=text(_HOLDER),
        sizes=several(text(among(sizes, "sizes.toml"))),
        casualties=several(text()),
        sum_insured=Whole(load_default=None),
        years=Whole(required=True, validate=validate.Range(min=1)),
        years_source=text(among(files.sources, "sources.toml"), load_default=None),
    )
    schemes = {code: _completed(scheme) for code, scheme in schemes.items()}
    covered: set[str] = set()
    for scheme in schemes.values():
        holders = scheme.sizes if scheme.holder == ENTERPRISE else {MEDIC}
        if twice := sorted(covered & holders):
            what = f"{twice[0]} has another cover already"
            raise fault("schemes.toml", f'scheme "{scheme.code}"', "sizes", what)
        covered |= holders
    if MEDIC not in covered:
        raise fault("schemes.toml", "scheme", "holder", "none is for medics")
    return MappingProxyType(schemes)


def _completed(scheme: Scheme) -> Scheme:
    return replace(
        scheme,
        sizes=frozenset(scheme.sizes),
        casualties=frozenset(scheme.casualties),
        years_source=scheme.years_source or scheme.source,
    )


def read_sizes(files: Files) -> Mapping[str, Entry]:
    """Read the size classes of 工信部聯企業 2011 no. 300."""
    return files.table("sizes.toml", "size", Entry)


def read_sections(files: Files) -> Mapping[str, Section]:
    """Read the sections of GB/T 4754-2017, whose divisions follow on each other."""
    number = Whole(required=True, validate=validate.Range(max=99))
    sections = files.table("industries.toml", "section", Section, first=number, last=number)
    for section in sections.values():
        if len(section.code) > 1 or section.last < section.first:
            what = "is not one letter with its first and last division"
            raise fault("industries.toml", f'section "{section.code}"', "code", what)
    for one, other in pairwise(sections.values()):
        if other.first != one.last + 1:
            what = f"does not follow on division {one.last} of section {one.code}"
            raise fault("industries.toml", f'section "{other.code}"', "first", what)
    return sections


def read_calendar(files: Files) -> list[HolidayNotice]:
    """Read the notices of the State Council, in the order in which they were given."""
    notices = files.table(
        "calendar.toml",
        "notice",
        HolidayNotice,
        holidays=several(Span()),
        workdays=several(Day(validate=_weekend)),
    )
    return sorted(notices.values(), key=lambda notice: notice.since)


def _weekend(day: date) -> None:
    if day.weekday() < 5:
        raise ValidationError(f"{day} is no weekend day, and worked anyway")
