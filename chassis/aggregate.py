"""What a service's model is built on: aggregates that guard, then state the fact."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column, object_session

from chassis.errors import Conflict
from contracts.message import Act, Change, Contract

Fact = TypeVar("Fact", bound=Contract)


class Changed(Conflict):
    """The thing has changed since the caller saw it."""


class Records(Protocol):
    """Whatever takes the facts that aggregates state: the session of a unit of work."""

    def record(self, payload: Fact) -> Fact:
        """Put one event in the outbox."""

    def cause_of(self, event: Contract) -> dict[str, str]:
        """Return the type of an event, who asked for what led to it, and when."""


class Aggregate:
    """Mixed into a mapped class: what it records goes out with the transaction that stores it.

    `version` counts what it has recorded. `last_change` says of the latest what it was, who asked
    for it and when: `{"what", "by", "at"}`.
    """

    version: Mapped[int] = mapped_column(default=0, sort_order=1)
    last_change: Mapped[dict[str, str] | None] = mapped_column(
        JSON(none_as_null=True), sort_order=1
    )

    def record(self, fact: Fact) -> Fact:
        """State a fact, and give it as it is said: a change with its number.

        Before the aggregate is added to a session, the fact waits with it.
        """
        self.version = (self.version or 0) + 1
        if isinstance(fact, Change):
            fact = cast("Fact", fact.numbered(self.version))
        session = object_session(self)
        if session is None:
            self.__dict__.setdefault("_unsaid", []).append(fact)
        else:
            self.say(cast("Records", session), fact)
        return fact

    def say(self, session: Records, fact: Contract) -> None:
        """Hand a fact to the session, and remember how it came about."""
        session.record(fact)
        self.last_change = session.cause_of(fact)

    def unsaid(self) -> list[Any]:
        """Take the facts that wait for a session."""
        return cast("list[Any]", self.__dict__.pop("_unsaid", []))

    def as_seen(self, asked: Act) -> None:
        """Refuse who acts on a state that has changed since they saw it; raises `Changed`."""
        if asked.seen_version is not None and asked.seen_version != self.version:
            raise self.conflict(Changed)

    def conflict(self, kind: type[Conflict], detail: str = "", **extra: Any) -> Conflict:
        """Make a conflict that tells the version of the thing, and who changed it last and when."""
        return kind(detail, version=self.version, last_change=self.last_change, **extra)
