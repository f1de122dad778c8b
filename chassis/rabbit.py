"""The bus over RabbitMQ: a service publishes to exchanges of its own and listens at its own inbox.

`{service}.events` and `{service}.commands` are topic exchanges, with the type as routing key. A
headers exchange `{service}.inbox`, bound to what the service listens to, feeds a quorum queue per
slot; the publisher stamps the slot. Each relay and each inbox has a connection of its own. What one
had in hand when it broke is forgotten: the outbox sends it again, the broker delivers it again.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import amqp
import eventlet
from amqp.exceptions import AMQPError, PreconditionFailed
from amqp.spec import Basic
from eventlet.event import Event
from kombu.connection import Connection

from chassis.bus import ANY, Bindings, BusDown, Closed, Inlet
from chassis.letters import pause
from chassis.logs import log
from chassis.message import Message
from chassis.settings import Misconfigured, Settings
from contracts.catalogue import contracts
from contracts.message import Envelope

HEARTBEAT = 10
CONNECT_WITHIN, OPEN_WITHIN, CONFIRM_WITHIN = 5.0, 20.0, 10.0
"""Seconds for the handshake, for declaring an inbox, and for the confirms of a wave."""
LONGEST_PAUSE = 2.4
"""Seconds between attempts to connect, before a jitter that makes at most 3 of them."""
BROKEN = (AMQPError, OSError, BusDown)
DURABLE = {"durable": True, "auto_delete": False}
SLOT_QUEUE = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-delivery-limit": 100,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class RabbitBus:
    """The bus of a process that is one of many, over RabbitMQ."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publishers: dict[str, _Publisher] = defaultdict(lambda: _Publisher(settings))
        self._inboxes: list[_Inbox] = []
        self._open = Event()

    def publish(self, messages: Sequence[Message]) -> list[Message]:
        """Publish one service's messages; raises `BusDown` when not one of them is safe."""
        self._open.wait()
        return self._publishers[messages[0].envelope.source].publish(messages)

    def inlets(self, service: str, bindings: Bindings) -> list[Inlet]:
        """Declare the inbox of a service and open an inlet per slot; waits for the broker."""
        inbox = _Inbox(self._settings, service, bindings)
        self._inboxes.append(inbox)
        inbox.declared.wait()
        return list(inbox.inlets)

    def open(self) -> None:
        """Let publishing begin: the inboxes of this process are declared."""
        self._open.send()

    def connected(self) -> bool:
        """Tell whether every inbox of this process is connected."""
        return all(inbox.connected for inbox in self._inboxes)

    def close(self) -> None:
        """Close every connection; what was delivered and not acknowledged comes again."""
        for inbox in self._inboxes:
            inbox.close()
        for publisher in self._publishers.values():
            publisher.drop()


