"""The inbox of a service on RabbitMQ, with a consumer for each partition it serves."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import eventlet
from eventlet.event import Event

from chassis import metrics
from chassis.logs import log
from chassis.message import Message, partition_of
from chassis.messaging.bus import Bindings, BusDown, Closed, PartitionConsumer
from chassis.messaging.parked import pause
from chassis.rabbitmq.topology import (
    BROKEN,
    HEARTBEAT,
    OPEN_WITHIN,
    connect,
    declare,
    declare_queue,
    hopeless,
    is_there,
    queue_of,
    serve_connection,
)
from chassis.runtime.green import end
from chassis.settings import Settings
from contracts.message import Envelope, is_text

LONGEST_PAUSE = 2.4
"""Maximum seconds between attempts to connect, before jitter; at most 3 with it."""


LOOK_EVERY = 0.1
"""Seconds between checks for channels to open or close."""


LONGEST_NAME = 64
"""Maximum characters of the name of an exchange, a handler or a marker."""


AHEAD = 800
"""Minimum prefetch: never less than that of any process before this one. RabbitMQ redelivers
returned messages in order only if all of them are fetched at once: those returned again go behind
the rest (docs/decisions/0034)."""


_EXCHANGE = re.compile(r"[a-z0-9-]+\.(events|commands)")


class RabbitInbox:
    """The inbox of one service: a connection with a consumer for each partition it serves.

    Test modes of delivery set another `partition_consumer_kind`.
    """

    partition_consumer_kind: type[RabbitPartitionConsumer]

    def __init__(
        self, settings: Settings, service: str, bindings: Bindings, partitions: int
    ) -> None:
        self._settings = settings
        self.service = service
        self._bindings = bindings
        self.partitions = partitions
        self.connected = False
        self.until = math.inf
        """Until when (of `time.monotonic`) messages may be received: not while they could not be
        handled, since the broker dead-letters messages returned too often, nor when another replica
        may serve the partition by now, which is to get them first."""
        self.kept_until = math.inf
        """Until when received messages are kept: if none could be handled for longer than a lease,
        they are returned, so that another replica gets them."""
        self.on_missing: Callable[[int], bool] = lambda _partition: True
        """Called before a missing queue is declared, whose messages may be lost. Returns False if
        it must not be declared, since another replica serves the partition by now."""
        self.on_declared: Callable[[int], None] = lambda _partition: None
        """Called after such a queue was declared."""
        self.ready = Event()
        """Set by the first connection, or with a `Misconfigured` that retrying would not fix."""
        self._partition_consumers: dict[int, RabbitPartitionConsumer] = {}
        self._leaving: list[tuple[RabbitPartitionConsumer, Event]] = []
        self._connection: Any = None
        self._frames = 0
        self._closed = False
        self._reader = eventlet.spawn(self._run)

    def is_alive(self) -> bool:
        """Return whether the broker has sent anything since the last call."""
        before = self._frames
        if self.connected:
            self._frames = self._connection.bytes_recv  # it counts frames
        return self._frames != before

    def open(self, partition: int) -> RabbitPartitionConsumer:
        """Begin to receive the messages of a partition, as soon as there is a connection."""
        partition_consumer = self._partition_consumers[partition] = self.partition_consumer_kind(
            partition, self.partitions
        )
        return partition_consumer

    def leave(self, partition_consumer: PartitionConsumer) -> None:
        """Close the channel of a partition consumer, and wait: its messages go to the next replica.
        On a dead connection the broker closes it."""
        gone = self._partition_consumers.pop(partition_consumer.partition)
        if self.connected:  # the reader may be opening its channel
            closed = Event()
            self._leaving.append((gone, closed))
            with eventlet.Timeout(2 * HEARTBEAT, exception=False):
                closed.wait()

    def _run(self) -> None:
        """Receive; reconnect after errors, with exponential backoff."""
        tries = 0
        while not self._closed:
            try:
                self.connect()
                tries, self.connected = 0, True
                if not self.ready.ready():
                    self.ready.send()
                serve_connection(self._connection, LOOK_EVERY, self._tend)
            except Exception as error:
                self._forget()
                if self._closed:  # another error replaced the one that ends this
                    return
                wrong = None if self.ready.ready() else hopeless(self.service, error)
                if wrong:
                    self.ready.send_exception(wrong)
                    return
                tries += 1
                log(self.service).warning("inbox disconnected", tries=tries, error=repr(error))
                eventlet.sleep(pause(tries, longest=LONGEST_PAUSE))

    def _tend(self) -> None:
        """Open the channels that are needed, and close the others."""
        while self._leaving:
            gone, closed = self._leaving[0]
            channel, gone.channel = gone.channel, None
            if channel is not None:
                with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
                    channel.close()
            self._leaving.pop(0)
            closed.send()
        receives = any(
            partition_consumer.channel is not None
            for partition_consumer in self._partition_consumers.values()
        )
        if receives and time.monotonic() >= self.kept_until:
            raise BusDown("leases cannot be renewed")
        for partition_consumer in [*self._partition_consumers.values()]:
            if (
                self._partition_consumers.get(partition_consumer.partition)
                is not partition_consumer
                or partition_consumer.channel is not None
            ):
                continue
            if time.monotonic() < self.until:
                self._consume(partition_consumer)

    def connect(self) -> None:
        """Connect, and declare the inbox; raises `BusDown`."""
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
            self._connection = connection = connect(self._settings.amqp_uri)
            declare(connection, self.service, self._bindings, self.partitions)

    def _consume(self, partition_consumer: RabbitPartitionConsumer) -> None:
        """Receive for a partition; a missing queue is declared after `on_missing`."""
        queue, connection = queue_of(self.service, partition_consumer.partition), self._connection
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
            there = is_there(connection, queue)
        if not there and not self.on_missing(partition_consumer.partition):
            return
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
            declare_queue(connection, self.service, partition_consumer.partition)
        if not there:
            self.on_declared(partition_consumer.partition)
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
            ahead = max(AHEAD, 2 * self._settings.batch)
            partition_consumer.consume(connection.channel(), queue, ahead, self._gone)

    @staticmethod
    def _gone(queue: str) -> None:
        raise BusDown(f"the queue {queue} was deleted")

    def _forget(self) -> None:
        self.connected = False
        for partition_consumer in self._partition_consumers.values():
            partition_consumer.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()
        for _, closed in self._leaving:
            closed.send()
        self._leaving.clear()

    def close(self) -> None:
        """Close the connection; a caller that waits in `take` gets `Closed`."""
        self._closed = True
        end(self._reader)
        for partition_consumer in self._partition_consumers.values():
            partition_consumer.close()
        if self._connection is not None:
            with suppress(*BROKEN), eventlet.Timeout(1, BusDown):
                self._connection.close()
        self._forget()


class RabbitPartitionConsumer:
    """The consumer of one partition of an inbox: the deliveries of its queue, on its own
    channel."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.channel: Any = None
        self._ready: deque[Message] = deque()
        self._in_hand = False
        self._wake = Event()
        self._closed = False

    def consume(self, channel: Any, queue: str, prefetch: int, gone: Callable[[str], None]) -> None:
        """Begin to receive, with a prefetch of unacknowledged messages."""
        channel.auto_decode = False  # otherwise a property of the message would choose the codec
        self.channel, self._queue = channel, queue
        channel.basic_qos(prefetch_size=0, prefetch_count=prefetch, a_global=False)
        channel.basic_consume(queue, callback=self._put, on_cancel=lambda _tag: gone(queue))

    def forget(self) -> None:
        """Drop the deliveries of a lost connection."""
        self.channel = None
        self._ready.clear()

    def idle(self) -> bool:
        """Return whether all deliveries were handled, and more could have been received."""
        return self.channel is not None and not (self._ready or self._in_hand)

    def take(self, most: int) -> list[Message]:
        """Wait for messages, and return those that are ready, up to `most`; raises `Closed`."""
        while not self._ready and not self._closed:
            self._wake = Event()
            self._wake.wait()
        if self._closed:
            raise Closed
        self._in_hand = True
        return self.choose(self._ready, most)

    def choose(self, ready: deque[Message], most: int) -> list[Message]:
        """Remove the oldest messages from the queue, and return them."""
        return [ready.popleft() for _ in range(min(most, len(ready)))]

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge these messages, and all taken before the last of them."""
        self._in_hand = False
        tags = [tag for channel, tag in (m.tag for m in messages) if channel is self.channel]
        if tags:
            with suppress(*BROKEN):  # the reader sees the error too
                self.channel.basic_ack(max(tags), multiple=True)

    def close(self) -> None:
        """Stop delivering; a caller that waits in `take` gets `Closed`."""
        self._closed = True
        self._wake_up()

    def _put(self, delivery: Any) -> None:
        """Queue a delivery; one that is not a message for this partition is dead-lettered by
        itself."""
        channel, info = delivery.channel, delivery.delivery_info
        headers = delivery.headers if isinstance(delivery.headers, dict) else {}
        try:
            message = self._judged(headers, delivery.body, info)
        except ValueError as error:
            log("bus").warning("message dead-lettered", queue=self._queue, why=str(error))
            metrics.MESSAGES.labels(self._queue.partition(".")[0], "unfit").inc()
            channel.basic_reject(info["delivery_tag"], requeue=False)
            return
        message.tag = channel, info["delivery_tag"]
        self._ready.append(message)
        self._wake_up()

    def _judged(self, headers: Mapping[str, Any], body: Any, info: Mapping[str, Any]) -> Message:
        """Parse a message, and validate everything in it; raises `ValueError`."""
        envelope = Envelope.from_headers(headers)
        exchange = headers.get("exchange", info["exchange"])
        if not (is_text(exchange, LONGEST_NAME) and _EXCHANGE.fullmatch(exchange)):
            raise ValueError("the exchange belongs to no service")
        for name in ("handler", "marker"):
            if headers.get(name) is not None and not is_text(headers[name], LONGEST_NAME):
                raise ValueError(f"{name} is not a name of at most {LONGEST_NAME} characters")
        if partition_of(envelope.partitionkey, self.partitions) != self.partition:
            raise ValueError("its partition is not that of its key")
        text = bytes(body).decode()
        if "\0" in text:
            raise ValueError("the body holds the character U+0000")
        written = headers.get("written")
        return Message(
            envelope,
            text,
            exchange,
            bool(info["redelivered"]),
            returned=count if isinstance(count := headers.get("x-delivery-count"), int) else 0,
            handler=headers.get("handler"),
            marker=headers.get("marker"),
            written_at=written if isinstance(written, float) else None,
        )

    def _wake_up(self) -> None:
        if not self._wake.ready():
            self._wake.send()


RabbitInbox.partition_consumer_kind = RabbitPartitionConsumer
