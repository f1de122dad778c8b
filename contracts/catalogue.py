"""Every contract there is: importing a module declares its contracts."""

from functools import cache

from contracts import (  # noqa: F401
    complaints,
    filing,
    gateway,
    inspection,
    insurance,
    shared,
)
from contracts.message import Contract, Event, declared

_INTERNAL = (None, "gateway")
"""Whose events are for the services themselves."""


def contracts() -> dict[str, type[Contract]]:
    """Return every declared contract by its type."""
    return declared


def public_events() -> dict[str, type[Event]]:
    """Return the events that are said to everybody, by their types: what services state of the
    district, and not what they tell each other of hours and outcomes."""
    return {
        kind.type: kind
        for kind in sorted(declared.values(), key=lambda kind: kind.type)
        if issubclass(kind, Event) and kind.service not in _INTERNAL
    }


@cache
def sealed_fields(kind: str) -> frozenset[str]:
    """Name the fields of a contract that hold personal data, which no answer shows."""
    shapes = contracts()[kind].describe() if kind in contracts() else {}
    return frozenset(name for name, shape in shapes.items() if shape.get("format") == "sealed")
