"""What a list is filtered, sorted and ranged by: columns beside a document, each of one kind.

Days are written as ISO 8601 has them, names are compared by code point, and numbers are numbers:
so PostgreSQL and SQLite give every list in the same order, whatever their locale.
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
"""Characters of a text column; an index takes no text of any length."""
_DIGEST = 16
"""Bytes of the digest that stands for the rest of a long text."""
_NUMBER = re.compile(r"-?[0-9]{1,15}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def column_text(value: Any) -> str | None:
    """Write a value as a text column holds it: of a long one the beginning, and a digest."""
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
    """A kind of column: how it is stored, written from a document and read from a query.

    `read` raises `ValueError` for what is none; `example` is what people are told then.
    """

    type: TypeEngine[Any]
    write: Callable[[Any], Any] = column_text
    read: Callable[[str], Any] = column_text
    example: str = ""
    sorts: bool = True
    """A list may be ordered by it."""
    ranges: bool = False
    """It may be asked for by a range."""
    several: bool = True
    """It may be asked for by several values, with commas between."""


CODE = Kind(String(LONGEST), sorts=False)
"""An identity, a state, a code: looked for as a whole."""
NAME = Kind(
    String(LONGEST).with_variant(String(LONGEST, collation="C"), "postgresql"), several=False
)
"""A text in people's words: looked for as a whole, and lists are sorted by how it begins."""
DAY = Kind(String(10), _as_it_is, _day, "a day such as 2020-02-10", ranges=True)
NUMBER = Kind(POSITION, _as_it_is, _number, "a whole number", ranges=True)
