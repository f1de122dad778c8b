"""The edition of the rulebook that a unit of work uses: that of its message's day."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from rulebook.book import Rulebook


class State(Protocol):
    """The state of a batch whose handlers use the rules."""

    rulebook: Rulebook


class Dated(Protocol):
    """A unit of work with a day."""

    @property
    def state(self) -> State:
        """The state that its handlers share."""

    @property
    def today(self) -> date:
        """The day of the current message."""


def rules_of(uow: Dated) -> Rulebook:
    """Return the edition in force on the day of the current message.

    So a later change of the rules affects no earlier message, even one that arrives late.
    """
    return uow.state.rulebook.on(uow.today)
