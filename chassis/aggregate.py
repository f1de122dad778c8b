"""Aggregates, the base of a service's model: they check their rules, then record an event."""

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
    """Receives the events that aggregates record: the session of a unit of work."""

    def record(self, payload: Fact) -> Fact:
        """Record one event in the outbox."""

    def cause_of(self, event: Contract) -> dict[str, str]:
        """Return the type of an event, and who caused it and when."""


class Aggregate:
    """Base of a mapped class: the events it records are sent with the transaction that stores it.

    `version` counts the recorded events. `last_change` describes the latest one, who caused it and
    when: `{"what", "by", "at"}`.
    """

    version: Mapped[int] = mapped_column(default=0, sort_order=1)
    last_change: Mapped[dict[str, str] | None] = mapped_column(
        JSON(none_as_null=True), sort_order=1
    )

    def record(self, payload: Fact) -> Fact:
        """Record an event and return it as recorded; a change gets its version number.

        Until the aggregate is added to a session, it keeps the event.
        """
        self.version = (self.version or 0) + 1
        if isinstance(payload, Change):
            payload = cast("Fact", payload.numbered(self.version))
        session = object_session(self)
        if session is None:
            self.__dict__.setdefault("_pending", []).append(payload)
        else:
            self.publish(cast("Records", session), payload)
        return payload

    def publish(self, session: Records, payload: Contract) -> None:
        """Record an event in the session, and remember its cause."""
        session.record(payload)
        self.last_change = session.cause_of(payload)

    def take_pending(self) -> list[Any]:
        """Return the events that wait for a session, and forget them."""
        return cast("list[Any]", self.__dict__.pop("_pending", []))

    def as_seen(self, command: Act) -> None:
        """Reject a command if the state has changed since its sender saw it; raises `Changed`."""
        if command.seen_version is not None and command.seen_version != self.version:
            raise self.conflict(Changed)

    def conflict(self, kind: type[Conflict], detail: str = "", **extra: Any) -> Conflict:
        """Return a conflict with the version of the aggregate, and who changed it last and when."""
        return kind(detail, version=self.version, last_change=self.last_change, **extra)
