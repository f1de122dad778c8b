"""Identification of persons: one normal form for every spelling of a paper's number or a phone.

An identity number follows GB 11643, other papers the rulebook, and a phone must be dialable. Any
other value identifies nobody, however often it is given.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING
from unicodedata import category, decimal, normalize

from stdnum.cn import ric

if TYPE_CHECKING:
    from rulebook.chapters.identities import Identities

_CROSSES = str.maketrans("×\N{CYRILLIC CAPITAL LETTER HA}\N{GREEK CAPITAL LETTER CHI}", "XXX")
"""Characters accepted for the check character X, which keyboards lack in Roman."""
_FILLERS = "\u034f\u2800\u3164"
_NEW, _OLD = re.compile(r"[1-9][0-9]{16}[0-9X]"), re.compile(r"[1-9][0-9]{14}")
_LENGTH = 18
_CENTURY = "19"
"""The century of a number of 15 digits."""
_CODE = r"(?:\+86|0086|86)"
_AREA = r"(10|2[0-9]|[3-9][0-9]{2})"
_LOCAL = r"([2-9][0-9]{6,7})"
_MOBILE = re.compile(rf"{_CODE}?0?(1[3-9][0-9]{{9}})")
_LANDLINE = re.compile(rf"(?:{_CODE}0?|0){_AREA}{_LOCAL}")
_ABROAD = re.compile(r"(?:\+|00)(?!86)([1-9][0-9]{6,14})")
_EXTENSION = re.compile(r"(.*[0-9])(?:轉|转|分機|分机|EXT|X|#|-)+([0-9]{1,6})")


def plain(text: str, *, dash: str = "") -> str:
    """Return a text without the differences between its spellings.

    The result is NFKC in capitals with ASCII digits, without format characters, blanks and
    brackets; hyphens and dashes of every kind are dropped, or replaced by `dash`.
    """
    before = None
    while text != before:  # capitals may have another normal form, with other blanks
        before, text = text, "".join(_each(one, dash) for one in normalize("NFKC", text).upper())
    return text


def _each(one: str, dash: str) -> str:
    if one.isascii() and one.isalnum():
        return one
    kind = category(one)
    if kind == "Pd" or one in "-\N{MINUS SIGN}":
        return dash
    if kind in ("Cf", "Cc", "Zs", "Zl", "Zp", "Ps", "Pe") or _is_invisible(one):
        return ""
    return str(decimal(one)) if kind == "Nd" else one


def _is_invisible(one: str) -> bool:
    """Return whether a character is a variation selector or a filler, which are not in category
    Cf."""
    return one in _FILLERS or "\ufe00" <= one <= "\ufe0f" or "\U000e0100" <= one <= "\U000e01ef"


# -- papers


def number_of(text: str, book: Identities) -> str | None:
    """Return the reference text of the person with a paper's number; None for an invalid number."""
    number = plain(text)
    resident = resident_number(number, checked=book.identity_number.checked)
    if resident or len(number) == _LENGTH:
        return resident
    return book.number_on_paper(number) if len(set(number)) > 1 else None


def resident_number(number: str, *, checked: bool) -> str | None:
    """Return a number of GB 11643 with 18 characters; older ones have 15.

    Its region must have six digits and its day of birth must exist; its check character is verified
    on request.
    """
    if _OLD.fullmatch(number):
        number = _with_check(number[:6] + _CENTURY + number[6:])
    number = number[:-1] + number[-1:].translate(_CROSSES)
    if not _NEW.fullmatch(number) or not _is_day(number[6:14]):
        return None
    return None if checked and number != _with_check(number[:-1]) else number


def shorter(number: str) -> str | None:
    """Return the number of 15 digits that the same person had until 1999, or None."""
    is_new = _NEW.fullmatch(number) and number[6:8] == _CENTURY
    return number[:6] + number[8:-1] if is_new else None


def _with_check(front: str) -> str:
    return front + str(ric.calc_check_digit(f"{front}X"))


def _is_day(text: str) -> bool:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).year >= 1800
    except ValueError:
        return False


def worker_of(text: str) -> str:
    """Return a staff number in normal form, which may be an identity number; empty if invalid.

    Hyphens are significant, 1-11 differs from 11-1; blanks and brackets are not.
    """
    return resident_number(plain(text), checked=True) or plain(text, dash="-")


# -- phones


def phone_of(text: str) -> str | None:
    """Return a phone as dialled within the country, or with + from abroad; None if invalid. An
    extension follows an x."""
    spelled = plain(text, dash="-").replace(".", "").replace("·", "")
    if number := _dialled(spelled.replace("-", "")):
        return number
    if (extended := _EXTENSION.fullmatch(spelled)) and (number := _dialled(extended[1])):
        return f"{number}x{extended[2]}"
    return None


def _dialled(dialled: str) -> str | None:
    number = dialled.replace("-", "")
    if match := _MOBILE.fullmatch(number):
        return match[1]
    if match := _LANDLINE.fullmatch(number):
        return f"0{match[1]}{match[2]}"
    match = _ABROAD.fullmatch(number)
    return f"+{match[1]}" if match else None


# -- names


def name_of(text: str) -> str:
    """Return a name in a form that its spellings share; for counting, not for display."""
    dotted = plain(text)
    return plain(dotted.replace("·", "").replace("•", "").replace(".", ""))  # accents have moved up
