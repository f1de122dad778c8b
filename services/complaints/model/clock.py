"""The clock of a complaint.

A clock counts days of some unit from a day, by the rule in force when it began; it leaves out the
spans of pauses, includes extensions, and has the calendar by which it was last counted. Its
deadline follows from these, and can always be recomputed.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from contracts.complaints import (
    ClockExtended,
    ClockPaused,
    ClockResumed,
    ComplaintOverdue,
    Counting,
    DeadlineMoved,
    EscalateComplaint,
    ExtendClock,
    MoveDeadline,
    Stage,
    Unit,
)
from contracts.shapes import Id, Key, Point
from rulebook import Rulebook
from rulebook.chapters.complaints import RECEIPT
from rulebook.working_days import Span
from services.complaints.model import base

_ONE_DAY = timedelta(days=1)


class Timed(Aggregate):
    """Mixin of the complaint: one clock at a time, that of its stage."""

    id: Mapped[str] = mapped_column(String(64), primary_key=True, sort_order=-1)
    track: Mapped[str] = mapped_column(String(16))
    enterprise_id: Mapped[str | None] = mapped_column(String(64))
    received_on: Mapped[date]

    stage: Mapped[str] = mapped_column(String(16))
    counted_from: Mapped[date]
    unit: Mapped[str] = mapped_column(String(16))
    days: Mapped[int]
    extension_days: Mapped[int]
    extendable_by: Mapped[int]
    """The days that the head may add, by the rule under which the clock began."""
    pauses: Mapped[list[list[str]]] = mapped_column(JSON)
    """The spans of pauses: first day, and day of the end."""
    paused_on: Mapped[date | None]
    due_on: Mapped[date | None]
    """The last day of the running clock; None while it is paused or after its end."""
    rings_on: Mapped[date | None]
    """The day after which the running clock is escalated next, or None."""
    level: Mapped[int]
    """The number of escalations of the clock."""
    setting: Mapped[int]
    """The number of times that a clock of the complaint was set, paused or recounted."""
    calendar: Mapped[str] = mapped_column(String(64))
    calendar_from: Mapped[date | None]
    """The version of the calendar by which the running clock was counted; None when none runs."""
    rules: Mapped[str] = mapped_column(String(64))

    def start(self, stage: Stage, book: Rulebook, today: date, *, from_today: bool = False) -> None:
        """Start the clock of a stage by today's rules; with `from_today` it counts from today."""
        rule = book.clock(self.track, stage)
        from_receipt = rule.counted_from == RECEIPT and not from_today
        self.stage, self.counted_from = stage, self.received_on if from_receipt else today
        self.unit, self.days = rule.unit, rule.days
        self.extension_days, self.extendable_by, self.level = 0, rule.extension, 0
        self.rules = book.version
        self.count(book)

    def count(self, book: Rulebook) -> None:
        """Compute the deadline by the calendar of today; None while the clock is paused."""
        self.setting = (self.setting or 0) + 1
        self.calendar = book.calendar.code
        if self.paused_on is not None:
            self.due_on = self.rings_on = self.calendar_from = None
            return
        allowed = self.days + self.extension_days
        self.due_on = book.counting(self.unit).after(self.counted_from, allowed, self.spans)
        self.calendar_from = book.calendar.since
        self.rings_on = self._next_ring(book)

    def _next_ring(self, book: Rulebook) -> date | None:
        """Return the day after which the next escalation is due, or None."""
        if self.due_on is None or self.level >= len(book.complaint_rungs):
            return None
        grace = book.complaint_rungs[self.level].days
        return book.working_days.after(self.due_on, grace, self.spans)

    @property
    def spans(self) -> list[Span]:
        """The spans of pauses."""
        return [(date.fromisoformat(a), date.fromisoformat(b)) for a, b in self.pauses]

    def counting(self, book: Rulebook) -> Counting:
        """Return the parameters of the count."""
        return Counting(
            stage=Stage(self.stage),
            counted_from=self.counted_from,
            unit=Unit(self.unit),
            days=self.days,
            extension_days=self.extension_days,
            paused_days=self._paused_days(book),
            calendar=self.calendar,
            rules=self.rules,
            due_on=self.due_on,
        )

    def _paused_days(self, book: Rulebook) -> int:
        between = book.counting(self.unit).between
        if self.due_on is not None:
            return between(self.counted_from, self.due_on) - self.days - self.extension_days
        return sum(
            between(max(first - _ONE_DAY, self.counted_from), last - _ONE_DAY)
            for first, last in self.spans
        )

    def stand(self, today: date) -> None:
        """Pause the clock."""
        self.paused_on = self.paused_on or today
        self.due_on = self.rings_on = self.calendar_from = None
        self.setting += 1

    def run_on(self, book: Rulebook, today: date) -> None:
        """Resume the clock: the days from the pause until yesterday do not count."""
        stopped, self.paused_on = cast("date", self.paused_on), None
        if today > stopped:
            self.pauses = [*self.pauses, [stopped.isoformat(), today.isoformat()]]
        self.count(book)

    def stop(self) -> None:
        """End the clock."""
        self.due_on = self.rings_on = self.calendar_from = self.paused_on = None
        self.setting += 1

    # -- changes of a clock

    def must_be_acted_on(self) -> None:
        """Raise an error if the complaint has ended, or is a duplicate."""
        raise NotImplementedError

    def pause(self, ground: Point, reason: str, today: date) -> ClockPaused:
        """Pause the clock, on a legal ground."""
        self.must_be_acted_on()
        if self.paused_on:
            raise self.conflict(base.ClockStands, paused_on=self.paused_on.isoformat())
        self.stand(today)
        return self.record(
            ClockPaused(complaint_id=Key(self.id), ground=ground, reason=reason, paused_on=today)
        )

    def resume(self, book: Rulebook, today: date) -> ClockResumed:
        """Resume the clock."""
        self.must_be_acted_on()
        if self.paused_on is None:
            raise self.conflict(base.ClockRuns)
        self.run_on(book, today)
        return self.record(
            ClockResumed(complaint_id=Key(self.id), resumed_on=today, counting=self.counting(book))
        )

    def extend(self, command: ExtendClock, book: Rulebook, today: date) -> ClockExtended:
        """Extend the clock by the days that the head may add, once."""
        self.must_be_acted_on()
        if not self.extendable_by:
            raise self.conflict(base.NotExtendable, stage=self.stage)
        if self.extension_days:
            raise self.conflict(base.AlreadyExtended, extension_days=self.extension_days)
        self.extension_days = self.extendable_by
        self.count(book)
        return self.record(
            ClockExtended.echo(command, extended_on=today, counting=self.counting(book))
        )

    def move(self, command: MoveDeadline, book: Rulebook) -> None:
        """Recount a running clock by a later calendar, if that changes it."""
        if self.due_on is None or self.setting != command.setting:
            return
        before = self.due_on
        self.count(book)
        if self.due_on != before:
            self.record(
                DeadlineMoved(
                    complaint_id=Key(self.id),
                    stage=Stage(self.stage),
                    old_due_on=before,
                    due_on=self.due_on,
                    notice=command.notice,
                    counting=self.counting(book),
                )
            )

    def run_out(self, command: EscalateComplaint, book: Rulebook, today: date) -> None:
        """Escalate the expired clock, once for each rung, unless the clock has changed in the
        meantime."""
        if (self.setting, self.level) != (command.setting, command.level):
            return
        if self.due_on is None or self.rings_on is None or self.rings_on >= today:
            return
        rung = book.complaint_rungs[min(self.level, len(book.complaint_rungs) - 1)]
        self.level += 1
        self.rings_on = self._next_ring(book)
        self.record(
            ComplaintOverdue(
                complaint_id=Key(self.id),
                stage=Stage(self.stage),
                due_on=self.due_on,
                overdue_on=today,
                level=self.level,
                addressee=rung.addressee,
                enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
            )
        )
