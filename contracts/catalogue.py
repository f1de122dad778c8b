"""The catalogue of contracts: importing a module declares its contracts."""

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
"""The publishers of internal events; None stands for every service."""


def contracts() -> dict[str, type[Contract]]:
    """Return every declared contract by its type."""
    return declared


def public_events() -> dict[str, type[Event]]:
    """Return the public events by their types: facts about the district, without internal events
    about hours and outcomes."""
    return {
        kind.type: kind
        for kind in sorted(declared.values(), key=lambda kind: kind.type)
        if issubclass(kind, Event) and kind.service not in _INTERNAL
    }


@cache
def sealed_fields(kind: str) -> frozenset[str]:
    """Return the fields of a contract with personal data, which responses omit."""
    shapes = contracts()[kind].describe() if kind in contracts() else {}
    return frozenset(name for name, shape in shapes.items() if shape.get("format") == "sealed")
