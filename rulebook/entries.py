"""What stands in the rulebook: immutable entries, each with its source and its first day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from contracts.shapes import Point, Words


class RulebookError(Exception):
    """The rulebook's files are wrong; one sentence names the file, the entry and the field."""


class Unknown(KeyError):
    """The rulebook has no such code or text; the one argument is a sentence that names it."""

    def __str__(self) -> str:
        """Give the sentence, without the quotes that `KeyError` adds."""
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where entries come from, and how well it is known: seen, secondary, memory or practice."""

    code: str
    words: Words
    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: its code and words, the code of its source, and the date from which it holds."""

    point: Point
    source: str
    since: date

    @property
    def code(self) -> str:
        """Its code."""
        return self.point.code

    @property
    def words(self) -> Words:
        """Its words."""
        return self.point.words

    @property
    def zh(self) -> str:
        """Its words in Chinese."""
        return self.point.words.zh

    @property
    def en(self) -> str:
        """Its words in English."""
        return self.point.words.en


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid(Entry):
    """A subdistrict, with the staff numbers of its liaison officers."""

    officers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises(Entry):
    """A kind of premises, with everything that other tables ask of it.

    `patrol_within_days` counts calendar days from reopening; None where no first patrol is due.
    """

    five_small: bool
    patrol_within_days: int | None = None
    key_points: tuple[Point, ...] = ()
    measures: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForPremises(Entry):
    """An entry that holds for some premises; for all where it names none."""

    premises: tuple[str, ...]

    def holds_for(self, premises: str) -> bool:
        """Tell whether the entry holds for these premises."""
        return not self.premises or premises in self.premises


@dataclass(frozen=True, slots=True, kw_only=True)
class Patrol(ForPremises):
    """A first patrol by risk, due so many calendar days after reopening."""

    within_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Entry):
    """A rule of the checklist, with the severity of a fault against it."""

    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline(Entry):
    """A number of days: calendar days for notices, working days for complaints."""

    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision(Deadline):
    """The grace of a supervision slip, and how many are sent before the next lapse closes."""

    presses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Track(Entry):
    """A track of complaints, with the working days within which it is answered."""

    answer_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel(Entry):
    """A way by which a complaint comes in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme(Entry):
    """A cover given to enterprises of some sizes or to medics.

    `sum_insured` is yuan per person, None where no sum is set; `casualties` is what it pays for;
    `years` is its term, which may have a source of its own.
    """

    holder: str
    sizes: frozenset[str]
    casualties: frozenset[str]
    sum_insured: int | None
    years: int
    years_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Entry):
    """A section of GB/T 4754-2017: one letter, and its first and last division."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HolidayNotice(Entry):
    """A notice of the State Council: spans that are off, and weekend days that are worked."""

    holidays: tuple[tuple[date, date], ...]
    workdays: tuple[date, ...]
