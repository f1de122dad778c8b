"""The bus: one small interface, and its implementation inside one process.

A bus publishes outbox rows and reports when they are safe, and it delivers messages. Embedded, a
row is safe when each subscriber has handled or parked it, so a restart loses nothing: an unfinished
message is still unsent in its outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from eventlet.event import Event

from chassis.message import Message

ANY = "*"
"""Every exchange, in a binding."""

Bindings = frozenset[tuple[str, str]]
"""The (exchange, type) pairs that a service listens to."""


class BusDown(Exception):
    """The bus is unavailable; no message is known to be safe."""


class Closed(Exception):
    """The partition consumer was closed while a caller waited in `take`."""


class PartitionConsumer(Protocol):
    """Delivers the messages of one partition to one consumer, in order."""

    partition: int

    def take(self, most: int) -> list[Message]:
        """Wait for messages, and return those that are ready, up to `most`; raises `Closed`."""

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages that were handled or parked."""

    def idle(self) -> bool:
        """Return whether no message is queued here or in hand."""

    def close(self) -> None:
        """Stop delivering; a caller that waits in `take` gets `Closed`."""


class Inbox(Protocol):
    """Receives the messages of a service, partitioned by their keys.

    `ready` is set when it can be used, or with a `Misconfigured`. `on_missing` is called with the
    partition of a missing queue before it is declared, and returns whether to declare it;
    `on_declared` is called afterwards. From `until` on (of `time.monotonic`) no more messages are
    received, since none could be handled; from `kept_until` on those received are returned to the
    queue.
    """

    partitions: int
    ready: Event
    until: float
    kept_until: float
    on_missing: Callable[[int], bool]
    on_declared: Callable[[int], None]

    def is_alive(self) -> bool:
        """Return whether the broker has sent anything since the last call."""

    def open(self, partition: int) -> PartitionConsumer:
        """Begin to receive the messages of a partition."""

    def leave(self, partition_consumer: PartitionConsumer) -> None:
        """Return the undelivered messages of a closed partition consumer to the queue, for the next
        replica."""


class Bus(Protocol):
    """Carries messages between services; `partitions` is the number that all of them use."""

    partitions: int

    def claim(self, service: str, agreed: Callable[[], bool]) -> bool:
        """Become the only publisher of a service, until `let_go` or an error; raises `BusDown`,
        also while another process is.

        Then `agreed` is called, which returns whether it may publish; so does this.
        """

    def let_go(self, service: str) -> None:
        """Release the right to publish for a service."""

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Publish in order and return the messages that are safe, once known; raises `BusDown`.

        With `to` they go to the inbox of that service only. A `refused` message holds back later
        messages of its key, and no others.
        """

    def inbox(self, service: str, bindings: Bindings) -> Inbox:
        """Return the inbox of a service that listens to these bindings."""

    def open(self) -> None:
        """Allow publishing: every inbox exists."""

    def connected(self) -> bool:
        """Return whether the bus is available."""

    def leave(self, service: str) -> None:
        """Stop receiving and publishing for a service."""

    def close(self) -> None:
        """Release every resource."""
