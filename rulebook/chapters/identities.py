"""The chapter of identities: accepted papers, and the patterns of their numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from rulebook.chapters.district import District
from rulebook.entries import Entry
from rulebook.reading import Files, Truth, text


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityNumber(Entry):
    """The number of GB 11643, and whether a wrong check character is rejected."""

    checked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPaper(Entry):
    """A paper other than the identity card, and the pattern of its number in normal form.

    If the pattern has groups, these identify the person: the rest, for example a count of reissues,
    may differ between two papers of one person.
    """

    pattern: str

    def number_in(self, plain: str) -> str | None:
        """Return the identifying part of a normalized number, or None if it is not one of this
        paper."""
        found = re.fullmatch(self.pattern, plain)
        if found is None:
            return None
        return "".join(filter(None, found.groups())) or found[0]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Identities(District):
    """The chapter of identities."""

    identity_number: IdentityNumber
    identity_papers: Mapping[str, IdentityPaper]

    def number_on_paper(self, plain: str) -> str | None:
        """Return the identifying part of a number on a paper other than the identity card, or
        None."""
        papers = self.identity_papers.values()
        return next((found for paper in papers if (found := paper.number_in(plain))), None)

    @property
    def accepted_papers(self) -> str:
        """Return a sentence in English with all accepted papers."""
        named = ", ".join(paper.en for paper in self.identity_papers.values())
        return f"Must be the number of one of these papers: {self.identity_number.en}, {named}."


def read(files: Files) -> dict[str, Any]:
    """Read the chapter."""
    return {
        "identity_number": files.single(
            "identities.toml", "identity_number", IdentityNumber, checked=Truth(required=True)
        ),
        "identity_papers": files.table(
            "identities.toml", "identity_paper", IdentityPaper, pattern=text(_pattern)
        ),
    }


def _pattern(given: str) -> None:
    try:
        re.compile(given)
    except re.error as error:
        raise ValidationError(f"is not a pattern: {error}") from None
