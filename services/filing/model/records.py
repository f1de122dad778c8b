"""Registry data of an enterprise: its codes, its trade, its place, its size class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from stdnum.cn import uscc
from stdnum.exceptions import ValidationError as NumberError
from stdnum.iso7064 import mod_11_10

from chassis.errors import at
from contracts.filing import Size, SizeBasis

if TYPE_CHECKING:
    from rulebook import Rulebook

Faults = list[dict[str, str]]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "0X987654321"
"""GB 11714-1997: the weights of an organisation code, and its check character by the remainder."""
OLD_DIGITS = 15


class Placed(Protocol):
    """A command with some of an enterprise's codes, trade and place."""

    @property
    def credit_code(self) -> str | None:
        """The credit code of GB 32100."""

    @property
    def registration_number(self) -> str | None:
        """The number of an older business licence."""

    @property
    def industry(self) -> str | None:
        """The industry of GB/T 4754."""

    @property
    def premises(self) -> str | None:
        """The kind of premises."""

    @property
    def grid(self) -> str | None:
        """A node of the district's grid."""


def faults_of(command: Placed, book: Rulebook) -> Faults:
    """Return the errors of the given registry data."""
    found = _credit_code_faults(command.credit_code, book) if command.credit_code else []
    if command.registration_number:
        found += _number_faults(
            command.registration_number, checked=book.registration_number.checked
        )
    if command.industry is not None and not book.is_industry(command.industry):
        found.append(at("industry", "is not in GB/T 4754-2017"))
    if command.premises is not None and command.premises not in book.premises:
        found.append(at("premises", "is not a kind of premises in the rulebook"))
    if command.grid is not None and command.grid not in book.grids:
        found.append(at("grid", "is not a grid of the district"))
    return found


def _credit_code_faults(code: str, book: Rulebook) -> Faults:
    """Check both check characters: the code's own, and the organisation code's inside it."""
    try:
        if uscc.validate(code) != code:
            return [at("credit_code", "must be 18 capital letters and digits")]
    except NumberError as error:
        return [at("credit_code", f"is not a credit code (GB 32100-2015): {error}")]
    if code in book.accepted_codes or _is_organisation(code[8:17]):
        return []
    what = "contains an organisation code with a wrong check character (GB 11714-1997)"
    return [at("credit_code", f"{what}, and is no exception in the rulebook")]


def _is_organisation(code: str) -> bool:
    """Return whether the ninth character of an organisation code follows from the first eight."""
    values = (_ALPHABET.index(character) for character in code[:8])
    total = sum(value * weight for value, weight in zip(values, _WEIGHTS, strict=True))
    return code[8] == _CHECKS[total % 11]


def _number_faults(number: str, *, checked: bool) -> Faults:
    if not (len(number) == OLD_DIGITS and number.isascii() and number.isdigit()):
        return [at("registration_number", f"is not a registration number of {OLD_DIGITS} digits")]
    if checked and not mod_11_10.is_valid(number):
        return [at("registration_number", "has a wrong check digit (GS 15-2006)")]
    return []


def size_class(
    industry: str, figures: Mapping[str, int | None], stated: Size | None, book: Rulebook
) -> tuple[dict[str, Any], Faults]:
    """Return the size class and its basis, or the errors if it is unknown.

    It is computed by 〔2011〕300號 if all figures that the trade's limits need are given; a stated
    size is then ignored.
    """
    branch = book.branch_of(industry)
    computed = book.size_of(branch, figures) if branch else None
    if computed is not None:
        return _known(Size(computed), SizeBasis.COMPUTED, branch, book), []
    if stated is not None:
        return _known(stated, SizeBasis.STATED, branch, book), []
    if branch is None:
        why = "is needed: the limits of MIIT 2011-300 do not reach this industry"
    else:
        missing = [name for name in book.figures_for(branch) if figures.get(name) is None]
        why = f"is needed, since it cannot be computed without {' and '.join(missing)}"
    return {}, [at("size", why)]


def _known(size: Size, by: SizeBasis, branch: str | None, book: Rulebook) -> dict[str, Any]:
    return {"size": size, "size_by": by, "branch": branch, "rules": book.version}
