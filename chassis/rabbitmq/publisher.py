"""The publisher: publishes with confirms, in batches that keep the order of each key."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import amqp
import eventlet
from amqp.method_framing import frame_writer
from amqp.spec import Basic
from eventlet.event import Event

from chassis import metrics
from chassis.ids import moment_of
from chassis.logs import log
from chassis.message import Message
from chassis.messaging.bus import BusDown
from chassis.rabbitmq.topology import (
    BROKEN,
    CONFIRM_WITHIN,
    DURABLE,
    OPEN_WITHIN,
    connect,
    inbox_of,
    lock,
    serve_connection,
)
from chassis.runtime.green import end
from chassis.settings import Settings

CAREFUL = 60.0
"""Seconds after a refusal during which each message of a key waits for the confirm of the previous
one."""


class Publisher:
    """Publishes for one relay, on a connection of its own that does not outlive an error.

    While that connection lives no other process can have one: the broker ensures it. So outbox rows
    read since the claim may be sent, even if the process was suspended meanwhile; rows read before
    are not sent on the next connection.
    """

    def __init__(self, settings: Settings, service: str, partitions: Callable[[], int]) -> None:
        self._settings = settings
        self._partitions = partitions
        """Returns the number of partitions that the replicas agree on, which may change."""
        self._service = service
        self._to: str | None = None
        self._connection: Any = None
        self._reader: Any = None
        self._blocked = False
        self._safe: list[Message] = []
        self._answered = Event()
        self._careful = 0.0

    def claim(self, agreed: Callable[[], bool]) -> bool:
        """Open the connection, unless another process has one; raises `BusDown`."""
        if self._connection is not None:
            return True
        try:
            with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
                self.connect()
        except Exception as error:  # py-amqp has many errors for a lost connection
            self.drop()
            raise BusDown(str(error) or repr(error)) from error
        is_agreed = False
        try:
            is_agreed = agreed()
        finally:
            if not is_agreed:
                self.leave()
        return is_agreed

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Publish in publish batches. A refused message holds back later ones of its key, and no
        others; after any other error nothing more is sent."""
        self._safe, self._to = [], to
        late = BusDown(f"the broker has not confirmed within {CONFIRM_WITHIN:.0f} s")
        careful = to is not None or time.monotonic() < self._careful
        held: set[str] = set()
        try:
            for publish_batch in publish_batches(messages, returnable=careful):
                if free := [one for one in publish_batch if one.envelope.partitionkey not in held]:
                    with eventlet.Timeout(CONFIRM_WITHIN, late):
                        self._publish_batch(free)
                    held |= {one.envelope.partitionkey for one in free if one.refused}
        except Exception as error:
            self.drop()
            if not self._safe:
                raise BusDown(str(error) or repr(error)) from error
        if held:
            self._careful = time.monotonic() + CAREFUL
        return self._safe

    def _publish_batch(self, publish_batch: list[Message]) -> None:
        """Send a publish batch without pauses, then wait for all its confirms."""
        if self._connection is None:
            raise BusDown("the connection was lost")
        self._answered, self._confirmed, self._returned = Event(), set[str](), set[str]()
        self._unconfirmed = dict(enumerate(publish_batch, self._sent + 1))
        self._sent += len(publish_batch)
        try:
            with self._cork:
                for message in publish_batch:
                    self._send(message)
            self._answered.wait()
        finally:
            self._safe += unbroken(publish_batch, self._confirmed)
        for message in publish_batch:
            message.refused = message.id not in self._confirmed

    def _send(self, message: Message) -> None:
        if self._to is None and message.exchange not in self._exchanges:
            self._channel.exchange_declare(message.exchange, "topic", nowait=True, **DURABLE)
            self._exchanges.add(message.exchange)
        # An event may have no receivers: it is safe once the broker has it. A command without a
        # receiver is returned, and stays in the outbox.
        exchange = inbox_of(self._to) if self._to else message.exchange
        mandatory = message.is_command or self._to is not None
        route = (0, exchange, message.envelope.type, mandatory, False)
        # not basic_publish, which reads from the connection before each message
        self._channel.send_method(Basic.Publish, "Bssbb", route, self._content(message))

    def _content(self, message: Message) -> Any:
        envelope = message.envelope
        headers: dict[str, Any] = envelope.headers() | {
            "partition": message.partition(self._partitions())
        }
        if self._to is not None:
            headers["exchange"] = message.exchange
        if message.handler:
            headers["handler"] = message.handler
        if message.marker:
            headers["marker"] = message.marker
        if moment_of(envelope.id) is None and message.written_at is not None:
            headers["written"] = message.written_at
        return amqp.Message(
            message.body,
            content_type="application/json",
            content_encoding="utf-8",
            application_headers=headers,
            delivery_mode=2,
            correlation_id=envelope.correlationid,
            message_id=envelope.id,
            timestamp=int(message.moment.timestamp()),
            type=envelope.type,
        )

    def connect(self) -> None:
        """Connect as the only relay; raises `BusDown`."""
        self._connection = connection = connect(self._settings.amqp_uri, self._on_blocked)
        if not lock(connection, self._service):
            raise BusDown("another relay is still connected")
        if self._blocked:  # the blocked connection has ended
            self._on_blocked(blocked=False)
        self._cork = _Cork(connection)
        self._channel = channel = connection.channel()
        channel.confirm_select()
        confirm, on = self._on_confirm, channel.events
        on["basic_ack"].add(lambda tag, multiple: confirm(tag, multiple=multiple, safe=True))
        on["basic_nack"].add(lambda tag, multiple: confirm(tag, multiple=multiple, safe=False))
        on["basic_return"].add(self._on_return)
        self._sent, self._exchanges = 0, set[str]()
        self._reader = eventlet.spawn(self._read, connection)

    def _read(self, connection: Any) -> None:
        try:
            serve_connection(connection)
        except Exception as error:
            self._connection = None
            connection.collect()
            if not self._answered.ready():
                self._answered.send_exception(BusDown(str(error) or repr(error)))

    def _on_confirm(self, tag: int, *, multiple: bool, safe: bool) -> None:
        tags = list(takewhile(lambda each: each <= tag, self._unconfirmed)) if multiple else [tag]
        for message in [self._unconfirmed.pop(each) for each in tags]:
            if safe and message.id not in self._returned:
                self._confirmed.add(message.id)
        if not self._unconfirmed and not self._answered.ready():
            self._answered.send()

    def _on_blocked(self, *, blocked: bool) -> None:
        """Record that the broker blocks publishing because of an alarm (memory, disk), or no
        longer."""
        self._blocked = blocked
        metrics.BROKER_BLOCKED.set(blocked)
        log("bus").warning("broker blocks publishing" if blocked else "broker unblocks publishing")

    def _on_return(self, _why: Exception, _exchange: str, _key: str, content: Any) -> None:
        self._returned.add(content.properties["message_id"])  # its confirm is still to come

    def drop(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._reader is not None:
                end(self._reader)
            connection.collect()

    def leave(self) -> None:
        """Close the connection, so that another process may connect, and reset the blocked
        metric."""
        if (connection := self._connection) is not None:
            if self._reader is not None:
                end(self._reader)
            with suppress(*BROKEN), eventlet.Timeout(1, BusDown):
                connection.close()
        self.drop()
        if self._blocked:
            self._on_blocked(blocked=False)


class _Cork:
    """Buffers writes to a connection, so that many messages go out at once."""

    def __init__(self, connection: Any) -> None:
        self._through = connection.transport.write
        self._held: list[bytes] | None = None
        connection.frame_writer = frame_writer(connection, self)

    def write(self, data: Any) -> None:
        """Write, or buffer a copy until the end of the block, since the caller reuses its
        buffer."""
        if self._held is None:
            self._through(data)
        else:
            self._held.append(bytes(data))

    def __enter__(self) -> None:
        """Hold back."""
        self._held = []

    def __exit__(self, *_: object) -> None:
        """Write the buffer, and what is added meanwhile, such as a heartbeat."""
        try:
            while self._held:
                data = b"".join(self._held)
                self._held.clear()
                self._through(data)
        finally:
            self._held = None


def publish_batches(
    messages: Sequence[Message], *, returnable: bool = False
) -> list[list[Message]]:
    """Split messages into publish batches, in the order of each key.

    A message after a command of the same key waits for the next batch: the command may be returned,
    if it has no receiver yet, and must not be overtaken. If `returnable`, this holds for every
    message. Events share a batch: a queue receives the messages of one channel in order
    (docs/decisions/0023).
    """
    batches: dict[int, list[Message]] = defaultdict(list)
    place: dict[str, int] = defaultdict(int)
    for message in messages:
        key = message.envelope.partitionkey
        batches[place[key]].append(message)
        place[key] += returnable or message.is_command
    return list(batches.values())


def unbroken(publish_batch: Sequence[Message], confirmed: Collection[str]) -> list[Message]:
    """Return the confirmed messages, of each key up to the first unconfirmed one."""
    broken: set[str] = set()
    whole = []
    for message in publish_batch:
        if message.id not in confirmed:
            broken.add(message.envelope.partitionkey)
        elif message.envelope.partitionkey not in broken:
            whole.append(message)
    return whole
