"""Handlers of filings: submitted, decided by the rules or by a person, and their results.

By these an enterprise reopens without meeting an official.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from chassis.message import Message
from chassis.schedule import Due, page_of
from chassis.service import on
from contracts.filing import (
    DecideFiling,
    FilingApproved,
    FilingReturned,
    FilingSubmitted,
    FilingWithdrawn,
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
from contracts.message import RULE, Act
from contracts.shapes import Id, Key, Point, Words
from rulebook import rules_of
from services.filing.batch import Uow
from services.filing.model import Enterprise, Filing, FilingState

# -- commands


@on(SubmitFiling)
def submit(command: SubmitFiling, uow: Uow) -> FilingSubmitted:
    """Submit a filing; its decision is a reaction."""
    enterprise = uow.require(Enterprise, command.enterprise_id)
    previous = uow.get_or_none(Filing, enterprise.last_filing_id)
    filing = enterprise.submit(command, previous, rules_of(uow), uow.today)
    submitted: FilingSubmitted = uow.add_new(filing)
    return submitted


def load_previous_filings(messages: Iterable[Message], uow: Uow) -> None:
    """Load the previous filings of the batch's enterprises, in one query."""
    shops = (
        uow.get(Enterprise, message.payload.enterprise_id)  # in the identity map
        for message in messages
        if isinstance(message.payload, SubmitFiling)
    )
    if previous := {shop.last_filing_id for shop in shops if shop} - {None}:
        uow.loaded.extend(uow.scalars(select(Filing).where(Filing.id.in_(previous))))


@on(WithdrawFiling)
def withdraw(command: WithdrawFiling, uow: Uow) -> FilingWithdrawn:
    """Withdraw a filing."""
    filing, enterprise = _both(uow, command.filing_id, command)
    return filing.withdraw(enterprise, command.reason)


@on(DecideFiling)
def decide_by_hand(command: DecideFiling, uow: Uow) -> FilingApproved | FilingReturned:
    """Approve or return a filing by hand."""
    filing, enterprise = _both(uow, command.filing_id, command)
    reasons = [Point(code="by-hand", words=Words(zh=r, en=r)) for r in command.reasons]
    return filing.decide(enterprise, command.decision, reasons, command.by, rules_of(uow))


@on(ReopenEnterprise)
def reopen_on_the_day(command: ReopenEnterprise, uow: Uow) -> None:
    """Reopen an enterprise whose day has come, unless it has changed in the meantime."""
    filing, enterprise = _both(uow, command.filing_id)
    enterprise.reopen(filing, uow.today)


# -- reactions


@on(FilingSubmitted)
def decide(event: FilingSubmitted, uow: Uow) -> None:
    """Decide a filing by the rules, as far as they go."""
    filing, enterprise = _both(uow, event.filing_id)
    filing.judge(enterprise, rules_of(uow), uow.today)


@on(OnsiteReviewPassed)
def go_on_after_review(event: OnsiteReviewPassed, uow: Uow) -> None:
    """Approve a filing after a passed review, or refer it to a reviewer."""
    filing, enterprise = _both(uow, event.filing_id)
    filing.judge_after_review(enterprise, rules_of(uow), uow.today)


@on(OnsiteReviewFailed)
def return_after_review(event: OnsiteReviewFailed, uow: Uow) -> None:
    """Return a filing after a failed review."""
    filing, enterprise = _both(uow, event.filing_id)
    filing.return_after_review(enterprise, event.reasons, rules_of(uow))


@on(FilingApproved)
def reopen(event: FilingApproved, uow: Uow) -> None:
    """Reopen immediately if the requested day has come."""
    filing, enterprise = _both(uow, event.filing_id)
    if filing.reopen_on <= uow.today:
        enterprise.reopen(filing, uow.today)


@on(ClosureOrdered)
def suspend(event: ClosureOrdered, uow: Uow) -> None:
    """Suspend the enterprise, and return its live filing."""
    enterprise = uow.require(Enterprise, event.enterprise_id)
    filing: Filing | None = uow.get_or_none(Filing, enterprise.live_filing_id)
    if filing is not None and filing.is_live:
        book = rules_of(uow)
        words = book.say("The enterprise was ordered closed.")
        filing.send_back(enterprise, [Point(code="closure", words=words)], RULE, book)
    enterprise.suspend(event.closure_id, uow.today)


@on(ClosureLifted)
def let_file_again(event: ClosureLifted, uow: Uow) -> None:
    """Allow the enterprise to file again."""
    enterprise = uow.require(Enterprise, event.enterprise_id)
    enterprise.release(event.closure_id, uow.today)


def _both(uow: Uow, filing_id: str, command: Act | None = None) -> tuple[Filing, Enterprise]:
    """Load a filing, in the version that `command` saw, and its enterprise."""
    filing = uow.require(Filing, filing_id, seen_by=command)
    return filing, uow.require(Enterprise, filing.enterprise_id)


# -- time


def due(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return approved filings whose day has come, the earliest day first."""
    query = select(Filing.enterprise_id, Filing.id, Filing.reopen_on).where(
        Filing.state == FilingState.APPROVED, Filing.reopen_on <= uow.today
    )
    query = page_of(query, Filing.reopen_on, Filing.id, after, most)
    return [
        Due(
            [day.isoformat(), filing],
            ReopenEnterprise(enterprise_id=Key(enterprise), filing_id=Id(filing), due_on=day),
        )
        for enterprise, filing, day in uow.execute(query)
    ]
