"""What the gateway says: that time has passed."""

from __future__ import annotations

from datetime import datetime

from contracts.message import Event
from contracts.shapes import Key


class HourBegan(Event):
    """An hour has begun. Exactly one for each hour; after an outage the latest one suffices."""

    clock: Key = Key("clock")
    at: datetime
