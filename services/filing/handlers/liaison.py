"""Handlers of liaison officers (掛鉤聯繫指導員): one for each enterprise.

The least loaded officer depends on concurrent assignments by other processes. So a batch chooses at
its end, when it holds the rows of all candidates, and writes the choice and the loads in one
transaction.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from chassis.errors import at
from chassis.service import on
from chassis.storage.store import Store
from contracts.filing import (
    AssignLiaison,
    EnterpriseCorrected,
    EnterpriseReopened,
    LiaisonAssigned,
)
from contracts.message import RULE
from contracts.shapes import Key, Point, Words
from rulebook import rules_of
from services.filing.batch import Uow
from services.filing.model import Enterprise, NotAcceptable, Officer, least_loaded

_LEAST = "The least loaded officer of the grid"


@on(AssignLiaison)
def assign_by_hand(command: AssignLiaison, uow: Uow) -> LiaisonAssigned:
    """Assign another liaison officer of its grid to an enterprise, with a reason."""
    enterprise = uow.require(Enterprise, command.enterprise_id, seen_by=command)
    if command.officer not in rules_of(uow).officers_of(enterprise.grid):
        raise NotAcceptable(errors=[at("officer", "is not an officer of the grid")])
    why = Point(code="by-hand", words=Words(zh=command.reason, en=command.reason))
    assigned = _assign(enterprise, command.officer, why, command.by, uow)
    return assigned or LiaisonAssigned(
        enterprise_id=Key(enterprise.id),
        version=enterprise.version,
        officer=command.officer,
        previous=command.officer,
        why=why,
        by=command.by,
        assigned_on=uow.today,
    )


@on(EnterpriseReopened)
def give_an_officer(event: EnterpriseReopened, uow: Uow) -> None:
    """Assign a liaison officer of its grid to a reopened enterprise without one."""
    uow.state.unassigned[event.enterprise_id] = uow.message


@on(EnterpriseCorrected)
def change_the_officer_with_the_grid(event: EnterpriseCorrected, uow: Uow) -> None:
    """Assign an officer of the new grid to an enterprise whose grid was corrected."""
    if "grid" in event.changed and uow.require(Enterprise, event.enterprise_id).liaison:
        uow.state.unassigned[event.enterprise_id] = uow.message


def _assign(
    enterprise: Enterprise, officer: str, why: Point, by: str, uow: Uow
) -> LiaisonAssigned | None:
    previous = enterprise.liaison
    assigned = enterprise.assign(officer, why, by, uow.today)
    if assigned is not None:
        uow.state.moved.update([officer])
        uow.state.moved.subtract([previous] if previous else [])
    return assigned


def choose_officers(uow: Uow, store: Store) -> None:
    """Assign an officer to each enterprise of the batch that needs one, and update the loads."""
    unassigned, moved = uow.state.unassigned, uow.state.moved
    candidates: dict[str, tuple[str, ...]] = {}
    concerned = {*moved}
    for identity, message in unassigned.items():
        uow.message = message
        enterprise = uow.require(Enterprise, identity)
        officers = rules_of(uow).officers_of(enterprise.grid)
        if enterprise.liaison not in officers:
            candidates[identity] = officers
            concerned.update(officers, [enterprise.liaison] if enterprise.liaison else [])
    rows = _lock(uow, store, concerned)
    loads = Counter({officer: row.load for officer, row in rows.items()})
    loads.update(moved)
    moved.clear()
    for identity, officers in candidates.items():
        uow.message = unassigned[identity]
        why = Point(code="least-loaded", words=rules_of(uow).say(_LEAST))
        chosen = least_loaded(officers, loads)
        _assign(uow.require(Enterprise, identity), chosen, why, RULE, uow)
        loads.update(moved)
        moved.clear()
    for officer, row in rows.items():
        row.load = loads[officer]
    unassigned.clear()


def _lock(uow: Uow, store: Store, officers: set[str]) -> dict[str, Officer]:
    """Load officers for writing, in a fixed order; a new one begins with no enterprise."""
    if not officers:
        return {}
    uow.flush()  # these locks must be the last of the transaction
    query = (
        select(Officer)
        .where(Officer.officer.in_(officers))
        .order_by(Officer.officer)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    rows = {row.officer: row for row in uow.scalars(query)}
    if missing := sorted(officers - rows.keys()):
        new = [{"officer": officer, "load": 0} for officer in missing]
        table = Officer.metadata.tables[Officer.__tablename__]
        uow.connection().execute(store.statements.insert_new(table), new)
        rows = {row.officer: row for row in uow.scalars(query)}
    return rows
