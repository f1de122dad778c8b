"""Kinds of columns by which lists are filtered, sorted and ranged.

Days are ISO 8601, names are compared by code point, and numbers are numeric, so PostgreSQL and
SQLite sort every list alike, whatever their locale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from typing import Any

from sqlalchemy import String
from sqlalchemy.types import TypeEngine

from services.gateway.tables import POSITION

LONGEST = 64
"""Length of a text column in characters; an index limits it."""
_DIGEST = 16
"""Length of the digest that replaces the rest of a long text, in bytes."""
_NUMBER = re.compile(r"-?[0-9]{1,15}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def column_text(value: Any) -> str | None:
    """Return a value as stored in a text column: a long one is cut and ends in a digest."""
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) <= LONGEST:
        return text
    digest = blake2b(text.encode(), digest_size=_DIGEST).hexdigest()
    return text[: LONGEST - len(digest)] + digest


def _as_it_is(value: Any) -> Any:
    return value


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text).isoformat()


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


@dataclass(frozen=True)
class Kind:
    """A kind of column: its type, its value in a document, and its parser for queries.

    `read` raises `ValueError` for an invalid value; `example` is then shown to the client.
    """

    type: TypeEngine[Any]
    write: Callable[[Any], Any] = column_text
    read: Callable[[str], Any] = column_text
    example: str = ""
    sorts: bool = True
    """Lists can be sorted by it."""
    ranges: bool = False
    """It accepts a range."""
    several: bool = True
    """It accepts several values, separated by commas."""


CODE = Kind(String(LONGEST), sorts=False)
"""An id, a state, a code: matched as a whole."""
NAME = Kind(
    String(LONGEST).with_variant(String(LONGEST, collation="C"), "postgresql"), several=False
)
"""A text written by people: matched as a whole, sorted by its beginning."""
DAY = Kind(String(10), _as_it_is, _day, "a day such as 2020-02-10", ranges=True)
NUMBER = Kind(POSITION, _as_it_is, _number, "a whole number", ranges=True)
