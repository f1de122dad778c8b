"""Handlers of claims: filed, checked, decided by another person, and paid at most once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, select

from chassis.errors import at
from chassis.service import on
from contracts.insurance import (
    CheckClaim,
    ClaimApproved,
    ClaimChecked,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    DecideClaim,
    FileClaim,
    PayClaim,
)
from contracts.shapes import Point
from rulebook import rules_of
from rulebook.entries import Unknown
from services.insurance.batch import Uow
from services.insurance.model import Claim, Medic, NotAcceptable, Policy


@on(FileClaim)
def file_claim(command: FileClaim, uow: Uow) -> ClaimFiled:
    """File a claim; a person has one open claim at a time, and one for a casualty."""
    policy = uow.require(Policy, command.policy_id)
    if policy.holder_id != command.medic_id:
        raise NotAcceptable(errors=[at("policy_id", "is not the medic's")])
    medic = uow.get(Medic, command.medic_id)
    if medic is None:
        raise NotAcceptable(errors=[at("policy_id", "is not a medic's")])
    claims = standing(uow, medic.holder_ref, Claim.scheme == policy.scheme)
    filed: ClaimFiled = uow.add_new(policy.claim(command, uow.today, medic.holder_ref, claims))
    return filed


@on(CheckClaim)
def check_claim(command: CheckClaim, uow: Uow) -> ClaimChecked:
    """Check the documents of a claim."""
    claim = uow.require(Claim, command.claim_id, seen_by=command)
    missing = points(command.missing, rules_of(uow).document_point, "missing")
    return claim.check(command, missing)


@on(DecideClaim)
def decide_claim(command: DecideClaim, uow: Uow) -> ClaimApproved | ClaimRejected:
    """Approve or reject a claim."""
    claim = uow.require(Claim, command.claim_id, seen_by=command)
    book = rules_of(uow)
    reasons = points(command.reasons, book.rejection_point, "reasons")
    return claim.decide(command, reasons, four_eyes=book.claim_handling.four_eyes)


@on(PayClaim)
def pay_claim(command: PayClaim, uow: Uow) -> ClaimPaid:
    """Pay an approved claim, under a unique reference."""
    claim = uow.require(Claim, command.claim_id, seen_by=command)
    used_by = uow.scalar(select(Claim).where(Claim.reference == command.reference))
    return claim.pay(command, uow.today, used_by)


def standing(uow: Uow, person: str, *which: ColumnElement[bool]) -> Sequence[Claim]:
    """Return the claims of a person that were not rejected."""
    query = select(Claim).where(Claim.person == person, Claim.state != "rejected", *which)
    return uow.scalars(query.order_by(Claim.id)).all()


def points(codes: list[str], find: Callable[[str], Point], field: str) -> list[Point]:
    """Return the points of codes in the rulebook; raises `NotAcceptable` with each unknown code."""
    found, errors = [], []
    for place, code in enumerate(codes):
        try:
            found.append(find(code))
        except Unknown:
            errors.append(at(f"{field}/{place}", "is not in the rulebook"))
    if errors:
        raise NotAcceptable(errors=errors)
    return found
