"""Claims: entered, checked, decided by another person, and paid once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, select

from chassis.errors import NotFound, at
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.insurance import CheckClaim, DecideClaim, FileClaim, PayClaim
from contracts.shapes import Point
from rulebook import FollowsRules
from rulebook.entries import Unknown
from services.insurance.model import Claim, Medic, NotAcceptable, Policy


class SettlesClaims(FollowsRules):
    """Mixed into insurance: pays a claim at most once."""

    @on(FileClaim)
    def file_claim(self, asked: FileClaim, db: Work) -> object:
        """Enter a claim; a person has one under way at a time, and one for a casualty."""
        policy: Policy | None = db.get(Policy, asked.policy_id)
        if policy is None:
            raise NotFound(f"There is no policy {asked.policy_id}.")
        if policy.holder_id != asked.medic_id:
            raise NotAcceptable(errors=[at("policy_id", "is not the medic's")])
        medic: Medic | None = db.get(Medic, asked.medic_id)
        if medic is None:
            raise NotAcceptable(errors=[at("policy_id", "is not a medic's")])
        claims = standing(db, medic.holder_ref, Claim.scheme == policy.scheme)
        db.add(policy.claim(asked, db.today, medic.holder_ref, claims))
        return db.outgoing[-1].fact

    @on(CheckClaim)
    def check_claim(self, asked: CheckClaim, db: Work) -> object:
        """Look at the documents of a claim."""
        claim = self._claim(db, asked)
        missing = points(asked.missing, self.rules(db).document_point, "missing")
        return claim.check(asked, missing)

    @on(DecideClaim)
    def decide_claim(self, asked: DecideClaim, db: Work) -> object:
        """Approve or reject a claim."""
        claim, book = self._claim(db, asked), self.rules(db)
        reasons = points(asked.reasons, book.rejection_point, "reasons")
        return claim.decide(asked, reasons, four_eyes=book.claim_handling.four_eyes)

    @on(PayClaim)
    def pay_claim(self, asked: PayClaim, db: Work) -> object:
        """Pay an approved claim, under a reference of its own."""
        claim = self._claim(db, asked)
        used_by = db.scalar(select(Claim).where(Claim.reference == asked.reference))
        return claim.pay(asked, db.today, used_by)

    @staticmethod
    def _claim(db: Work, asked: CheckClaim | DecideClaim | PayClaim) -> Claim:
        found: Claim | None = db.get(Claim, asked.claim_id)
        if found is None:
            raise NotFound(f"There is no claim {asked.claim_id}.")
        found.as_seen(asked)
        return found


def standing(db: Work, person: str, *which: ColumnElement[bool]) -> Sequence[Claim]:
    """Find the claims of a person that were not rejected."""
    query = select(Claim).where(Claim.person == person, Claim.state != "rejected", *which)
    return db.scalars(query.order_by(Claim.id)).all()


def points(codes: list[str], find: Callable[[str], Point], field: str) -> list[Point]:
    """Find the words of codes in the rulebook; raises `NotAcceptable` for each that is unknown."""
    found, errors = [], []
    for place, code in enumerate(codes):
        try:
            found.append(find(code))
        except Unknown:
            errors.append(at(f"{field}/{place}", "is not in the rulebook"))
    if errors:
        raise NotAcceptable(errors=errors)
    return found
