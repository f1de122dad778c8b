"""Events of the gateway: the passing of time."""

from __future__ import annotations

from datetime import datetime

from contracts.message import Event
from contracts.shapes import Key


class HourBegan(Event):
    """An hour has begun. There is one event for each hour; after an outage the latest suffices."""

    clock: Key = Key("clock")
    at: datetime
