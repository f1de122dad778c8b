"""What inspection keeps of the enterprises, from what filing says and from its own visits."""

from __future__ import annotations

from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.filing import (
    EnterpriseCorrected,
    EnterpriseRegistered,
    EnterpriseReopened,
    EnterpriseSuspended,
    RosterReported,
)
from contracts.inspection import PartRecorded, VisitRecorded
from services.inspection.finding import premises_of
from services.inspection.model import Premises


class KnowsPremises:
    """Mixed into inspection: knows where it may have to go, and what it found there."""

    @on(EnterpriseRegistered)
    def know(self, fact: EnterpriseRegistered, db: Work) -> None:
        """Know of an enterprise: open without approval, it may be visited too."""
        db.add(
            Premises(
                enterprise_id=fact.enterprise_id,
                name=fact.name,
                kind=fact.premises,
                grid=fact.grid,
                size=fact.size,
            )
        )

    @on(EnterpriseCorrected)
    def know_better(self, fact: EnterpriseCorrected, db: Work) -> None:
        """Know what the registry says now, where it was mended."""
        premises = premises_of(db, fact.enterprise_id)
        premises.name, premises.kind = fact.name, fact.premises
        premises.grid, premises.size = fact.grid, fact.size

    @on(EnterpriseReopened)
    def know_open(self, fact: EnterpriseReopened, db: Work) -> None:
        """Know that an enterprise is open, and how many work there."""
        premises_of(db, fact.enterprise_id).opened(fact)

    @on(EnterpriseSuspended)
    def know_shut(self, fact: EnterpriseSuspended, db: Work) -> None:
        """Know that an enterprise is no longer open."""
        premises_of(db, fact.enterprise_id).is_open = False

    @on(RosterReported)
    def know_staff(self, fact: RosterReported, db: Work) -> None:
        """Know how many work there on a day."""
        premises_of(db, fact.enterprise_id).reported(fact)

    @on(VisitRecorded)
    def remember_visit(self, fact: VisitRecorded, db: Work) -> None:
        """Remember what a visit found; one for a complaint that found something shows it true."""
        true = fact.complaint_id is not None and bool(fact.findings)
        premises = premises_of(db, fact.enterprise_id)
        premises.was_visited(fact.day, len(fact.findings), complaint_true=true)

    @on(PartRecorded)
    def remember_part(self, fact: PartRecorded, db: Work) -> None:
        """Remember what a further part of a visit found."""
        premises_of(db, fact.enterprise_id).broke_more(fact.day, len(fact.findings))
