"""The chapter of the registry: identification, industries, size classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from marshmallow import validate

from rulebook.chapters.district import District
from rulebook.entries import Entry
from rulebook.reading import Files, Truth, Whole, among, fault, several, text

FIGURES = ("staff", "revenue", "assets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Entry):
    """A section of GB/T 4754-2017: one letter, and its first and last division."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Entry):
    """A trade of 〔2011〕300號, and the prefixes of its industry codes."""

    industries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Entry):
    """The lower limits of a size class for a trade; money in 10,000 yuan."""

    branch: str
    size: str
    staff: int | None
    revenue: int | None
    assets: int | None

    @property
    def needs(self) -> frozenset[str]:
        """The figures that it needs."""
        return frozenset(name for name in FIGURES if getattr(self, name) is not None)

    def is_reached(self, figures: Mapping[str, int | None]) -> bool:
        """Return whether every figure that it needs is known and reaches it."""
        return all((figures.get(name) or 0) >= getattr(self, name) for name in self.needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration(Entry):
    """The number of an older business licence, and whether its check digit is verified."""

    checked: bool


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Registry(District):
    """The chapter of the registry; an unknown code raises `Unknown`."""

    sizes: Mapping[str, Entry]
    """The size classes, the largest first."""
    sections: Mapping[str, Section]
    branches: Mapping[str, Branch]
    limits: Mapping[str, Limit]
    registration_number: Registration
    accepted_codes: Collection[str]
    """Accepted credit codes whose organisation code deviates from GB 11714."""

    def is_industry(self, code: str) -> bool:
        """Return whether a code is a section's letter and four digits of its divisions."""
        section = self.sections.get(code[:1])
        digits = code[1:]
        if section is None or len(digits) != 4 or not (digits.isascii() and digits.isdigit()):
            return False
        return section.first <= int(digits[:2]) <= section.last

    def branch_of(self, industry: str) -> str | None:
        """Return the trade of 〔2011〕300號 of an industry, or None."""
        begun = (
            (len(start), branch.code)
            for branch in self.branches.values()
            for start in branch.industries
            if industry.startswith(start)
        )
        return max(begun, default=(0, None))[1]

    def figures_for(self, branch: str) -> list[str]:
        """Return the figures that a trade's size class needs."""
        needed = {name for limit in self._limits_of(branch) for name in limit.needs}
        return [name for name in FIGURES if name in needed]

    def size_of(self, branch: str, figures: Mapping[str, int | None]) -> str | None:
        """Return the size class that follows from the figures; None if a needed one is missing.

        It is the largest class whose limits are all reached, or else the last one (微型).
        """
        limits = self._limits_of(branch)
        if any(figures.get(name) is None for name in self.figures_for(branch)):
            return None
        reached = {limit.size for limit in limits if limit.is_reached(figures)}
        *_, last = self.sizes
        return next((size for size in self.sizes if size in reached), last)

    def _limits_of(self, branch: str) -> list[Limit]:
        return [limit for limit in self.limits.values() if limit.branch == branch]


def read(files: Files) -> dict[str, Any]:
    """Read the chapter."""
    sections = _sections(files)
    sizes = files.table("sizes.toml", "size", Entry)
    branches = _branches(files, sections)
    accepted = files.table("credit_codes.toml", "accepted", Entry)
    return {
        "sizes": sizes,
        "sections": sections,
        "branches": branches,
        "limits": _limits(files, branches, sizes),
        "registration_number": files.single(
            "credit_codes.toml",
            "registration_number",
            Registration,
            checked=Truth(required=True),
        ),
        "accepted_codes": frozenset(accepted),
    }


def _sections(files: Files) -> Mapping[str, Section]:
    """Read the sections of GB/T 4754-2017, whose divisions are consecutive."""
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


def _branches(files: Files, sections: Mapping[str, Section]) -> Mapping[str, Branch]:
    """Read the trades: each prefix of an industry code belongs to one of them."""
    branches = files.table("sizes.toml", "branch", Branch, industries=several(text()))
    seen: set[str] = set()
    for branch in branches.values():
        label = f'branch "{branch.code}"'
        for start in branch.industries:
            if start[0] not in sections or start in seen:
                what = (
                    f'"{start}" is no prefix of an industry code, or belongs to another trade too'
                )
                raise fault("sizes.toml", label, "industries", what)
            seen.add(start)
    return branches


def _limits(
    files: Files, branches: Mapping[str, Branch], sizes: Mapping[str, Entry]
) -> Mapping[str, Limit]:
    """Read the limits: each needs a figure, and every trade needs limits."""
    limits = files.table(
        "sizes.toml",
        "limit",
        Limit,
        branch=text(among(branches, "sizes.toml")),
        size=text(among(sizes, "sizes.toml")),
        **{name: Whole(load_default=None) for name in FIGURES},
    )
    for limit in limits.values():
        if not limit.needs:
            raise fault(
                "sizes.toml", f'limit "{limit.code}"', "staff", "or another figure is needed"
            )
    for code in branches.keys() - {limit.branch for limit in limits.values()}:
        raise fault("sizes.toml", f'branch "{code}"', "code", "has no limits")
    return limits
