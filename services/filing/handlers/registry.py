"""Handlers of the registry of enterprises and of rosters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from chassis.errors import at
from chassis.message import Message
from chassis.service import on
from contracts.filing import (
    CorrectEnterprise,
    EnterpriseCorrected,
    EnterpriseRegistered,
    RegisterEnterprise,
    ReportRoster,
    ReportRosterLines,
    RosterReported,
)
from rulebook import rules_of
from services.filing.batch import Uow
from services.filing.model import CodeTaken, Enterprise, judge

CODES = ("credit_code", "registration_number")


@on(RegisterEnterprise)
def register(command: RegisterEnterprise, uow: Uow) -> EnterpriseRegistered:
    """Register an enterprise, unless a code is taken or its data is not acceptable."""
    enterprise = Enterprise.register(command, rules_of(uow), uow.today)
    _claim_codes(command, uow)
    registered: EnterpriseRegistered = uow.add_new(enterprise)
    return registered


@on(CorrectEnterprise)
def correct(command: CorrectEnterprise, uow: Uow) -> EnterpriseCorrected:
    """Correct the registry data of an enterprise."""
    enterprise = uow.require(Enterprise, command.enterprise_id, seen_by=command)
    _refuse_taken(command, uow)
    corrected = enterprise.correct(command, rules_of(uow), uow.today)
    _claim_codes(command, uow)
    return corrected


@on(ReportRoster)
def report_roster(command: ReportRoster, uow: Uow) -> RosterReported:
    """Record the staff of a day in numbers."""
    enterprise = uow.require(Enterprise, command.enterprise_id, seen_by=command)
    return enterprise.report(command, uow.today, rules_of(uow))


@on(ReportRosterLines)
def report_roster_lines(command: ReportRosterLines, uow: Uow) -> dict[str, Any]:
    """Record the staff of a day person by person, and return the result of each row.

    No row is stored, and no event names a person: only the response to the enterprise tells which
    persons are not on duty, and why.
    """
    enterprise = uow.require(Enterprise, command.enterprise_id, seen_by=command)
    book = rules_of(uow)
    judged = judge(command, book)
    reported = enterprise.report_lines(command.day, judged, uow.today, book)
    return reported.to_data() | {"rows": list(judged.rows)}


# -- codes


def load_owners_of_codes(messages: Iterable[Message], uow: Uow) -> None:
    """Load the owners of the batch's codes, one query for each kind of code."""
    payloads = [message.payload for message in messages]
    for name in CODES:
        codes = {getattr(payload, name, None) for payload in payloads} - {None}
        column = getattr(Enterprise, name)
        query = select(column, Enterprise.id).where(column.in_(codes))
        rows = uow.connection().execute(query) if codes else ()
        uow.state.owners[name] = {row[0]: row.id for row in rows}


def _refuse_taken(command: RegisterEnterprise | CorrectEnterprise, uow: Uow) -> None:
    """Raise `CodeTaken` with the enterprise that has the code."""
    taken = {
        name: owner
        for name in CODES
        if (owner := uow.state.owners[name].get(getattr(command, name)))
        and owner != command.enterprise_id
    }
    if taken:
        first = next(iter(taken.values()))
        raise CodeTaken(
            f"The enterprise {first} is registered with it.",
            errors=[at(name, f"belongs to {owner}") for name, owner in taken.items()],
            enterprise_id=first,
        )


def _claim_codes(command: RegisterEnterprise | CorrectEnterprise, uow: Uow) -> None:
    """Claim codes for an enterprise, so that the rest of the batch cannot take them."""
    _refuse_taken(command, uow)
    for name in CODES:
        if code := getattr(command, name):
            uow.state.owners[name][code] = command.enterprise_id
