"""The edition of the rulebook that a unit of work follows: that of the day of its message."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from rulebook.book import Rulebook


class State(Protocol):
    """The state of a batch whose handlers follow the rules."""

    rulebook: Rulebook


class Dated(Protocol):
    """A unit of work, which has a day."""

    @property
    def state(self) -> State:
        """What its handlers share."""

    @property
    def today(self) -> date:
        """The day of the message in hand."""


def rules_of(uow: Dated) -> Rulebook:
    """Return the edition that is in force on the day of the message in hand.

    So a rule that changes later changes nothing that was handled before, even where a message
    arrives late.
    """
    return uow.state.rulebook.on(uow.today)
