"""Filings to reopen: their requirements, decisions and results."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import at
from contracts.filing.commands import SubmitFiling
from contracts.filing.events import (
    FilingApproved,
    FilingReferred,
    FilingReturned,
    FilingSubmitted,
    FilingWithdrawn,
    OnsiteReviewRequested,
)
from contracts.filing.types import Decision
from contracts.message import RULE
from contracts.shapes import Id, Key, Point
from services.filing.model.base import Base, FilingFinished, MustBeSeenFirst, NotAcceptable

if TYPE_CHECKING:
    from rulebook import Rulebook

BY_REVIEW = "on-site-review"


class Filer(Protocol):
    """The enterprise that files, as its filing needs it."""

    premises: str
    industry: str
    grid: str
    key_project: bool
    lifted_on: date | None
    live_filing_id: str | None


class FilingState(StrEnum):
    """The state of a filing; the first four are live."""

    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    REFERRED = "referred"
    APPROVED = "approved"
    REOPENED = "reopened"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"


LIVE = (
    FilingState.SUBMITTED,
    FilingState.IN_REVIEW,
    FilingState.REFERRED,
    FilingState.APPROVED,
)
_ASKED = ("reopen_on", "headcount", "out_of_province", "measures", "stock", "pledge")


class Filing(Aggregate, Base):
    """A filing to reopen (復工備案申請).

    Always true of it: it is live from its submission until it is returned, withdrawn or has led to
    reopening, and is never live again; five-small premises are never approved without a review,
    whoever decides; a return names every reason; `version` counts its events.
    """

    __tablename__ = "filings"
    __table_args__ = (Index("filings_due", "state", "reopen_on", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    reopen_on: Mapped[date]
    headcount: Mapped[int]
    out_of_province: Mapped[int]
    measures: Mapped[list[str]]
    stock: Mapped[dict[str, Any]]
    """The quantity of each measure that is kept in stock."""
    pledge: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16))
    seen_on_site: Mapped[bool] = mapped_column(default=False)

    @classmethod
    def submitted(cls, command: SubmitFiling, previous: Filing | None, today: date) -> Filing:
        """Return a submitted filing, with its differences from the previous one."""
        made = cls(
            id=command.filing_id,
            enterprise_id=command.enterprise_id,
            reopen_on=command.reopen_on,
            headcount=command.headcount,
            out_of_province=command.out_of_province,
            measures=sorted(set(command.measures)),
            stock={one.measure: one.amount for one in command.stock},
            pledge=command.pledge,
            state=FilingState.SUBMITTED,
            seen_on_site=False,
        )
        event = FilingSubmitted.echo(
            command,
            submitted_on=today,
            follows=None if previous is None else Id(previous.id),
            changed=[] if previous is None else made._differs_from(previous),
        )
        made.record(event)
        return made

    def _differs_from(self, other: Filing) -> list[str]:
        return [name for name in _ASKED if getattr(self, name) != getattr(other, name)]

    @property
    def is_live(self) -> bool:
        """Whether the filing is unfinished."""
        return self.state in LIVE

    # -- decided by the rules

    def judge(self, enterprise: Filer, book: Rulebook, today: date) -> None:
        """Return a deficient filing with every reason, request an on-site review of five-small
        premises, refer the cases that the rules name, and approve the rest without a meeting
        (零見面審核)."""
        if self.state != FilingState.SUBMITTED:
            return
        if reasons := self._lacks(enterprise, book):
            self.send_back(enterprise, reasons, RULE, book)
        elif book.five_small(enterprise.premises):
            self._ask_for_review(enterprise)
        else:
            self._approve_or_refer(enterprise, RULE, book, today)

    def judge_after_review(self, enterprise: Filer, book: Rulebook, today: date) -> None:
        """Continue after a passed on-site review."""
        if self.state == FilingState.IN_REVIEW:
            self.seen_on_site = True
            self._approve_or_refer(enterprise, BY_REVIEW, book, today)

    def return_after_review(self, enterprise: Filer, reasons: list[Point], book: Rulebook) -> None:
        """Return the filing after a failed on-site review."""
        if self.state == FilingState.IN_REVIEW:
            self.send_back(enterprise, reasons, BY_REVIEW, book)

    def _lacks(self, enterprise: Filer, book: Rulebook) -> list[Point]:
        """Return all reasons against the filing."""
        asked = enterprise.premises, enterprise.industry, self.headcount
        reasons = [
            Point(
                code=point.code,
                words=book.say("Measure missing: %(measure)s", measure=point.words),
            )
            for point in book.required_measures(*asked)
            if point.code not in self.measures
        ]
        for one in book.measures_for(*asked):
            given, needed = self.stock.get(one.measure, 0), one.per_head * self.headcount
            if given < needed:
                said = book.say(
                    "Stock too low: %(stock)s (%(given)s of %(needed)s)",
                    stock=one.words, given=given, needed=needed,
                )  # fmt: skip
                reasons.append(Point(code=one.code, words=said))
        if not self.pledge:
            reasons.append(Point(code="pledge", words=book.say("The pledge was not given.")))
        return reasons

    def _approve_or_refer(self, enterprise: Filer, by: str, book: Rulebook, today: date) -> None:
        lifted = enterprise.lifted_on
        reasons = book.reasons_to_refer(
            key_project=enterprise.key_project,
            headcount=self.headcount,
            out_of_province=self.out_of_province,
            days_free=None if lifted is None else (today - lifted).days,
        )
        if reasons:
            self._refer(reasons, book)
        else:
            self._approve(by, book)

    def _ask_for_review(self, enterprise: Filer) -> None:
        """Request an on-site review before opening."""
        self.state = FilingState.IN_REVIEW
        self.record(
            OnsiteReviewRequested(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                premises=enterprise.premises,
                grid=enterprise.grid,
            )
        )

    def _refer(self, reasons: list[Point], book: Rulebook) -> None:
        """Refer the filing to a reviewer, with the reasons."""
        self.state = FilingState.REFERRED
        self.record(
            FilingReferred(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                reasons=reasons,
                rules=book.version,
            )
        )

    # -- decided by a person

    def decide(
        self,
        enterprise: Filer,
        decision: Decision,
        reasons: list[Point],
        by: str,
        book: Rulebook,
    ) -> FilingApproved | FilingReturned:
        """Decide by hand; five-small premises cannot be approved without a review."""
        self.must_be_live()
        if decision is Decision.RETURN:
            if not reasons:
                raise NotAcceptable(errors=[at("reasons", "a return needs at least one reason")])
            return self.send_back(enterprise, reasons, by, book)
        if book.five_small(enterprise.premises) and not self.seen_on_site:
            raise self.conflict(MustBeSeenFirst)
        if self.state == FilingState.APPROVED:
            raise self.conflict(FilingFinished, "The filing is already approved.")
        return self._approve(by, book)

    # -- results

    def _approve(self, by: str, book: Rulebook) -> FilingApproved:
        """Approve the filing: the enterprise may reopen on its requested day."""
        self.state = FilingState.APPROVED
        return self.record(
            FilingApproved(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                reopen_on=self.reopen_on,
                by=by,
                rules=book.version,
            )
        )

    def send_back(
        self, enterprise: Filer, reasons: list[Point], by: str, book: Rulebook
    ) -> FilingReturned:
        """Return the filing with every reason at once."""
        self._finish(enterprise, FilingState.RETURNED)
        return self.record(
            FilingReturned(
                enterprise_id=Key(self.enterprise_id),
                filing_id=Id(self.id),
                reasons=reasons,
                by=by,
                rules=book.version,
            )
        )

    def withdraw(self, enterprise: Filer, reason: str) -> FilingWithdrawn:
        """Withdraw the filing."""
        self.must_be_live()
        self._finish(enterprise, FilingState.WITHDRAWN)
        return self.record(
            FilingWithdrawn(
                enterprise_id=Key(self.enterprise_id), filing_id=Id(self.id), reason=reason
            )
        )

    def leads_to_reopening(self) -> bool:
        """Consume the approval and return True; return False without one."""
        if self.state != FilingState.APPROVED:
            return False
        self.state = FilingState.REOPENED
        return True

    def must_be_live(self) -> None:
        """Raise an error if the filing is finished."""
        if not self.is_live:
            raise self.conflict(FilingFinished, f"The filing is {self.state}.", state=self.state)

    def _finish(self, enterprise: Filer, state: FilingState) -> None:
        self.state = state
        if enterprise.live_filing_id == self.id:
            enterprise.live_filing_id = None
