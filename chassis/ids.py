"""Ids: new ones in order of time, and ones derived from their subject."""

from __future__ import annotations

import os
import re
import time
import uuid

_TIMED = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}( |$)")
_SPACE = uuid.UUID("6f1c7f7e-4d0e-5b1e-9a55-62696875616e")


def new_id(now: float | None = None) -> str:
    """Return a new UUIDv7 (RFC 9562): later ones sort after earlier ones, to the millisecond.

    For rows whose age is judged by their id, `now` is the database's time (s since 1970).
    """
    random = int.from_bytes(os.urandom(10), "big")
    moment = time.time_ns() // 1_000_000 if now is None else int(now * 1000)
    value = moment << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def moment_of(identity: str) -> float | None:
    """Return the time of an id (s since 1970), to the millisecond; None if it does not begin with a
    UUIDv7."""
    return int(identity[:8] + identity[9:13], 16) / 1000 if _TIMED.match(identity) else None


def derived_id(*parts: object) -> str:
    """Return the UUIDv5 of the parts: the same parts give the same id."""
    return str(uuid.uuid5(_SPACE, "/".join(str(part) for part in parts)))
