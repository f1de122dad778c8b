"""Filing: the values that its commands and events are made of."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from marshmallow import validate

from contracts.shapes import Code, Count, Part, Sealed

Amount = Annotated[int, validate.Range(min=0, max=1_000_000_000)]
"""A sum of money in units of 10,000 yuan (萬元), the unit of 〔2011〕300號."""

Tenths = Annotated[int, validate.Range(min=300, max=450)]
"""A body temperature in tenths of a degree Celsius."""

LINES = 5000
"""Maximum number of persons on the roster of a day."""


class Kind(StrEnum):
    """The statistical kind: 四上 above-scale, 四下 below-scale, 個體戶 sole trader."""

    ABOVE_SCALE = "above_scale"
    BELOW_SCALE = "below_scale"
    SOLE_TRADER = "sole_trader"


class Size(StrEnum):
    """The size class of 工信部聯企業〔2011〕300號."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"
    MICRO = "micro"


class SizeBasis(StrEnum):
    """The basis of the size class: the limits of 〔2011〕300號, or a statement."""

    COMPUTED = "computed"
    STATED = "stated"


class Decision(StrEnum):
    """A reviewer's decision on a filing."""

    APPROVE = "approve"
    RETURN = "return"


class Stock(Part):
    """A quantity in stock: pieces, or litres."""

    measure: Code
    amount: Count


class RosterLine(Part):
    """One person on the roster of a day: the row, and the state of health.

    `worker_ref` is a keyed hash of the enterprise's staff number. `home` and `arrived_from` are
    division codes of six digits. The gateway validates the name and drops it.
    """

    row: Count
    worker_ref: Code
    name: Sealed | None = None
    home: Code
    arrived_on: date | None = None
    arrived_from: Code | None = None
    temperature: Tenths | None = None
    unwell: bool = False


class RowFault(Part):
    """An error in one column of a row, by JSON pointer."""

    pointer: str
    detail: str


class UnreadLine(Part):
    """An unreadable row of a roster, with all its errors."""

    row: Count
    errors: list[RowFault]
