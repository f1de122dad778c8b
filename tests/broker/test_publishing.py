"""What a relay sends: one at a time does, and what nobody takes holds back its keys alone."""

from collections import defaultdict
from datetime import UTC, datetime
from math import inf

import amqp
import eventlet
import pytest
from sqlalchemy import func, select

from chassis.message import Message
from chassis.messaging import relay as relaying
from chassis.messaging.relay import Relay
from chassis.rabbitmq import publisher
from chassis.rabbitmq.bus import RabbitBus
from chassis.rabbitmq.topology import declare_queue, prepare, queue_of
from chassis.storage.store import Store
from chassis.storage.tables import outbox
from console.runtime.district import SERVICES, TOPOLOGY
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope
from contracts.shapes import Id
from contracts.shared import Resend
from services.filing.service import Filings
from tests import PATIENCE
from tests.broker.conftest import until

SOON = 40
"""Seconds that a test waits for what never came before the mend."""


def command(to, key, number):
    """Make a command that every service hears; its id says which of its key it is."""
    since = datetime(2020, 2, 10, tzinfo=UTC)
    fact = Resend(receiver="filing", partition=0, since=since, marker=Id("marker"))
    return Message.of(fact, envelope(fact, key, number), to=to)


def event(key, number):
    """Make an event that others hear."""
    fact = FilingWithdrawn(enterprise_id=key, filing_id="1", reason="none")
    return Message.of(fact, envelope(fact, key, number))


def envelope(fact, key, number):
    moment = "2020-02-10T00:00:00Z"
    return Envelope(f"{key}:{number}", "filing", fact.type, moment, key, "cause")


@pytest.fixture
def say(settings):
    """Put messages in filing's outbox, in their order; return how many are unsent with `unsent`."""
    store = Store("filing", settings.database_of("filing"), Filings.metadata)
    for kind in SERVICES:
        prepare(settings, kind.name, TOPOLOGY[kind.name], settings.partitions, ())

    def these(*messages):
        with store.write() as uow:
            uow.outbox += messages

    def unsent():
        with store.engine.connect() as connection:
            query = select(func.count()).where(outbox.c.sent_at.is_(None))
            return connection.scalar(query)

    these.store, these.unsent = store, unsent
    yield these
    store.close()


@pytest.fixture
def start(settings, say):
    """Start relays of filing, each with a bus of its own."""
    made = []

    def one():
        bus = RabbitBus(settings, TOPOLOGY)
        relay = Relay(say.store, bus, 400, TOPOLOGY)
        relay.until = inf
        made.append(relay)
        eventlet.spawn(relay.run)
        return relay

    yield one
    for relay in made:
        relay.stop()
        relay.stopped.wait()
        relay.bus.close()


