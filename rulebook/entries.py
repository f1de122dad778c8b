"""The entries of the rulebook: immutable, each with its source and its first day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from contracts.shapes import Point, Words


class RulebookError(Exception):
    """The rulebook's files are invalid; one sentence names the file, the entry and the field."""


class Unknown(KeyError):
    """The rulebook has no such code or text; the only argument is a sentence that names it."""

    def __str__(self) -> str:
        """Return the sentence, without the quotes that `KeyError` adds."""
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source of entries, and its reliability: seen, secondary, memory or practice."""

    code: str
    words: Words
    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: its code and words, the code of its source, and its first day."""

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
class Deadline(Entry):
    """A number of days: calendar days for notices, working days for complaints."""

    days: int


_Found = TypeVar("_Found")


def find(entries: Mapping[str, _Found], code: str, what: str) -> _Found:
    """Return an entry by its code; raises `Unknown` with the kind and the code."""
    try:
        return entries[code]
    except KeyError:
        raise Unknown(f'The rulebook has no {what} "{code}".') from None
