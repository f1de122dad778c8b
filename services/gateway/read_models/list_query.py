"""What is asked of a list: filters, ranges, words, an order and a page, understood or refused.

docs/reading.md tells people of it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, and_
from werkzeug.datastructures import MultiDict

from services.gateway.http.request import PAGES, BadRequest, limit_of, once
from services.gateway.resources.columns import Kind
from services.gateway.resources.search import SHORTEST, plain
from services.gateway.resources.view import View

MOST_WORDS = 10
LONGEST_QUESTION = 200
"""Characters of `q`."""
_RANGE = ".."
FORMAT = "format"
"""Says in which format a list is wanted; it changes nothing of what is listed."""


@dataclass(frozen=True)
class Place:
    """Where a page ends: the last document's value in the order, and its position."""

    value: Any
    position: int


@dataclass(frozen=True)
class Asked:
    """What is asked of a list, understood."""

    conditions: tuple[ColumnElement[bool], ...] = ()
    words: tuple[str, ...] = ()
    sort: str | None = None
    descending: bool = False
    limit: int = 50
    after: Place | None = None
    mark: str = ""
    """Tells this list from every other: a cursor of one is none of another."""

    def cursor(self, place: Place) -> str:
        """Write where the page ends, so that only the same list can be read on from there."""
        text = json.dumps([place.value, place.position], ensure_ascii=False)
        return base64.urlsafe_b64encode(f"{_seal(self.mark, text)}{text}".encode()).decode()


def _seal(mark: str, text: str) -> str:
    return blake2b(f"{mark}\n{text}".encode(), digest_size=6).hexdigest()


def asked_of(
    view: View, given: MultiDict[str, str], scope: Sequence[ColumnElement[bool]] = ()
) -> Asked:
    """Understand what is asked of a view, within a scope; raises `BadRequest`, which tells all that
    is wrong."""
    asked = once(given, view.known)
    said: list[str] = []
    conditions = []
    for name, kind in view.columns.items():
        if name in asked:
            try:
                conditions.append(_condition(view.table.c[name], kind, asked[name]))
            except ValueError:
                also = f", several with commas between, or a range such as {_ranges(kind)}"
                said.append(f"{name} must be {kind.example}{also}.")
    sort = asked.get("sort", "")
    if "sort" in asked and sort.removeprefix("-") not in view.sorts:
        said.append(
            f"The list cannot be sorted by {sort.removeprefix('-') or 'an empty name'}; "
            f"it can by {', '.join(view.sorts) or 'nothing'}, with - in front for the reverse."
        )
    words = _words(asked["q"], said) if "q" in asked else ()
    limit = limit_of(asked, said)
    if said:
        raise BadRequest(" ".join(said))
    told_apart = sorted((k, v) for k, v in asked.items() if k not in (*PAGES, FORMAT))
    mark = json.dumps([view.name, told_apart])
    after = _place(asked["after"], mark, sort=bool(sort)) if asked.get("after") else None
    name, descending = sort.removeprefix("-") or None, sort.startswith("-")
    return Asked((*conditions, *scope), words, name, descending, limit, after, mark)


def _condition(column: ColumnElement[Any], kind: Kind, text: str) -> ColumnElement[bool]:
    """Understand a value, several, or a range with one open end at the most."""
    if kind.ranges and _RANGE in text:
        first, _, last = text.partition(_RANGE)
        ends = [kind.read(end) if end else None for end in (first, last)]
        if ends == [None, None]:
            raise ValueError(text)
        bounds = [] if ends[0] is None else [column >= ends[0]]
        return and_(*bounds, *([] if ends[1] is None else [column <= ends[1]]))
    values = [kind.read(value) for value in (text.split(",") if kind.several else [text])]
    return column == values[0] if len(values) == 1 else column.in_(sorted(set(values)))


def _ranges(kind: Kind) -> str:
    one, other = ("2020-02-10", "2020-02-20") if "day" in kind.example else ("1", "3")
    return f"{one}{_RANGE}{other}, {one}{_RANGE} or {_RANGE}{other}"


def _words(text: str, said: list[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(filter(None, map(plain, text.split()))))
    if len(text) > LONGEST_QUESTION or len(words) > MOST_WORDS:
        said.append(f"q takes {MOST_WORDS} words and {LONGEST_QUESTION} characters at the most.")
    elif not words or min(map(len, words)) < SHORTEST:
        said.append(f"q needs words of {SHORTEST} letters or digits at the least.")
    return words


def _place(cursor: str, mark: str, *, sort: bool) -> Place:
    """Read a cursor back; raises `BadRequest` for one of another list, and for one that is none."""
    try:
        decoded = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequest("after must be a cursor from an answer.") from None
    seal, text = decoded[:12], decoded[12:]
    if seal != _seal(mark, text):
        raise BadRequest(
            "after must be a cursor from an answer to the same list, "
            "with the same filters, words and order."
        )
    value, position = json.loads(text)
    return Place(value if sort else None, position)
