"""The registry and the reopening filings: who may open, and when."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from sqlalchemy import Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, Invalid, at
from contracts.filing import (
    Decision,
    EnterpriseRegistered,
    EnterpriseReopened,
    EnterpriseSuspended,
    FilingApproved,
    FilingReturned,
    FilingSubmitted,
    FilingWithdrawn,
    Kind,
    LiaisonAssigned,
    OnsiteReviewRequested,
    RegisterEnterprise,
    ReportRoster,
    RosterReported,
    SubmitFiling,
    SuspensionLifted,
)
from contracts.shapes import Id, Key, Point


class CodeTaken(Conflict):
    """An enterprise with this credit code is already in the registry."""


class FilingLive(Conflict):
    """The enterprise has a filing that is not finished."""


class AlreadyOpen(Conflict):
    """The enterprise is open already."""


class OrderedClosed(Conflict):
    """The enterprise was ordered closed, and may not file until that is lifted."""


class FilingFinished(Conflict):
    """The filing has already been decided or withdrawn."""


class MustBeSeenFirst(Conflict):
    """Five-small premises may not open without an on-site review (未經現場審核不得擅自營業)."""


class NotOpen(Conflict):
    """The enterprise is not open."""


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class Base(DeclarativeBase):
    """The tables of filing."""


class EnterpriseState(StrEnum):
    """Where an enterprise stands."""

    REGISTERED = "registered"
    OPEN = "open"
    SUSPENDED = "suspended"


class FilingState(StrEnum):
    """Where a filing stands; submitted, in review and approved are live."""

    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    REOPENED = "reopened"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"


LIVE = (FilingState.SUBMITTED, FilingState.IN_REVIEW, FilingState.APPROVED)


class Enterprise(Aggregate, Base):
    """An enterprise of the district, whatever its kind."""

    __tablename__ = "enterprises"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    credit_code: Mapped[str] = mapped_column(String(18), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    premises: Mapped[str] = mapped_column(String(32))
    grid: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default=EnterpriseState.REGISTERED)
    live_filing_id: Mapped[str | None] = mapped_column(String(64))
    closure_id: Mapped[str | None] = mapped_column(String(64))
    liaison: Mapped[str | None] = mapped_column(String(32))
    roster_day: Mapped[date | None]

    @classmethod
    def register(cls, asked: RegisterEnterprise, today: date) -> Enterprise:
        """Enter an enterprise; its code, industry, premises and grid have been checked."""
        made = cls(
            id=asked.enterprise_id,
            credit_code=asked.credit_code,
            kind=asked.kind,
            premises=asked.premises,
            grid=asked.grid,
            state=EnterpriseState.REGISTERED,
        )
        made.record(EnterpriseRegistered(**asked.__dict__, registered_on=today))
        return made

    def submit(self, asked: SubmitFiling, today: date) -> Filing:
        """File to reopen. An enterprise has one live filing at the most."""
        if self.state == EnterpriseState.SUSPENDED:
            raise OrderedClosed(closure_id=self.closure_id)
        if self.live_filing_id:
            raise FilingLive(filing_id=self.live_filing_id)
        if self.state == EnterpriseState.OPEN:
            raise AlreadyOpen
        errors = []
        if asked.reopen_on < today:
            errors.append(at("reopen_on", f"lies before today, {today}"))
        if asked.out_of_province > asked.headcount:
            errors.append(at("out_of_province", f"exceeds the headcount, {asked.headcount}"))
        if errors:
            raise NotAcceptable(errors=errors)
        self.live_filing_id = asked.filing_id
        return Filing.submitted(asked, today)

    def reopen(self, filing: Filing, today: date) -> None:
        """Resume business under an approved filing."""
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

    def suspend(self, closure_id: str, today: date) -> None:
        """Stop doing business: an order of closure stands."""
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
        """May file again: the closure was lifted."""
        if self.closure_id != closure_id:
            return
        self.state, self.closure_id = EnterpriseState.REGISTERED, None
        self.record(
            SuspensionLifted(enterprise_id=Key(self.id), closure_id=Id(closure_id), lifted_on=today)
        )

    def assign(self, officer: str) -> None:
        """Have a liaison officer; the same one again changes nothing."""
        if self.liaison != officer:
            self.liaison = officer
            self.record(LiaisonAssigned(enterprise_id=Key(self.id), officer=officer))

    def report(self, roster: ReportRoster, today: date) -> RosterReported | None:
        """Take the staff of a day. Who does not meet the health rules is not on duty
        (雇主、營業員未達到健康管理要求不得上崗). A day before the last one reported is refused."""
        if self.state != EnterpriseState.OPEN:
            raise NotOpen
        errors = []
        if roster.day > today:
            errors.append(at("day", f"lies after today, {today}"))
        if self.roster_day and roster.day < self.roster_day:
            errors.append(at("day", f"lies before the last roster, of {self.roster_day}"))
        if roster.unfit > roster.staff:
            errors.append(at("unfit", f"exceeds the staff, {roster.staff}"))
        elif roster.out_of_province > roster.staff - roster.unfit:
            errors.append(at("out_of_province", "exceeds the staff on duty"))
        if errors:
            raise NotAcceptable(errors=errors)
        self.roster_day = roster.day
        fact = RosterReported(
            enterprise_id=Key(self.id),
            day=roster.day,
            on_duty=roster.staff - roster.unfit,
            out_of_province=roster.out_of_province,
            unfit=roster.unfit,
        )
        self.record(fact)
        return fact


class Filing(Aggregate, Base):
    """A filing to reopen (復工備案申請)."""

    __tablename__ = "filings"
    __table_args__ = (Index("filings_due", "state", "reopen_on", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    reopen_on: Mapped[date]
    headcount: Mapped[int]
    out_of_province: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    seen_on_site: Mapped[bool] = mapped_column(default=False)

    @classmethod
    def submitted(cls, asked: SubmitFiling, today: date) -> Filing:
        """State that a filing has come in."""
        made = cls(
            id=asked.filing_id,
            enterprise_id=asked.enterprise_id,
            reopen_on=asked.reopen_on,
            headcount=asked.headcount,
            out_of_province=asked.out_of_province,
            state=FilingState.SUBMITTED,
            seen_on_site=False,
        )
        made.record(FilingSubmitted(**asked.__dict__, submitted_on=today))
        return made

    @property
    def is_live(self) -> bool:
        """Whether the filing still waits for something."""
        return self.state in LIVE

    def ask_for_review(self, enterprise: Enterprise) -> None:
        """Have the premises seen before they open."""
        self.state = FilingState.IN_REVIEW
        self.record(
            OnsiteReviewRequested(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                premises=enterprise.premises,
                grid=enterprise.grid,
            )
        )

    def approve(self, by: str) -> None:
        """Approve: the enterprise may reopen on the day asked for."""
        self.state = FilingState.APPROVED
        self.record(
            FilingApproved(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                reopen_on=self.reopen_on,
                by=by,
            )
        )

    def send_back(self, enterprise: Enterprise, reasons: list[Point], by: str) -> None:
        """Return the filing with every reason at once."""
        self._finish(enterprise, FilingState.RETURNED)
        self.record(
            FilingReturned(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                reasons=reasons,
                by=by,
            )
        )

    def withdraw(self, enterprise: Enterprise, reason: str) -> FilingWithdrawn:
        """Take the filing back."""
        self.must_be_live()
        self._finish(enterprise, FilingState.WITHDRAWN)
        fact = FilingWithdrawn(
            enterprise_id=Key(self.enterprise_id), filing_id=Id(self.id), reason=reason
        )
        self.record(fact)
        return fact

    def decide(
        self, enterprise: Enterprise, decision: Decision, reasons: list[Point], by: str,
        *, five_small: bool,
    ) -> None:  # fmt: skip
        """Decide by hand; nobody may approve five-small premises that were not seen."""
        self.must_be_live()
        if decision is Decision.RETURN:
            if not reasons:
                raise NotAcceptable(errors=[at("reasons", "a return needs at least one reason")])
            self.send_back(enterprise, reasons, by)
            return
        if five_small and not self.seen_on_site:
            raise MustBeSeenFirst
        if self.state == FilingState.APPROVED:
            raise FilingFinished("The filing is already approved.")
        self.approve(by)

    def must_be_live(self) -> None:
        """Refuse to touch a filing that is finished."""
        if not self.is_live:
            raise FilingFinished(f"The filing is {self.state}.", state=self.state)

    def _finish(self, enterprise: Enterprise, state: FilingState) -> None:
        self.state = state
        if enterprise.live_filing_id == self.id:
            enterprise.live_filing_id = None
