"""What a service's model is built on: aggregates that guard, then state the fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from sqlalchemy.orm import object_session

if TYPE_CHECKING:
    from contracts.message import Contract


class Records(Protocol):
    """Whatever takes the facts that aggregates state: the session of a unit of work."""

    def record(self, fact: Contract) -> None:
        """Take one fact."""


class Aggregate:
    """Mixed into a mapped class: what it records goes out with the transaction that stores it."""

    def record(self, fact: Contract) -> None:
        """State a fact. Before the aggregate is added to a session, the fact waits with it."""
        session = object_session(self)
        if session is None:
            self.__dict__.setdefault("_unsaid", []).append(fact)
        else:
            cast("Records", session).record(fact)

    def unsaid(self) -> list[Any]:
        """Take the facts that wait for a session."""
        return cast("list[Any]", self.__dict__.pop("_unsaid", []))
