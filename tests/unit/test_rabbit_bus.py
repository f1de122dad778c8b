"""The bus over RabbitMQ, as far as it needs no broker."""

import pytest

from chassis.message import Message, partition_of
from chassis.messaging.bus import BusDown
from chassis.rabbitmq.bus import RabbitBus
from chassis.settings import Settings
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope

NOWHERE = Settings(
    amqp_uri="amqp://127.0.0.1:9//", database_url="postgresql://127.0.0.1:9/{service}"
)


@pytest.fixture
def bus():
    made = RabbitBus(NOWHERE, {})
    yield made
    made.close()


def withdrawn(key):
    fact = FilingWithdrawn(filing_id=f"f-{key}", enterprise_id=key, reason="a mistake")
    envelope = Envelope("an-id", "filing", fact.type, "2020-02-10T00:00:00Z", key, "a-request")
    return Message.of(fact, envelope)


def test_a_message_goes_to_the_partition_of_the_number_that_is_agreed_on_now(bus):
    """An operator changes it while the process runs, and the relay goes on with its publisher."""
    bus._open.send()
    with pytest.raises(BusDown):
        bus.claim("filing", lambda: True)
    publisher, message = bus._publishers["filing"], withdrawn("shop-17")
    stamped = set()
    for number in (8, 3, 12):
        bus.partitions = number
        content = publisher._content(message)
        stamped.add((number, content.properties["application_headers"]["partition"]))
    assert stamped == {(number, partition_of("shop-17", number)) for number in (8, 3, 12)}
    assert len({partition for _, partition in stamped}) > 1
