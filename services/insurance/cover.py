"""Cover: who is to have one, who lacks it, and when it ends."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import and_, or_, select

from chassis.errors import NotFound, at
from chassis.message import Message
from chassis.schedule import Due, SweepsHours, page_of
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.filing import EnterpriseCorrected, EnterpriseRegistered
from contracts.insurance import (
    CorrectMedic,
    CoverHolder,
    EnrolMedic,
    ExpirePolicy,
    GapReason,
    MedicCorrected,
    MedicEnrolled,
    MedicWithdrawn,
    ReidentifyMedic,
    WithdrawMedic,
)
from contracts.shapes import Id, Key
from rulebook import FollowsRules, Rulebook
from rulebook.chapters.insurance import MEDIC
from services.insurance.claims import standing
from services.insurance.model import (
    AlreadyEnrolled,
    Claim,
    ClaimStands,
    Holder,
    Medic,
    Policy,
    PolicyState,
)


class GivesCover(FollowsRules, SweepsHours):
    """Mixed into insurance: covers each holder once under a scheme, and says who lacks cover."""

    sweeps: ClassVar[tuple[str, ...]] = ("lapsed", "uncovered")

    # -- enterprises

    @on(EnterpriseRegistered)
    def know_enterprise(self, fact: EnterpriseRegistered, db: Work) -> None:
        """Know of an enterprise, and cover it where its size is covered."""
        db.add(holder := Holder.enterprise(fact))
        self._cover(holder, db)

    @on(EnterpriseCorrected)
    def cover_by_the_right_size(self, fact: EnterpriseCorrected, db: Work) -> None:
        """Cover an enterprise at once whose right size is covered; a cover that was given runs on
        to its last day."""
        holder = self._holder(db, fact.enterprise_id)
        holder.size = fact.size
        self._cover(holder, db)

    # -- medics

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Look up at once which persons of a batch may be on record already."""
        super().prepare(messages, db)  # type: ignore[misc]
        asked = [m.fact for m in messages if isinstance(m.fact, EnrolMedic)]
        persons = {ref for fact in asked for ref in (fact.holder_ref, *fact.earlier_refs)}
        query = select(Medic.holder_ref).where(Medic.holder_ref.in_(persons))
        db.info["persons"] = set(db.scalars(query)) if persons else set()

    @on(EnrolMedic)
    def enrol(self, asked: EnrolMedic, db: Work) -> object:
        """Put a medic on record; the same person twice is refused."""
        refs = {asked.holder_ref, *asked.earlier_refs} & db.info["persons"]
        if refs and (known := on_record(db, *refs)):
            raise known.conflict(
                AlreadyEnrolled,
                errors=[at("identity", "is on record already")],
                medic_id=known.id,
            )
        db.info["persons"].add(asked.holder_ref)
        db.add(Medic.enrol(asked, db.today))
        return db.outgoing[-1].fact

    @on(CorrectMedic)
    def correct(self, asked: CorrectMedic, db: Work) -> object:
        """Put the institution of a medic right."""
        return self._medic(db, asked).correct(asked)

    @on(ReidentifyMedic)
    def reidentify(self, asked: ReidentifyMedic, db: Work) -> object:
        """Know who a medic is by another reference, and whose the claims are; what the person can
        have but once is never joined."""
        medic = self._medic(db, asked)
        if medic.holder_ref == asked.holder_ref:
            return None
        if medic.is_on_record and (other := on_record(db, asked.holder_ref)):
            raise other.conflict(
                AlreadyEnrolled, f"The person is on record as {other.id}.", medic_id=other.id
            )
        claims = standing(db, medic.holder_ref, Claim.medic_id == medic.id)
        for other_claim in standing(db, asked.holder_ref):
            if not all(claim.stands_beside(other_claim) for claim in claims):
                raise other_claim.conflict(
                    ClaimStands,
                    f"The person has claim {other_claim.id}, which is {other_claim.state}.",
                    claim_id=other_claim.id,
                )
        for claim in claims:
            claim.person = asked.holder_ref
        return medic.reidentify(asked)

    @on(WithdrawMedic)
    def withdraw(self, asked: WithdrawMedic, db: Work) -> object:
        """Take a medic off the record."""
        return self._medic(db, asked).withdraw(asked, db.today)

    @on(MedicEnrolled)
    def cover_medic(self, fact: MedicEnrolled, db: Work) -> None:
        """Give a medic cover, once."""
        db.add(holder := Holder.medic(fact))
        self._cover(holder, db)

    @on(MedicCorrected)
    def cover_where_they_work(self, fact: MedicCorrected, db: Work) -> None:
        """Cover a medic whose institution is covered, now that it is known; a cover runs on."""
        holder = self._holder(db, fact.medic_id)
        holder.institution = fact.institution
        self._cover(holder, db)

    @on(MedicWithdrawn)
    def end_cover(self, fact: MedicWithdrawn, db: Work) -> None:
        """End the cover of a medic who was withdrawn."""
        holder = self._holder(db, fact.medic_id)
        holder.withdrawn = True
        holder.lapse()
        running = select(Policy).where(
            Policy.holder_id == holder.id, Policy.state == PolicyState.ACTIVE
        )
        for policy in db.scalars(running):
            policy.end(fact.withdrawn_on, fact.reason)
        holder.need_none(db.today)

    # -- time

    def lapsed(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find covers whose last day is over, the earliest first."""
        query = select(Policy.holder_id, Policy.id, Policy.covers_until).where(
            Policy.state == PolicyState.ACTIVE, Policy.covers_until < db.today
        )
        return [
            Due(
                [day.isoformat(), policy],
                ExpirePolicy(holder_id=Key(holder), policy_id=Id(policy), covers_until=day),
            )
            for holder, policy, day in db.execute(
                page_of(query, Policy.covers_until, Policy.id, after, most)
            )
        ]

    def uncovered(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find those whom a scheme of today covers and who lack it, the longest known first: it
        has begun since, or holds for others than before."""
        book = self.rules(db)
        if not book.schemes:
            return []
        query = select(Holder).where(Holder.covered_until.is_(None), _covered_by(book))
        found = db.scalars(page_of(query, Holder.since, Holder.id, after, most))
        return [
            Due(
                [holder.since.isoformat(), holder.id],
                CoverHolder(holder_id=Key(holder.id), scheme=scheme.code),
            )
            for holder in found
            if (scheme := holder.due(book)) is not None
        ]

    @on(ExpirePolicy)
    def expire(self, asked: ExpirePolicy, db: Work) -> None:
        """End a cover whose last day is over."""
        policy: Policy | None = db.get(Policy, asked.policy_id)
        if policy is None:
            raise NotFound(f"There is no policy {asked.policy_id}.")
        holder = self._holder(db, policy.holder_id)
        if policy.expire(db.today):
            holder.lapse()
            self._cover(holder, db)

    @on(CoverHolder)
    def cover_now(self, asked: CoverHolder, db: Work) -> None:
        """Cover one who lacks it, as the rules stand now."""
        self._cover(self._holder(db, asked.holder_id), db)

    # -- the rule

    def _cover(self, holder: Holder, db: Work) -> None:
        """Give the cover that is due, once under a scheme; where there is none to give, say so."""
        book = self.rules(db)
        scheme = holder.due(book)
        if holder.is_covered():
            return
        if scheme is None:
            self._wait(holder, book, db)
        elif holder.scheme and db.get(Policy, Policy.id_of(scheme.code, holder.id)):
            holder.lack(scheme.code, GapReason.EXPIRED, db.today)
        else:
            db.add(Policy.issue(scheme, book.version, holder, db.today))

    @staticmethod
    def _wait(holder: Holder, book: Rulebook, db: Work) -> None:
        """Say from when there will be a cover, if the rules that are known give one later."""
        for edition in book.editions:
            if edition.since > db.today and (scheme := holder.due(edition)):
                holder.lack(scheme.code, GapReason.NOT_BEGUN, db.today, edition.since)
                return
        holder.need_none(db.today)

    @staticmethod
    def _holder(db: Work, identity: str) -> Holder:
        found: Holder | None = db.get(Holder, identity)
        if found is None:
            raise NotFound(f"There is no holder {identity}.")
        return found

    @staticmethod
    def _medic(db: Work, asked: CorrectMedic | ReidentifyMedic | WithdrawMedic) -> Medic:
        found: Medic | None = db.get(Medic, asked.medic_id)
        if found is None:
            raise NotFound(f"There is no medic {asked.medic_id}.")
        found.as_seen(asked)
        return found


def on_record(db: Work, *refs: str) -> Medic | None:
    """Find a medic as whom a person is on record, by any reference of that person."""
    live = select(Medic).where(Medic.holder_ref.in_(refs), Medic.withdrawn_on.is_(None))
    return min(db.scalars(live), key=lambda medic: medic.id, default=None)


def _covered_by(book: Rulebook) -> Any:
    """Say in SQL whom the schemes of a rulebook cover, other than those who have had them."""
    named = {at for scheme in book.schemes.values() for at in scheme.institutions}
    covered = []
    for scheme in book.schemes.values():
        if scheme.holder != MEDIC:
            whom = Holder.size.in_(sorted(scheme.sizes))
        elif scheme.institutions:
            whom = Holder.institution.in_(sorted(scheme.institutions))
        else:
            whom = Holder.institution.not_in(sorted(named))
        covered.append(
            and_(Holder.kind == scheme.holder, whom, Holder.scheme.is_distinct_from(scheme.code))
        )
    return and_(or_(*covered), ~Holder.withdrawn)
