"""Finding what a message of filing is about."""

from __future__ import annotations

from chassis.errors import NotFound
from chassis.storage.unit_of_work import Work
from services.filing.model import Enterprise, Filing


def enterprise_of(db: Work, identity: str) -> Enterprise:
    """Load an enterprise; raises `NotFound`."""
    found: Enterprise | None = db.get(Enterprise, identity)
    if found is None:
        raise NotFound(f"There is no enterprise {identity}.")
    return found


def both_of(db: Work, filing_id: str) -> tuple[Filing, Enterprise]:
    """Load a filing and its enterprise; raises `NotFound`."""
    filing: Filing | None = db.get(Filing, filing_id)
    if filing is None:
        raise NotFound(f"There is no filing {filing_id}.")
    return filing, enterprise_of(db, filing.enterprise_id)
