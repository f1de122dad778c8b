"""Handlers of clocks: paused, extended, recounted after notices on holidays, and escalated."""

from __future__ import annotations

from sqlalchemy import select

from chassis.errors import at
from chassis.schedule import Due, page_of
from chassis.service import on
from contracts.complaints import (
    ClockExtended,
    ClockPaused,
    ClockResumed,
    EscalateComplaint,
    ExtendClock,
    MoveDeadline,
    PauseClock,
    ResumeClock,
)
from contracts.shapes import Key
from rulebook import rules_of
from services.complaints.batch import Uow
from services.complaints.model import Complaint, NotAcceptable


@on(PauseClock)
def pause(command: PauseClock, uow: Uow) -> ClockPaused:
    """Pause a complaint's clock, on a ground of its track."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    ground = rules_of(uow).pause_grounds.get(command.ground)
    if ground is None or (ground.tracks and complaint.track not in ground.tracks):
        what = f"is no ground of the rulebook for pausing the clock of a {complaint.track}"
        raise NotAcceptable(errors=[at("ground", what)])
    return complaint.pause(ground.point, command.reason, uow.today)


@on(ResumeClock)
def resume(command: ResumeClock, uow: Uow) -> ClockResumed:
    """Resume a complaint's clock."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.resume(rules_of(uow), uow.today)


@on(ExtendClock)
def extend(command: ExtendClock, uow: Uow) -> ClockExtended:
    """Extend a complaint's clock by the days that the head may add."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.extend(command, rules_of(uow), uow.today)


@on(MoveDeadline)
def move(command: MoveDeadline, uow: Uow) -> None:
    """Recount a running clock by today's calendar, unless it has changed in the meantime."""
    complaint = uow.require(Complaint, command.complaint_id)
    complaint.move(command, rules_of(uow))


@on(EscalateComplaint)
def escalate(command: EscalateComplaint, uow: Uow) -> None:
    """Escalate a complaint whose clock has expired, unless it has changed in the meantime."""
    complaint = uow.require(Complaint, command.complaint_id)
    complaint.run_out(command, rules_of(uow), uow.today)


def due_to_move(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return running clocks counted by an older calendar, the earliest deadline first."""
    notice = rules_of(uow).calendar
    query = select(Complaint.id, Complaint.due_on, Complaint.setting).where(
        Complaint.calendar_from < notice.since
    )
    query = page_of(query, Complaint.due_on, Complaint.id, after, most)
    return [
        Due(
            [due_on.isoformat(), complaint],
            MoveDeadline(complaint_id=Key(complaint), notice=notice.code, setting=setting),
        )
        for complaint, due_on, setting in uow.execute(query)
    ]


def due(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return complaints whose clock has expired, the oldest first."""
    query = select(Complaint).where(Complaint.rings_on < uow.today)
    query = page_of(query, Complaint.rings_on, Complaint.id, after, most)
    return [
        Due(
            [complaint.rings_on.isoformat(), complaint.id],
            EscalateComplaint(
                complaint_id=Key(complaint.id),
                stage=complaint.stage,
                due_on=complaint.due_on,
                level=complaint.level,
                setting=complaint.setting,
            ),
        )
        for complaint in uow.scalars(query)
        if complaint.rings_on and complaint.due_on
    ]
