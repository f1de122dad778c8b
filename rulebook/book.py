"""The rulebook: the rules of one district as of a day."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

from rulebook.chapters import complaints, district, filing, identities, inspection, insurance
from rulebook.chapters.checklist import Checklist
from rulebook.reading import Files, Tables, as_of, digest, parse, turns
from rulebook.texts import Texts

_HERE = Path(__file__).parent
COMMON = _HERE / "national"
"""The folder of the rules that all districts share: calendar, classifications, clocks."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Rulebook(
    filing.Filing,
    inspection.Inspection,
    complaints.Complaints,
    insurance.Insurance,
    identities.Identities,
):
    """The rules of one district from one day until the next change.

    Immutable once loaded; an unknown code raises `Unknown`. `version` identifies the district, the
    first day of these rules, and their contents, so that an answer that pins it is never confused
    with one under other rules.
    """

    version: str
    since: date
    editions: list[Rulebook] = field(default_factory=list)
    """All known editions of the district, past and future, the earliest first."""

    @classmethod
    def load(cls, folder: Path | None = None) -> Rulebook:
        """Load a district's folder, by default Fengze's; it is read once and shared.

        Returns the last edition. Raises `RulebookError`, whose one sentence names the file, the
        entry and the field.
        """
        return _read(folder) if folder else _fengze()

    def on(self, day: date) -> Rulebook:
        """Return the edition in force on a day; the first one for earlier days."""
        place = bisect_right(self.editions, day, key=lambda edition: edition.since)
        return self.editions[max(place - 1, 0)]

    def checklist_under(self, version: str, day: date) -> Checklist | None:
        """Return a checklist by its version if it was in force by a day, else None."""
        known = (edition.checklist for edition in self.editions if edition.since <= day)
        return next((one for one in known if one.version == version), None)


@cache
def _fengze() -> Rulebook:
    return _read(_HERE / "fengze")


def _read(folder: Path) -> Rulebook:
    tables = parse(folder, COMMON)
    texts = Texts.read(_HERE / "locale" / "zh_Hant.po")
    editions: list[Rulebook] = []
    for day in turns(tables):
        editions.append(_edition(as_of(tables, day), day, texts, editions))
    return editions[-1]


def _edition(tables: Tables, day: date, texts: Texts, editions: list[Rulebook]) -> Rulebook:
    files = Files(tables)
    values = district.read(files)
    values |= filing.read(files, values)
    values |= inspection.read(files, values)
    values |= complaints.read(files)
    values |= insurance.read(files, values)
    values |= identities.read(files)
    files.expect_nothing_more()
    return Rulebook(
        **values,
        texts=texts,
        since=day,
        version=f"{values['district'].code}-{day}-{digest(tables)}",
        editions=editions,
    )
