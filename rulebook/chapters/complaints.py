"""The chapter of complaints: channels, the clocks of Order No. 20, grounds, the laws cited.

Each period is dated data; a clock keeps the period of the rule under which it began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from marshmallow import validate

from contracts.complaints import Citation, Stage, Unit
from contracts.complaints import Track as OfTrack
from contracts.shapes import Words
from rulebook.chapters.district import District
from rulebook.entries import Entry, find
from rulebook.reading import Files, Truth, Whole, among, fault, several, text
from rulebook.working_days import EveryDay, WorkingDays

FILE = "complaints.toml"
RECEIPT, STAGE = "receipt", "stage"
_UNIT = validate.OneOf([*Unit])
_STAGES = {
    OfTrack.DISPUTE: (Stage.ACCEPTANCE, Stage.MEDIATION, Stage.TELLING),
    OfTrack.REPORT: (Stage.ACCEPTANCE, Stage.CASE, Stage.DECISION, Stage.TELLING),
}
"""The clocks of each track, in order."""
_EVERY_DAY = EveryDay()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRule(Entry):
    """The period of a clock: `days` of its unit, and further ones with the head's approval.

    It counts from the receipt of the complaint, or from the beginning of its stage.
    """

    days: int
    unit: str
    extension: int
    counted_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung(Entry):
    """An addressee of an overdue complaint, some working days after its clock has expired."""

    days: int
    addressee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel(Entry):
    """A channel of complaints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground(Entry):
    """A coded ground for refusing complaints of some tracks, or for pausing their clocks."""

    tracks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Entry):
    """The days after an answer in which a complaint may be reopened."""

    days: int
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Law(Entry):
    """A law; its version is the first day of the cited text. One law is the general one, cited as a
    whole for findings without an article."""

    general: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Article(Entry):
    """An article of a law, cited for findings against these rules of the checklist."""

    law: str
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Complaints(District):
    """The chapter of complaints; an unknown code raises `Unknown`."""

    channels: Mapping[str, Channel]
    clocks: Mapping[str, ClockRule]
    complaint_rungs: tuple[Rung, ...]
    """The addressees of an overdue complaint, in order."""
    pause_grounds: Mapping[str, Ground]
    refusal_grounds: Mapping[str, Ground]
    reopening: Window
    laws: Mapping[str, Law]
    articles: Mapping[str, Article]

    def clock(self, track: str, stage: str) -> ClockRule:
        """Return the rule of a track's clock in a stage."""
        return find(self.clocks, f"{track}-{stage}", "clock")

    def counting(self, unit: str) -> WorkingDays:
        """Return the calendar that counts a unit."""
        return self.working_days if unit == Unit.WORKING_DAYS else _EVERY_DAY

    def citations(self, findings: Iterable[str]) -> list[Citation]:
        """Return the articles of law cited for findings, and the general law for findings without
        one."""
        cited: dict[str, list[str]] = {}
        for finding in dict.fromkeys(findings):
            for code in self._articles_for(finding) or [self._general_law.code]:
                cited.setdefault(code, []).append(finding)
        return [self._cite(code, about) for code, about in sorted(cited.items())]

    @property
    def _general_law(self) -> Law:
        return next(law for law in self.laws.values() if law.general)

    def _articles_for(self, finding: str) -> list[str]:
        return [code for code, article in self.articles.items() if finding in article.findings]

    def _cite(self, code: str, findings: list[str]) -> Citation:
        article = self.articles.get(code)
        law = self.laws[article.law if article else code]
        words = law.words
        if article:
            words = Words(zh=law.zh + article.zh, en=f"{article.en} of the {law.en}")
        return Citation(
            law=law.code,
            version=law.since,
            article=code if article else None,
            words=words,
            findings=findings,
        )


def read(files: Files) -> dict[str, Any]:
    """Read the chapter."""
    tracks = several(text(among([*OfTrack], "the tracks")))
    days, unit = Whole(required=True), text(_UNIT)
    laws = _laws(files)
    rungs = files.table(FILE, "rung", Rung, days=days, addressee=text())
    return {
        "channels": files.table(FILE, "channel", Channel),
        "clocks": _clocks(files),
        "complaint_rungs": tuple(sorted(rungs.values(), key=lambda rung: rung.days)),
        "pause_grounds": files.table(FILE, "pause_ground", Ground, tracks=tracks),
        "refusal_grounds": files.table(FILE, "refusal_ground", Ground, tracks=tracks),
        "reopening": files.single(FILE, "reopening", Window, days=days, unit=unit),
        "laws": laws,
        "articles": files.table(
            FILE,
            "article",
            Article,
            law=text(among(laws, "the laws of complaints.toml")),
            findings=several(text()),
        ),
    }


def _clocks(files: Files) -> Mapping[str, ClockRule]:
    """Read the clocks: one for each stage of each track."""
    clocks = files.table(
        FILE,
        "clock",
        ClockRule,
        days=Whole(required=True, validate=validate.Range(min=1)),
        unit=text(_UNIT),
        extension=Whole(load_default=0),
        counted_from=text(validate.OneOf([RECEIPT, STAGE]), load_default=STAGE),
    )
    wanted = {f"{track}-{stage}" for track, stages in _STAGES.items() for stage in stages}
    for code in sorted(clocks.keys() ^ wanted):
        what = "is no clock" if code in clocks else "is missing"
        raise fault(FILE, f'clock "{code}"', "code", what)
    return clocks


def _laws(files: Files) -> Mapping[str, Law]:
    """Read the laws, of which exactly one is the general one."""
    laws = files.table(FILE, "law", Law, general=Truth(load_default=False))
    if sum(law.general for law in laws.values()) != 1:
        raise fault(FILE, "law", "general", "must be true for exactly one law")
    return MappingProxyType(dict(laws))
