"""What an operator asks of the broker, changing nothing there."""

from __future__ import annotations

from typing import Any

import eventlet
from amqp import Message
from amqp.exceptions import AccessRefused, NotFound

from chassis.messaging.bus import BusDown
from chassis.rabbitmq import topology
from chassis.settings import Settings

LOOK_WITHIN = 10.0
"""Seconds for which the broker may take its time."""


def missing_at_broker(settings: Settings, service: str, partitions: int) -> list[str]:
    """Name the exchanges and queues of a service that the broker lacks; raises what `BROKEN` names.

    Nothing is declared: that a queue is gone is for its service to notice, which then asks for
    what the queue held.
    """
    inbox, dead = topology.inbox_of(service), f"{service}.dead"
    exchanges = [f"{service}.events", f"{service}.commands", inbox, dead]
    queues = [*(topology.queue_of(service, partition) for partition in range(partitions)), dead]
    with eventlet.Timeout(LOOK_WITHIN, BusDown("the broker does not answer")):
        connection = topology.connect(settings.amqp_uri)
        try:
            lacks = [name for name in exchanges if not _has_exchange(connection, name)]
            return lacks + [name for name in queues if not topology.is_there(connection, name)]
        finally:
            connection.collect()


def may_publish(settings: Settings, service: str) -> bool:
    """Tell whether the account may publish in a service's name: it does, and takes it back."""
    with eventlet.Timeout(LOOK_WITHIN, BusDown("the broker does not answer")):
        connection = topology.connect(settings.amqp_uri)
        try:
            channel = connection.channel()
            channel.tx_select()
            channel.basic_publish(Message("{}"), f"{service}.events", "looked-after")
            channel.tx_rollback()
            topology.lock(connection, service)  # locked by the relay or not: it may be asked for
        except AccessRefused:
            return False
        finally:
            connection.collect()
    return True


def _has_exchange(connection: Any, name: str) -> bool:
    channel = connection.channel()
    try:
        channel.exchange_declare(name, "", passive=True)
    except NotFound:
        return False
    channel.close()
    return True
