"""The bus of an embedded district: queues in the memory of one process."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence

import eventlet
from eventlet.event import Event

from chassis.message import Message
from chassis.messaging.bus import ANY, Bindings, Closed, Inbox, PartitionConsumer


class _Pending:
    """The acknowledgements that a call of `publish` still waits for, by message."""

    def __init__(self) -> None:
        self.owed: dict[str, int] = {}
        self.all_safe = Event()

    def paid(self, message: Message) -> None:
        self.owed[message.id] -= 1
        if not self.owed[message.id]:
            del self.owed[message.id]
            if not self.owed:
                self.all_safe.send()


class EmbeddedPartitionConsumer:
    """A queue in memory; each message in it is also an unsent row of an outbox."""

    partition = 0

    def __init__(self) -> None:
        self._ready: deque[tuple[Message, _Pending]] = deque()
        self._taken: dict[str, list[_Pending]] = defaultdict(list)
        self._wake = Event()
        self._closed = False

    def put(self, message: Message, pending: _Pending) -> None:
        """Add a message at the end."""
        self._ready.append((message, pending))
        self._wake_up()

    def take(self, most: int) -> list[Message]:
        """Wait for messages, and return those that are ready, up to `most`; raises `Closed`."""
        while not self._ready and not self._closed:
            self._wake = Event()
            self._wake.wait()
        if self._closed:
            raise Closed
        taken = []
        for message, pending in self.choose(self._ready, most):
            self._taken[message.receipt].append(pending)
            taken.append(message)
        return taken

    def choose(
        self, ready: deque[tuple[Message, _Pending]], most: int
    ) -> Iterable[tuple[Message, _Pending]]:
        """Remove the oldest messages from the queue, and return them."""
        while ready and most:
            most -= 1
            yield ready.popleft()

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages that were handled or parked."""
        for message in messages:
            for pending in self._taken.pop(message.receipt, ()):
                pending.paid(message)

    def close(self) -> None:
        """Stop delivering; a caller that waits in `take` gets `Closed`."""
        self._closed = True
        self._wake_up()

    def idle(self) -> bool:
        """Return whether no message is queued or in hand."""
        return not self._ready and not self._taken

    def _wake_up(self) -> None:
        if not self._wake.ready():
            self._wake.send()


class EmbeddedInbox:
    """The inbox of a service in this process: a single partition."""

    partitions = 1
    until = kept_until = math.inf

    def __init__(self, partition_consumer: EmbeddedPartitionConsumer) -> None:
        self.partition_consumer = partition_consumer
        self.on_missing: Callable[[int], bool] = lambda _partition: True
        self.on_declared: Callable[[int], None] = lambda _partition: None
        self.ready = Event()
        self.ready.send()

    def is_alive(self) -> bool:
        """Return True: the bus is always available."""
        return True

    def open(self, partition: int) -> EmbeddedPartitionConsumer:
        """Return the only partition consumer, which receives from the start."""
        return self.partition_consumer

    def leave(self, partition_consumer: PartitionConsumer) -> None:
        """Do nothing: an unhandled message is unsent in its outbox."""


class EmbeddedBus:
    """The bus inside one process: the relay's rows go straight to the consumers."""

    partitions = 1

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], list[EmbeddedPartitionConsumer]] = defaultdict(list)
        self._partition_consumers: dict[str, EmbeddedPartitionConsumer] = {}
        self._open = Event()

    def open(self) -> None:
        """Allow publishing: every partition consumer exists."""
        self._open.send()

    def new_partition_consumer(self) -> EmbeddedPartitionConsumer:
        """Return a new partition consumer; test modes of delivery replace it."""
        return EmbeddedPartitionConsumer()

    def claim(self, service: str, agreed: Callable[[], bool]) -> bool:
        """Return True: there is no other process."""
        return True

    def let_go(self, service: str) -> None:
        """Do nothing: there is no other process."""

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Deliver each message to all its subscribers, and wait for their acknowledgements."""
        self._open.wait()
        pending = _Pending()
        only = None if to is None else [self._partition_consumers[to]]
        addressed = [
            (message, receivers)
            for message in messages
            if (receivers := only or self._receivers(message))
        ]
        pending.owed = {message.id: len(receivers) for message, receivers in addressed}
        for message, receivers in addressed:
            for partition_consumer in receivers:
                partition_consumer.put(message, pending)
        if pending.owed:
            pending.all_safe.wait()
        return list(messages)

    def _receivers(self, message: Message) -> list[EmbeddedPartitionConsumer]:
        kind = message.envelope.type
        return [*self._routes[message.exchange, kind], *self._routes[ANY, kind]]

    def inbox(self, service: str, bindings: Bindings) -> Inbox:
        """Return the inbox of a service, with its one partition consumer."""
        partition_consumer = self._partition_consumers[service] = self.new_partition_consumer()
        for binding in bindings:
            self._routes[binding].append(partition_consumer)
        return EmbeddedInbox(partition_consumer)

    def connected(self) -> bool:
        """Return True unless closed."""
        return True

    def leave(self, service: str) -> None:
        """Do nothing: an unhandled message is unsent in its outbox."""

    def idle(self) -> bool:
        """Return whether no consumer has a message queued or in hand."""
        return all(
            partition_consumer.idle() for partition_consumer in self._partition_consumers.values()
        )

    def close(self) -> None:
        """Close the partition consumers."""
        for partition_consumer in self._partition_consumers.values():
            partition_consumer.close()
        eventlet.sleep(0)
