"""Checks for complaints: planned when it is known whom one is against, given up when nobody waits
for them any more."""

from __future__ import annotations

from sqlalchemy import select

from chassis.ids import derived_id
from chassis.message import Message
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.complaints import (
    ComplaintAnswered,
    ComplaintClosed,
    ComplaintMatched,
    ComplaintReceived,
    ComplaintReferred,
    ComplaintRefused,
    ComplaintReopened,
    ComplaintUnmatched,
)
from contracts.inspection import Purpose
from rulebook import FollowsRules
from services.inspection.finding import dropped, premises_of
from services.inspection.model import Visit, VisitState

ENDS = (ComplaintAnswered, ComplaintRefused, ComplaintReferred, ComplaintClosed, ComplaintUnmatched)
"""Facts after which nobody waits for the check of an enterprise."""


class ChecksComplaints(FollowsRules):
    """Mixed into inspection: goes to see what people complain about."""

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Look up at once the checks that are planned for complaints that need none any more."""
        super().prepare(messages, db)  # type: ignore[misc]
        ended = {
            message.fact.complaint_id for message in messages if isinstance(message.fact, ENDS)
        }
        checks: dict[str, list[Visit]] = {}
        if ended:
            query = select(Visit).where(
                Visit.complaint_id.in_(ended), Visit.state == VisitState.PLANNED
            )
            for visit in db.scalars(query.order_by(Visit.id)):
                checks.setdefault(visit.complaint_id, []).append(visit)
        db.info["checks"] = checks

    @on(ComplaintReceived)
    def plan_check(self, fact: ComplaintReceived, db: Work) -> None:
        """Plan an urgent check of an enterprise on record; nobody can visit one only described."""
        self._check(fact, derived_id("check", fact.complaint_id), db)

    @on(ComplaintMatched)
    def plan_check_of_match(self, fact: ComplaintMatched, db: Work) -> None:
        """Plan the check when it is known which enterprise a complaint is against."""
        self._check(fact, derived_id("check", fact.complaint_id, "matched", fact.matching), db)

    @on(ComplaintReopened)
    def plan_check_again(self, fact: ComplaintReopened, db: Work) -> None:
        """Plan another check when the caller has had the complaint reopened."""
        self._check(fact, derived_id("check", fact.complaint_id, "reopened", fact.reopening), db)

    @staticmethod
    def _check(
        fact: ComplaintReceived | ComplaintMatched | ComplaintReopened, visit_id: str, db: Work
    ) -> None:
        if fact.enterprise_id:
            visit = Visit.plan(
                visit_id,
                premises_of(db, fact.enterprise_id),
                Purpose.COMPLAINT,
                db.today,
                urgent=True,
                complaint_id=fact.complaint_id,
            )
            db.add(visit)
            db.info["checks"].setdefault(fact.complaint_id, []).append(visit)

    @on(*ENDS)
    def drop_check(
        self,
        fact: ComplaintAnswered
        | ComplaintRefused
        | ComplaintReferred
        | ComplaintClosed
        | ComplaintUnmatched,
        db: Work,
    ) -> None:
        """Have the check given up that a complaint needs no more, since it has ended or is against
        another: under the key of the enterprise, where it may be on its way to being recorded."""
        for visit in db.info["checks"].get(fact.complaint_id, ()):
            if visit.is_planned:
                words = self.rules(db).say("The complaint needs no check any more.")
                db.record(dropped(visit, words.zh))
