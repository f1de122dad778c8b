"""The bus: one small interface, and its implementation inside one process.

A bus is asked two things: *publish these rows, tell me when they are safe* and *give me what is
ready*. Embedded, a row is safe when each subscriber has handled or parked it, so nothing is kept
here that a restart could lose: what was not finished is still unsent in its outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from eventlet.event import Event

from chassis.message import Message

ANY = "*"
"""Stands for every exchange in a binding."""

Bindings = frozenset[tuple[str, str]]
"""(exchange, type) pairs that a service listens to."""


class BusDown(Exception):
    """The bus cannot be reached; nothing is known to be safe."""


class Closed(Exception):
    """The partition consumer was closed while something waited at it."""


class PartitionConsumer(Protocol):
    """Where one consumer takes the messages of a partition, in order."""

    partition: int

    def take(self, most: int) -> list[Message]:
        """Wait until something is ready, then give all that is, up to `most`; raises `Closed`."""

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages that were handled or parked."""

    def idle(self) -> bool:
        """Return whether nothing is queued here and nothing in hand."""

    def close(self) -> None:
        """Stop taking; whoever waits in `take` gets `Closed`."""


class Inbox(Protocol):
    """Where the messages of a service arrive, parted into partitions by their keys.

    `ready` comes when it can be used, or with a `Misconfigured`. `on_missing` is called with the
    partition whose queue is not there, before there is another, and says whether there is to be
    one; `on_declared` when there is. From `until` on (of `time.monotonic`) nothing more is received
    than is already: nobody could handle it; from `kept_until` on that is given back.
    """

    partitions: int
    ready: Event
    until: float
    kept_until: float
    on_missing: Callable[[int], bool]
    on_declared: Callable[[int], None]

    def heard(self) -> bool:
        """Return whether the broker has said anything since this was asked last."""

    def open(self, partition: int) -> PartitionConsumer:
        """Begin to receive what comes for a partition."""

    def leave(self, partition_consumer: PartitionConsumer) -> None:
        """Return back what a closed partition consumer was given and nobody took, for the next to
        serve it."""


class Bus(Protocol):
    """Carries messages between services; `partitions` is the number that all of them agree on."""

    partitions: int

    def claim(self, service: str, agreed: Callable[[], bool]) -> bool:
        """Be the only process that publishes for a service, until it lets go or an error comes;
        raises `BusDown`, also while another is.

        When it has become that, `agreed` is asked whether it may; tells whether it may publish.
        """

    def let_go(self, service: str) -> None:
        """Let another process publish for a service."""

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Publish in order and give those that are safe, once known; raises `BusDown`.

        With `to` they go to the inbox of that one service, whoever else listens to them. What is
        `refused` holds back what follows in its key, and nothing else.
        """

    def inbox(self, service: str, bindings: Bindings) -> Inbox:
        """Return the inbox of a service, which listens to all of these."""

    def open(self) -> None:
        """Let publishing begin: every inbox is there."""

    def connected(self) -> bool:
        """Return whether the bus can be reached."""

    def leave(self, service: str) -> None:
        """Receive and publish nothing more for a service."""

    def close(self) -> None:
        """Let go of every resource."""
