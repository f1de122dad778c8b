"""The clocks: paused, extended, moved by notices on holidays, and escalated when they run out."""

from __future__ import annotations

from sqlalchemy import select

from chassis.errors import at
from chassis.schedule import Due, SweepsHours, page_of
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.complaints import (
    EscalateComplaint,
    ExtendClock,
    MoveDeadline,
    PauseClock,
    ResumeClock,
)
from contracts.shapes import Key
from rulebook import FollowsRules
from services.complaints.finding import complaint_of, seen
from services.complaints.model import Complaint, NotAcceptable


class WatchesClocks(FollowsRules, SweepsHours):
    """Mixed into complaints: what moves a clock, and what becomes of one that has run out."""

    sweeps = ("due_to_move", "due")

    @on(PauseClock)
    def pause(self, asked: PauseClock, db: Work) -> object:
        """Stop a complaint's clock, on a ground that its track knows."""
        complaint = seen(db, asked)
        ground = self.rules(db).pause_grounds.get(asked.ground)
        if ground is None or (ground.tracks and complaint.track not in ground.tracks):
            what = f"is no ground of the rulebook for pausing the clock of a {complaint.track}"
            raise NotAcceptable(errors=[at("ground", what)])
        return complaint.pause(ground.point, asked.reason, db.today)

    @on(ResumeClock)
    def resume(self, asked: ResumeClock, db: Work) -> object:
        """Let a complaint's clock run on."""
        return seen(db, asked).resume(self.rules(db), db.today)

    @on(ExtendClock)
    def extend(self, asked: ExtendClock, db: Work) -> object:
        """Give a complaint's clock the days that the head may add."""
        return seen(db, asked).extend(asked, self.rules(db), db.today)

    @on(MoveDeadline)
    def move(self, asked: MoveDeadline, db: Work) -> None:
        """Count a running clock again by the calendar of today, unless something has come
        between."""
        complaint_of(db, asked.complaint_id).move(asked, self.rules(db))

    @on(EscalateComplaint)
    def escalate(self, asked: EscalateComplaint, db: Work) -> None:
        """Say that a clock has run out, unless something has come between."""
        complaint_of(db, asked.complaint_id).run_out(asked, self.rules(db), db.today)

    def due_to_move(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find running clocks that an older calendar has counted, the first to run out first."""
        notice = self.rules(db).calendar
        query = select(Complaint.id, Complaint.due_on, Complaint.setting).where(
            Complaint.calendar_from < notice.since
        )
        query = page_of(query, Complaint.due_on, Complaint.id, after, most)
        return [
            Due(
                [due_on.isoformat(), complaint],
                MoveDeadline(complaint_id=Key(complaint), notice=notice.code, setting=setting),
            )
            for complaint, due_on, setting in db.execute(query)
        ]

    def due(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find complaints whose clock has run out, the oldest first, whoever they belong to."""
        query = select(Complaint).where(Complaint.rings_on < db.today)
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
            for complaint in db.scalars(query)
            if complaint.rings_on and complaint.due_on
        ]
