"""Every contract there is: importing a module declares its contracts."""

from contracts import (  # noqa: F401
    complaints,
    filing,
    gateway,
    inspection,
    insurance,
    shared,
)
from contracts.message import Contract, declared


def contracts() -> dict[str, type[Contract]]:
    """Give every declared contract by its type."""
    return declared
