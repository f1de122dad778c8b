"""The exchanges and queues of a service on RabbitMQ: names, declaration and changes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import eventlet
from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from kombu.connection import Connection

from chassis.messaging.bus import ANY, Bindings, BusDown
from chassis.rabbitmq.frames import reader_of
from chassis.settings import Misconfigured, Settings
from contracts.catalogue import contracts

CONNECT_WITHIN, OPEN_WITHIN, CONFIRM_WITHIN = 5.0, 20.0, 10.0
"""Maximum seconds for the handshake, for declaring an inbox, and for the confirms of a publish
batch."""
HEARTBEAT = 3
"""Seconds. Broker and client close a connection that was silent for two to three times as long. It
is short, since another replica receives nothing before; but a process that still renews its leases,
on a busy machine too, is never silent for longer than `leases.LEASE`."""


PARTITIONS = "partitions"
"""The lock for changing the number of partitions, held by one command at a time."""


BROKEN = (AMQPError, OSError, BusDown)


DURABLE = {"durable": True, "auto_delete": False}


PARTITION_QUEUE = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-delivery-limit": 100,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def hopeless(service: str, error: Exception) -> Misconfigured | None:
    """Return the `Misconfigured` for an error that retrying would not fix, or None."""
    if isinstance(error, Misconfigured):
        return error
    if isinstance(error, PreconditionFailed):
        return Misconfigured(f"RabbitMQ holds {service}.inbox in another form: {error.reply_text}.")
    if isinstance(error, AccessRefused | NotAllowed):
        return Misconfigured(f"RabbitMQ does not permit it: {error.reply_text}.")
    return None


def prepare(
    settings: Settings, service: str, bindings: Bindings, partitions: int, served: Collection[int]
) -> int:
    """Declare the inbox of a service, and its queues that never existed; return how many."""
    declared = 0
    try:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
            connection = connect(settings.amqp_uri)
            try:
                declare(connection, service, bindings, partitions)
                for partition in range(partitions):
                    new = not is_there(connection, queue_of(service, partition))
                    if partition not in served:
                        declare_queue(connection, service, partition)
                        declared += new
            finally:
                connection.collect()
    except Exception as error:
        raise hopeless(service, error) or error from None
    return declared


@contextmanager
def administering(settings: Settings) -> Iterator[Any]:
    """Return a connection for an operator's command; raises `BusDown`."""
    try:
        connection = connect(settings.amqp_uri)
        try:
            yield connection
        finally:
            connection.collect()
    except BROKEN as error:
        raise BusDown(str(error) or repr(error)) from error


def standing(connection: Any, services: Iterable[str], partitions: int) -> tuple[int, int]:
    """Count the ready messages and the consumers of the queues of these services; consumers may
    hold more messages."""
    counts = [
        _counts(connection, queue_of(service, partition))
        for service in services
        for partition in range(partitions)
    ]
    return sum(ready for ready, _ in filter(None, counts)), sum(n for _, n in filter(None, counts))


def refuse_any_message(connection: Any, queues: Iterable[str]) -> None:
    """Make sure that each of these queues is gone or empty; raises `BusDown`.

    RabbitMQ also reports an empty queue without consumers if the queue does not respond in time. So
    this consumes it: it must count this one consumer, and deliver nothing.
    """
    for queue in queues:
        if _counts(connection, queue) is None:
            continue
        with connection.channel() as channel:
            delivered = list[Any]()
            channel.basic_qos(prefetch_size=0, prefetch_count=1, a_global=False)
            channel.basic_consume(queue, callback=delivered.append)
            state = channel.queue_declare(queue, passive=True)
            channel.basic_qos(prefetch_size=0, prefetch_count=1, a_global=False)  # sent by then
            if (state.message_count, state.consumer_count) != (0, 1) or delivered:
                raise BusDown(f"{queue} is not empty, or does not respond")


def remake(connection: Any, service: str, bindings: Bindings, before: int, partitions: int) -> None:
    """Delete the queues of a service, and declare the new number; one that is not empty or has a
    consumer is kept, and raises `BusDown`."""
    partition = 0
    while (counts := _counts(connection, queue_of(service, partition))) or partition < max(
        before, partitions
    ):
        if counts and any(counts):
            raise BusDown(f"{queue_of(service, partition)} is not empty")
        if counts:
            with connection.channel() as channel:
                channel.queue_delete(queue_of(service, partition))
        partition += 1
    declare(connection, service, bindings, partitions)
    for partition in range(partitions):
        declare_queue(connection, service, partition)


def lock(connection: Any, service: str) -> bool:
    """Become the only connection that may publish for a service, until it ends; False while another
    is. `PARTITIONS` is locked like a service.

    A suspended process keeps the lock until the broker misses its heartbeat and closes the
    connection: from then on nothing it sends arrives.
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
    """Return the name of the queue that locks publishing for a service."""
    return f"{service}.relay"


def queue_of(service: str, partition: int) -> str:
    """Return the name of the queue of a partition."""
    return f"{inbox_of(service)}.{partition}"


def inbox_of(service: str) -> str:
    """Return the name of the exchange that feeds the queues of a service."""
    return f"{service}.inbox"


def connect(uri: str, on_blocked: Callable[..., None] | None = None) -> Any:
    """Connect to the broker, or to a node of its cluster; return a py-amqp connection that
    distinguishes confirms and refusals."""
    callback = on_blocked or (lambda **_blocked: None)
    client = Connection(  # type: ignore[no-untyped-call]
        random.choice(uri.split(";")),
        heartbeat=HEARTBEAT,
        connect_timeout=CONNECT_WITHIN,
        transport_options={
            "frame_handler": reader_of,
            "on_blocked": lambda _why: callback(blocked=True),
            "on_unblocked": lambda: callback(blocked=False),
        },
    )
    return client.transport.establish_connection()


def serve_connection(
    connection: Any,
    longest: float = HEARTBEAT / 4,
    tend: Callable[[], None] = lambda: None,
) -> None:
    """Read from a connection until it breaks; send its heartbeats, and yield to other green
    threads. `longest` is the maximum seconds it waits for data before it calls `tend`."""
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
    """Return whether a queue exists."""
    return _counts(connection, queue) is not None


def _counts(connection: Any, queue: str) -> tuple[int, int] | None:
    """Return the numbers of a queue's ready messages and consumers; None if it does not exist."""
    channel = connection.channel()
    try:
        state = channel.queue_declare(queue, passive=True)
    except NotFound:
        return None  # the broker has closed the channel
    channel.close()
    return int(state.message_count), int(state.consumer_count)


def declare(connection: Any, service: str, bindings: Bindings, partitions: int) -> None:
    """Declare the exchanges of a service and its queue of dead letters; not its inbox queues."""
    inbox, dead = inbox_of(service), f"{service}.dead"
    if is_there(connection, queue_of(service, partitions)):
        raise Misconfigured(
            f"RabbitMQ holds {inbox} with more partitions than the {partitions} agreed on."
        )
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


def declare_queue(connection: Any, service: str, partition: int) -> None:
    """Declare the queue of a partition, and bind it to the inbox."""
    inbox, queue = inbox_of(service), queue_of(service, partition)
    arguments = PARTITION_QUEUE | {"x-dead-letter-exchange": f"{service}.dead"}
    with connection.channel() as channel:
        channel.queue_declare(queue, arguments=arguments, **DURABLE)
        channel.queue_bind(queue, inbox, arguments={"x-match": "all", "partition": partition})
