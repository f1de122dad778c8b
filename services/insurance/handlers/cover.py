"""Handlers of cover: granted once for a holder and a scheme, missing, and ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import and_, or_, select

from chassis.errors import at
from chassis.message import Message
from chassis.schedule import Due, page_of
from chassis.service import on
from contracts.filing.events import EnterpriseCorrected, EnterpriseRegistered
from contracts.insurance.commands import (
    CorrectMedic,
    CoverHolder,
    EnrolMedic,
    ExpirePolicy,
    ReidentifyMedic,
    WithdrawMedic,
)
from contracts.insurance.events import (
    MedicCorrected,
    MedicEnrolled,
    MedicReidentified,
    MedicWithdrawn,
)
from contracts.insurance.types import GapReason
from contracts.shapes import Id, Key
from rulebook import Rulebook, rules_of
from rulebook.chapters.insurance import MEDIC
from services.insurance.batch import Uow
from services.insurance.handlers.claims import standing
from services.insurance.model import (
    AlreadyEnrolled,
    Claim,
    ClaimStands,
    Holder,
    Medic,
    Policy,
    PolicyState,
)

# -- enterprises


@on(EnterpriseRegistered)
def know_enterprise(event: EnterpriseRegistered, uow: Uow) -> None:
    """Add an enterprise as a holder, and cover it if its size is covered."""
    uow.add(holder := Holder.enterprise(event))
    _cover(holder, uow)


@on(EnterpriseCorrected)
def cover_by_the_right_size(event: EnterpriseCorrected, uow: Uow) -> None:
    """Cover an enterprise whose corrected size is covered; existing cover runs to its last day."""
    holder = uow.require(Holder, event.enterprise_id)
    holder.size = event.size
    _cover(holder, uow)


# -- medics


def load_persons(messages: Iterable[Message], uow: Uow) -> None:
    """Load the medics on record among the persons of the batch, in one query."""
    commands = [m.payload for m in messages if isinstance(m.payload, EnrolMedic)]
    persons = {ref for each in commands for ref in (each.holder_ref, *each.earlier_refs)}
    query = select(Medic.holder_ref).where(Medic.holder_ref.in_(persons))
    uow.state.persons = set(uow.scalars(query)) if persons else set()


@on(EnrolMedic)
def enrol(command: EnrolMedic, uow: Uow) -> MedicEnrolled:
    """Enrol a medic; a person on record is rejected."""
    refs = {command.holder_ref, *command.earlier_refs} & uow.state.persons
    if refs and (medic := on_record(uow, *refs)):
        raise medic.conflict(
            AlreadyEnrolled,
            errors=[at("identity", "is on record already")],
            medic_id=medic.id,
        )
    uow.state.persons.add(command.holder_ref)
    enrolled: MedicEnrolled = uow.add_new(Medic.enrol(command, uow.today))
    return enrolled


@on(CorrectMedic)
def correct(command: CorrectMedic, uow: Uow) -> MedicCorrected:
    """Correct the institution of a medic."""
    medic = uow.require(Medic, command.medic_id, seen_by=command)
    return medic.correct(command)


@on(ReidentifyMedic)
def reidentify(command: ReidentifyMedic, uow: Uow) -> MedicReidentified | None:
    """Move a medic and the claims to the person's new reference; persons with conflicting records
    are not joined."""
    medic = uow.require(Medic, command.medic_id, seen_by=command)
    if medic.holder_ref == command.holder_ref:
        return None
    if medic.is_on_record and (other := on_record(uow, command.holder_ref)):
        raise other.conflict(
            AlreadyEnrolled, f"The person is on record as {other.id}.", medic_id=other.id
        )
    claims = standing(uow, medic.holder_ref, Claim.medic_id == medic.id)
    for other_claim in standing(uow, command.holder_ref):
        if not all(claim.stands_beside(other_claim) for claim in claims):
            raise other_claim.conflict(
                ClaimStands,
                f"The person has claim {other_claim.id}, which is {other_claim.state}.",
                claim_id=other_claim.id,
            )
    for claim in claims:
        claim.person = command.holder_ref
    return medic.reidentify(command)


@on(WithdrawMedic)
def withdraw(command: WithdrawMedic, uow: Uow) -> MedicWithdrawn:
    """Withdraw a medic."""
    medic = uow.require(Medic, command.medic_id, seen_by=command)
    return medic.withdraw(command, uow.today)


@on(MedicEnrolled)
def cover_medic(event: MedicEnrolled, uow: Uow) -> None:
    """Cover a medic, once."""
    uow.add(holder := Holder.medic(event))
    _cover(holder, uow)


@on(MedicCorrected)
def cover_where_they_work(event: MedicCorrected, uow: Uow) -> None:
    """Cover a medic whose corrected institution is covered; existing cover continues."""
    holder = uow.require(Holder, event.medic_id)
    holder.institution = event.institution
    _cover(holder, uow)


@on(MedicWithdrawn)
def end_cover(event: MedicWithdrawn, uow: Uow) -> None:
    """End the cover of a withdrawn medic."""
    holder = uow.require(Holder, event.medic_id)
    holder.withdrawn = True
    holder.lapse()
    running = select(Policy).where(
        Policy.holder_id == holder.id, Policy.state == PolicyState.ACTIVE
    )
    for policy in uow.scalars(running):
        policy.end(event.withdrawn_on, event.reason)
    holder.need_none(uow.today)


# -- time


def lapsed(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return policies whose last day is over, the earliest first."""
    query = select(Policy.holder_id, Policy.id, Policy.covers_until).where(
        Policy.state == PolicyState.ACTIVE, Policy.covers_until < uow.today
    )
    return [
        Due(
            [day.isoformat(), policy],
            ExpirePolicy(holder_id=Key(holder), policy_id=Id(policy), covers_until=day),
        )
        for holder, policy, day in uow.execute(
            page_of(query, Policy.covers_until, Policy.id, after, most)
        )
    ]


