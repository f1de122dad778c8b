"""Synthetic enterprises and people: not real, but with valid codes and numbers of the district,
always the same."""

from __future__ import annotations

from datetime import date, timedelta

from stdnum.cn import ric, uscc

DISTRICT = "350503"
_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11714-1997: weights of the organisation code's check character."""


def credit_code(number: int, *, sole_trader: bool = False) -> str:
    """Return the credit code (GB 32100-2015) of the synthetic enterprise with this number.

    Both check characters are right: the organisation code's (GB 11714-1997) and the code's own.
    """
    body = f"{number:08d}"
    total = sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True))
    organisation = body + "0123456789X0"[11 - total % 11]
    front = f"9{2 if sole_trader else 1}{DISTRICT}{organisation}"
    return front + str(uscc.calc_check_digit(front))


def identity_number(number: int) -> str:
    """Return the identity number (GB 11643) of the synthetic person with this number.

    A thousand of them are born on a day, the first on New Year of 1980.
    """
    born = date(1980, 1, 1) + timedelta(days=number // 1000)
    front = f"{DISTRICT}{born:%Y%m%d}{number % 1000:03d}"
    return front + str(ric.calc_check_digit(f"{front}X"))
