"""Read-only checks of the broker for operators."""

from __future__ import annotations

from typing import Any

import eventlet
from amqp import Message
from amqp.exceptions import AccessRefused, NotFound

from chassis.messaging.bus import BusDown
from chassis.rabbitmq import topology
from chassis.settings import Settings

LOOK_WITHIN = 10.0
"""Seconds that a check may take."""


def missing_at_broker(settings: Settings, service: str, partitions: int) -> list[str]:
    """Return the exchanges and queues of a service that the broker lacks; raises the errors in
    `BROKEN`.

    Nothing is declared: the service itself must notice a missing queue, to request its messages.
    """
    inbox, dead = topology.inbox_of(service), f"{service}.dead"
    exchanges = [f"{service}.events", f"{service}.commands", inbox, dead]
    queues = [*(topology.queue_of(service, partition) for partition in range(partitions)), dead]
    with eventlet.Timeout(LOOK_WITHIN, BusDown("the broker does not respond")):
        connection = topology.connect(settings.amqp_uri)
        try:
            lacks = [name for name in exchanges if not _has_exchange(connection, name)]
            return lacks + [name for name in queues if not topology.is_there(connection, name)]
        finally:
            connection.collect()


def may_publish(settings: Settings, service: str) -> bool:
    """Return whether the account may publish for a service: publishes, then rolls back."""
    with eventlet.Timeout(LOOK_WITHIN, BusDown("the broker does not respond")):
        connection = topology.connect(settings.amqp_uri)
        try:
            channel = connection.channel()
            channel.tx_select()
            channel.basic_publish(Message("{}"), f"{service}.events", "looked-after")
            channel.tx_rollback()
            topology.lock(connection, service)  # permitted, whether or not the relay holds it
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
