"""Issues and rectification notices (整改通知書): what is wrong, and by when it must be right."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, at
from chassis.ids import derived_id
from contracts.inspection import (
    ExtendNotice,
    IssueFound,
    IssueRectified,
    NoticeDeadlineMoved,
    NoticeExtended,
    NoticeIssued,
    NoticeOverdue,
    NoticeReinspected,
    NoticeSatisfied,
    Reinspect,
    Severity,
)
from contracts.shapes import Id, Key, Point
from rulebook.chapters.inspection import Extension, Until
from rulebook.working_days import end_of
from services.inspection.model.base import Base, NotAcceptable
from services.inspection.model.papers import Moment, Paper


class AlreadyRectified(Conflict):
    """The issue has been put right already."""


class NoticeSettled(Conflict):
    """The notice is satisfied already, or has ended in a closure."""


class ExtendedTooOften(Conflict):
    """The notice has been extended as often as the rules allow."""


class IssueState(StrEnum):
    """Where an issue stands."""

    OPEN = "open"
    RECTIFIED = "rectified"


class Issue(Aggregate, Base):
    """A fault that a visit found, under the checklist of its day."""

    __tablename__ = "issues"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    point: Mapped[dict[str, Any]]
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))

    @classmethod
    def find(cls, event: IssueFound) -> Issue:
        """Name a fault; one that was rectified on the spot is found and put right at once."""
        made = cls(
            id=event.issue_id,
            enterprise_id=event.enterprise_id,
            point=event.point.to_data(),
            severity=event.severity,
            state=IssueState.OPEN,
        )
        made.record(event)
        if event.rectified_on_the_spot:
            made.rectify(event.found_on, on_the_spot=True)
        return made

    def rectify(self, on: date, *, on_the_spot: bool = False) -> None:
        """Be put right."""
        if self.state != IssueState.OPEN:
            raise self.conflict(AlreadyRectified)
        self.state = IssueState.RECTIFIED
        self.record(
            IssueRectified(
                issue_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                point=Point.from_data(self.point),
                rectified_on=on,
                on_the_spot=on_the_spot,
            )
        )


class NoticeState(StrEnum):
    """Where a notice stands."""

    OPEN = "open"
    SATISFIED = "satisfied"
    ENDED_IN_CLOSURE = "ended_in_closure"


class Notice(Paper, Aggregate, Base):
    """A rectification notice (整改通知書): one issue, and the moment by which it must be met.

    `left` are the parts that a re-inspection found open, in the officer's words; as long as nobody
    has named parts, the whole of it is open. `level` counts the lapses. Where the deadline counts
    working days, `counted_from` is the day after which it does, and `calendar` by which notice of
    the State Council it was counted last.
    """

    __tablename__ = "notices"
    __table_args__ = (Index("notices_due", "state", "due_at", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    issue_id: Mapped[str] = mapped_column(String(64), unique=True)
    point: Mapped[dict[str, Any]]
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    left: Mapped[list[str]]
    level: Mapped[int] = mapped_column(default=0)
    extensions: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(Moment)
    counted_from: Mapped[date | None]
    working_days: Mapped[int | None]
    calendar: Mapped[str | None] = mapped_column(String(64))

    @classmethod
    def issue(cls, found: IssueFound, until: Until, today: date) -> Notice:
        """Return time to put a fault right. What was rectified on the spot is put on record by a
        notice that is satisfied as it is issued."""
        made = cls(
            id=derived_id("notice", found.issue_id),
            enterprise_id=found.enterprise_id,
            issue_id=found.issue_id,
            point=found.point.to_data(),
            severity=found.severity,
            state=NoticeState.OPEN,
            left=[],
            level=0,
            extensions=0,
        )
        made._fall_due(until)
        made.record(
            NoticeIssued.echo(
                found,
                notice_id=Id(made.id),
                issued_on=today,
                due_on=until.on,
                due_at=until.at,
                on_record=found.rectified_on_the_spot,
            )
        )
        if found.rectified_on_the_spot:
            made.satisfy(found.found_on)
        return made

    def reinspect(self, command: Reinspect) -> None:
        """Note what a re-inspection found; whoever calls it has made sure by `must_allow`."""
        self.left = [] if command.rectified else command.left or self.left
        self.record(NoticeReinspected.echo(command, left=list(self.left)))
        if command.rectified:
            self.satisfy(command.day)

    def must_allow(self, command: Reinspect) -> None:
        """Refuse a re-inspection of what is settled, or one that contradicts itself. What was found
        done stays done: parts that were left earlier can only become fewer."""
        self.must_be_open()
        if command.rectified and command.left:
            raise NotAcceptable(errors=[at("left", "is nothing, since it is rectified")])
        errors = [
            at(f"left/{n}", "was not among what was left")
            for n, part in enumerate(command.left)
            if self.left and part not in self.left
        ]
        if len(set(command.left)) < len(command.left):
            errors.append(at("left", "names something twice"))
        if errors:
            raise NotAcceptable(errors=errors)

    def satisfy(self, on: date) -> None:
        """Have been met."""
        self.must_be_open()
        self.state = NoticeState.SATISFIED
        self.record(
            NoticeSatisfied(
                notice_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                issue_id=Id(self.issue_id),
                point=self.words,
                satisfied_on=on,
            )
        )

    def extend(self, command: ExtendNotice, rule: Extension, today: date) -> NoticeExtended:
        """Be given a later day, by a named approver and for a reason; so often, and no more."""
        self.must_be_open()
        if self.extensions >= rule.times:
            raise self.conflict(ExtendedTooOften, extensions=self.extensions)
        was = self.due_on
        errors = []
        if command.due_on <= max(was, today):
            errors.append(at("due_on", f"is not after {max(was, today)}"))
        if rule.other_approver and command.approver == command.by:
            errors.append(at("approver", "is who asks for it"))
        if errors:
            raise NotAcceptable(errors=errors)
        self.extensions += 1
        self._fall_due(Until(end_of(command.due_on)))
        return self.record(NoticeExtended.echo(command, due_at=self.due_at, was_due_on=was))

    def move(self, until: Until, today: date) -> None:
        """Count the working days by a later calendar. What a lapse would become that day is given
        until its end: a calendar makes nothing overdue in hindsight."""
        was = self.due_on
        at = max(until.at, min(self.due_at, end_of(today)))
        self._fall_due(Until(at, until.since, until.working_days, until.calendar))
        if self.due_on != was:
            self.record(
                NoticeDeadlineMoved(
                    notice_id=Id(self.id),
                    enterprise_id=Key(self.enterprise_id),
                    due_on=self.due_on,
                    due_at=self.due_at,
                    was_due_on=was,
                    calendar=until.calendar or "",
                )
            )

    def press(self, addressee: str, grace: Until | None) -> None:
        """Note that the deadline has passed, once more. Without grace there is no further one: the
        enterprise is to close."""
        lapsed_on, lapsed_at = self.due_on, self.due_at
        self.level += 1
        if grace:
            self._fall_due(grace)
        else:
            self.state = NoticeState.ENDED_IN_CLOSURE
        self.record(
            NoticeOverdue(
                notice_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                issue_id=Id(self.issue_id),
                point=self.words,
                level=self.level,
                addressee=addressee,
                due_on=lapsed_on,
                due_at=lapsed_at,
                next_due_on=grace.on if grace else None,
                next_due_at=grace.at if grace else None,
                notice_number=self.number or "",
            )
        )

    def _fall_due(self, until: Until) -> None:
        self.due_at, self.calendar = until.at, until.calendar
        self.counted_from, self.working_days = until.since, until.working_days

    @property
    def due_on(self) -> date:
        """The last day on which it can be met in time."""
        return Until(self.due_at).on

    @property
    def is_grave(self) -> bool:
        """Whether a lapse closes at once."""
        return self.severity == Severity.GRAVE

    @property
    def words(self) -> Point:
        """What the notice is about."""
        point: Point = Point.from_data(self.point)
        return point

    @property
    def is_open(self) -> bool:
        """Whether the notice still waits to be met."""
        return self.state == NoticeState.OPEN

    def must_be_open(self) -> None:
        """Refuse to touch a notice that is settled."""
        if not self.is_open:
            raise self.conflict(NoticeSettled, f"The notice is {self.state}.", state=self.state)
