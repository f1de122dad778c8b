"""Messages that are none: each goes to the dead letters by itself, whatever stands in it, ends no
process and takes no other message along."""

import json
from contextlib import contextmanager

import amqp
import psycopg
import pytest

from chassis.ids import new_id
from chassis.messaging.crash_guard import OFTEN
from chassis.rabbitmq import bus
from chassis.rabbitmq.topology import prepare, queue_of
from chassis.settings import Settings
from console.runtime.district import BROUGHT
from console.runtime.process import Process
from tests.broker.conftest import until
from tests.forged import headers_of, misfits, unreadable

PARTITIONS = Settings().partitions


@contextmanager
def gateway_of(settings, log):
    """Run a process of the gateway: it hears every event."""
    environ = {
        "CLOCK": "manual",
        "AMQP_URI": settings.amqp_uri,
        "DATABASE_URL": settings.database_url,
        "SEAL_KEY_FILE": settings.seal_key_file,
        "ISSUER_KEY_FILE": settings.issuer_key_file,
    }
    with Process(["run", "gateway", "--port", "0"], log, environ=environ) as process:
        yield process
        assert process.process.poll() is None, "a message has ended the process"


@pytest.fixture
def gateway(settings, tmp_path):
    with gateway_of(settings, tmp_path / "gateway.log") as process:
        yield process


@contextmanager
def channel_to(uri):
    address = uri.partition("@")[2].rstrip("/")
    with amqp.Connection(address, confirm_publish=True) as connection:
        yield connection.channel()


@pytest.fixture
def channel(rabbitmq, gateway, settings):
    with channel_to(rabbitmq) as channel:
        queues = [queue_of("gateway", partition) for partition in range(PARTITIONS)]
        until(lambda: sum(count(channel, queue, "consumers") for queue in queues) == PARTITIONS)
        yield channel


def count(channel, queue, what="messages"):
    """Count what is ready in a queue, or who consumes it; none where there is no such queue yet."""
    try:
        found = channel.connection.channel().queue_declare(queue, passive=True)
    except amqp.NotFound:
        return 0
    return found.consumer_count if what == "consumers" else found.message_count


def patrol():
    """Return the headers and the body of an event that the gateway keeps."""
    made = new_id()
    body = {"patrol_id": made, "agencies": ["market-regulation"], "officers": ["FZ-1"],
            "day": "2020-02-10"}  # fmt: skip
    return made, headers_of(PARTITIONS, id=made, partitionkey=made), json.dumps(body)


def publish(channel, headers, body, key="patrol-dispatched", exchange="gateway.inbox"):
    message = (
        body
        if isinstance(body, amqp.Message)
        else amqp.Message(
            body,
            content_type="application/json",
            delivery_mode=2,
            application_headers=headers,
        )
    )
    channel.basic_publish(message, exchange, key, mandatory=True)


def kept(settings):
    """Return the ids of the events that the gateway has kept, and what it has set aside."""
    with psycopg.connect(settings.database_of("gateway").replace("+psycopg", "")) as connection:
        events = {row[0] for row in connection.execute("SELECT id FROM events")}
        parked_messages = connection.execute("SELECT id, reason FROM parked_messages").fetchall()
    return events, parked_messages


def test_every_attribute_of_every_form_is_judged_and_ends_nothing(channel, settings):
    said, bad = set(), list(misfits(PARTITIONS))
    for number, (_name, headers) in enumerate(bad):
        _, _, body = patrol()
        publish(channel, headers, body)
        if number % 5 == 0:
            identity, fit, body = patrol()
            publish(channel, fit, body)
            said.add(identity)
    until(lambda: kept(settings)[0] == said)
    assert kept(settings) == (said, [])
    until(lambda: count(channel, "gateway.dead") == len(bad))


def test_properties_that_the_client_cannot_read_end_no_connection(channel, settings, gateway):
    said, bad = set(), 0
    for _ in range(3):
        for _name, message in unreadable(headers_of(PARTITIONS)):
            publish(channel, {}, message, exchange="gateway.inbox")
            bad += 1
            identity, fit, body = patrol()
            publish(channel, fit, body)
            said.add(identity)
    until(lambda: kept(settings)[0] == said)
    until(lambda: count(channel, "gateway.dead") == bad)
    assert "inbox disconnected" not in gateway.log.read_text()


