"""The bus over RabbitMQ: a service publishes to exchanges of its own and listens at its own inbox.

`{service}.events` and `{service}.commands` are topic exchanges, with the type as routing key. A
headers exchange `{service}.inbox`, bound to what the service listens to, feeds a quorum queue per
slot; the publisher stamps the slot. Each relay and each inbox has a connection of its own. What one
had in hand when it broke is forgotten: the outbox sends it again, the broker delivers it again.
The queue `{service}.relay`, which is a connection's own, sees to it that one relay at a time has
one.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any

import amqp
import eventlet
from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from amqp.method_framing import frame_writer
from amqp.spec import Basic
from eventlet.event import Event
from kombu.connection import Connection

from chassis import metrics
from chassis.bus import ANY, Bindings, BusDown, Closed, Inlet
from chassis.frames import reader_of
from chassis.green import end
from chassis.ids import moment_of
from chassis.letters import pause
from chassis.logs import log
from chassis.message import Message, slot_of
from chassis.settings import Misconfigured, Settings
from contracts.catalogue import contracts
from contracts.message import Envelope, is_text

HEARTBEAT = 3
"""Seconds. The broker closes what was silent for two to three times as long, and so do we: soon, as
another replica is given nothing before; but no process that still renews its leases, however busy
its machine, is silent for longer than `leases.LEASE`."""
CONNECT_WITHIN, OPEN_WITHIN, CONFIRM_WITHIN = 5.0, 20.0, 10.0
"""Seconds for the handshake, for declaring an inbox, and for the confirms of a wave."""
LONGEST_PAUSE = 2.4
"""Seconds between attempts to connect, before a jitter that makes at most 3 of them."""
LOOK_EVERY = 0.1
"""Seconds after which a reader looks whether there are channels to open or to close."""
LONGEST_NAME = 64
"""Characters of the name of an exchange, a handler or a marker, at the most."""
CAREFUL = 60.0
"""Seconds after a refusal in which a key's next message waits for the confirm of the one before."""
SLOTS = "slots"
"""What only one command may change at a time: it is locked as a service is."""
AHEAD = 800
"""Messages that are taken ahead, at the least: never fewer than any process before this one took.
RabbitMQ gives what came back in its order only as long as all of it is taken at once: what of it
comes back once more goes behind the rest (docs/decisions/0034)."""
BROKEN = (AMQPError, OSError, BusDown)
_EXCHANGE = re.compile(r"[a-z0-9-]+\.(events|commands)")
DURABLE = {"durable": True, "auto_delete": False}
SLOT_QUEUE = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-delivery-limit": 100,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class RabbitBus:
    """The bus of a process that is one of many, over RabbitMQ.

    `topology` tells of every service what it listens to, whether or not it runs in this process:
    nothing is published before every inbox is there.
    """

    def __init__(self, settings: Settings, topology: Mapping[str, Bindings]) -> None:
        self._settings = settings
        self._topology = topology
        self._publishers: dict[str, _Publisher] = {}
        self._inboxes: list[_Inbox] = []
        self._open = Event()
        self.slots = settings.slots
        self.missing = "every inbox"
        self._opener = eventlet.spawn(self._wait_for_inboxes)

    @property
    def uri(self) -> str:
        """Where the broker is."""
        return self._settings.amqp_uri

    def claim(self, service: str, agreed: Callable[[], bool]) -> bool:
        """Become the one that publishes for a service; not before every inbox is there."""
        if not self._open.ready():
            return False
        if service not in self._publishers:
            self._publishers[service] = _Publisher(self, service)
        return self._publishers[service].claim(agreed)

    def let_go(self, service: str) -> None:
        """Let another publish for a service."""
        if service in self._publishers:
            self._publishers[service].leave()

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Publish one service's messages; raises `BusDown` where the connection is lost before one
        of them is safe, and when it was not claimed."""
        source = messages[0].envelope.source
        if source not in self._publishers:
            raise BusDown("nothing is published before it is claimed")
        return self._publishers[source].publish(messages, to)

    def inbox(self, service: str, bindings: Bindings) -> _Inbox:
        """Give the inbox of a service, which connects by itself."""
        made = _Inbox(self._settings, service, bindings, self.slots)
        self._inboxes.append(made)
        return made

    def open(self) -> None:
        """Do nothing: publishing begins by itself, as soon as every inbox is there."""

    def connected(self) -> bool:
        """Tell whether every inbox of this process is connected."""
        return all(inbox.connected for inbox in self._inboxes)

    def leave(self, service: str) -> None:
        """Close a service's connections; what was delivered and not acknowledged comes again."""
        for inbox in [inbox for inbox in self._inboxes if inbox.service == service]:
            self._inboxes.remove(inbox)
            inbox.close()
        self.let_go(service)

    def close(self) -> None:
        """Close every connection."""
        end(self._opener)
        for service in [*self._publishers, *(inbox.service for inbox in self._inboxes)]:
            self.leave(service)

    def _wait_for_inboxes(self) -> None:
        """Let publishing begin once every service has declared its inbox, here or elsewhere."""
        tries, said = 0, ""
        while True:
            try:
                self.missing = self._first_missing()
            except Exception as error:
                self.missing = f"the broker ({error or type(error).__name__})"
            if not self.missing:
                self._open.send()
                return
            if self.missing != said:
                log("bus").warning("publishing waits", waits_for=self.missing)
                said = self.missing
            tries += 1
            eventlet.sleep(pause(min(tries, 2)))

    def _first_missing(self) -> str:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            connection = connect(self.uri)
            try:
                for service in self._topology:
                    for slot in range(self.slots):
                        if not is_there(connection, queue_of(service, slot)):
                            return queue_of(service, slot)
            finally:
                connection.collect()
        return ""


