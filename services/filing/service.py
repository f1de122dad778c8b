"""filing: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import select
from stdnum.cn import uscc
from stdnum.exceptions import ValidationError as NumberError

from chassis.errors import NotFound, at
from chassis.hours import Due, SweepsHours, page_of
from chassis.message import Message
from chassis.service import Service, on
from chassis.store import Work
from contracts.filing import (
    AssignLiaison,
    DecideFiling,
    EnterpriseReopened,
    FilingApproved,
    FilingSubmitted,
    LiaisonAssigned,
    RegisterEnterprise,
    ReopenEnterprise,
    ReportRoster,
    SubmitFiling,
    WithdrawFiling,
)
from contracts.inspection import (
    ClosureLifted,
    ClosureOrdered,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
)
from contracts.shapes import Id, Key, Point, Words
from rulebook import Rulebook
from services.filing.model import (
    Base,
    CodeTaken,
    Enterprise,
    Filing,
    FilingState,
    NotAcceptable,
)

BY_RULE = "rule"
BY_REVIEW = "on-site-review"


class Filings(SweepsHours, Service):
    """Registers enterprises and lets them reopen without meeting an official."""

    name = "filing"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {"enterprise_id": Enterprise, "filing_id": Filing}
    rulebook: Rulebook

    # -- commands

    @on(RegisterEnterprise)
    def register(self, asked: RegisterEnterprise, db: Work) -> object:
        """Check the code, the industry, the premises and the grid, and enter the enterprise."""
        if errors := self._faults(asked):
            raise NotAcceptable(errors=errors)
        taken = db.info["registered"].setdefault(asked.credit_code, asked.enterprise_id)
        if taken != asked.enterprise_id:
            raise CodeTaken(
                f"The credit code {asked.credit_code} belongs to {taken}.",
                errors=[at("credit_code", "is already registered")],
                enterprise_id=taken,
            )
        db.add(Enterprise.register(asked, db.today))
        return db.outgoing[-1].fact

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Look up at once which of a batch's credit codes are in the registry."""
        super().prepare(messages, db)
        codes = {getattr(message.fact, "credit_code", None) for message in messages} - {None}
        query = select(Enterprise.credit_code, Enterprise.id).where(
            Enterprise.credit_code.in_(codes)
        )
        rows = db.connection().execute(query) if codes else ()
        db.info["registered"] = {row.credit_code: row.id for row in rows}

    def _faults(self, asked: RegisterEnterprise) -> list[dict[str, str]]:
        errors = []
        try:
            if uscc.validate(asked.credit_code) != asked.credit_code:
                errors.append(at("credit_code", "must be written as 18 capitals and digits"))
        except NumberError as error:
            errors.append(at("credit_code", f"is not a credit code (GB 32100-2015): {error}"))
        if not self.rulebook.is_industry(asked.industry):
            errors.append(at("industry", "is not in GB/T 4754-2017"))
        if asked.premises not in self.rulebook.premises:
            errors.append(at("premises", "is not a kind of premises in the rulebook"))
        if asked.grid not in self.rulebook.grids:
            errors.append(at("grid", "is not a grid of the district"))
        return errors

    @on(SubmitFiling)
    def submit(self, asked: SubmitFiling, db: Work) -> object:
        """Take a filing in; deciding it is a reaction."""
        db.add(self._enterprise(db, asked.enterprise_id).submit(asked, db.today))
        return db.outgoing[-1].fact

    @on(WithdrawFiling)
    def withdraw(self, asked: WithdrawFiling, db: Work) -> object:
        """Take a filing back."""
        filing, enterprise = self._both(db, asked.filing_id)
        return filing.withdraw(enterprise, asked.reason)

    @on(DecideFiling)
    def decide_by_hand(self, asked: DecideFiling, db: Work) -> object:
        """Approve or return a filing by hand."""
        filing, enterprise = self._both(db, asked.filing_id)
        reasons = [Point(code="by-hand", words=Words(zh=r, en=r)) for r in asked.reasons]
        filing.decide(
            enterprise,
            asked.decision,
            reasons,
            asked.by,
            five_small=self.rulebook.five_small(enterprise.premises),
        )
        return db.outgoing[-1].fact

    @on(ReportRoster)
    def report_roster(self, asked: ReportRoster, db: Work) -> object:
        """Take the staff of a day."""
        return self._enterprise(db, asked.enterprise_id).report(asked, db.today)

    @on(AssignLiaison)
    def assign_liaison(self, asked: AssignLiaison, db: Work) -> object:
        """Give an enterprise another liaison officer, one of its grid."""
        enterprise = self._enterprise(db, asked.enterprise_id)
        if asked.officer not in self.rulebook.grids[enterprise.grid].officers:
            raise NotAcceptable(errors=[at("officer", "is not an officer of the grid")])
        enterprise.assign(asked.officer)
        return LiaisonAssigned(enterprise_id=Key(enterprise.id), officer=asked.officer)

    @on(ReopenEnterprise)
    def reopen_on_the_day(self, asked: ReopenEnterprise, db: Work) -> None:
        """Reopen an enterprise whose day has come, unless something has come between."""
        filing, enterprise = self._both(db, asked.filing_id)
        self._reopen(filing, enterprise, db)

    # -- reactions

    @on(FilingSubmitted)
    def decide(self, fact: FilingSubmitted, db: Work) -> None:
        """Return what is incomplete with every reason, have five-small premises seen, approve
        the rest without a meeting (零見面審核)."""
        filing, enterprise = self._both(db, fact.filing_id)
        if filing.state != FilingState.SUBMITTED:
            return
        if reasons := self._lacking(fact, enterprise.premises):
            filing.send_back(enterprise, reasons, BY_RULE)
        elif self.rulebook.five_small(enterprise.premises):
            filing.ask_for_review(enterprise)
        else:
            filing.approve(BY_RULE)

    def _lacking(self, fact: FilingSubmitted, premises: str) -> list[Point]:
        given = set(fact.measures)
        reasons = [
            Point(
                code=point.code,
                words=self.rulebook.say("Measure missing: %(measure)s", measure=point.words),
            )
            for point in self.rulebook.required_measures(premises)
            if point.code not in given
        ]
        if not fact.pledge:
            reasons.append(
                Point(code="pledge", words=self.rulebook.say("The pledge was not given."))
            )
        return reasons

    @on(OnsiteReviewPassed)
    def approve_after_review(self, fact: OnsiteReviewPassed, db: Work) -> None:
        """Approve what was seen and found fit."""
        filing, _ = self._both(db, fact.filing_id)
        if filing.state == FilingState.IN_REVIEW:
            filing.seen_on_site = True
            filing.approve(BY_REVIEW)

    @on(OnsiteReviewFailed)
    def return_after_review(self, fact: OnsiteReviewFailed, db: Work) -> None:
        """Return what was seen and found wanting."""
        filing, enterprise = self._both(db, fact.filing_id)
        if filing.state == FilingState.IN_REVIEW:
            filing.send_back(enterprise, fact.reasons, BY_REVIEW)

    @on(FilingApproved)
    def reopen(self, fact: FilingApproved, db: Work) -> None:
        """Reopen at once when the day asked for has come."""
        filing, enterprise = self._both(db, fact.filing_id)
        if filing.reopen_on <= db.today:
            self._reopen(filing, enterprise, db)

    @on(EnterpriseReopened)
    def give_a_liaison_officer(self, fact: EnterpriseReopened, db: Work) -> None:
        """Give a reopened enterprise a liaison officer of its grid, where it has none."""
        enterprise = self._enterprise(db, fact.enterprise_id)
        if enterprise.liaison is None:
            enterprise.assign(self.rulebook.liaison_for(enterprise.id, enterprise.grid))

    @on(ClosureOrdered)
    def suspend(self, fact: ClosureOrdered, db: Work) -> None:
        """Suspend the enterprise; a live filing is returned."""
        enterprise = self._enterprise(db, fact.enterprise_id)
        filing: Filing | None = db.get_or_none(Filing, enterprise.live_filing_id)
        if filing is not None and filing.is_live:
            reason = self.rulebook.say("The enterprise was ordered closed.")
            filing.send_back(enterprise, [Point(code="closure", words=reason)], BY_RULE)
        enterprise.suspend(fact.closure_id, db.today)

    @on(ClosureLifted)
    def let_file_again(self, fact: ClosureLifted, db: Work) -> None:
        """Let the enterprise file again."""
        self._enterprise(db, fact.enterprise_id).release(fact.closure_id, db.today)

    # -- time

    def due(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find approved filings whose day has come, the earliest day first."""
        query = select(Filing.enterprise_id, Filing.id, Filing.reopen_on).where(
            Filing.state == FilingState.APPROVED, Filing.reopen_on <= db.today
        )
        query = page_of(query, Filing.reopen_on, Filing.id, after, most)
        return [
            Due(
                [day.isoformat(), filing],
                ReopenEnterprise(enterprise_id=Key(enterprise), filing_id=Id(filing), due_on=day),
            )
            for enterprise, filing, day in db.execute(query)
        ]

    # -- helpers

    def _reopen(self, filing: Filing, enterprise: Enterprise, db: Work) -> None:
        if filing.state == FilingState.APPROVED:
            filing.state = FilingState.REOPENED
            enterprise.reopen(filing, db.today)

    def _enterprise(self, db: Work, identity: str) -> Enterprise:
        found: Enterprise | None = db.get(Enterprise, identity)
        if found is None:
            raise NotFound(f"There is no enterprise {identity}.")
        return found

    def _both(self, db: Work, filing_id: str) -> tuple[Filing, Enterprise]:
        filing: Filing | None = db.get(Filing, filing_id)
        if filing is None:
            raise NotFound(f"There is no filing {filing_id}.")
        return filing, self._enterprise(db, filing.enterprise_id)
