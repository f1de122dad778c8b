"""Handlers that keep inspection's knowledge of enterprises, from filing's events and its own
visits."""

from __future__ import annotations

from chassis.errors import NotYet
from chassis.service import on
from contracts.filing import (
    EnterpriseCorrected,
    EnterpriseRegistered,
    EnterpriseReopened,
    EnterpriseSuspended,
    RosterReported,
)
from contracts.inspection import PartRecorded, VisitRecorded
from services.inspection.batch import Uow
from services.inspection.model import Premises


def premises_of(uow: Uow, enterprise_id: str) -> Premises:
    """Load the premises of an enterprise; raises `NotYet` until filing's event has arrived."""
    premises = uow.get(Premises, enterprise_id)
    if premises is None:
        raise NotYet(enterprise_id)
    return premises


@on(EnterpriseRegistered)
def know(event: EnterpriseRegistered, uow: Uow) -> None:
    """Add the premises of an enterprise, which may be visited before it is approved to open."""
    uow.add(
        Premises(
            enterprise_id=event.enterprise_id,
            name=event.name,
            kind=event.premises,
            grid=event.grid,
            size=event.size,
        )
    )


@on(EnterpriseCorrected)
def know_better(event: EnterpriseCorrected, uow: Uow) -> None:
    """Update the registry data of an enterprise."""
    premises = premises_of(uow, event.enterprise_id)
    premises.name, premises.kind = event.name, event.premises
    premises.grid, premises.size = event.grid, event.size


@on(EnterpriseReopened)
def know_open(event: EnterpriseReopened, uow: Uow) -> None:
    """Record that an enterprise is open, and its staff."""
    premises_of(uow, event.enterprise_id).opened(event)


@on(EnterpriseSuspended)
def know_shut(event: EnterpriseSuspended, uow: Uow) -> None:
    """Record that an enterprise is closed."""
    premises_of(uow, event.enterprise_id).is_open = False


@on(RosterReported)
def know_staff(event: RosterReported, uow: Uow) -> None:
    """Record the staff of a day."""
    premises_of(uow, event.enterprise_id).reported(event)


@on(VisitRecorded)
def remember_visit(event: VisitRecorded, uow: Uow) -> None:
    """Record the findings of a visit; findings of a check substantiate the complaint."""
    true = event.complaint_id is not None and bool(event.findings)
    premises = premises_of(uow, event.enterprise_id)
    premises.was_visited(event.day, len(event.findings), complaint_true=true)


@on(PartRecorded)
def remember_part(event: PartRecorded, uow: Uow) -> None:
    """Record the findings of a further part of a visit."""
    premises_of(uow, event.enterprise_id).broke_more(event.day, len(event.findings))