def test_a_routing_key_that_is_no_text_hinders_nobody(channel, settings, gateway):
    identity, fit, body = patrol()
    publish(channel, fit, body, key=b"\xe9\xff")
    until(lambda: kept(settings)[0] == {identity})
    assert "inbox disconnected" not in gateway.log.read_text()


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"patrol_id": ' + '{"a": ' * 50_000,
        '{"patrol_id": 1e999999}',
        '{"patrol_id": "a\\u0000b", "agencies": [], "officers": [], "day": "2020-02-10"}',
        '{"patrol_id": "\\ud800", "agencies": [], "officers": [], "day": "2020-02-10"}',
    ],
)
def test_a_body_that_cannot_be_read_is_a_rejected_parked_message(channel, settings, body):
    headers = headers_of(PARTITIONS)
    publish(channel, headers, body)
    identity, fit, other = patrol()
    publish(channel, fit, other)
    until(lambda: kept(settings)[0] == {identity})
    until(
        lambda: (
            [parked_message for parked_message, _ in kept(settings)[1]]
            == [headers["cloudEvents_id"]]
        )
    )
    ((_, reason),) = kept(settings)[1]
    assert "is not readable" in reason


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("unicode_escape", r"\ud800"), ("utf-7", "+2AA-"), ("punycode", "a" * 100_000)],
)
def test_a_message_does_not_say_how_its_body_is_read(channel, settings, encoding, body):
    headers = headers_of(PARTITIONS)
    message = amqp.Message(body, content_encoding=encoding, application_headers=headers)
    publish(channel, headers, message)
    identity, fit, other = patrol()
    publish(channel, fit, other)
    until(lambda: kept(settings)[0] == {identity})
    until(
        lambda: (
            [parked_message for parked_message, _ in kept(settings)[1]]
            == [headers["cloudEvents_id"]]
        )
    )


@pytest.mark.parametrize("body", ["{}", "[", '{"lane": "x", "marker": 7}', "null"])
def test_a_marker_that_cannot_be_read_is_a_rejected_parked_message(channel, settings, body):
    headers = headers_of(PARTITIONS, type="resend-began")
    publish(channel, headers, body, key="resend-began")
    identity, fit, other = patrol()
    publish(channel, fit, other)
    until(lambda: kept(settings)[0] == {identity})
    until(
        lambda: (
            [parked_message for parked_message, _ in kept(settings)[1]]
            == [headers["cloudEvents_id"]]
        )
    )


@pytest.mark.parametrize(("receiver", "partition"), [("filing", 10_000_000), ("nobody", 0)])
def test_nothing_is_sent_again_to_a_partition_that_there_is_not(
    channel, settings, receiver, partition
):
    """Or the relay would look for its key, or its exchange, for ever."""
    asked = {"resend": "resend", "receiver": receiver, "partition": partition, "marker": new_id(),
             "since": "2020-02-10T00:00:00Z", "by": "rule"}  # fmt: skip
    headers = headers_of(PARTITIONS, type="resend", partitionkey="resend", source="filing")
    headers["exchange"] = "gateway.commands"
    publish(channel, headers, json.dumps(asked), key="resend")
    settled = "type = 'command-settled' AND body LIKE '%no-such-partition%'"
    until(lambda: rows(settings, "outbox", settled) == 1)
    assert rows(settings, "resends") == 0


def rows(settings, table, where="true"):
    with psycopg.connect(settings.database_of("gateway").replace("+psycopg", "")) as connection:
        return connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]


def test_a_wrong_partition_takes_no_other_message_along(channel, settings, gateway):
    """It would be requeued with all that was taken ahead with it, until the broker had counted a
    hundred of those for each of them."""
    said = set()
    for number in range(42):
        identity, fit, body = patrol()
        publish(channel, fit, body)
        said.add(identity)
        if number % 10 == 0:
            _, wrong, body = patrol()
            publish(channel, wrong | {"partition": (wrong["partition"] + 1) % PARTITIONS}, body)
    until(lambda: kept(settings)[0] == said)
    until(lambda: count(channel, "gateway.dead") == 5)
    assert "partition lost" not in gateway.log.read_text()


