"""Patrols and visits: teams, and their findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, at
from chassis.message import encode
from contracts.inspection.commands import (
    CancelVisit,
    DispatchPatrol,
    PlanVisit,
    RecordPart,
    RecordVisit,
    ReplanVisit,
    SignVisit,
)
from contracts.inspection.events import (
    PartRecorded,
    PatrolDispatched,
    VisitCancelled,
    VisitPlanned,
    VisitRecorded,
    VisitReplanned,
    VisitSigned,
)
from contracts.inspection.types import Finding, Purpose, VisitWarning
from contracts.shapes import Id, Key
from services.inspection.model.base import Base, NotAcceptable, Premises


class AlreadyRecorded(Conflict):
    """The visit has been recorded already."""


class AlreadySigned(Conflict):
    """The agency has signed already."""


class AlreadyGiven(Conflict):
    """The agency has recorded its part already."""


class NotRecorded(Conflict):
    """The visit has not been recorded yet."""


class Cancelled(Conflict):
    """The visit was cancelled."""


class NotJoint(Conflict):
    """One team recorded the visit for all its agencies."""


class StillAwaited(Conflict):
    """A filing or a complaint needs the visit: it can be moved, but not cancelled."""


class ClientIdReused(Conflict):
    """The device has sent a different visit under this client id."""


class Patrol(Aggregate, Base):
    """A team dispatched for a day, which visits several premises."""

    __tablename__ = "patrols"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date]
    agencies: Mapped[list[str]]
    officers: Mapped[list[str]]

    @classmethod
    def dispatch(cls, command: DispatchPatrol) -> Patrol:
        """Dispatch a team: at least one officer of at least one agency, without repetition."""
        if errors := [*named("agencies", command.agencies), *named("officers", command.officers)]:
            raise NotAcceptable(errors=errors)
        made = cls(
            id=command.patrol_id,
            day=command.day,
            agencies=command.agencies,
            officers=command.officers,
        )
        made.record(PatrolDispatched.echo(command))
        return made


def named(field: str, values: Sequence[str], least: int = 1) -> list[dict[str, str]]:
    """Return the errors of a list of agencies or officers, which must be long enough and without
    repetition."""
    if len(values) < least:
        return [at(field, "names nobody" if not values else f"names fewer than {least}")]
    return (
        [at(field, "names somebody twice")] if max(Counter(values).values(), default=1) > 1 else []
    )


class VisitState(StrEnum):
    """The state of a visit."""

    PLANNED = "planned"
    RECORDED = "recorded"
    CANCELLED = "cancelled"


class Visit(Aggregate, Base):
    """A visit to an enterprise: for a patrol, an on-site review, a complaint or a re-inspection.

    It may be planned, moved or cancelled, and is recorded once. In a joint visit each agency
    records its own part once and signs it; after signing it adds nothing, and cannot sign for
    another agency. The visit is complete when all have signed.
    """

    __tablename__ = "visits"
    __table_args__ = (
        Index("visits_of_day", "enterprise_id", "day"),
        Index("visits_due", "grid", "state", "day"),
        Index("visits_of_complaint", "complaint_id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(16))
    grid: Mapped[str] = mapped_column(String(16))
    day: Mapped[date]
    state: Mapped[str] = mapped_column(String(16))
    urgent: Mapped[bool] = mapped_column(default=False)
    joint: Mapped[bool] = mapped_column(default=False)
    agencies: Mapped[list[str]]
    signed: Mapped[list[str]]
    parts: Mapped[list[str]] = mapped_column(default=list)
    filing_id: Mapped[str | None] = mapped_column(String(64))
    complaint_id: Mapped[str | None] = mapped_column(String(64))
    found: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """The findings of all parts: rule, checklist version, and whether the fault stands."""
    sent: Mapped[str | None] = mapped_column(String(64))
    """A digest of the data that a device sent, to recognize a repeat."""
    recorded: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The event that recorded it."""

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
        """Plan a visit that a rule requires."""
        made = cls.unplanned(visit_id, premises, purpose)
        made.day, made.urgent = day, urgent
        made.filing_id, made.complaint_id = filing_id, complaint_id
        made.announce(())
        return made

    @classmethod
    def plan_by_hand(
        cls, command: PlanVisit, premises: Premises, warnings: Sequence[VisitWarning]
    ) -> Visit:
        """Plan a visit that a person requests."""
        made = cls.unplanned(command.visit_id, premises, Purpose.PATROL)
        made.day, made.urgent = command.day, command.urgent
        made.agencies, made.joint = command.agencies, command.joint
        made.announce(warnings)
        return made

    def announce(self, warnings: Sequence[VisitWarning]) -> None:
        """Record that the visit is planned."""
        self.record(
            VisitPlanned(
                visit_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                purpose=Purpose(self.purpose),
                day=self.day,
                urgent=self.urgent,
                grid=self.grid,
                filing_id=Id(self.filing_id) if self.filing_id else None,
                complaint_id=Id(self.complaint_id) if self.complaint_id else None,
                agencies=self.agencies,
                joint=self.joint,
                warnings=[*warnings],
            )
        )

    @classmethod
    def unplanned(cls, visit_id: str, premises: Premises, purpose: Purpose) -> Visit:
        """Begin a visit that was not planned."""
        return cls(
            id=visit_id,
            enterprise_id=premises.enterprise_id,
            purpose=purpose,
            grid=premises.grid,
            day=date.min,
            state=VisitState.PLANNED,
            urgent=False,
            joint=False,
            agencies=[],
            signed=[],
            parts=[],
            found=[],
        )

    def replan(
        self, command: ReplanVisit, today: date, warnings: Sequence[VisitWarning] = ()
    ) -> VisitReplanned:
        """Move the visit to a later or an earlier day."""
        self.must_be_planned()
        if command.day < today or command.day == self.day:
            what = f"lies before today, {today}" if command.day < today else "is its day already"
            raise NotAcceptable(errors=[at("day", what)])
        before, self.day = self.day, command.day
        return self.record(VisitReplanned.echo(command, day_before=before, warnings=[*warnings]))

    def cancel(self, command: CancelVisit, *, by_rule: bool = False) -> VisitCancelled:
        """Cancel the visit: by rule when it is no longer needed, or by a person if it was never
        needed by a filing or a complaint."""
        self.must_be_planned()
        if not by_rule and (self.filing_id or self.complaint_id):
            raise self.conflict(StillAwaited)
        self.state = VisitState.CANCELLED
        return self.record(VisitCancelled.echo(command))

    def faults(self, command: RecordVisit, today: date) -> list[dict[str, str]]:
        """Return the errors of a record, except those of its findings and answers."""
        least = 2 if command.joint or self.joint else 0
        faults = named("agencies", command.agencies or self.agencies, least)
        if command.day > today:
            faults.append(at("day", f"lies after today, {today}"))
        for one, other in (("device", "client_id"), ("client_id", "device")):
            if getattr(command, one) is None and getattr(command, other) is not None:
                faults.append(at(one, f"goes with {other}"))
        return faults

    def carry_out(
        self,
        command: RecordVisit,
        today: date,
        notice_id: str | None = None,
        *,
        findings: Sequence[Finding] | None = None,
        checklist_version: str | None = None,
        warnings: Sequence[VisitWarning] = (),
    ) -> VisitRecorded:
        """Record the findings of the visit: once, and not before its day."""
        self.must_be_planned()
        if faults := self.faults(command, today):
            raise NotAcceptable(errors=faults)
        kept = command.findings if findings is None else [*findings]
        self.state, self.day, self.joint = (
            VisitState.RECORDED,
            command.day,
            command.joint or self.joint,
        )
        self.agencies = command.agencies or self.agencies
        self.sent = digest(command) if command.client_id else None
        self._add(kept, checklist_version)
        event = self.record(
            VisitRecorded(
                visit_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                purpose=Purpose(self.purpose),
                day=command.day,
                grid=self.grid,
                agencies=self.agencies,
                findings=kept,
                patrol_id=command.patrol_id,
                filing_id=Id(self.filing_id) if self.filing_id else None,
                complaint_id=Id(self.complaint_id) if self.complaint_id else None,
                notice_id=Id(notice_id) if notice_id else None,
                answers=command.answers,
                checklist_version=checklist_version,
                joint=self.joint,
                device=command.device,
                client_id=command.client_id,
                warnings=[*warnings],
            )
        )
        self.recorded = event.to_data() if command.client_id else None
        return event

    def sent_before(self, command: RecordVisit) -> VisitRecorded | None:
        """Return the event of a record that a device sends again; None for a new one.

        Raises `ClientIdReused` if the device used the id for a different record.
        """
        if self.recorded is None or command.client_id is None:
            return None
        event: VisitRecorded = VisitRecorded.from_data(self.recorded)
        if (event.device, event.client_id) != (command.device, command.client_id):
            return None
        if self.sent != digest(command):
            raise self.conflict(ClientIdReused)
        return event

    def add_part(
        self, command: RecordPart, findings: Sequence[Finding], checklist_version: str
    ) -> PartRecorded:
        """Record one agency's part of a joint visit: once, and before it signs."""
        self.must_take_part(command.agency)
        if not self.joint:
            raise self.conflict(NotJoint)
        if command.agency in self.signed:
            raise self.conflict(AlreadySigned)
        if command.agency in self.parts:
            raise self.conflict(AlreadyGiven)
        self.parts = [*self.parts, command.agency]
        self._add(findings, checklist_version)
        return self.record(
            PartRecorded.echo(
                command,
                day=self.day,
                findings=[*findings],
                checklist_version=checklist_version,
            )
        )

    def sign(self, command: SignVisit) -> VisitSigned:
        """Sign one agency's part."""
        self.must_take_part(command.agency)
        if command.agency in self.signed:
            raise self.conflict(AlreadySigned)
        self.signed = [*self.signed, command.agency]
        return self.record(
            VisitSigned(
                visit_id=Id(self.id),
                enterprise_id=Key(self.enterprise_id),
                agency=command.agency,
                officer=command.officer,
                complete=self.is_complete,
            )
        )

    def _add(self, findings: Sequence[Finding], checklist_version: str | None) -> None:
        self.found = [
            *(self.found or ()),
            *(
                {
                    "rule": one.rule,
                    "version": checklist_version,
                    "stands": not one.rectified_on_the_spot,
                }
                for one in findings
            ),
        ]

    @property
    def is_planned(self) -> bool:
        """Whether the visit is still to be made."""
        return self.state == VisitState.PLANNED

    @property
    def is_complete(self) -> bool:
        """Whether every agency has signed its part."""
        return {*self.signed} == {*self.agencies}

    def must_be_planned(self) -> None:
        """Raise an error if the visit was recorded or cancelled."""
        if self.state == VisitState.RECORDED:
            raise self.conflict(AlreadyRecorded)
        if self.state == VisitState.CANCELLED:
            raise self.conflict(Cancelled)

    def must_take_part(self, agency: str) -> None:
        """Raise an error if the agency takes no part in the visit, or the visit is not recorded."""
        if self.state == VisitState.CANCELLED:
            raise self.conflict(Cancelled)
        if self.state == VisitState.PLANNED:
            raise self.conflict(NotRecorded)
        if agency not in self.agencies:
            raise NotAcceptable(errors=[at("agency", "took no part in the visit")])


def digest(command: RecordVisit) -> str:
    """Return a digest of a record, independent of the sender and of the version they saw."""
    data = {k: v for k, v in command.to_data().items() if k not in ("by", "seen_version")}
    return blake2b(encode(data).encode(), digest_size=20).hexdigest()
