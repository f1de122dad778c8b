"""The chapter of the district: its grids, its kinds of premises, its calendar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from marshmallow import ValidationError, validate

from contracts.shapes import Words
from rulebook.entries import Entry, Source, find
from rulebook.reading import Day, Files, Span, Truth, fault, several, text
from rulebook.texts import Texts
from rulebook.working_days import HolidayNotice, WorkingDays

LEVELS = ("subdistrict", "community", "grid")
"""The levels of the grid under the district (街道、社區、網格)."""
LONGEST_GRID = 16
_STAFF_NUMBER = validate.Regexp(r"^[A-Z]{2}-\d{3}-\d{2,3}\Z", error="is not a staff number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid(Entry):
    """A node of the district's grid: a subdistrict, a community, or a grid of a community, with the
    staff numbers of its liaison officers."""

    officers: tuple[str, ...]
    parent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises(Entry):
    """A kind of premises; 五小單位 need a review before they open."""

    five_small: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForPremises(Entry):
    """An entry for some kinds of premises, or for all if it names none."""

    premises: tuple[str, ...]

    def holds_for(self, premises: str) -> bool:
        """Return whether the entry applies to a kind of premises."""
        return not self.premises or premises in self.premises


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class District:
    """The chapter of the district; an unknown code raises `Unknown`."""

    sources: Mapping[str, Source]
    district: Entry
    grids: Mapping[str, Grid]
    premises: Mapping[str, Premises]
    calendar: HolidayNotice
    """The latest notice on holidays: the version of the calendar."""
    working_days: WorkingDays
    texts: Texts

    def five_small(self, premises: str) -> bool:
        """Return whether premises are 五小單位, which need a review before they open (article)."""
        return find(self.premises, premises, "premises").five_small

    def way_up(self, grid: str) -> list[str]:
        """Return a node of the grid and all above it, up to its subdistrict."""
        way = [find(self.grids, grid, "grid")]
        while way[-1].parent is not None:
            way.append(self.grids[way[-1].parent])
        return [node.code for node in way]

    def subdistrict_of(self, grid: str) -> str:
        """Return the subdistrict that a node of the grid belongs to."""
        return self.way_up(grid)[-1]

    def officers_of(self, grid: str) -> tuple[str, ...]:
        """Return the liaison officers of a node, or else of the nearest node above that has
        some."""
        return next(
            officers for code in self.way_up(grid) if (officers := self.grids[code].officers)
        )

    def is_working_day(self, day: date) -> bool:
        """Return whether a day is worked, by the notices of the State Council."""
        return self.working_days.includes(day)

    def working_days_after(self, day: date, n: int) -> date:
        """Return the day `n` working days after a day, counting from the next one."""
        return self.working_days.after(day, n)

    def working_days_between(self, start: date, end: date) -> int:
        """Return the number of working days after `start` up to and including `end`."""
        return self.working_days.between(start, end)

    def say(self, msgid: str, /, **values: object) -> Words:
        """Return a text of the catalogue in both languages; an unknown text raises `Unknown`.

        Words and points are inserted in each language, lists of them joined, dates as ISO.
        """
        return self.texts.say(msgid, values)


def read(files: Files) -> dict[str, Any]:
    """Read the chapter."""
    notices = _calendar(files)
    return {
        "sources": files.sources,
        "district": files.single("district.toml", "district", Entry),
        "grids": _grids(files),
        "premises": files.table(
            "premises.toml", "premises", Premises, five_small=Truth(required=True)
        ),
        "calendar": notices[-1],
        "working_days": WorkingDays(notices),
    }


def _grids(files: Files) -> Mapping[str, Grid]:
    """Read the tree of the grid: an officer has one node, and every subdistrict has officers."""
    grids = files.table(
        "grids.toml",
        "grid",
        Grid,
        officers=several(text(_STAFF_NUMBER)),
        parent=text(load_default=None),
    )
    posts = Counter(officer for grid in grids.values() for officer in grid.officers)
    for grid in grids.values():
        label = f'grid "{grid.code}"'
        if len(grid.code) > LONGEST_GRID:
            what = f"has more than {LONGEST_GRID} characters"
            raise fault("grids.toml", label, "code", what)
        if _depth(grids, grid) > len(LEVELS):
            what = f"has no subdistrict within {len(LEVELS)} levels"
            raise fault("grids.toml", label, "parent", what)
        if not grid.officers and grid.parent is None:
            raise fault("grids.toml", label, "officers", "is empty")
        for officer in grid.officers:
            if posts[officer] > 1:
                raise fault("grids.toml", label, "officers", f"{officer} is in two grids")
    return grids


def _depth(grids: Mapping[str, Grid], grid: Grid) -> int:
    """Return the number of levels from a node up to its subdistrict; too many if there is none."""
    depth, above = 1, grid.parent
    while above is not None and depth <= len(LEVELS):
        depth += 1 if above in grids else len(LEVELS)
        above = grids[above].parent if above in grids else None
    return depth


def _calendar(files: Files) -> list[HolidayNotice]:
    """Read the notices of the State Council, in order of publication."""
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
        raise ValidationError(f"{day} is a weekday, which is worked anyway")
