"""The chapter of insurance: schemes, their benefits, and the handling of claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from marshmallow import validate

from contracts.shapes import Point
from rulebook.chapters.district import District
from rulebook.entries import Entry, find
from rulebook.reading import Files, Truth, Whole, among, fault, several, text

_HOLDER = validate.OneOf(["enterprise", "medic"])
ENTERPRISE, MEDIC = "enterprise", "medic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benefit(Entry):
    """The total benefit for a casualty, in yuan per person, before earlier payments are
    deducted."""

    scheme: str
    casualty: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme(Entry):
    """Cover for enterprises of some sizes, or for medics, of some institutions or of all.

    `sum_insured` is in yuan per person, the maximum ever paid for one, None if no sum is set;
    `benefits` by casualty; `years` is the term, which may have its own source; a casualty must be
    claimed within `report_days`.
    """

    holder: str
    sizes: frozenset[str]
    institutions: frozenset[str]
    sum_insured: int | None
    years: int
    years_source: str
    report_days: int
    benefits: Mapping[str, Benefit] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimHandling(Entry):
    """The handling of claims: with `four_eyes`, check and decision need different persons."""

    four_eyes: bool


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Insurance(District):
    """The chapter of insurance; an unknown code raises `Unknown`."""

    schemes: Mapping[str, Scheme]
    casualties: Mapping[str, Entry]
    claim_documents: Mapping[str, Entry]
    claim_rejections: Mapping[str, Entry]
    claim_handling: ClaimHandling

    def scheme_for_size(self, size: str) -> Scheme | None:
        """Return the free cover for an enterprise of this size, or None."""
        return next((one for one in self.schemes.values() if size in one.sizes), None)

    def scheme_for_medic(self, institution: str) -> Scheme | None:
        """Return the cover for a medic of an institution, or None; the institution's own takes
        precedence."""
        covers = [one for one in self.schemes.values() if one.holder == MEDIC]
        own = (one for one in covers if institution in one.institutions)
        general = (one for one in covers if not one.institutions)
        return next(own, None) or next(general, None)

    def document_point(self, code: str) -> Point:
        """Return the point of a document that a claim needs."""
        return find(self.claim_documents, code, "document of a claim").point

    def rejection_point(self, code: str) -> Point:
        """Return the point of a reason to reject a claim."""
        return find(self.claim_rejections, code, "reason to reject a claim").point


def read(files: Files, known: Mapping[str, Any]) -> dict[str, Any]:
    """Read the chapter."""
    casualties = files.any("schemes.toml", "casualty", Entry)
    return {
        "casualties": casualties,
        "schemes": _schemes(files, known["sizes"], casualties),
        "claim_documents": files.table("claims.toml", "document", Entry),
        "claim_rejections": files.table("claims.toml", "rejection", Entry),
        "claim_handling": files.single(
            "claims.toml", "handling", ClaimHandling, four_eyes=Truth(required=True)
        ),
    }


def _schemes(
    files: Files, sizes: Mapping[str, Entry], casualties: Mapping[str, Entry]
) -> Mapping[str, Scheme]:
    """Read the schemes: at most one for each size, for each institution, and for all others."""
    schemes = files.any(
        "schemes.toml",
        "scheme",
        Scheme,
        holder=text(_HOLDER),
        sizes=several(text(among(sizes, "sizes.toml"))),
        institutions=several(text()),
        sum_insured=Whole(load_default=None),
        years=Whole(required=True, validate=validate.Range(min=1)),
        years_source=text(among(files.sources, "sources.toml"), load_default=None),
        report_days=Whole(required=True),
    )
    benefits = files.any(
        "schemes.toml",
        "benefit",
        Benefit,
        scheme=text(),
        casualty=text(among(casualties, "schemes.toml")),
        amount=Whole(required=True, validate=validate.Range(min=1)),
    )
    made = {code: _completed(scheme, benefits) for code, scheme in schemes.items()}
    _expect_one_for_each(made)
    return MappingProxyType(made)


def _completed(scheme: Scheme, benefits: Mapping[str, Benefit]) -> Scheme:
    """Return a scheme with its benefits, which must not exceed its sum."""
    own: dict[str, Benefit] = {}
    for benefit in benefits.values():
        if benefit.scheme == scheme.code:
            if benefit.casualty in own:
                raise _fault("benefit", benefit, "casualty", "is already covered by the scheme")
            if benefit.amount > (scheme.sum_insured or 0):
                raise _fault("benefit", benefit, "amount", "exceeds the scheme's sum")
            own[benefit.casualty] = benefit
    if scheme.sum_insured is not None and not own:
        raise _fault("scheme", scheme, "sum_insured", "needs a benefit")
    return replace(
        scheme,
        sizes=frozenset(scheme.sizes),
        institutions=frozenset(scheme.institutions),
        years_source=scheme.years_source or scheme.source,
        benefits=MappingProxyType(own),
    )


def _expect_one_for_each(schemes: Mapping[str, Scheme]) -> None:
    covered: set[tuple[str, str]] = set()
    for scheme in schemes.values():
        if scheme.holder == ENTERPRISE:
            name, holders = "sizes", {("size", size) for size in scheme.sizes}
        else:
            name, holders = "institutions", {("at", one) for one in scheme.institutions or {MEDIC}}
        if twice := sorted(covered & holders):
            raise _fault("scheme", scheme, name, f"{twice[0][1]} already has another cover")
        covered |= holders


def _fault(table: str, entry: Entry, name: str, what: str) -> Exception:
    return fault("schemes.toml", f'{table} "{entry.code}"', name, what)
