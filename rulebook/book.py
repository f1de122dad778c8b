"""The rulebook: what the services ask of the district's rules, answered from what was loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from contracts.shapes import Point, Words
from rulebook import tables
from rulebook.entries import (
    Channel,
    Deadline,
    Entry,
    Grid,
    Premises,
    Rule,
    Scheme,
    Section,
    Source,
    Supervision,
    Track,
    Unknown,
)
from rulebook.reading import Files
from rulebook.texts import Texts
from rulebook.working_days import WorkingDays

_HERE = Path(__file__).parent
_Found = TypeVar("_Found")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Rulebook:
    """The rules of one district, immutable once loaded; an unknown code raises `Unknown`."""

    sources: Mapping[str, Source]
    grids: Mapping[str, Grid]
    premises: Mapping[str, Premises]
    checklist: Entry
    rules: Mapping[str, Rule]
    notices: Mapping[str, Deadline]
    supervision: Supervision
    acceptance: Deadline
    tracks: Mapping[str, Track]
    channels: Mapping[str, Channel]
    law: Entry
    sizes: Mapping[str, Entry]
    schemes: Mapping[str, Scheme]
    sections: Mapping[str, Section]
    working_days: WorkingDays
    texts: Texts

    @classmethod
    def load(cls, folder: Path | None = None) -> Rulebook:
        """Load a district's folder; Fengze's unless told, which is read once and then shared.

        Raises `RulebookError`, whose one sentence names the file, the entry and the field.
        """
        return _read(folder) if folder else _fengze()

    # premises

    def five_small(self, premises: str) -> bool:
        """Tell whether premises are 五小單位, which must be seen before they open (article)."""
        return _find(self.premises, premises, "premises").five_small

    def key_points(self, premises: str) -> list[Point]:
        """Give what a prompt slip tells such premises, in a list of the caller's own."""
        return [*_find(self.premises, premises, "premises").key_points]

    def required_measures(self, premises: str) -> list[Point]:
        """Give the measures that a filing of such premises must have, in a list of its own."""
        return [*_find(self.premises, premises, "premises").measures]

    def patrol_within(self, premises: str) -> int | None:
        """Give the calendar days from reopening to the first patrol, if one is due."""
        return _find(self.premises, premises, "premises").patrol_within_days

    def liaison_for(self, enterprise_id: str, grid: str) -> str:
        """Choose the liaison officer of an enterprise among its grid's; the choice is stable."""
        officers = _find(self.grids, grid, "grid").officers
        return officers[crc32(enterprise_id.encode()) % len(officers)]

    # checklist and notices

    @property
    def checklist_version(self) -> str:
        """The version of the checklist, which every answer pins."""
        return self.checklist.code

    def notice_days(self, severity: str) -> int:
        """Give the calendar days that a notice leaves for an issue of this severity."""
        return _find(self.notices, severity, "severity").days

    @property
    def supervision_days(self) -> int:
        """The calendar days of grace that a supervision slip gives."""
        return self.supervision.days

    @property
    def presses(self) -> int:
        """How many supervision slips a notice gets before its next lapse closes."""
        return self.supervision.presses

    # working days and complaints

    def is_working_day(self, day: date) -> bool:
        """Tell whether a day is worked, by the notices of the State Council."""
        return self.working_days.includes(day)

    def working_days_after(self, day: date, n: int) -> date:
        """Give the day `n` working days after a day, counting from the next one."""
        return self.working_days.after(day, n)

    def working_days_between(self, start: date, end: date) -> int:
        """Count the working days after `start` up to and including `end`."""
        return self.working_days.between(start, end)

    @property
    def accept_days(self) -> int:
        """The working days to accept or refuse a complaint (Order No. 20 of 2019)."""
        return self.acceptance.days

    def answer_days(self, track: str) -> int:
        """Give the working days to answer a complaint of this track (Order No. 20 of 2019)."""
        return _find(self.tracks, track, "track").answer_days

    @property
    def penalty_law(self) -> Point:
        """The law that a penalty cites."""
        return self.law.point

    # insurance and industries

    def scheme_for_size(self, size: str) -> Scheme | None:
        """Give the free cover for an enterprise of this size, if there is one."""
        for scheme in self.schemes.values():
            if size in scheme.sizes:
                return scheme
        return None

    @property
    def medic_scheme(self) -> Scheme:
        """The cover for front-line medics."""
        return next(one for one in self.schemes.values() if one.holder == tables.MEDIC)

    def is_industry(self, code: str) -> bool:
        """Tell whether a code is a section's letter and four digits of its divisions."""
        section = self.sections.get(code[:1])
        digits = code[1:]
        if section is None or len(digits) != 4 or not (digits.isascii() and digits.isdigit()):
            return False
        return section.first <= int(digits[:2]) <= section.last

    # texts

    def say(self, msgid: str, /, **values: object) -> Words:
        """Fill a text of the catalogue in both languages; an unknown text raises `Unknown`.

        Words and points are said in each language, lists of them joined, dates written as ISO.
        """
        return self.texts.say(msgid, values)


@cache
def _fengze() -> Rulebook:
    return _read(_HERE / "fengze")


def _read(folder: Path) -> Rulebook:
    files = Files(folder)
    notices, supervision = tables.read_notices(files)
    checklist, rules = tables.read_checklist(files, notices)
    acceptance, tracks, channels = tables.read_complaints(files)
    sizes = tables.read_sizes(files)
    book = Rulebook(
        sources=files.sources,
        grids=tables.read_grids(files),
        premises=tables.read_premises(files),
        checklist=checklist,
        rules=rules,
        notices=notices,
        supervision=supervision,
        acceptance=acceptance,
        tracks=tracks,
        channels=channels,
        law=tables.read_penalty_law(files),
        sizes=sizes,
        schemes=tables.read_schemes(files, sizes),
        sections=tables.read_sections(files),
        working_days=WorkingDays(tables.read_calendar(files)),
        texts=Texts.read(_HERE / "locale" / "zh_Hant.po"),
    )
    files.expect_nothing_more()
    return book


def _find(entries: Mapping[str, _Found], code: str, what: str) -> _Found:
    try:
        return entries[code]
    except KeyError:
        raise Unknown(f'The rulebook has no {what} "{code}".') from None
