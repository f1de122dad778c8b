"""How the complaint is found that a message is about."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from chassis.errors import NotFound
from chassis.storage.unit_of_work import Work
from services.complaints.model import Complaint


def complaint_of(db: Work, identity: str) -> Complaint:
    """Find a complaint; raises `NotFound`."""
    found: Complaint | None = db.get(Complaint, identity)
    if found is None:
        raise NotFound(f"There is no complaint {identity}.")
    return found


def seen(db: Work, asked: Any) -> Complaint:
    """Find the complaint that somebody acts on, as they saw it; raises `NotFound`, `Changed`."""
    complaint = complaint_of(db, asked.complaint_id)
    complaint.as_seen(asked)
    return complaint


def locked(db: Work, *identities: str) -> dict[str, Complaint]:
    """Load complaints of several keys, and keep them from being changed meanwhile; always in the
    same order, so that no two wait for each other."""
    query = select(Complaint).where(Complaint.id.in_(identities)).order_by(Complaint.id)
    query = query.with_for_update().execution_options(populate_existing=True)
    return {complaint.id: complaint for complaint in db.scalars(query)}
