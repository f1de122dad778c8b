"""Liaison officers: one to an enterprise, from its grid, the least loaded."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from chassis.errors import at
from chassis.message import Message
from chassis.service import on
from chassis.storage.store import Store
from chassis.storage.unit_of_work import Work
from contracts.filing import (
    AssignLiaison,
    EnterpriseCorrected,
    EnterpriseReopened,
    LiaisonAssigned,
)
from contracts.message import RULE
from contracts.shapes import Key, Point, Words
from rulebook import FollowsRules
from services.filing.finding import enterprise_of
from services.filing.model import Enterprise, NotAcceptable, Officer, least_loaded

_LEAST = "The least loaded officer of the grid"


class AssignsLiaison(FollowsRules):
    """Mixed into filing: gives every open enterprise its officer (掛鉤聯繫指導員).

    Who is the least loaded depends on what other processes assign at the same moment. So a batch
    chooses at its end, when it holds the rows of all officers in question, and writes the choice
    and the loads in one transaction.
    """

    store: Store

    @on(AssignLiaison)
    def assign_by_hand(self, asked: AssignLiaison, db: Work) -> object:
        """Give an enterprise another liaison officer, one of its grid, and say why."""
        enterprise = enterprise_of(db, asked.enterprise_id)
        enterprise.as_seen(asked)
        if asked.officer not in self.rules(db).officers_of(enterprise.grid):
            raise NotAcceptable(errors=[at("officer", "is not an officer of the grid")])
        why = Point(code="by-hand", words=Words(zh=asked.reason, en=asked.reason))
        said = self._assign(enterprise, asked.officer, why, asked.by, db)
        return said or LiaisonAssigned(
            enterprise_id=Key(enterprise.id),
            version=enterprise.version,
            officer=asked.officer,
            previous=asked.officer,
            why=why,
            by=asked.by,
            assigned_on=db.today,
        )

    @on(EnterpriseReopened)
    def give_an_officer(self, fact: EnterpriseReopened, db: Work) -> None:
        """Give a reopened enterprise a liaison officer of its grid, where it has none."""
        self._wanted(db)[fact.enterprise_id] = db.message

    @on(EnterpriseCorrected)
    def change_the_officer_with_the_grid(self, fact: EnterpriseCorrected, db: Work) -> None:
        """Give an enterprise that was found to be of another grid an officer of that grid."""
        if "grid" in fact.changed and enterprise_of(db, fact.enterprise_id).liaison:
            self._wanted(db)[fact.enterprise_id] = db.message

    @staticmethod
    def _wanted(db: Work) -> dict[str, Message]:
        wanted: dict[str, Message] = db.info.setdefault("officers wanted", {})
        return wanted

    def _assign(
        self, enterprise: Enterprise, officer: str, why: Point, by: str, db: Work
    ) -> LiaisonAssigned | None:
        previous = enterprise.liaison
        said = enterprise.assign(officer, why, by, db.today)
        if said is not None:
            moved: Counter[str] = db.info.setdefault("loads moved", Counter())
            moved.update([officer])
            moved.subtract([previous] if previous else [])
        return said

    def choose_officers(self, db: Work) -> None:
        """Choose for all enterprises of a batch that want an officer, and bring the loads up."""
        wanted = self._wanted(db)
        moved: Counter[str] = db.info.setdefault("loads moved", Counter())
        candidates: dict[str, tuple[str, ...]] = {}
        concerned = {*moved}
        for identity, message in wanted.items():
            db.message = message
            enterprise = enterprise_of(db, identity)
            officers = self.rules(db).officers_of(enterprise.grid)
            if enterprise.liaison not in officers:
                candidates[identity] = officers
                concerned.update(officers, [enterprise.liaison] if enterprise.liaison else [])
        rows = self._locked(db, concerned)
        loads = Counter({officer: row.load for officer, row in rows.items()})
        loads.update(moved)
        moved.clear()
        for identity, officers in candidates.items():
            db.message = wanted[identity]
            why = Point(code="least-loaded", words=self.rules(db).say(_LEAST))
            chosen = least_loaded(officers, loads)
            self._assign(enterprise_of(db, identity), chosen, why, RULE, db)
            loads.update(moved)
            moved.clear()
        for officer, row in rows.items():
            row.load = loads[officer]
        wanted.clear()

    def _locked(self, db: Work, officers: set[str]) -> dict[str, Officer]:
        """Load officers for writing, in one order whoever asks; those of whom nothing is known
        begin with no enterprise."""
        if not officers:
            return {}
        db.flush()  # so that these locks are the last that the transaction takes
        query = (
            select(Officer)
            .where(Officer.officer.in_(officers))
            .order_by(Officer.officer)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        rows = {row.officer: row for row in db.scalars(query)}
        if missing := sorted(officers - rows.keys()):
            new = [{"officer": officer, "load": 0} for officer in missing]
            db.connection().execute(self.store.insert_new(Officer.__table__), new)
            rows = {row.officer: row for row in db.scalars(query)}
        return rows