def test_what_came_back_often_is_kept_and_not_counted_until_it_is_set_aside(
    settings, rabbitmq, tmp_path, monkeypatch
):
    """Else the broker would set it aside after the hundredth time, though nobody has tried it."""
    monkeypatch.setattr(bus, "pause", lambda *_given, **_more: 0.0)
    prepare(settings, "gateway", BROUGHT["gateway"], PARTITIONS, ())
    said = []
    with channel_to(rabbitmq) as channel:
        fit = (each for each in iter(patrol, None) if each[1]["partition"] == 0)
        for _ in range(40):
            said.append(next(fit))
            publish(channel, *said[-1][1:])
        until(lambda: count(channel, "gateway.inbox.0") == 40)
        inbox = bus.RabbitBus(settings, {}).inbox("gateway", BROUGHT["gateway"])
        partition_consumer = inbox.open(0)
        for _ in range(OFTEN + 1):
            until(lambda: len(partition_consumer._ready) == 40)
            inbox._connection.transport.sock.shutdown(2)
            until(lambda: not partition_consumer._ready)
        inbox.close()
        until(lambda: count(channel, "gateway.inbox.0") == 40)
        with gateway_of(settings, log := tmp_path / "gateway.log"):
            until(lambda: kept(settings)[0] == {identity for identity, *_ in said})
        assert "messages redelivered often" in log.read_text()
        assert count(channel, "gateway.dead") == 0


def test_what_was_taken_ahead_comes_back_in_its_order(settings, rabbitmq):
    """Also where it comes back again and again, with some of it handled in between."""
    prepare(settings, "gateway", BROUGHT["gateway"], PARTITIONS, ())
    queue, hears = "gateway.inbox.0", BROUGHT["gateway"]
    with channel_to(rabbitmq) as channel:
        sent = [headers_of(PARTITIONS, partitionkey=of_first_partition()) for _ in range(90)]
        for headers in sent:
            publish(channel, headers, "{}")
        ids = [headers["cloudEvents_id"] for headers in sent]
        for handled in (0, 1, 0, 33, 1):
            inbox = bus.RabbitBus(settings, {}).inbox("gateway", hears)
            partition_consumer = inbox.open(0)
            until(
                lambda partition_consumer=partition_consumer: (
                    len(partition_consumer._ready) == len(ids)
                )
            )
            assert [message.id for message in partition_consumer._ready] == ids
            if handled:
                partition_consumer.done(partition_consumer.take(handled))
                del ids[:handled]
            inbox.leave(partition_consumer)
            inbox.close()
            until(lambda: count(channel, queue) == len(ids))


def test_a_partition_that_changes_hands_under_load_overtakes_nothing(settings, rabbitmq):
    """Each takes ahead what came back, handles a little, and gives the partition up again."""
    prepare(settings, "gateway", BROUGHT["gateway"], PARTITIONS, ())
    hears, key = BROUGHT["gateway"], of_first_partition()
    with channel_to(rabbitmq) as channel:
        sent = [headers_of(PARTITIONS, partitionkey=key) for _ in range(60)]
        ids, came = [headers["cloudEvents_id"] for headers in sent], []
        inboxes = [bus.RabbitBus(settings, {}).inbox("gateway", hears) for _ in range(2)]
        for turn in range(40):
            for headers in sent[2 * turn : 2 * turn + 2]:
                publish(channel, headers, "{}")
            partition_consumer = inboxes[turn % 2].open(0)
            until(lambda partition_consumer=partition_consumer: partition_consumer._ready)
            taken = partition_consumer.take(3)
            if turn % 3 == 0:
                came += [message.id for message in taken]
                partition_consumer.done(taken)
            inboxes[turn % 2].leave(partition_consumer)
        partition_consumer = inboxes[0].open(0)
        while len(dict.fromkeys(came)) < len(ids):
            until(lambda: partition_consumer._ready)
            taken = partition_consumer.take(10)
            came += [message.id for message in taken]
            partition_consumer.done(taken)
        for inbox in inboxes:
            inbox.close()
    assert came == ids


def of_first_partition():
    keys = iter(new_id, None)
    return next(key for key in keys if headers_of(PARTITIONS, partitionkey=key)["partition"] == 0)
