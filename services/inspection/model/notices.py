"""Issues and rectification notices (整改通知書): faults, and the deadlines to rectify them."""

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
    """The issue has already been rectified."""


class NoticeSettled(Conflict):
    """The notice is already satisfied, or has ended in a closure."""


class ExtendedTooOften(Conflict):
    """The notice has already been extended as often as the rules allow."""


class IssueState(StrEnum):
    """The state of an issue."""

    OPEN = "open"
    RECTIFIED = "rectified"


class Issue(Aggregate, Base):
    """A fault found by a visit, under the checklist of its day."""

    __tablename__ = "issues"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    point: Mapped[dict[str, Any]]
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))

    @classmethod
    def find(cls, event: IssueFound) -> Issue:
        """Return the issue of a fault; a fault rectified on the spot is found and rectified
        together."""
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
        """Record that the issue is rectified."""
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
    """The state of a notice."""

    OPEN = "open"
    SATISFIED = "satisfied"
    ENDED_IN_CLOSURE = "ended_in_closure"


class Notice(Paper, Aggregate, Base):
    """A rectification notice (整改通知書): one issue, and the moment by which it must be met.

    `left` are the parts that a re-inspection found open, in the officer's words; without named
    parts the whole issue is open. `level` counts the missed deadlines. If the deadline counts
    working days, `counted_from` is the day after which they count, and `calendar` the State
    Council's notice by which they were last counted.
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
        """Issue a notice with a deadline. For an issue rectified on the spot the notice is
        satisfied as it is issued, for the record."""
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
        """Record the result of a re-inspection, which `must_allow` has accepted."""
        self.left = [] if command.rectified else command.left or self.left
        self.record(NoticeReinspected.echo(command, left=list(self.left)))
        if command.rectified:
            self.satisfy(command.day)

    def must_allow(self, command: Reinspect) -> None:
        """Raise an error for a settled notice or a contradictory re-inspection. Finished parts stay
        finished: the parts left earlier can only become fewer."""
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
        """Record that the notice is met."""
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
        """Extend the deadline, with a named approver and a reason, as often as the rules allow."""
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
        """Count the working days by a later calendar. A deadline that would thereby already be over
        is moved to the end of today: a calendar makes nothing overdue in hindsight."""
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
        """Record another missed deadline. Without grace there is no further deadline: the
        enterprise is to be closed."""
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
        """The last day on which the notice can be met in time."""
        return Until(self.due_at).on

    @property
    def is_grave(self) -> bool:
        """Whether a missed deadline leads to closure at once."""
        return self.severity == Severity.GRAVE

    @property
    def words(self) -> Point:
        """The subject of the notice."""
        point: Point = Point.from_data(self.point)
        return point

    @property
    def is_open(self) -> bool:
        """Whether the notice is still to be met."""
        return self.state == NoticeState.OPEN

    def must_be_open(self) -> None:
        """Raise an error if the notice is settled."""
        if not self.is_open:
            raise self.conflict(NoticeSettled, f"The notice is {self.state}.", state=self.state)
