"""On RabbitMQ and PostgreSQL nobody is found in clear either: in no message, table or answer."""

import json

import amqp
import pytest

from tests.broker.conftest import NAMES, start_anew
from tests.district import DistributedDistrict
from tests.people import FAILS, PUBLIC, Telling, dumped, found, left_by
from tests.receivers import Receiver


@pytest.fixture
def month(postgres, rabbitmq, tmp_path):
    """All that a month of a distributed district leaves, and what its broker has carried."""
    start_anew(postgres, rabbitmq)
    where = tmp_path / "distributed"
    district = DistributedDistrict(where, postgres, rabbitmq, webhooks_to="private")
    receiver = Receiver()
    try:
        with amqp.Connection(rabbitmq.partition("@")[2].rstrip("/")) as connection:
            channel = connection.channel()
            queue = channel.queue_declare(exclusive=True).queue
            for name in NAMES:
                for exchange in ("events", "commands"):
                    channel.queue_bind(queue, f"{name}.{exchange}", "#")
            # what follows the failure of the gateway would wait, and the district never rest
            telling = Telling(district, receiver, failing=["insurance"])
            telling.run(scale=0.002)
            hosted = dict(_messages(channel, queue))
            for name in NAMES:
                hosted |= _messages(channel, f"{name}.dead")
        yield left_by(district, telling) | hosted, telling.people, dumped(district)
    finally:
        district.stop()
        receiver.close()


def _messages(channel, queue):
    """Give the messages of a queue, with all their headers."""
    while message := channel.basic_get(queue, no_ack=True):
        said = json.dumps([message.properties, message.delivery_info], default=str)
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        yield f"message {message.delivery_tag} of {queue}", body + said.encode()


def test_nobody_is_found_in_what_is_carried_or_kept(month):
    places, people, kept = month
    assert found(people, places) == []
    where = {place.partition(" ")[0] for place, _, _ in found([PUBLIC], places)}
    assert {"message", "gateway.events", "filing.outbox", "webhook", "feed"} <= where
    assert FAILS["insurance"].encode() in kept["insurance.parked_messages"]
    assert any(FAILS["insurance"].encode() in said for place, said in places.items()
               if place.startswith("message"))  # fmt: skip
