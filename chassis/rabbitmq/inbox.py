"""The inbox of a service on RabbitMQ: it fills a partition consumer for each partition it
serves.
"""

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
"""Seconds between attempts to connect, before a jitter that makes at most 3 of them."""


LOOK_EVERY = 0.1
"""Seconds after which a reader looks whether there are channels to open or to close."""


LONGEST_NAME = 64
"""Characters of the name of an exchange, a handler or a marker, at the most."""


AHEAD = 800
"""Messages that are taken ahead, at the least: never fewer than any process before this one took.
RabbitMQ gives what came back in its order only as long as all of it is taken at once: what of it
comes back once more goes behind the rest (docs/decisions/0034)."""


_EXCHANGE = re.compile(r"[a-z0-9-]+\.(events|commands)")


class RabbitInbox:
    """The inbox of one service: the connection that fills a partition consumer for each partition
    it serves.

    Test modes of delivery give another `partition_consumer_kind`.
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
        """Until when (of `time.monotonic`) more may be received than is already: not while it could
        not be handled, since what comes back too often is set aside by the broker, nor when
        another may serve a partition by now, to whom it would come first."""
        self.kept_until = math.inf
        """Until when what was received is kept: it goes back when nobody here could handle it for
        longer than a lease lasts, so that whoever can is given it."""
        self.on_missing: Callable[[int], bool] = lambda _partition: True
        """Called before a queue that is not there is declared: what it held may be lost. False
        where it is not to be declared, since the partition is another replica's by now."""
        self.on_declared: Callable[[int], None] = lambda _partition: None
        """Called when such a queue has been declared."""
        self.ready = Event()
        """Comes with the first connection, or with a `Misconfigured` that no other would mend."""
        self._partition_consumers: dict[int, RabbitPartitionConsumer] = {}
        self._leaving: list[tuple[RabbitPartitionConsumer, Event]] = []
        self._connection: Any = None
        self._frames = 0
        self._closed = False
        self._reader = eventlet.spawn(self._run)

    def heard(self) -> bool:
        """Tell whether the broker has said anything since this was asked last."""
        before = self._frames
        if self.connected:
            self._frames = self._connection.bytes_recv  # it counts frames
        return self._frames != before

    def open(self, partition: int) -> RabbitPartitionConsumer:
        """Begin to receive what comes for a partition, as soon as there is a connection."""
        partition_consumer = self._partition_consumers[partition] = self.partition_consumer_kind(
            partition, self.partitions
        )
        return partition_consumer

    def leave(self, partition_consumer: PartitionConsumer) -> None:
        """Close a partition consumer's channel, and wait: what it was given goes to who serves it
        next. Where the line is dead that is the broker's to do."""
        gone = self._partition_consumers.pop(partition_consumer.partition)
        if self.connected:  # the reader may be opening its channel just now
            closed = Event()
            self._leaving.append((gone, closed))
            with eventlet.Timeout(2 * HEARTBEAT, exception=False):
                closed.wait()

    def _run(self) -> None:
        """Receive; a lost connection is replaced, with a growing pause between attempts."""
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
                if self._closed:  # another error has taken the place of the one that ends this
                    return
                wrong = None if self.ready.ready() else hopeless(self.service, error)
                if wrong:
                    self.ready.send_exception(wrong)
                    return
                tries += 1
                log(self.service).warning("inbox disconnected", tries=tries, error=repr(error))
                eventlet.sleep(pause(tries, longest=LONGEST_PAUSE))

    def _tend(self) -> None:
        """Open the channels that are wanted, and close those that are not."""
        while self._leaving:
            gone, closed = self._leaving[0]
            channel, gone.channel = gone.channel, None
            if channel is not None:
                with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
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
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            self._connection = connection = connect(self._settings.amqp_uri)
            declare(connection, self.service, self._bindings, self.partitions)

    def _consume(self, partition_consumer: RabbitPartitionConsumer) -> None:
        """Receive for a partition; a queue that is not there is declared, once that is known of."""
        queue, connection = queue_of(self.service, partition_consumer.partition), self._connection
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            there = is_there(connection, queue)
        if not there and not self.on_missing(partition_consumer.partition):
            return
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            declare_queue(connection, self.service, partition_consumer.partition)
        if not there:
            self.on_declared(partition_consumer.partition)
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            ahead = max(AHEAD, 2 * self._settings.batch)
            partition_consumer.consume(connection.channel(), queue, ahead, self._gone)

    @staticmethod
    def _gone(queue: str) -> None:
        raise BusDown(f"the queue {queue} was taken away")

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
        """Close the connection; whoever waits at a partition consumer gets `Closed`."""
        self._closed = True
        end(self._reader)
        for partition_consumer in self._partition_consumers.values():
            partition_consumer.close()
        if self._connection is not None:
            with suppress(*BROKEN), eventlet.Timeout(1, BusDown):
                self._connection.close()
        self._forget()


