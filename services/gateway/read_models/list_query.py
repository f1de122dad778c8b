"""List queries: filters, ranges, search terms, sort order and page, parsed from a query string.

docs/reading.md documents them.
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
"""Longest `q`, in characters."""
_RANGE = ".."
FORMAT = "format"
"""Selects the format of a list, not its contents."""


@dataclass(frozen=True)
class Place:
    """The end of a page: the last document's sort value and its position."""

    value: Any
    position: int


@dataclass(frozen=True)
class ListQuery:
    """A parsed list query."""

    conditions: tuple[ColumnElement[bool], ...] = ()
    words: tuple[str, ...] = ()
    sort: str | None = None
    descending: bool = False
    limit: int = 50
    after: Place | None = None
    mark: str = ""
    """Identifies the list: a cursor is valid only for the list it came from."""

    def cursor(self, place: Place) -> str:
        """Return the cursor of a place, valid for this list only."""
        text = json.dumps([place.value, place.position], ensure_ascii=False)
        return base64.urlsafe_b64encode(f"{_seal(self.mark, text)}{text}".encode()).decode()


def _seal(mark: str, text: str) -> str:
    return blake2b(f"{mark}\n{text}".encode(), digest_size=6).hexdigest()


def parse_query(
    view: View, parameters: MultiDict[str, str], scope: Sequence[ColumnElement[bool]] = ()
) -> ListQuery:
    """Parse the query string of a view, within a scope; raises `BadRequest`, which lists every
    error."""
    query = once(parameters, view.known)
    errors: list[str] = []
    conditions = []
    for name, kind in view.columns.items():
        if name in query:
            try:
                conditions.append(_condition(view.table.c[name], kind, query[name]))
            except ValueError:
                also = f", several separated by commas, or a range such as {_ranges(kind)}"
                errors.append(f"{name} must be {kind.example}{also}.")
    sort = query.get("sort", "")
    if "sort" in query and sort.removeprefix("-") not in view.sorts:
        errors.append(
            f"Unknown sort field {sort.removeprefix('-') or '(empty)'}. "
            f"Allowed: {', '.join(view.sorts) or 'none'}; - in front reverses the order."
        )
    words = _words(query["q"], errors) if "q" in query else ()
    limit = limit_of(query, errors)
    if errors:
        raise BadRequest(" ".join(errors))
    criteria = sorted((k, v) for k, v in query.items() if k not in (*PAGES, FORMAT))
    mark = json.dumps([view.name, criteria])
    after = _place(query["after"], mark, sort=bool(sort)) if query.get("after") else None
    sorted_by, descending = sort.removeprefix("-") or None, sort.startswith("-")
    return ListQuery((*conditions, *scope), words, sorted_by, descending, limit, after, mark)


def _condition(column: ColumnElement[Any], kind: Kind, text: str) -> ColumnElement[bool]:
    """Parse a value, several values, or a range with at most one open end."""
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


def _words(text: str, errors: list[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(filter(None, map(plain, text.split()))))
    if len(text) > LONGEST_QUESTION or len(words) > MOST_WORDS:
        errors.append(f"q is limited to {MOST_WORDS} words and {LONGEST_QUESTION} characters.")
    elif not words or min(map(len, words)) < SHORTEST:
        errors.append(f"q needs words of at least {SHORTEST} letters or digits.")
    return words


def _place(cursor: str, mark: str, *, sort: bool) -> Place:
    """Parse a cursor; raises `BadRequest` for an invalid cursor and for that of another list."""
    try:
        decoded = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequest("after must be a cursor from a response.") from None
    seal, text = decoded[:12], decoded[12:]
    if seal != _seal(mark, text):
        raise BadRequest(
            "after must be a cursor from a response of the same list, "
            "with the same filters, search terms and sort order."
        )
    value, position = json.loads(text)
    return Place(value if sort else None, position)
