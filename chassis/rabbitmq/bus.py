"""The bus over RabbitMQ: each service publishes to its own exchanges and consumes its own inbox.

`{service}.events` and `{service}.commands` are topic exchanges, with the type as routing key. A
headers exchange `{service}.inbox`, bound to what the service listens to, feeds a quorum queue per
partition; the publisher stamps the partition. Each relay and each inbox has a connection of its
own. Messages in flight on a broken connection are dropped: the outbox resends them, the broker
redelivers them. The exclusive queue `{service}.relay` ensures that one relay at a time has a
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import eventlet
from eventlet.event import Event

from chassis.logs import log
from chassis.message import Message
from chassis.messaging.bus import Bindings, BusDown
from chassis.messaging.parked import pause
from chassis.rabbitmq.inbox import RabbitInbox
from chassis.rabbitmq.publisher import Publisher
from chassis.rabbitmq.topology import OPEN_WITHIN, connect, is_there, queue_of
from chassis.runtime.green import end
from chassis.settings import Settings


class RabbitBus:
    """The bus of one process in a distributed deployment.

    `topology` maps every service to its bindings, whether or not it runs in this process: nothing
    is published before every inbox exists.
    """

    def __init__(self, settings: Settings, topology: Mapping[str, Bindings]) -> None:
        self._settings = settings
        self._topology = topology
        self._publishers: dict[str, Publisher] = {}
        self._inboxes: list[RabbitInbox] = []
        self._open = Event()
        self.partitions = settings.partitions
        self.missing = "every inbox"
        self._opener = eventlet.spawn(self._wait_for_inboxes)

    @property
    def uri(self) -> str:
        """The broker's URI."""
        return self._settings.amqp_uri

    def claim(self, service: str, agreed: Callable[[], bool]) -> bool:
        """Become the only publisher of a service, once every inbox exists."""
        if not self._open.ready():
            return False
        if service not in self._publishers:
            self._publishers[service] = Publisher(self._settings, service, lambda: self.partitions)
        return self._publishers[service].claim(agreed)

    def let_go(self, service: str) -> None:
        """Release the right to publish for a service."""
        if service in self._publishers:
            self._publishers[service].leave()

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Publish the messages of one service; raises `BusDown` if the connection is lost before
        any is safe, or without a claim."""
        source = messages[0].envelope.source
        if source not in self._publishers:
            raise BusDown("publishing needs a claim first")
        return self._publishers[source].publish(messages, to)

    def inbox(self, service: str, bindings: Bindings) -> RabbitInbox:
        """Return the inbox of a service, which connects in the background."""
        inbox = RabbitInbox(self._settings, service, bindings, self.partitions)
        self._inboxes.append(inbox)
        return inbox

    def open(self) -> None:
        """Do nothing: publishing begins as soon as every inbox exists."""

    def connected(self) -> bool:
        """Return whether every inbox of this process is connected."""
        return all(inbox.connected for inbox in self._inboxes)

    def leave(self, service: str) -> None:
        """Close the connections of a service; unacknowledged messages are redelivered."""
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
        """Allow publishing once every service has declared its inbox, here or elsewhere."""
        tries, logged = 0, ""
        while True:
            try:
                self.missing = self._first_missing()
            except Exception as error:
                self.missing = f"the broker ({error or type(error).__name__})"
            if not self.missing:
                self._open.send()
                return
            if self.missing != logged:
                log("bus").warning("publishing waits", waits_for=self.missing)
                logged = self.missing
            tries += 1
            eventlet.sleep(pause(min(tries, 2)))

    def _first_missing(self) -> str:
        with eventlet.Timeout(OPEN_WITHIN, BusDown("the broker does not respond")):
            connection = connect(self.uri)
            try:
                for service in self._topology:
                    for partition in range(self.partitions):
                        if not is_there(connection, queue_of(service, partition)):
                            return queue_of(service, partition)
            finally:
                connection.collect()
        return ""