class _Publisher:
    """Publishes for one relay, on a connection of its own that does not outlive an error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Any = None
        self._reader: Any = None
        self._safe: list[Message] = []
        self._answered = Event()

    def publish(self, messages: Sequence[Message]) -> list[Message]:
        """Publish in waves; after a refusal or an error nothing new is sent."""
        self._safe = []
        late = BusDown(f"the broker has not confirmed within {CONFIRM_WITHIN:.0f} s")
        try:
            for wave in waves(messages):
                with eventlet.Timeout(CONFIRM_WITHIN, late):
                    self._publish_wave(wave)
        except Exception as error:  # py-amqp says in many ways that a connection is lost
            if not self._safe:
                raise BusDown(str(error) or repr(error)) from error
        finally:
            if len(self._safe) < len(messages):
                self.drop()
        return self._safe

    def _publish_wave(self, wave: list[Message]) -> None:
        """Send a wave without waiting in between, then wait for all its confirms."""
        if self._connection is None:
            self._connect()
        expected = len(self._safe) + len(wave)
        self._answered = Event()
        self._unconfirmed = dict(enumerate(wave, self._sent + 1))
        self._sent += len(wave)
        for message in wave:
            self._send(message)
        self._answered.wait()
        if len(self._safe) < expected:
            raise BusDown("the broker refused a message, or knows nobody for a command")

    def _send(self, message: Message) -> None:
        if message.exchange not in self._exchanges:
            self._channel.exchange_declare(message.exchange, "topic", nowait=True, **DURABLE)
            self._exchanges.add(message.exchange)
        # An event states what has happened to whoever listens, and nobody may: it is safe once the
        # broker has it. A command that nobody would carry out is returned, and stays in the outbox.
        route = (0, message.exchange, message.envelope.type, message.is_command, False)
        # not by basic_publish, which reads from the connection before each message
        self._channel.send_method(Basic.Publish, "Bssbb", route, self._content(message))

    def _content(self, message: Message) -> Any:
        envelope = message.envelope
        return amqp.Message(
            message.body,
            content_type="application/json",
            content_encoding="utf-8",
            application_headers=envelope.headers() | {"slot": message.slot(self._settings.slots)},
            delivery_mode=2,
            correlation_id=envelope.correlationid,
            message_id=envelope.id,
            timestamp=int(message.moment.timestamp()),
            type=envelope.type,
        )

    def _connect(self) -> None:
        self._connection = connection = _connect(self._settings.amqp_uri)
        self._channel = channel = connection.channel()
        channel.confirm_select()
        confirm, on = self._on_confirm, channel.events
        on["basic_ack"].add(lambda tag, multiple: confirm(tag, multiple=multiple, safe=True))
        on["basic_nack"].add(lambda tag, multiple: confirm(tag, multiple=multiple, safe=False))
        on["basic_return"].add(self._on_return)
        self._sent, self._exchanges, self._returned = 0, set[str](), set[str]()
        self._reader = eventlet.spawn(self._read, connection)

    def _read(self, connection: Any) -> None:
        try:
            _serve(connection)
        except Exception as error:
            self._connection = None
            connection.collect()
            if not self._answered.ready():
                self._answered.send_exception(BusDown(str(error) or repr(error)))

    def _on_confirm(self, tag: int, *, multiple: bool, safe: bool) -> None:
        tags = list(takewhile(lambda each: each <= tag, self._unconfirmed)) if multiple else [tag]
        for message in [self._unconfirmed.pop(each) for each in tags]:
            if safe and message.id not in self._returned:
                self._safe.append(message)
        if not self._unconfirmed and not self._answered.ready():
            self._answered.send()

    def _on_return(self, _why: Exception, _exchange: str, _key: str, content: Any) -> None:
        self._returned.add(content.properties["message_id"])  # its confirm is still to come

    def drop(self) -> None:
        """Let go of the connection; the next message makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._reader is not None:
                self._reader.kill()
            connection.collect()


class _Inbox:
    """The inbox of one service: its queues, and the connection that fills an inlet per slot."""

    def __init__(self, settings: Settings, service: str, bindings: Bindings) -> None:
        self._settings = settings
        self._service = service
        self._bindings = bindings
        self.inlets = [_Inlet(f"{service}.inbox.{slot}") for slot in range(settings.slots)]
        self.connected = False
        self.declared = Event()
        self._connection: Any = None
        self._reader = eventlet.spawn(self._run)

    def _run(self) -> None:
        """Receive; a lost connection is replaced, with a growing pause between attempts."""
        tries = 0
        while True:
            try:
                self._connect()
                tries, self.connected = 0, True
                if not self.declared.ready():
                    self.declared.send()
                _serve(self._connection)
            except Exception as error:
                self._forget()
                if isinstance(error, PreconditionFailed) and not self.declared.ready():
                    what = f"RabbitMQ holds {self._service}.inbox in another form: {error}."
                    self.declared.send_exception(Misconfigured(what))
                    return
                tries += 1
                log(self._service).warning("inbox disconnected", tries=tries, error=repr(error))
                eventlet.sleep(pause(tries, longest=LONGEST_PAUSE))

    def _connect(self) -> None:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            self._connection = connection = _connect(self._settings.amqp_uri)
            with connection.channel() as channel:
                _declare(channel, self._service, self._bindings, self._settings.slots)
            for inlet in self.inlets:
                inlet.consume(connection.channel(), 2 * self._settings.batch)

    def _forget(self) -> None:
        self.connected = False
        for inlet in self.inlets:
            inlet.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()

    def close(self) -> None:
        """Close the connection; whoever waits at an inlet gets `Closed`."""
        self._reader.kill()
        for inlet in self.inlets:
            inlet.close()
        if self._connection is not None:
            with suppress(*BROKEN), eventlet.Timeout(1, BusDown):
                self._connection.close()
        self._forget()