def uncovered(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return holders without cover whom a current scheme covers, the oldest first: the scheme has
    begun since, or its conditions have changed."""
    book = rules_of(uow)
    if not book.schemes:
        return []
    query = select(Holder).where(Holder.covered_until.is_(None), _covered_by(book))
    holders = uow.scalars(page_of(query, Holder.since, Holder.id, after, most))
    return [
        Due(
            [holder.since.isoformat(), holder.id],
            CoverHolder(holder_id=Key(holder.id), scheme=scheme.code),
        )
        for holder in holders
        if (scheme := holder.due(book)) is not None
    ]


@on(ExpirePolicy)
def expire(command: ExpirePolicy, uow: Uow) -> None:
    """End a policy whose last day is over."""
    policy = uow.require(Policy, command.policy_id)
    holder = uow.require(Holder, policy.holder_id)
    if policy.expire(uow.today):
        holder.lapse()
        _cover(holder, uow)


@on(CoverHolder)
def cover_now(command: CoverHolder, uow: Uow) -> None:
    """Cover a holder without cover, by the current rules."""
    _cover(uow.require(Holder, command.holder_id), uow)


# -- the rule


def _cover(holder: Holder, uow: Uow) -> None:
    """Issue the cover that is due, once under a scheme, or record that there is none."""
    book = rules_of(uow)
    scheme = holder.due(book)
    if holder.is_covered():
        return
    if scheme is None:
        _wait(holder, book, uow)
    elif holder.scheme and uow.get(Policy, Policy.id_of(scheme.code, holder.id)):
        holder.lack(scheme.code, GapReason.EXPIRED, uow.today)
    else:
        uow.add(Policy.issue(scheme, book.version, holder, uow.today))


def _wait(holder: Holder, book: Rulebook, uow: Uow) -> None:
    """Record the start of future cover, if the known rules grant it."""
    for edition in book.editions:
        if edition.since > uow.today and (scheme := holder.due(edition)):
            holder.lack(scheme.code, GapReason.NOT_BEGUN, uow.today, edition.since)
            return
    holder.need_none(uow.today)


def on_record(uow: Uow, *refs: str) -> Medic | None:
    """Return the medic of a person on record, by any of the person's references."""
    live = select(Medic).where(Medic.holder_ref.in_(refs), Medic.withdrawn_on.is_(None))
    return min(uow.scalars(live), key=lambda medic: medic.id, default=None)


def _covered_by(book: Rulebook) -> Any:
    """Build the condition that a rulebook's schemes cover a holder who has not had them."""
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
