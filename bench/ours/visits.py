"""The events of the service `visits`, which exists as messages only."""

from __future__ import annotations

from datetime import date

from contracts.message import Event
from contracts.shapes import Code, Count, Id, Key


class PremisesVisited(Event):
    """Officers have visited an enterprise."""

    visit_id: Key
    enterprise_id: Id
    grid: Code
    visited_on: date
    officers: Count
