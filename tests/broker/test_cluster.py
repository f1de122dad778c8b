"""A cluster of three private nodes, of which one may be killed."""

import amqp
import pytest

from tests import servers
from tests.broker.test_servers import BODY, connected
from tests.conftest import available
from tests.servers.programs import wait_until

QUEUE = "replicated"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, rabbitmq_version):
    folder = tmp_path_factory.mktemp("cluster")
    with available(servers.rabbitmq_cluster(folder, version=rabbitmq_version)) as nodes:
        yield nodes


def test_a_quorum_queue_goes_on_when_a_node_is_killed(cluster):
    first, second, third = cluster
    with connected(first) as connection:
        connection.channel().queue_declare(
            QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
    for node in cluster:
        node.sync()
    send(second, b"before")
    first.kill()  # which led the queue, as it was declared there
    send(second, b"after")
    assert [get(third), get(third)] == [b"before", b"after"]

    first.start()
    servers.await_cluster([second, first, third])
    second.kill()
    send(first, BODY)
    assert get(third) == BODY


def send(node, body):
    """Publish until it is confirmed, each time on a new connection.

    A queue without a leader refuses; RabbitMQ 3.10 then refuses that channel for good, although
    there is a leader again.
    """
    message = amqp.Message(body, delivery_mode=2)

    def is_confirmed():
        with connected(node, confirm_publish=True) as connection:
            try:
                connection.channel().basic_publish_confirm(
                    message, routing_key=QUEUE, mandatory=True, confirm_timeout=30
                )
            except amqp.exceptions.MessageNacked:
                return False
            return True

    wait_until(is_confirmed, f"{body} is confirmed", seconds=60)


def get(node):
    with connected(node) as connection:
        return connection.channel().basic_get(QUEUE, no_ack=True).body
