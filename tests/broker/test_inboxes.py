"""An inbox as the broker sees it: who consumes what, however quickly partitions come and go."""

import amqp
import eventlet

from chassis.rabbitmq import bus, topology
from chassis.rabbitmq import inbox as inbox_module
from chassis.settings import Settings
from tests import PATIENCE
from tests.broker.conftest import until


def consumers(uri, queue):
    """Count the consumers of a queue; one that is not there yet has none."""
    with amqp.Connection(uri.partition("@")[2].rstrip("/")) as connection:
        try:
            return connection.channel().queue_declare(queue, passive=True).consumer_count
        except amqp.NotFound:
            return 0


def test_a_partition_given_up_while_its_channel_is_being_opened_has_no_consumer(
    postgres, rabbitmq, monkeypatch
):
    """Or the queue's single active consumer is one that nobody reads, and its keys stand still."""
    opening = eventlet.event.Event()
    real = topology.declare_queue

    def slowly(*given):
        real(*given)
        opening.send()
        eventlet.sleep(0.5)

    monkeypatch.setattr(inbox_module, "declare_queue", slowly)
    settings = Settings(amqp_uri=rabbitmq, database_url=postgres)
    inbox = bus.RabbitBus(settings, {}).inbox("filing", frozenset())
    with eventlet.Timeout(PATIENCE):
        inbox.ready.wait()
        partition_consumer = inbox.open(0)
        opening.wait()
        partition_consumer.close()
        inbox.leave(partition_consumer)
    monkeypatch.undo()
    with eventlet.Timeout(PATIENCE):
        inbox.open(1)
        until(lambda: consumers(rabbitmq, "filing.inbox.1") == 1)  # so it has looked again
        assert consumers(rabbitmq, "filing.inbox.0") == 0
        inbox.open(0)
        until(lambda: consumers(rabbitmq, "filing.inbox.0") == 1)
    inbox.close()


def test_an_inbox_closes_while_it_declares_a_queue(postgres, rabbitmq_server, monkeypatch):
    """The broker is slow to answer, and a process that is asked to stop just then ends well."""
    declaring = eventlet.event.Event()

    def for_long(connection, *_):
        with connection.channel():
            declaring.send()
            eventlet.sleep(60)

    monkeypatch.setattr(inbox_module, "declare_queue", for_long)
    monkeypatch.setattr(inbox_module, "OPEN_WITHIN", 5.0)
    settings = Settings(amqp_uri=rabbitmq_server.uri, database_url=postgres)
    inbox = bus.RabbitBus(settings, {}).inbox("filing", frozenset())
    with eventlet.Timeout(PATIENCE):
        inbox.ready.wait()
        inbox.open(0)
        declaring.wait()
        rabbitmq_server.pause()
        try:
            inbox.close()
        finally:
            rabbitmq_server.resume()
        until(lambda: inbox._reader.dead)
