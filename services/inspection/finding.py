"""How inspection finds what a message is about."""

from __future__ import annotations

from typing import TypeVar

from chassis.aggregate import Aggregate
from chassis.errors import NotFound, NotYet
from chassis.storage.unit_of_work import Work
from contracts.inspection import CancelVisit
from contracts.message import RULE, Act
from contracts.shapes import Id, Key
from services.inspection.model import Premises, Visit

Kind = TypeVar("Kind", bound=Aggregate)


def premises_of(db: Work, enterprise_id: str) -> Premises:
    """Find an enterprise; it may be that filing's word of it has not arrived."""
    found: Premises | None = db.get(Premises, enterprise_id)
    if found is None:
        raise NotYet(enterprise_id)
    return found


def seen(db: Work, kind: type[Kind], identity: str, asked: Act) -> Kind:
    """Find a thing as the asker saw it; raises `NotFound` and `Changed`."""
    found = get(db, kind, identity)
    found.as_seen(asked)
    return found


def get(db: Work, kind: type[Kind], identity: str) -> Kind:
    """Find a thing; raises `NotFound`."""
    found = db.get(kind, identity)
    if found is None:
        raise NotFound(f"There is no {kind.__name__.lower()} {identity}.")
    return found


def dropped(visit: Visit, reason: str) -> CancelVisit:
    """Make the command by which the rules give up a planned visit."""
    return CancelVisit(
        visit_id=Id(visit.id), enterprise_id=Key(visit.enterprise_id), reason=reason, by=RULE
    )