class RabbitPartitionConsumer:
    """One of so many partitions of an inbox: what its queue has delivered, on a channel of its
    own."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.channel: Any = None
        self._ready: deque[Message] = deque()
        self._in_hand = False
        self._wake = Event()
        self._closed = False

    def consume(self, channel: Any, queue: str, prefetch: int, gone: Callable[[str], None]) -> None:
        """Begin to receive, so many messages ahead of their acknowledgement."""
        channel.auto_decode = False  # else a property of the message would name how
        self.channel, self._queue = channel, queue
        channel.basic_qos(prefetch_size=0, prefetch_count=prefetch, a_global=False)
        channel.basic_consume(queue, callback=self._put, on_cancel=lambda _tag: gone(queue))

    def forget(self) -> None:
        """Forget what a lost connection has delivered."""
        self.channel = None
        self._ready.clear()

    def idle(self) -> bool:
        """Tell whether all that was delivered has been handled, and more could have been."""
        return self.channel is not None and not (self._ready or self._in_hand)

    def take(self, most: int) -> list[Message]:
        """Wait until something is ready, then give all that is, up to `most`; raises `Closed`."""
        while not self._ready and not self._closed:
            self._wake = Event()
            self._wake.wait()
        if self._closed:
            raise Closed
        self._in_hand = True
        return self.choose(self._ready, most)

    def choose(self, ready: deque[Message], most: int) -> list[Message]:
        """Take the next messages off the queue: the oldest."""
        return [ready.popleft() for _ in range(min(most, len(ready)))]

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge these, and with them whatever was taken before the last of them."""
        self._in_hand = False
        tags = [tag for channel, tag in (m.tag for m in messages) if channel is self.channel]
        if tags:
            with suppress(*BROKEN):  # the reader will see it too
                self.channel.basic_ack(max(tags), multiple=True)

    def close(self) -> None:
        """Stop taking; whoever waits in `take` gets `Closed`."""
        self._closed = True
        self._wake_up()

    def _put(self, delivery: Any) -> None:
        """Take what the queue has delivered; what is no message for this partition goes to the dead
        parked messages, alone."""
        channel, info = delivery.channel, delivery.delivery_info
        headers = delivery.headers if isinstance(delivery.headers, dict) else {}
        try:
            message = self._judged(headers, delivery.body, info)
        except ValueError as error:
            log("bus").warning("message unfit", queue=self._queue, why=str(error))
            metrics.MESSAGES.labels(self._queue.partition(".")[0], "unfit").inc()
            channel.basic_reject(info["delivery_tag"], requeue=False)
            return
        message.tag = channel, info["delivery_tag"]
        self._ready.append(message)
        self._wake_up()

    def _judged(self, headers: Mapping[str, Any], body: Any, info: Mapping[str, Any]) -> Message:
        """Read a message, and judge all that anybody may have written; raises `ValueError`."""
        envelope = Envelope.from_headers(headers)
        exchange = headers.get("exchange", info["exchange"])
        if not (is_text(exchange, LONGEST_NAME) and _EXCHANGE.fullmatch(exchange)):
            raise ValueError("exchange is none of a service's")
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
