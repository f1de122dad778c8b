"""Synthetic enterprises: no real one, yet with valid codes of the district, and always the same."""

from __future__ import annotations

from stdnum.cn import uscc

DISTRICT = "350503"
_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11714-1997: weights of the organisation code's check character."""


def credit_code(number: int, *, sole_trader: bool = False) -> str:
    """Make the credit code (GB 32100-2015) of the synthetic enterprise with this number.

    Both check characters are right: the organisation code's (GB 11714-1997) and the code's own.
    """
    body = f"{number:08d}"
    total = sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True))
    organisation = body + "0123456789X0"[11 - total % 11]
    front = f"9{2 if sole_trader else 1}{DISTRICT}{organisation}"
    return front + str(uscc.calc_check_digit(front))