class _Publisher:
    """Publishes for one relay, on a connection of its own that does not outlive an error.

    While that connection lives no other process has one: the broker sees to it. So what was read
    of the outbox since it was claimed can be sent, however long the process was stopped meanwhile;
    what was read before is not sent on the next.
    """

    def __init__(self, bus: RabbitBus, service: str) -> None:
        self._bus = bus
        self._service = service
        self._connection: Any = None
        self._reader: Any = None
        self._blocked = False
        self._safe: list[Message] = []
        self._answered = Event()
        self._careful = 0.0

    def claim(self, agreed: Callable[[], bool]) -> bool:
        """Have a connection, made only while no other lives; raises `BusDown`."""
        if self._connection is not None:
            return True
        try:
            with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
                self.connect()
        except Exception as error:  # py-amqp says in many ways that a connection is lost
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
        """Publish in waves. What was refused holds back what follows in its key, and nothing else;
        after any other error nothing new is sent."""
        self._safe, self._to = [], to
        late = BusDown(f"the broker has not confirmed within {CONFIRM_WITHIN:.0f} s")
        careful = to is not None or time.monotonic() < self._careful
        held: set[str] = set()
        try:
            for wave in waves(messages, returnable=careful):
                if free := [one for one in wave if one.envelope.partitionkey not in held]:
                    with eventlet.Timeout(CONFIRM_WITHIN, late):
                        self._publish_wave(free)
                    held |= {one.envelope.partitionkey for one in free if one.refused}
        except Exception as error:
            self.drop()
            if not self._safe:
                raise BusDown(str(error) or repr(error)) from error
        if held:
            self._careful = time.monotonic() + CAREFUL
        return self._safe

    def _publish_wave(self, wave: list[Message]) -> None:
        """Send a wave without waiting in between, then wait for all its confirms."""
        if self._connection is None:
            raise BusDown("the connection was lost")
        self._answered, self._confirmed, self._returned = Event(), set[str](), set[str]()
        self._unconfirmed = dict(enumerate(wave, self._sent + 1))
        self._sent += len(wave)
        try:
            with self._cork:
                for message in wave:
                    self._send(message)
            self._answered.wait()
        finally:
            self._safe += unbroken(wave, self._confirmed)
        for message in wave:
            message.refused = message.id not in self._confirmed

    def _send(self, message: Message) -> None:
        if self._to is None and message.exchange not in self._exchanges:
            self._channel.exchange_declare(message.exchange, "topic", nowait=True, **DURABLE)
            self._exchanges.add(message.exchange)
        # An event states what has happened to whoever listens, and nobody may: it is safe once the
        # broker has it. A command that nobody would carry out is returned, and stays in the outbox.
        exchange = inbox_of(self._to) if self._to else message.exchange
        mandatory = message.is_command or self._to is not None
        route = (0, exchange, message.envelope.type, mandatory, False)
        # not by basic_publish, which reads from the connection before each message
        self._channel.send_method(Basic.Publish, "Bssbb", route, self._content(message))

    def _content(self, message: Message) -> Any:
        envelope = message.envelope
        headers: dict[str, Any] = envelope.headers() | {"slot": message.slot(self._bus.slots)}
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
        self._connection = connection = connect(self._bus.uri, self._on_blocked)
        if not lock(connection, self._service):
            raise BusDown("the connection of another relay still lives")
        if self._blocked:  # what was blocked has ended, or there would still be the other
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
                self._confirmed.add(message.id)
        if not self._unconfirmed and not self._answered.ready():
            self._answered.send()

    def _on_blocked(self, *, blocked: bool) -> None:
        """Note that the broker reads nothing because of an alarm (memory, disk), or reads again."""
        self._blocked = blocked
        metrics.BROKER_BLOCKED.set(blocked)
        log("bus").warning("broker blocks publishing" if blocked else "broker goes on")

    def _on_return(self, _why: Exception, _exchange: str, _key: str, content: Any) -> None:
        self._returned.add(content.properties["message_id"])  # its confirm is still to come

    def drop(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._reader is not None:
                end(self._reader)
            connection.collect()

    def leave(self) -> None:
        """Close the connection, so that another may begin, and look no more whether the broker
        blocks."""
        if (connection := self._connection) is not None:
            if self._reader is not None:
                end(self._reader)
            with suppress(*BROKEN), eventlet.Timeout(1, BusDown):
                connection.close()
        self.drop()
        if self._blocked:
            self._on_blocked(blocked=False)


class _Cork:
    """Holds back what is written to a connection, so that many messages go out at once."""

    def __init__(self, connection: Any) -> None:
        self._through = connection.transport.write
        self._held: list[bytes] | None = None
        connection.frame_writer = frame_writer(connection, self)

    def write(self, data: Any) -> None:
        """Write, or keep until the end of the block; the writer uses its buffer again at once."""
        if self._held is None:
            self._through(data)
        else:
            self._held.append(bytes(data))

    def __enter__(self) -> None:
        """Hold back."""
        self._held = []

    def __exit__(self, *_: object) -> None:
        """Let go, also of what comes while the connection takes it: a heartbeat say."""
        try:
            while self._held:
                data = b"".join(self._held)
                self._held.clear()
                self._through(data)
        finally:
            self._held = None


class _Inbox:
    """The inbox of one service: the connection that fills an inlet for each slot it serves.

    Test modes of delivery give another `inlet_kind`.
    """

    inlet_kind: type[RabbitInlet]

    def __init__(self, settings: Settings, service: str, bindings: Bindings, slots: int) -> None:
        self._settings = settings
        self.service = service
        self._bindings = bindings
        self.slots = slots
        self.connected = False
        self.until = math.inf
        """Until when (of `time.monotonic`) more may be received than is already: not while it could
        not be handled, since what comes back too often is set aside by the broker, nor when
        another may serve a slot by now, to whom it would come first."""
        self.kept_until = math.inf
        """Until when what was received is kept: it goes back when nobody here could handle it for
        longer than a lease lasts, so that whoever can is given it."""
        self.on_missing: Callable[[int], bool] = lambda _slot: True
        """Called before a queue that is not there is declared: what it held may be lost. False
        where it is not to be declared, since the slot is another replica's by now."""
        self.on_declared: Callable[[int], None] = lambda _slot: None
        """Called when such a queue has been declared."""
        self.ready = Event()
        """Comes with the first connection, or with a `Misconfigured` that no other would mend."""
        self._inlets: dict[int, RabbitInlet] = {}
        self._leaving: list[tuple[RabbitInlet, Event]] = []
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

    def open(self, slot: int) -> RabbitInlet:
        """Begin to receive what comes for a slot, as soon as there is a connection."""
        inlet = self._inlets[slot] = self.inlet_kind(slot, self.slots)
        return inlet

    def leave(self, inlet: Inlet) -> None:
        """Close an inlet's channel, and wait: what it was given goes to who serves it next. Where
        the line is dead that is the broker's to do."""
        gone = self._inlets.pop(inlet.slot)
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
                _serve(self._connection, LOOK_EVERY, self._tend)
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
        receives = any(inlet.channel is not None for inlet in self._inlets.values())
        if receives and time.monotonic() >= self.kept_until:
            raise BusDown("leases cannot be renewed")
        for inlet in [*self._inlets.values()]:
            if self._inlets.get(inlet.slot) is not inlet or inlet.channel is not None:
                continue
            if time.monotonic() < self.until:
                self._consume(inlet)

    def connect(self) -> None:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            self._connection = connection = connect(self._settings.amqp_uri)
            declare(connection, self.service, self._bindings, self.slots)

    def _consume(self, inlet: RabbitInlet) -> None:
        """Receive for a slot; a queue that is not there is declared, once that is known of."""
        queue, connection = queue_of(self.service, inlet.slot), self._connection
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            there = is_there(connection, queue)
        if not there and not self.on_missing(inlet.slot):
            return
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            declare_queue(connection, self.service, inlet.slot)
        if not there:
            self.on_declared(inlet.slot)
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            ahead = max(AHEAD, 2 * self._settings.batch)
            inlet.consume(connection.channel(), queue, ahead, self._gone)

    @staticmethod
    def _gone(queue: str) -> None:
        raise BusDown(f"the queue {queue} was taken away")

    def _forget(self) -> None:
        self.connected = False
        for inlet in self._inlets.values():
            inlet.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()
        for _, closed in self._leaving:
            closed.send()
        self._leaving.clear()

    def close(self) -> None:
        """Close the connection; whoever waits at an inlet gets `Closed`."""
        self._closed = True
        end(self._reader)
        for inlet in self._inlets.values():
            inlet.close()
        if self._connection is not None:
            with suppress(*BROKEN), eventlet.Timeout(1, BusDown):
                self._connection.close()
        self._forget()


class RabbitInlet:
    """One of so many slots of an inbox: what its queue has delivered, on a channel of its own."""

    def __init__(self, slot: int, slots: int) -> None:
        self.slot = slot
        self.slots = slots
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
        """Take what the queue has delivered; what is no message for this slot goes to the dead
        letters, alone."""
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
        if slot_of(envelope.partitionkey, self.slots) != self.slot:
            raise ValueError("its slot is not that of its key")
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


_Inbox.inlet_kind = RabbitInlet


def waves(messages: Sequence[Message], *, returnable: bool = False) -> list[list[Message]]:
    """Part messages into waves, every key's in their order.

    What follows a command in its key waits for the next wave: a command may be returned, since
    nobody carries it out yet, and then nothing may have overtaken it. So does everything that is
    `returnable`. Events go together: what a queue gets over one channel it gets in its order
    (docs/decisions/0023).
    """
    made: dict[int, list[Message]] = defaultdict(list)
    place: dict[str, int] = defaultdict(int)
    for message in messages:
        key = message.envelope.partitionkey
        made[place[key]].append(message)
        place[key] += returnable or message.is_command
    return list(made.values())


def unbroken(wave: Sequence[Message], confirmed: Collection[str]) -> list[Message]:
    """Give the messages that are confirmed, each key's up to the first that is not."""
    broken: set[str] = set()
    whole = []
    for message in wave:
        if message.id not in confirmed:
            broken.add(message.envelope.partitionkey)
        elif message.envelope.partitionkey not in broken:
            whole.append(message)
    return whole


def hopeless(service: str, error: Exception) -> Misconfigured | None:
    """Tell of an error that trying again would not mend."""
    if isinstance(error, Misconfigured):
        return error
    if isinstance(error, PreconditionFailed):
        return Misconfigured(f"RabbitMQ holds {service}.inbox in another form: {error.reply_text}.")
    if isinstance(error, AccessRefused | NotAllowed):
        return Misconfigured(f"RabbitMQ does not permit it: {error.reply_text}.")
    return None


def prepare(
    settings: Settings, service: str, bindings: Bindings, slots: int, served: Collection[int]
) -> int:
    """Declare the inbox of a service, and those queues of it that never were; gives how many."""
    made = 0
    try:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            connection = connect(settings.amqp_uri)
            try:
                declare(connection, service, bindings, slots)
                for slot in range(slots):
                    new = not is_there(connection, queue_of(service, slot))
                    if slot not in served:
                        declare_queue(connection, service, slot)
                        made += new
            finally:
                connection.collect()
    except Exception as error:
        raise hopeless(service, error) or error from None
    return made


@contextmanager
def administering(settings: Settings) -> Iterator[Any]:
    """Give a connection for an operator's command; raises `BusDown`."""
    try:
        connection = connect(settings.amqp_uri)
        try:
            yield connection
        finally:
            connection.collect()
    except BROKEN as error:
        raise BusDown(str(error) or repr(error)) from error


def standing(connection: Any, services: Iterable[str], slots: int) -> tuple[int, int]:
    """Count the messages that are ready in the queues of these services, and the consumers, which
    may have others in hand."""
    found = [
        _found(connection, queue_of(service, slot)) for service in services for slot in range(slots)
    ]
    return sum(ready for ready, _ in filter(None, found)), sum(n for _, n in filter(None, found))


def refuse_any_message(connection: Any, queues: Iterable[str]) -> None:
    """Go on only if each of these queues is there no more, or surely empty; raises `BusDown`.

    RabbitMQ says that a queue is empty and that nobody consumes it also where the queue does not
    answer in time. So it is consumed: it must count this one consumer, and have given it nothing.
    """
    for queue in queues:
        if _found(connection, queue) is None:
            continue
        with connection.channel() as channel:
            given = list[Any]()
            channel.basic_qos(prefetch_size=0, prefetch_count=1, a_global=False)
            channel.basic_consume(queue, callback=given.append)
            found = channel.queue_declare(queue, passive=True)
            channel.basic_qos(prefetch_size=0, prefetch_count=1, a_global=False)  # given by then
            if (found.message_count, found.consumer_count) != (0, 1) or given:
                raise BusDown(f"{queue} is not empty, or does not answer")


def remake(connection: Any, service: str, bindings: Bindings, before: int, slots: int) -> None:
    """Take away the queues of a service, and make so many; one that is not empty, or that somebody
    consumes, is kept, and raises `BusDown`."""
    slot = 0
    while (found := _found(connection, queue_of(service, slot))) or slot < max(before, slots):
        if found and any(found):
            raise BusDown(f"{queue_of(service, slot)} is not empty")
        if found:
            with connection.channel() as channel:
                channel.queue_delete(queue_of(service, slot))
        slot += 1
    declare(connection, service, bindings, slots)
    for slot in range(slots):
        declare_queue(connection, service, slot)


def lock(connection: Any, service: str) -> bool:
    """Be the only connection that may publish for a service, until it ends; False while another is.
    `SLOTS` is what only one may change, as if it were a service.

    A process that is stopped keeps it until the broker misses its heartbeat and ends the
    connection: from then on nothing of it arrives, whatever it sends when it goes on.
    """
    channel = connection.channel()
    only = {"exclusive": True, "durable": False, "auto_delete": False}
    try:
        channel.queue_declare(lock_of(service), arguments={"x-queue-type": "classic"}, **only)
    except ResourceLocked:
        return False  # the broker has closed the channel
    channel.close()
    return True


def lock_of(service: str) -> str:
    """Name the queue by which one relay of a service at a time publishes."""
    return f"{service}.relay"


def queue_of(service: str, slot: int) -> str:
    """Name the queue of a slot."""
    return f"{inbox_of(service)}.{slot}"


def inbox_of(service: str) -> str:
    """Name the exchange that feeds the queues of a service."""
    return f"{service}.inbox"


def connect(uri: str, on_blocked: Callable[..., None] | None = None) -> Any:
    """Connect to the broker, or to one of a cluster's nodes: py-amqp's connection, whose confirms
    can be told apart."""
    told = on_blocked or (lambda **_blocked: None)
    client = Connection(  # type: ignore[no-untyped-call]
        random.choice(uri.split(";")),
        heartbeat=HEARTBEAT,
        connect_timeout=CONNECT_WITHIN,
        transport_options={
            "frame_handler": reader_of,
            "on_blocked": lambda _why: told(blocked=True),
            "on_unblocked": lambda: told(blocked=False),
        },
    )
    return client.transport.establish_connection()


def _serve(
    connection: Any,
    longest: float = HEARTBEAT / 4,
    tend: Callable[[], None] = lambda: None,
) -> None:
    """Read from a connection until it breaks; keep its heartbeat, and let others run. `longest` is
    how many seconds it waits for something to read before it tends to the rest."""
    tick = rest = 0.0
    while True:
        with suppress(TimeoutError):
            connection.drain_events(timeout=longest)
        now = time.monotonic()
        if now >= rest:
            tend()
        if now >= tick:
            connection.heartbeat_tick()
            tick = now + HEARTBEAT / 4
        if now >= rest:
            eventlet.sleep(0)
            rest = now + 0.02


def is_there(connection: Any, queue: str) -> bool:
    """Tell whether a queue is there."""
    return _found(connection, queue) is not None


def _found(connection: Any, queue: str) -> tuple[int, int] | None:
    """Count a queue's ready messages, and its consumers; None when it is not there."""
    channel = connection.channel()
    try:
        found = channel.queue_declare(queue, passive=True)
    except NotFound:
        return None  # the broker has closed the channel
    channel.close()
    return int(found.message_count), int(found.consumer_count)


def declare(connection: Any, service: str, bindings: Bindings, slots: int) -> None:
    """Declare where a service publishes and listens, and its dead letters; not its queues."""
    inbox, dead = inbox_of(service), f"{service}.dead"
    if is_there(connection, queue_of(service, slots)):
        raise Misconfigured(f"RabbitMQ holds {inbox} with more slots than the {slots} agreed on.")
    everyone = {f"{kind.service}.events" for kind in contracts().values() if kind.service}
    routes = {(e, kind) for name, kind in bindings for e in (everyone if name == ANY else {name})}
    with connection.channel() as channel:
        for exchange in sorted(
            {f"{service}.events", f"{service}.commands"} | {e for e, _ in routes}
        ):
            channel.exchange_declare(exchange, "topic", **DURABLE)
        channel.exchange_declare(inbox, "headers", **DURABLE)
        channel.exchange_declare(dead, "fanout", **DURABLE)
        channel.queue_declare(dead, arguments={"x-queue-type": "quorum"}, **DURABLE)
        channel.queue_bind(dead, dead)
        for exchange, kind in sorted(routes):
            channel.exchange_bind(inbox, exchange, kind)


def declare_queue(connection: Any, service: str, slot: int) -> None:
    """Declare the queue of a slot, and have the inbox feed it."""
    inbox, queue = inbox_of(service), queue_of(service, slot)
    arguments = SLOT_QUEUE | {"x-dead-letter-exchange": f"{service}.dead"}
    with connection.channel() as channel:
        channel.queue_declare(queue, arguments=arguments, **DURABLE)
        channel.queue_bind(queue, inbox, arguments={"x-match": "all", "slot": slot})
