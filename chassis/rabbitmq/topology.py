"""The exchanges and queues of a service on RabbitMQ: their names, how they are declared and
changed.
"""

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
"""Seconds for the handshake, for declaring an inbox, and for the confirms of a publish batch."""
HEARTBEAT = 3
"""Seconds. The broker closes what was silent for two to three times as long, and so do we: soon, as
another replica is given nothing before; but no process that still renews its leases, however busy
its machine, is silent for longer than `leases.LEASE`."""


PARTITIONS = "partitions"
"""What only one command may change at a time: it is locked as a service is."""


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
    """Tell of an error that trying again would not mend."""
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
    """Declare the inbox of a service, and those queues of it that never were; gives how many."""
    made = 0
    try:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not answer")):
            connection = connect(settings.amqp_uri)
            try:
                declare(connection, service, bindings, partitions)
                for partition in range(partitions):
                    new = not is_there(connection, queue_of(service, partition))
                    if partition not in served:
                        declare_queue(connection, service, partition)
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


def standing(connection: Any, services: Iterable[str], partitions: int) -> tuple[int, int]:
    """Count the messages that are ready in the queues of these services, and the consumers, which
    may have others in hand."""
    found = [
        _found(connection, queue_of(service, partition))
        for service in services
        for partition in range(partitions)
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


def remake(connection: Any, service: str, bindings: Bindings, before: int, partitions: int) -> None:
    """Take away the queues of a service, and make so many; one that is not empty, or that somebody
    consumes, is kept, and raises `BusDown`."""
    partition = 0
    while (found := _found(connection, queue_of(service, partition))) or partition < max(
        before, partitions
    ):
        if found and any(found):
            raise BusDown(f"{queue_of(service, partition)} is not empty")
        if found:
            with connection.channel() as channel:
                channel.queue_delete(queue_of(service, partition))
        partition += 1
    declare(connection, service, bindings, partitions)
    for partition in range(partitions):
        declare_queue(connection, service, partition)


def lock(connection: Any, service: str) -> bool:
    """Be the only connection that may publish for a service, until it ends; False while another is.
    `PARTITIONS` is what only one may change, as if it were a service.

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


def queue_of(service: str, partition: int) -> str:
    """Name the queue of a partition."""
    return f"{inbox_of(service)}.{partition}"


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


def serve_connection(
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


def declare(connection: Any, service: str, bindings: Bindings, partitions: int) -> None:
    """Declare where a service publishes and listens, and its dead letters; not its queues."""
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
    """Declare the queue of a partition, and have the inbox feed it."""
    inbox, queue = inbox_of(service), queue_of(service, partition)
    arguments = PARTITION_QUEUE | {"x-dead-letter-exchange": f"{service}.dead"}
    with connection.channel() as channel:
        channel.queue_declare(queue, arguments=arguments, **DURABLE)
        channel.queue_bind(queue, inbox, arguments={"x-match": "all", "partition": partition})
