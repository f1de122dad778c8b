"""insurance: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import select

from chassis.errors import NotFound, at
from chassis.service import Service, on
from chassis.store import Work
from contracts.filing import EnterpriseRegistered
from contracts.insurance import (
    DecideClaim,
    EnrolMedic,
    FileClaim,
    HolderKind,
    MedicEnrolled,
    PayClaim,
)
from rulebook import Rulebook
from services.insurance.model import (
    AlreadyEnrolled,
    Base,
    Claim,
    ClaimStands,
    ClaimState,
    Medic,
    NotAcceptable,
    Policy,
)


class Insurance(Service):
    """Covers small firms and medics, once each, and pays a claim at most once."""

    name = "insurance"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {
        "medic_id": Medic,
        "claim_id": Claim,
        "policy_id": Policy,
    }
    rulebook: Rulebook

    @on(EnterpriseRegistered)
    def cover_enterprise(self, fact: EnterpriseRegistered, db: Work) -> None:
        """Give a small or micro enterprise its free cover, once."""
        scheme = self.rulebook.scheme_for_size(fact.size)
        if scheme is not None:
            db.add(
                Policy.issue(
                    scheme.code,
                    HolderKind.ENTERPRISE,
                    fact.enterprise_id,
                    fact.registered_on,
                    scheme.years,
                    scheme.sum_insured,
                )
            )

    @on(EnrolMedic)
    def enrol(self, asked: EnrolMedic, db: Work) -> object:
        """Put a medic on record; the same person twice is refused."""
        known = db.scalar(select(Medic.id).where(Medic.holder_ref == asked.holder_ref))
        if known:
            raise AlreadyEnrolled(errors=[at("identity", "is on record already")], medic_id=known)
        db.add(Medic.enrol(asked, db.today))
        return db.outgoing[-1].fact

    @on(MedicEnrolled)
    def cover_medic(self, fact: MedicEnrolled, db: Work) -> None:
        """Give a medic cover, once."""
        scheme = self.rulebook.medic_scheme
        db.add(
            Policy.issue(
                scheme.code,
                HolderKind.MEDIC,
                fact.medic_id,
                fact.enrolled_on,
                scheme.years,
                scheme.sum_insured,
            )
        )

    @on(FileClaim)
    def file_claim(self, asked: FileClaim, db: Work) -> object:
        """Enter a claim; one stands under a policy at the most."""
        policy: Policy | None = db.get(Policy, asked.policy_id)
        if policy is None:
            raise NotFound(f"There is no policy {asked.policy_id}.")
        if policy.holder_id != asked.medic_id:
            raise NotAcceptable(errors=[at("policy_id", "is not the medic's")])
        standing = db.scalar(
            select(Claim.id).where(Claim.policy_id == policy.id, Claim.state != ClaimState.REJECTED)
        )
        if standing:
            raise ClaimStands(claim_id=standing)
        db.add(policy.claim(asked, db.today))
        return db.outgoing[-1].fact

    @on(DecideClaim)
    def decide_claim(self, asked: DecideClaim, db: Work) -> object:
        """Approve or reject a claim."""
        return self._claim(db, asked.claim_id).decide(asked)

    @on(PayClaim)
    def pay_claim(self, asked: PayClaim, db: Work) -> object:
        """Pay an approved claim."""
        return self._claim(db, asked.claim_id).pay(asked.reference, db.today)

    def _claim(self, db: Work, identity: str) -> Claim:
        found: Claim | None = db.get(Claim, identity)
        if found is None:
            raise NotFound(f"There is no claim {identity}.")
        return found
