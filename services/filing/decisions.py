"""Filings: taken in, decided by the rules or by a person, and what they lead to."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from chassis.message import Message
from chassis.schedule import Due, SweepsHours, page_of
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.filing import (
    DecideFiling,
    FilingApproved,
    FilingSubmitted,
    ReopenEnterprise,
    SubmitFiling,
    WithdrawFiling,
)
from contracts.inspection import (
    ClosureLifted,
    ClosureOrdered,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
)
from contracts.message import RULE
from contracts.shapes import Id, Key, Point, Words
from rulebook import FollowsRules
from services.filing.finding import both_of, enterprise_of
from services.filing.model import Enterprise, Filing, FilingState


class DecidesFilings(FollowsRules, SweepsHours):
    """Mixed into filing: lets enterprises reopen without meeting an official."""

    # -- commands

    @on(SubmitFiling)
    def submit(self, asked: SubmitFiling, db: Work) -> object:
        """Take a filing in; deciding it is a reaction."""
        enterprise = enterprise_of(db, asked.enterprise_id)
        previous = db.get_or_none(Filing, enterprise.last_filing_id)
        db.add(enterprise.submit(asked, previous, self.rules(db), db.today))
        return db.outgoing[-1].fact

    def look_up_previous(self, messages: Iterable[Message], db: Work) -> None:
        """Load at once the filings that a batch's filings follow upon."""
        shops = (
            db.get(Enterprise, message.fact.enterprise_id)  # loaded before
            for message in messages
            if isinstance(message.fact, SubmitFiling)
        )
        if previous := {shop.last_filing_id for shop in shops if shop} - {None}:
            query = select(Filing).where(Filing.id.in_(previous))
            db.info.setdefault("held", []).extend(db.scalars(query).all())

    @on(WithdrawFiling)
    def withdraw(self, asked: WithdrawFiling, db: Work) -> object:
        """Take a filing back."""
        filing, enterprise = both_of(db, asked.filing_id)
        filing.as_seen(asked)
        return filing.withdraw(enterprise, asked.reason)

    @on(DecideFiling)
    def decide_by_hand(self, asked: DecideFiling, db: Work) -> object:
        """Approve or return a filing by hand."""
        filing, enterprise = both_of(db, asked.filing_id)
        filing.as_seen(asked)
        reasons = [Point(code="by-hand", words=Words(zh=r, en=r)) for r in asked.reasons]
        return filing.decide(enterprise, asked.decision, reasons, asked.by, self.rules(db))

    @on(ReopenEnterprise)
    def reopen_on_the_day(self, asked: ReopenEnterprise, db: Work) -> None:
        """Reopen an enterprise whose day has come, unless something has come between."""
        filing, enterprise = both_of(db, asked.filing_id)
        enterprise.reopen(filing, db.today)

    # -- reactions

    @on(FilingSubmitted)
    def decide(self, fact: FilingSubmitted, db: Work) -> None:
        """Decide by the rules, as far as they go."""
        filing, enterprise = both_of(db, fact.filing_id)
        filing.judge(enterprise, self.rules(db), db.today)

    @on(OnsiteReviewPassed)
    def go_on_after_review(self, fact: OnsiteReviewPassed, db: Work) -> None:
        """Approve what was seen and found fit, or leave it to a reviewer."""
        filing, enterprise = both_of(db, fact.filing_id)
        filing.judge_after_review(enterprise, self.rules(db), db.today)

    @on(OnsiteReviewFailed)
    def return_after_review(self, fact: OnsiteReviewFailed, db: Work) -> None:
        """Return what was seen and found wanting."""
        filing, enterprise = both_of(db, fact.filing_id)
        filing.return_after_review(enterprise, fact.reasons, self.rules(db))

    @on(FilingApproved)
    def reopen(self, fact: FilingApproved, db: Work) -> None:
        """Reopen at once when the day asked for has come."""
        filing, enterprise = both_of(db, fact.filing_id)
        if filing.reopen_on <= db.today:
            enterprise.reopen(filing, db.today)

    @on(ClosureOrdered)
    def suspend(self, fact: ClosureOrdered, db: Work) -> None:
        """Suspend the enterprise; a live filing is returned."""
        enterprise = enterprise_of(db, fact.enterprise_id)
        filing: Filing | None = db.get_or_none(Filing, enterprise.live_filing_id)
        if filing is not None and filing.is_live:
            book = self.rules(db)
            words = book.say("The enterprise was ordered closed.")
            filing.send_back(enterprise, [Point(code="closure", words=words)], RULE, book)
        enterprise.suspend(fact.closure_id, db.today)

    @on(ClosureLifted)
    def let_file_again(self, fact: ClosureLifted, db: Work) -> None:
        """Let the enterprise file again."""
        enterprise_of(db, fact.enterprise_id).release(fact.closure_id, db.today)

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
