"""Enterprises: their registry data, and whether they may do business."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import at
from chassis.ids import derived_id
from contracts.filing import (
    CorrectEnterprise,
    EnterpriseCorrected,
    EnterpriseRegistered,
    EnterpriseReopened,
    EnterpriseSuspended,
    Kind,
    LiaisonAssigned,
    RegisterEnterprise,
    ReportRoster,
    RosterReported,
    Size,
    SubmitFiling,
    SuspensionLifted,
)
from contracts.shapes import Id, Key, Point
from services.filing.model.base import (
    AlreadyOpen,
    Base,
    EnterpriseState,
    FilingLive,
    NotAcceptable,
    NothingToCorrect,
    NotOpen,
    OrderedClosed,
)
from services.filing.model.filings import Filing
from services.filing.model.records import Faults, faults_of, size_class

if TYPE_CHECKING:
    from rulebook import Rulebook
    from services.filing.model.rosters import Judged

RECORD = (
    "credit_code",
    "registration_number",
    "name",
    "kind",
    "size",
    "staff",
    "revenue",
    "assets",
    "industry",
    "premises",
    "grid",
    "address",
    "key_project",
)
"""The registry data that may be corrected."""
_FIGURES = ("staff", "revenue", "assets")
_SIZED_BY = {"size", "industry", *_FIGURES}


class Enterprise(Aggregate, Base):
    """An enterprise of the district, whatever its kind.

    Always true of it: it has a credit code or a registration number, each unique; it has at most
    one live filing; it is open only by an approved filing; suspended, it neither files nor opens; a
    rejected command publishes nothing and changes nothing; `version` counts its events.
    """

    __tablename__ = "enterprises"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    credit_code: Mapped[str | None] = mapped_column(String(18), unique=True)
    registration_number: Mapped[str | None] = mapped_column(String(15), unique=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    size: Mapped[str] = mapped_column(String(8))
    size_by: Mapped[str] = mapped_column(String(8))
    branch: Mapped[str | None] = mapped_column(String(64))
    staff: Mapped[int | None]
    revenue: Mapped[int | None] = mapped_column(BigInteger)
    assets: Mapped[int | None] = mapped_column(BigInteger)
    industry: Mapped[str] = mapped_column(String(5))
    premises: Mapped[str] = mapped_column(String(64))
    grid: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(Text)
    key_project: Mapped[bool]
    rules: Mapped[str] = mapped_column(String(64))
    """The edition of the rulebook behind the size class."""
    state: Mapped[str] = mapped_column(String(16), default=EnterpriseState.REGISTERED)
    live_filing_id: Mapped[str | None] = mapped_column(String(64))
    last_filing_id: Mapped[str | None] = mapped_column(String(64))
    closure_id: Mapped[str | None] = mapped_column(String(64))
    lifted_on: Mapped[date | None]
    liaison: Mapped[str | None] = mapped_column(String(32))
    roster_day: Mapped[date | None]

    # -- the registry

    @classmethod
    def register(cls, command: RegisterEnterprise, book: Rulebook, today: date) -> Enterprise:
        """Register an enterprise; raises `NotAcceptable` with every error at once."""
        faults = faults_of(command, book)
        if not (command.credit_code or command.registration_number):
            faults.insert(0, at("credit_code", "is needed, or a registration_number"))
        known: dict[str, Any] = {}
        if book.is_industry(command.industry):
            figures = {name: getattr(command, name) for name in _FIGURES}
            known, more = size_class(command.industry, figures, command.size, book)
            faults += more
        if faults:
            raise NotAcceptable(errors=faults)
        given = {name: getattr(command, name) for name in RECORD}
        made = cls(id=command.enterprise_id, state=EnterpriseState.REGISTERED, **given | known)
        made.record(EnterpriseRegistered(**made._record_as(book), registered_on=today))
        return made

    def correct(
        self, command: CorrectEnterprise, book: Rulebook, today: date
    ) -> EnterpriseCorrected:
        """Correct the registry data; the size class is recomputed if it may have changed.

        The premises cannot change while a filing is live, since a review may have seen them. Raises
        `NotAcceptable`, `NothingToCorrect`, `FilingLive`.
        """
        given = {name: value for name in RECORD if (value := getattr(command, name)) is not None}
        faults = faults_of(command, book)
        known: dict[str, Any] = {}
        if _SIZED_BY & given.keys() and not faults:
            known, faults = self._sized(given, book)
        if faults:
            raise NotAcceptable(errors=faults)
        after = given | known
        changed = [name for name in RECORD if name in after and after[name] != getattr(self, name)]
        if not changed:
            raise self.conflict(NothingToCorrect)
        if "premises" in changed and self.live_filing_id:
            raise self.conflict(FilingLive, filing_id=self.live_filing_id)
        for name, value in after.items():
            setattr(self, name, value)
        return self.record(
            EnterpriseCorrected(
                **self._record_as(book), changed=changed, reason=command.reason, corrected_on=today
            )
        )

    def _sized(self, given: dict[str, Any], book: Rulebook) -> tuple[dict[str, Any], Faults]:
        figures = {name: given.get(name, getattr(self, name)) for name in _FIGURES}
        stated = given.get("size") or Size(self.size)
        return size_class(given.get("industry", self.industry), figures, stated, book)

    def _record_as(self, book: Rulebook) -> dict[str, Any]:
        """Return the registry data as events contain it."""
        names = (*RECORD, "size_by", "branch", "rules")
        return {name: getattr(self, name) for name in names} | {
            "enterprise_id": Key(self.id),
            "subdistrict": book.subdistrict_of(self.grid) if self.grid in book.grids else None,
        }

    # -- filing to reopen

    def submit(
        self, command: SubmitFiling, previous: Filing | None, book: Rulebook, today: date
    ) -> Filing:
        """Submit a filing to reopen; an enterprise has at most one live filing."""
        if self.state == EnterpriseState.SUSPENDED:
            raise self.conflict(OrderedClosed, closure_id=self.closure_id)
        if self.live_filing_id:
            raise self.conflict(FilingLive, filing_id=self.live_filing_id)
        if self.state == EnterpriseState.OPEN:
            raise self.conflict(AlreadyOpen)
        if faults := _faults_of_filing(command, book, today):
            raise NotAcceptable(errors=faults)
        self.live_filing_id = self.last_filing_id = command.filing_id
        return Filing.submitted(command, previous, today)

    def reopen(self, filing: Filing, today: date) -> None:
        """Reopen under an approved filing; nothing else opens an enterprise."""
        if not filing.leads_to_reopening():
            return
        self.state = EnterpriseState.OPEN
        self.live_filing_id = None
        self.roster_day = None
        self.record(
            EnterpriseReopened(
                enterprise_id=Key(self.id),
                filing_id=Id(filing.id),
                grid=self.grid,
                premises=self.premises,
                kind=Kind(self.kind),
                headcount=filing.headcount,
                out_of_province=filing.out_of_province,
                reopened_on=today,
            )
        )

    # -- closures

    def suspend(self, closure_id: str, today: date) -> None:
        """Suspend business under an order of closure."""
        was_open = self.state == EnterpriseState.OPEN
        self.state = EnterpriseState.SUSPENDED
        self.closure_id = closure_id
        self.record(
            EnterpriseSuspended(
                enterprise_id=Key(self.id),
                closure_id=Id(closure_id),
                was_open=was_open,
                suspended_on=today,
            )
        )

    def release(self, closure_id: str, today: date) -> None:
        """Allow the enterprise to file again: the closure was lifted."""
        if self.closure_id != closure_id:
            return
        self.state, self.closure_id = EnterpriseState.REGISTERED, None
        self.lifted_on = today
        self.record(
            SuspensionLifted(enterprise_id=Key(self.id), closure_id=Id(closure_id), lifted_on=today)
        )

    # -- its officer and its staff

    def assign(self, officer: str, why: Point, by: str, today: date) -> LiaisonAssigned | None:
        """Assign a liaison officer; assigning the same one again changes nothing."""
        if self.liaison == officer:
            return None
        previous, self.liaison = self.liaison, officer
        return self.record(
            LiaisonAssigned(
                enterprise_id=Key(self.id),
                officer=officer,
                previous=previous,
                why=why,
                by=by,
                assigned_on=today,
            )
        )

    def report(self, roster: ReportRoster, today: date, book: Rulebook) -> RosterReported:
        """Record the staff of a day in numbers. Persons who do not meet the health rules are not on
        duty (雇主、營業員未達到健康管理要求不得上崗)."""
        self._must_be_open()
        errors = self._faults_of_day(roster.day, today)
        if roster.unfit > roster.staff:
            errors.append(at("unfit", f"exceeds the staff, {roster.staff}"))
        elif roster.out_of_province > roster.staff - roster.unfit:
            errors.append(at("out_of_province", "exceeds the staff on duty"))
        if errors:
            raise NotAcceptable(errors=errors)
        return self._reported(
            roster.day,
            book,
            staff=roster.staff,
            on_duty=roster.staff - roster.unfit,
            out_of_province=roster.out_of_province,
            unfit=roster.unfit,
        )

    def report_lines(
        self, day: date, judged: Judged, today: date, book: Rulebook
    ) -> RosterReported:
        """Record the staff of a day person by person."""
        self._must_be_open()
        if errors := self._faults_of_day(day, today):
            raise NotAcceptable(errors=errors)
        return self._reported(day, book, **judged.counts)

    def _must_be_open(self) -> None:
        if self.state != EnterpriseState.OPEN:
            raise self.conflict(NotOpen)

    def _faults_of_day(self, day: date, today: date) -> Faults:
        """Return the errors of a day in the future, or before the last roster."""
        errors = []
        if day > today:
            errors.append(at("day", f"lies after today, {today}"))
        if self.roster_day and day < self.roster_day:
            errors.append(at("day", f"lies before the last roster, of {self.roster_day}"))
        return errors

    def _reported(self, day: date, book: Rulebook, **counts: int) -> RosterReported:
        self.roster_day = day
        return self.record(
            RosterReported(
                enterprise_id=Key(self.id),
                roster_id=Id(derived_id("roster", self.id, day)),
                day=day,
                rules=book.version,
                **counts,
            )
        )


def _faults_of_filing(command: SubmitFiling, book: Rulebook, today: date) -> Faults:
    """Return the errors of a filing, whatever the enterprise's state."""
    errors = []
    if command.reopen_on < today:
        errors.append(at("reopen_on", f"lies before today, {today}"))
    if command.reopen_on > (last := book.last_day_to_ask_for(today)):
        errors.append(at("reopen_on", f"is too far ahead: the last possible day is {last}"))
    if command.out_of_province > command.headcount:
        errors.append(at("out_of_province", f"exceeds the headcount, {command.headcount}"))
    unknown = "is not a measure in the rulebook"
    errors += [
        at(f"measures/{place}", unknown)
        for place, code in enumerate(command.measures)
        if code not in book.measures
    ]
    counted: set[str] = set()
    for place, one in enumerate(command.stock):
        if one.measure not in book.measures or one.measure in counted:
            why = "is repeated" if one.measure in counted else unknown
            errors.append(at(f"stock/{place}/measure", why))
        counted.add(one.measure)
    return errors