@pytest.fixture
def channel(rabbitmq):
    with amqp.Connection(rabbitmq.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        channel.confirm_select()
        yield channel


def standing(channel, service, partitions):
    """Count what is ready in a service's queues."""
    return sum(
        channel.queue_declare(queue_of(service, partition), passive=True).message_count
        for partition in range(partitions)
    )


def taken(channel, service, partitions):
    """Take all there is for a service; return the ids of each key, in their order."""
    left, found = standing(channel, service, partitions), defaultdict(list)

    def take(message):
        nonlocal left
        left -= 1
        if headers := message.headers:
            found[headers["cloudEvents_partitionkey"]].append(headers["cloudEvents_id"])

    tags = [
        channel.basic_consume(queue_of(service, partition), callback=take, no_ack=True)
        for partition in range(partitions)
    ]
    with eventlet.Timeout(PATIENCE):
        while left:
            channel.connection.drain_events()
    for tag in tags:
        channel.basic_cancel(tag)
    return found


def fill(channel, service, partitions):
    """Put something in each queue of a service until it takes no more."""
    for partition in range(partitions):

        def is_full(partition=partition):
            try:
                channel.basic_publish_confirm(amqp.Message("{}"), "", queue_of(service, partition))
            except amqp.exceptions.MessageNacked:
                return True
            return False

        until(is_full)


@pytest.fixture
def full(rabbitmq_server, channel, settings):
    """Let the queues of inspection be full, by a policy; return what ends that."""
    pattern, bound = "^inspection[.]inbox[.]", '{"max-length":1}'
    rabbitmq_server.ctl("set_policy", "full", pattern, bound, "--apply-to", "queues")
    ended = []

    def end():
        if not ended:
            ended.append(True)
            rabbitmq_server.ctl("clear_policy", "full")

    yield end
    end()


KEYS = [f"shop-{number}" for number in range(150)]
IN_ORDER = {key: [f"{key}:{number}" for number in range(3)] for key in KEYS}


def to_inspection():
    return [command("inspection", key, number) for number in range(3) for key in KEYS]


def to_insurance():
    return [command("insurance", f"medic-{number}", 0) for number in range(50)]


def test_what_a_full_queue_refuses_holds_back_nothing_for_others(
    say, full, channel, settings, start, monkeypatch
):
    monkeypatch.setattr(relaying, "LONGEST_WAIT", 0.5, raising=False)
    fill(channel, "inspection", settings.partitions)
    say(*to_inspection(), *to_insurance())
    start()
    until(lambda: standing(channel, "insurance", settings.partitions) == 50, SOON)
    until(lambda: say.unsent() == 450)
    full()
    until(lambda: not say.unsent())
    assert taken(channel, "inspection", settings.partitions) == IN_ORDER


def test_what_nobody_would_carry_out_holds_back_nothing_for_others(
    say, channel, settings, start, monkeypatch
):
    monkeypatch.setattr(relaying, "LONGEST_WAIT", 0.5, raising=False)
    relay = start()
    until(relay.bus._open.ready)
    for partition in range(settings.partitions):
        channel.queue_delete(queue_of("inspection", partition))
    say(*to_inspection(), *to_insurance())
    until(lambda: standing(channel, "insurance", settings.partitions) == 50, SOON)
    until(lambda: say.unsent() == 450)
    for partition in range(settings.partitions):
        declare_queue(channel.connection, "inspection", partition)
    until(lambda: not say.unsent())
    assert taken(channel, "inspection", settings.partitions) == IN_ORDER


def test_a_relay_that_was_stopped_between_two_waves_is_not_joined_by_another(
    say, channel, settings, start, monkeypatch
):
    """Its lease is gone, and it goes on all the same: a process may be stopped anywhere."""
    between, on = eventlet.event.Event(), eventlet.event.Event()
    publish, publish_batches = publisher.Publisher._publish_batch, []

    def slowly(publisher, publish_batch):
        if publisher in first.bus._publishers.values():
            publish_batches.append(publish_batch)
            if len(publish_batches) == 2:
                between.send()
                on.wait()
        publish(publisher, publish_batch)

    monkeypatch.setattr(publisher.Publisher, "_publish_batch", slowly)
    monkeypatch.setattr(publisher, "CONFIRM_WITHIN", 1000.0)
    said = [command("inspection", "shop", number) for number in range(3)]
    first = start()
    say(*said)
    first.wake()
    with eventlet.Timeout(SOON):
        between.wait()
    first.until = 0.0
    second = start()
    refused = []
    warn = second.log.warning
    second.log = type("Log", (), {"warning": lambda _, *a, **k: (refused.append(k), warn(*a, **k)),
                                  "info": second.log.info})()  # fmt: skip
    say(command("inspection", "shop", 3))
    until(lambda: refused or not say.unsent(), SOON)
    on.send()
    until(lambda: not say.unsent())
    until(lambda: not first.busy)
    assert taken(channel, "inspection", settings.partitions) == {
        "shop": [f"shop:{n}" for n in range(4)]
    }


def test_a_batch_is_not_taken_up_again_by_a_connection_that_is_made_in_its_midst(
    say, channel, settings, start, monkeypatch
):
    """The process is stopped between two publish batches, and the broker ends its connection:
    another has published since."""
    between, on = eventlet.event.Event(), eventlet.event.Event()
    publish, publish_batches = publisher.Publisher._publish_batch, []

    def slowly(publisher, publish_batch):
        if publisher in first.bus._publishers.values():
            publish_batches.append(publish_batch)
            if len(publish_batches) == 2:
                publisher.drop()
                between.send()
                on.wait()
        publish(publisher, publish_batch)

    monkeypatch.setattr(publisher.Publisher, "_publish_batch", slowly)
    monkeypatch.setattr(publisher, "CONFIRM_WITHIN", 1000.0)
    first = start()
    say(*(command("inspection", "shop", number) for number in range(3)))
    first.wake()
    with eventlet.Timeout(SOON):
        between.wait()
    first.until = 0.0
    start()
    say(command("inspection", "shop", 3))
    until(lambda: not say.unsent(), SOON)
    on.send()
    until(lambda: not first.busy)
    there = [f"shop:{number}" for number in (0, 0, 1, 2, 3)]
    assert taken(channel, "inspection", settings.partitions) == {"shop": there}
