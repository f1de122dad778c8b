"""The rulebook: the rules of one district as they stand on a day."""

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
"""What all districts share: the State's calendar, its classifications, its clocks."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Rulebook(
    filing.Filing,
    inspection.Inspection,
    complaints.Complaints,
    insurance.Insurance,
    identities.Identities,
):
    """The rules of one district as they stand from one day until some of them change.

    Immutable once loaded; an unknown code raises `Unknown`. `version` names the district, the day
    from which these rules stand, and what they say: an answer that pins it can always be told from
    one that was given under other rules.
    """

    version: str
    since: date
    editions: list[Rulebook] = field(default_factory=list)
    """All that the district has had and will have, as far as it is known, the first one first."""

    @classmethod
    def load(cls, folder: Path | None = None) -> Rulebook:
        """Load a district's folder; Fengze's unless told, which is read once and then shared.

        Gives the last edition. Raises `RulebookError`, whose one sentence names the file, the entry
        and the field.
        """
        return _read(folder) if folder else _fengze()

    def on(self, day: date) -> Rulebook:
        """Return the edition that holds on a day; the first one for the days before it."""
        place = bisect_right(self.editions, day, key=lambda edition: edition.since)
        return self.editions[max(place - 1, 0)]

    def checklist_under(self, version: str, day: date) -> Checklist | None:
        """Find a checklist by its version among those that had come into force by a day."""
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