class _Inlet:
    """One slot of an inbox: what its queue has delivered, on a channel of its own."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._channel: Any = None
        self._ready: deque[Message] = deque()
        self._wake = Event()
        self._closed = False

    def consume(self, channel: Any, prefetch: int) -> None:
        """Begin to receive, so many messages ahead of their acknowledgement."""
        self._channel = channel
        channel.basic_qos(prefetch_size=0, prefetch_count=prefetch, a_global=False)
        channel.basic_consume(self._queue, callback=self._put)

    def forget(self) -> None:
        """Forget what a lost connection has delivered."""
        self._channel = None
        self._ready.clear()

    def take(self, most: int) -> list[Message]:
        """Wait until something is ready, then give all that is, up to `most`; raises `Closed`."""
        while not self._ready and not self._closed:
            self._wake = Event()
            self._wake.wait()
        if self._closed:
            raise Closed
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge these, and with them whatever was taken before the last of them."""
        tags = [tag for channel, tag in (m.tag for m in messages) if channel is self._channel]
        if tags:
            with suppress(*BROKEN):  # the reader will see it too
                self._channel.basic_ack(max(tags), multiple=True)

    def close(self) -> None:
        """Stop taking; whoever waits in `take` gets `Closed`."""
        self._closed = True
        self._wake_up()

    def _put(self, delivery: Any) -> None:
        channel, info, body = delivery.channel, delivery.delivery_info, delivery.body
        try:
            envelope = Envelope.from_headers(delivery.headers or {})
            text = body if isinstance(body, str) else bytes(body).decode()
        except (KeyError, UnicodeDecodeError):  # to the dead letters
            channel.basic_reject(info["delivery_tag"], requeue=False)
            return
        tag = channel, info["delivery_tag"]
        self._ready.append(Message(envelope, text, info["exchange"], info["redelivered"], tag=tag))
        self._wake_up()

    def _wake_up(self) -> None:
        if not self._wake.ready():
            self._wake.send()


def waves(messages: Sequence[Message]) -> list[list[Message]]:
    """Part messages into waves with at most one of each key, every key's in their order."""
    made: dict[int, list[Message]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for message in messages:
        key = message.envelope.partitionkey
        made[seen[key]].append(message)
        seen[key] += 1
    return list(made.values())


def _connect(uri: str) -> Any:
    """Connect to the broker: py-amqp's connection, whose confirms can be told apart."""
    client = Connection(uri, heartbeat=HEARTBEAT, connect_timeout=CONNECT_WITHIN)  # type: ignore[no-untyped-call]
    return client.transport.establish_connection()


def _serve(connection: Any) -> None:
    """Read from a connection until it breaks; keep its heartbeat, and let others run."""
    tick = rest = 0.0
    while True:
        with suppress(TimeoutError):
            connection.drain_events(timeout=HEARTBEAT / 4)
        now = time.monotonic()
        if now >= tick:
            connection.heartbeat_tick()
            tick = now + HEARTBEAT / 4
        if now >= rest:
            eventlet.sleep(0)
            rest = now + 0.02


def _declare(channel: Any, service: str, bindings: Bindings, slots: int) -> None:
    """Declare where a service publishes and listens, its queues, and its dead letters."""
    inbox, dead = f"{service}.inbox", f"{service}.dead"
    everyone = {f"{kind.service}.events" for kind in contracts().values() if kind.service}
    routes = {(e, kind) for name, kind in bindings for e in (everyone if name == ANY else {name})}
    for exchange in sorted({f"{service}.events", f"{service}.commands"} | {e for e, _ in routes}):
        channel.exchange_declare(exchange, "topic", **DURABLE)
    channel.exchange_declare(inbox, "headers", **DURABLE)
    channel.exchange_declare(dead, "fanout", **DURABLE)
    channel.queue_declare(dead, arguments={"x-queue-type": "quorum"}, **DURABLE)
    channel.queue_bind(dead, dead)
    arguments = SLOT_QUEUE | {"x-dead-letter-exchange": dead}
    for slot in range(slots):
        channel.queue_declare(f"{inbox}.{slot}", arguments=arguments, **DURABLE)
        channel.queue_bind(f"{inbox}.{slot}", inbox, arguments={"x-match": "all", "slot": slot})
    for exchange, kind in sorted(routes):  # last of all: what comes in has a queue
        channel.exchange_bind(inbox, exchange, kind)
