"""The inspection service and its subscriptions."""

from __future__ import annotations

from typing import ClassVar

from chassis.message import Message
from chassis.schedule import Sweeps
from chassis.service import Service
from rulebook import Rulebook
from services.inspection.batch import Batch, Uow
from services.inspection.handlers import (
    checks,
    closing,
    consequences,
    notices,
    plans,
    premises,
    slips,
    visits,
)
from services.inspection.model import Base, Closure, Issue, Notice, Premises, Slip, Visit
from services.inspection.numbers import draw_numbers


class Inspection(Service):
    """Inspects premises and has faults rectified."""

    name = "inspection"
    metadata = Base.metadata
    handlers = (
        premises,
        checks,
        visits,
        consequences,
        plans,
        slips,
        notices,
        closing,
        Sweeps(notices.moved, notices.due),
    )
    preload: ClassVar[dict[str, type]] = {
        "enterprise_id": Premises,
        "visit_id": Visit,
        "issue_id": Issue,
        "notice_id": Notice,
        "closure_id": Closure,
        "slip_id": Slip,
    }
    rulebook: Rulebook

    def before_batch(self, messages: list[Message], uow: Uow) -> None:
        """Load the batch's aggregates, and the visits that it may warn of or cancel."""
        uow.state = uow.state or Batch(self.rulebook)
        super().before_batch(messages, uow)
        visits.load_visits(messages, uow)
        checks.load_checks(messages, uow)

    def before_commit(self, uow: Uow) -> None:
        """Draw the numbers of the papers, as the last step."""
        draw_numbers(uow, self.store)
