"""Visits: what they are planned for, what they find, and what follows from that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from chassis.errors import at
from chassis.ids import derived_id
from chassis.message import Message
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.filing import (
    EnterpriseReopened,
    FilingReturned,
    FilingWithdrawn,
    OnsiteReviewRequested,
)
from contracts.inspection import (
    CancelVisit,
    DispatchPatrol,
    PartRecorded,
    PatrolDispatched,
    PlanVisit,
    Purpose,
    RecordPart,
    RecordVisit,
    ReplanVisit,
    SignVisit,
    VisitPlanned,
    VisitRecorded,
    VisitWarning,
)
from contracts.shapes import Id
from rulebook import FollowsRules
from services.inspection.finding import dropped, premises_of, seen
from services.inspection.judging import judge
from services.inspection.model import (
    NotAcceptable,
    Patrol,
    Visit,
    VisitState,
)
from services.inspection.model.visits import named

PLANS = (PlanVisit, RecordVisit, ReplanVisit)
"""Commands that may send a second team to the same premises on the same day."""
DECIDED = (EnterpriseReopened, FilingReturned, FilingWithdrawn)
"""Facts after which a filing waits for no review."""


class MakesVisits(FollowsRules):
    """Mixed into inspection: goes out and looks."""

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Look up at once the visits on the days for which a batch plans or records some, and the
        reviews that are planned for filings that a batch decides."""
        super().prepare(messages, db)  # type: ignore[misc]
        asked = [message.fact for message in messages if isinstance(message.fact, PLANS)]
        db.info["of_day"], db.info["reviews"] = [], {}
        if asked:
            query = select(Visit).where(
                Visit.enterprise_id.in_({one.enterprise_id for one in asked}),
                Visit.day.in_({one.day for one in asked}),
            )
            db.info["of_day"] += db.scalars(query)
        decided = [message.fact for message in messages if isinstance(message.fact, DECIDED)]
        if decided:
            query = select(Visit).where(
                Visit.id.in_({derived_id("review", one.filing_id) for one in decided}),
                Visit.state == VisitState.PLANNED,
            )
            db.info["reviews"] = {visit.id: visit for visit in db.scalars(query)}

    def warnings(self, db: Work, asked: Any) -> list[VisitWarning]:
        """Warn of other visits to the same premises on the same day, by whomever: nothing is
        refused, but nobody need go twice."""
        others = sorted(
            (
                visit
                for visit in db.info["of_day"]
                if (visit.enterprise_id, visit.day) == (asked.enterprise_id, asked.day)
                and visit.id != asked.visit_id
                and visit.state != VisitState.CANCELLED
            ),
            key=lambda visit: visit.id,
        )
        return [
            VisitWarning(
                code=f"other-visit-{visit.state}",
                words=self.rules(db).say(
                    "Another visit to these premises is planned for %(day)s."
                    if visit.is_planned
                    else "These premises were visited on %(day)s already.",
                    day=asked.day,
                ),
                visit_id=Id(visit.id),
                agencies=visit.agencies,
            )
            for visit in others
        ]

    # -- what filing says

    @on(OnsiteReviewRequested)
    def plan_review(self, fact: OnsiteReviewRequested, db: Work) -> None:
        """Plan the visit without which five-small premises may not open."""
        visit = Visit.plan(
            derived_id("review", fact.filing_id),
            premises_of(db, fact.enterprise_id),
            Purpose.REVIEW,
            db.today,
            filing_id=fact.filing_id,
        )
        db.add(visit)
        db.info["reviews"][visit.id] = visit

    @on(EnterpriseReopened)
    def plan_first_patrol(self, fact: EnterpriseReopened, db: Work) -> None:
        """Plan a patrol where the trade's risk asks for one."""
        days = self.rules(db).patrol_within(fact.premises)
        if days is not None:
            db.add(
                Visit.plan(
                    derived_id("first-patrol", fact.filing_id),
                    premises_of(db, fact.enterprise_id),
                    Purpose.PATROL,
                    fact.reopened_on + timedelta(days=days),
                )
            )

    @on(*DECIDED)
    def drop_review(
        self, fact: EnterpriseReopened | FilingReturned | FilingWithdrawn, db: Work
    ) -> None:
        """Give up the visit that a filing needs no more: it was withdrawn, or decided by hand."""
        visit: Visit | None = db.info["reviews"].get(derived_id("review", fact.filing_id))
        if visit is not None and visit.is_planned:
            words = self.rules(db).say("The filing needs no on-site review any more.")
            visit.cancel(dropped(visit, words.zh), by_rule=True)

    # -- commands

    @on(DispatchPatrol)
    def dispatch(self, asked: DispatchPatrol, db: Work) -> PatrolDispatched:
        """Send a team out."""
        if asked.grid is not None and asked.grid not in self.rules(db).grids:
            raise NotAcceptable(errors=[at("grid", "is not a grid of the district")])
        db.add(Patrol.dispatch(asked))
        dispatched: PatrolDispatched = db.outgoing[-1].fact
        return dispatched

    @on(PlanVisit)
    def plan(self, asked: PlanVisit, db: Work) -> VisitPlanned:
        """Plan a patrol's visit by hand."""
        faults = named("agencies", asked.agencies, 2 if asked.joint else 0)
        if asked.day < db.today:
            faults.append(at("day", f"lies before today, {db.today}"))
        if faults:
            raise NotAcceptable(errors=faults)
        premises = premises_of(db, asked.enterprise_id)
        visit = Visit.plan_by_hand(asked, premises, self.warnings(db, asked))
        db.add(visit)
        db.info["of_day"].append(visit)
        planned: VisitPlanned = db.outgoing[-1].fact
        return planned

    @on(ReplanVisit)
    def replan(self, asked: ReplanVisit, db: Work) -> object:
        """Put a planned visit on another day."""
        visit = seen(db, Visit, asked.visit_id, asked)
        replanned = visit.replan(asked, db.today, self.warnings(db, asked))
        db.info["of_day"].append(visit)
        return replanned

    @on(CancelVisit)
    def cancel(self, asked: CancelVisit, db: Work) -> object:
        """Give up a planned visit."""
        visit = seen(db, Visit, asked.visit_id, asked)
        return visit.cancel(asked, by_rule=db.message.envelope.source == db.source)

    @on(RecordVisit)
    def record(self, asked: RecordVisit, db: Work) -> VisitRecorded:
        """Record a visit, planned or not; what follows from its findings are reactions. What a
        device sends again is answered as it was, and changes nothing."""
        premises = premises_of(db, asked.enterprise_id)
        visit: Visit | None = db.get(Visit, asked.visit_id)
        if visit is None:
            visit = Visit.unplanned(asked.visit_id, premises, Purpose.PATROL)
        elif visit.enterprise_id != asked.enterprise_id:
            raise NotAcceptable(errors=[at("enterprise_id", "is not the one that is visited")])
        elif before := visit.sent_before(asked):
            return before
        else:
            visit.as_seen(asked)
            visit.must_be_planned()
        checklist, findings = judge(
            asked, premises, self.rulebook, asked.day, visit.faults(asked, db.today)
        )
        fact = visit.carry_out(
            asked,
            db.today,
            findings=findings,
            checklist_version=checklist.version,
            warnings=self.warnings(db, asked),
        )
        db.add(visit)
        db.info["of_day"].append(visit)
        return fact

    @on(RecordPart)
    def record_part(self, asked: RecordPart, db: Work) -> PartRecorded:
        """Record what one agency of a joint visit found."""
        visit = seen(db, Visit, asked.visit_id, asked)
        visit.must_take_part(asked.agency)
        premises = premises_of(db, asked.enterprise_id)
        checklist, findings = judge(asked, premises, self.rulebook, visit.day)
        return visit.add_part(asked, findings, checklist.version)

    @on(SignVisit)
    def sign(self, asked: SignVisit, db: Work) -> object:
        """Let an agency sign its part of a visit."""
        return seen(db, Visit, asked.visit_id, asked).sign(asked)
