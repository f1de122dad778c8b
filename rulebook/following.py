"""How a service follows the rules: those of the day of what it has in hand."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from rulebook.book import Rulebook


class Dated(Protocol):
    """Whatever has a day: a unit of work."""

    @property
    def today(self) -> date:
        """The day of the message in hand."""


class FollowsRules:
    """Mixed into a service: a rule that changes later changes nothing that was dealt with before,
    even where a message arrives late."""

    rulebook: Rulebook

    def rules(self, db: Dated) -> Rulebook:
        """Give the edition of the rulebook that holds on the day of the message in hand."""
        return self.rulebook.on(db.today)
