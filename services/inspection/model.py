"""Patrols, visits, issues, notices and closures: what is wrong on the ground, until it is right."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, Invalid, at
from chassis.ids import derived_id
from contracts.inspection import (
    ClosureLifted,
    ClosureOrdered,
    DispatchPatrol,
    ExtendNotice,
    Grounds,
    IssueFound,
    IssueRectified,
    NoticeExtended,
    NoticeIssued,
    NoticeOverdue,
    NoticeSatisfied,
    PatrolDispatched,
    Purpose,
    RecordVisit,
    Severity,
    SignVisit,
    VisitPlanned,
    VisitRecorded,
    VisitSigned,
)
from contracts.inspection import Slip as SlipIssued
from contracts.shapes import Id, Key, Point, Words


class AlreadyRecorded(Conflict):
    """The visit has been recorded already."""


class AlreadySigned(Conflict):
    """The agency has signed already."""


class AlreadyRectified(Conflict):
    """The issue has been put right already."""


class NoticeSettled(Conflict):
    """The notice is satisfied already, or has ended in a closure."""


class AlreadyClosed(Conflict):
    """The enterprise is under an order of closure already."""


class AlreadyLifted(Conflict):
    """The closure has been lifted already."""


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class Base(DeclarativeBase):
    """The tables of inspection."""

    type_annotation_map = {
        list[str]: JSON,
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
    }


class Premises(Base):
    """What inspection knows of an enterprise: its kind of premises, its grid, its closure."""

    __tablename__ = "premises"

    enterprise_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    grid: Mapped[str] = mapped_column(String(16))
    closure_id: Mapped[str | None] = mapped_column(String(64))


class Patrol(Aggregate, Base):
    """A team sent out for a day, which visits several premises."""

    __tablename__ = "patrols"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date]
    agencies: Mapped[list[str]]
    officers: Mapped[list[str]]

    @classmethod
    def dispatch(cls, asked: DispatchPatrol) -> Patrol:
        """Send a team out: at least one officer of at least one agency, each named once."""
        errors = [
            at(field, "names nobody" if not given else "names somebody twice")
            for field, given in (("agencies", asked.agencies), ("officers", asked.officers))
            if not given or len(set(given)) < len(given)
        ]
        if errors:
            raise NotAcceptable(errors=errors)
        made = cls(
            id=asked.patrol_id, day=asked.day, agencies=asked.agencies, officers=asked.officers
        )
        made.record(PatrolDispatched(**asked.__dict__))
        return made


class VisitState(StrEnum):
    """Where a visit stands."""

    PLANNED = "planned"
    RECORDED = "recorded"


class Visit(Aggregate, Base):
    """A visit to an enterprise: for a patrol, an on-site review, a complaint or a re-inspection."""

    __tablename__ = "visits"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    grid: Mapped[str] = mapped_column(String(16))
    day: Mapped[date]
    state: Mapped[str] = mapped_column(String(16))
    agencies: Mapped[list[str]]
    signed: Mapped[list[str]]
    filing_id: Mapped[str | None] = mapped_column(String(64))
    complaint_id: Mapped[str | None] = mapped_column(String(64))

    @classmethod
    def plan(
        cls,
        visit_id: str,
        premises: Premises,
        purpose: Purpose,
        day: date,
        *,
        urgent: bool = False,
        filing_id: str | None = None,
        complaint_id: str | None = None,
    ) -> Visit:
        """Plan a visit."""
        made = cls(
            id=visit_id,
            enterprise_id=premises.enterprise_id,
            purpose=purpose,
            grid=premises.grid,
            day=day,
            state=VisitState.PLANNED,
            agencies=[],
            signed=[],
            filing_id=filing_id,
            complaint_id=complaint_id,
        )
        made.record(
            VisitPlanned(
                visit_id=Id(visit_id),
                enterprise_id=Key(premises.enterprise_id),
                purpose=purpose,
                day=day,
                urgent=urgent,
                grid=premises.grid,
                filing_id=Id(filing_id) if filing_id else None,
                complaint_id=Id(complaint_id) if complaint_id else None,
            )
        )
        return made

    @classmethod
    def unplanned(cls, visit_id: str, premises: Premises, purpose: Purpose) -> Visit:
        """Begin a visit that nobody planned."""
        return cls(
            id=visit_id,
            enterprise_id=premises.enterprise_id,
            purpose=purpose,
            grid=premises.grid,
            day=date.min,
            state=VisitState.PLANNED,
            agencies=[],
            signed=[],
        )

    def carry_out(
        self, asked: RecordVisit, today: date, notice_id: str | None = None
    ) -> VisitRecorded:
        """Record what the visit found. A visit is recorded once, and not before its day."""
        if self.state == VisitState.RECORDED:
            raise AlreadyRecorded
        if asked.day > today:
            raise NotAcceptable(errors=[at("day", f"lies after today, {today}")])
        self.state, self.day, self.agencies = VisitState.RECORDED, asked.day, asked.agencies
        fact = VisitRecorded(
            visit_id=Id(self.id),
            enterprise_id=Key(self.enterprise_id),
            purpose=Purpose(self.purpose),
            day=asked.day,
            grid=self.grid,
            agencies=asked.agencies,
            findings=asked.findings,
            patrol_id=asked.patrol_id,
            filing_id=Id(self.filing_id) if self.filing_id else None,
            complaint_id=Id(self.complaint_id) if self.complaint_id else None,
            notice_id=Id(notice_id) if notice_id else None,
        )
        self.record(fact)
        return fact

    def sign(self, asked: SignVisit) -> VisitSigned:
        """Let an agency sign its own part; nobody signs for another."""
        if asked.agency not in self.agencies:
            raise NotAcceptable(errors=[at("agency", "took no part in the visit")])
        if asked.agency in self.signed:
            raise AlreadySigned
        self.signed = [*self.signed, asked.agency]
        fact = VisitSigned(
            visit_id=Id(self.id),
            enterprise_id=Key(self.enterprise_id),
            agency=asked.agency,
            officer=asked.officer,
            complete=set(self.signed) == set(self.agencies),
        )
        self.record(fact)
        return fact


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
    def find(cls, fact: IssueFound) -> Issue:
        """Name a fault; one that was rectified on the spot is found and put right at once."""
        made = cls(
            id=fact.issue_id,
            enterprise_id=fact.enterprise_id,
            point=fact.point.to_data(),
            severity=fact.severity,
            state=IssueState.OPEN,
        )
        made.record(fact)
        if fact.rectified_on_the_spot:
            made.rectify(fact.found_on, on_the_spot=True)
        return made

    def rectify(self, on: date, *, on_the_spot: bool = False) -> None:
        """Be put right."""
        if self.state != IssueState.OPEN:
            raise AlreadyRectified
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


class Notice(Aggregate, Base):
    """A rectification notice (整改通知書): one issue, and the day by which it must be met."""

    __tablename__ = "notices"
    __table_args__ = (Index("notices_due", "state", "due_on", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    issue_id: Mapped[str] = mapped_column(String(64), unique=True)
    point: Mapped[dict[str, Any]]
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    level: Mapped[int] = mapped_column(default=0)
    due_on: Mapped[date]

    @classmethod
    def issue(cls, found: IssueFound, days: int) -> Notice:
        """Give so many days to put a fault right. What was rectified on the spot is put on record
        by a notice that is satisfied as it is issued."""
        made = cls(
            id=derived_id("notice", found.issue_id),
            enterprise_id=found.enterprise_id,
            issue_id=found.issue_id,
            point=found.point.to_data(),
            severity=found.severity,
            state=NoticeState.OPEN,
            level=0,
            due_on=found.found_on + timedelta(days=days),
        )
        made.record(
            NoticeIssued(
                notice_id=Id(made.id),
                enterprise_id=found.enterprise_id,
                issue_id=found.issue_id,
                point=found.point,
                issued_on=found.found_on,
                due_on=made.due_on,
                on_record=found.rectified_on_the_spot,
            )
        )
        if found.rectified_on_the_spot:
            made.satisfy(found.found_on)
        return made

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

    def extend(self, asked: ExtendNotice, today: date) -> NoticeExtended:
        """Be given a later day, by a named approver and for a reason."""
        self.must_be_open()
        if asked.due_on <= max(self.due_on, today):
            raise NotAcceptable(errors=[at("due_on", f"is not after {max(self.due_on, today)}")])
        self.due_on = asked.due_on
        fact = NoticeExtended(**asked.__dict__)
        self.record(fact)
        return fact

    def press(self, grace_days: int, presses: int, today: date) -> bool:
        """Note that the day has passed. After so many presses, or where the issue is grave, there
        is no further day: True says that the enterprise is to close."""
        self.level += 1
        ends = self.level > presses or self.severity == Severity.GRAVE
        lapsed, self.due_on = self.due_on, today + timedelta(days=grace_days)
        if ends:
            self.state = NoticeState.ENDED_IN_CLOSURE
        self.record(
            NoticeOverdue(
                notice_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                issue_id=Id(self.issue_id),
                point=self.words,
                level=self.level,
                due_on=lapsed,
                next_due_on=None if ends else self.due_on,
            )
        )
        return ends

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
            raise NoticeSettled(f"The notice is {self.state}.", state=self.state)


class Closure(Aggregate, Base):
    """An order that closes an enterprise (關停); one stands at a time."""

    __tablename__ = "closures"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    lifted_on: Mapped[date | None]

    @classmethod
    def order(
        cls,
        closure_id: str,
        premises: Premises,
        grounds: Grounds,
        reason: Words,
        today: date,
        *,
        issue_id: str | None = None,
        notice_id: str | None = None,
    ) -> Closure:
        """Close the premises; refused while another closure stands."""
        if premises.closure_id:
            raise AlreadyClosed(closure_id=premises.closure_id)
        premises.closure_id = closure_id
        made = cls(id=closure_id, enterprise_id=premises.enterprise_id)
        made.record(
            ClosureOrdered(
                closure_id=Id(closure_id),
                enterprise_id=Key(premises.enterprise_id),
                grounds=grounds,
                reason=reason,
                ordered_on=today,
                issue_id=Id(issue_id) if issue_id else None,
                notice_id=Id(notice_id) if notice_id else None,
            )
        )
        return made

    def lift(self, premises: Premises, reason: str, today: date) -> ClosureLifted:
        """Let the enterprise file again."""
        if self.lifted_on:
            raise AlreadyLifted(lifted_on=self.lifted_on.isoformat())
        self.lifted_on, premises.closure_id = today, None
        fact = ClosureLifted(
            closure_id=Id(self.id),
            enterprise_id=Key(self.enterprise_id),
            reason=reason,
            lifted_on=today,
        )
        self.record(fact)
        return fact


class Slip(Aggregate, Base):
    """One of the four slips (四單), as it was written."""

    __tablename__ = "slips"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    about: Mapped[str] = mapped_column(String(64), index=True)
    addressee: Mapped[str] = mapped_column(String(32))
    points: Mapped[list[dict[str, Any]]]
    issued_on: Mapped[date]
    due_on: Mapped[date | None]

    @classmethod
    def issue(cls, fact: SlipIssued) -> Slip:
        """Write a slip; its words are those of this day, whatever the rulebook says later."""
        made = cls(
            id=fact.slip_id,
            kind=fact.type,
            about=fact.about,
            addressee=fact.addressee,
            points=[point.to_data() for point in fact.points],
            issued_on=fact.issued_on,
            due_on=fact.due_on,
        )
        made.record(fact)
        return made
