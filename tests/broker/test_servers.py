"""The private servers stand what the fault tests do to them, and keep what was confirmed."""

from contextlib import closing

import amqp
import psycopg
import pytest

BODY = b"still here"


@pytest.fixture
def database(postgres_server):
    """The database server, which runs again afterwards."""
    yield postgres_server
    postgres_server.start()


@pytest.fixture
def broker(rabbitmq_server):
    """The broker, which runs again afterwards."""
    yield rabbitmq_server
    rabbitmq_server.start()


def connected(server, **options):
    connection = amqp.Connection(f"127.0.0.1:{server.port}", **options)
    connection.connect()
    return connection


def publish(server, queue, **arguments):
    with connected(server, confirm_publish=True) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
        channel.basic_publish(
            amqp.Message(BODY, delivery_mode=2), routing_key=queue, mandatory=True
        )


def taken(server, queue):
    with connected(server) as connection:
        channel = connection.channel()
        message = channel.basic_get(queue, no_ack=True)
        channel.queue_delete(queue)
        return message and message.body


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_database_goes_on_with_what_was_committed(database, way):
    database.execute("CREATE TABLE IF NOT EXISTS kept (way text)")
    with closing(psycopg.connect(database.base.replace("+psycopg", "") + "postgres")) as session:
        session.execute("INSERT INTO kept VALUES ('not committed')")
        database.execute(f"INSERT INTO kept VALUES ('{way}')")
        getattr(database, way)()
        with pytest.raises(psycopg.OperationalError):
            session.commit()
    with pytest.raises(psycopg.OperationalError):
        database.execute("SELECT 1")
    database.start()
    assert database.execute("DELETE FROM kept RETURNING way") == [(way,)]


def test_a_database_is_durable_and_has_room_for_five_services(database):
    assert database.execute("SHOW fsync") == [("on",)]
    assert database.execute("SHOW max_connections") == [("300",)]


def test_a_paused_database_answers_when_it_is_resumed(database):
    address = database.url("postgres").replace("+psycopg", "")
    with closing(psycopg.connect(address, autocommit=True)) as session:
        database.pause()
        with pytest.raises(psycopg.OperationalError):  # the kernel accepts, and nobody answers
            psycopg.connect(address, connect_timeout=2)
        database.resume()
        assert session.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_broker_goes_on_with_what_it_confirmed(broker, way):
    publish(broker, "classic")
    publish(broker, "quorum", **{"x-queue-type": "quorum"})
    broker.sync()
    getattr(broker, way)()
    with pytest.raises(ConnectionRefusedError):
        connected(broker)
    broker.start()
    assert taken(broker, "classic") == BODY
    assert taken(broker, "quorum") == BODY


def test_a_paused_broker_greets_nobody_until_it_is_resumed(broker):
    broker.pause()
    assert not broker.is_ready()
    broker.resume()
    assert broker.is_ready()


def test_an_alarm_blocks_those_who_publish(broker):
    told = []
    with connected(
        broker, on_blocked=told.append, on_unblocked=lambda: told.append("")
    ) as connection:
        channel = connection.channel()
        broker.alarm(on=True)
        channel.basic_publish(amqp.Message(BODY), routing_key="nobody")
        while not told:
            connection.drain_events(timeout=10)
        broker.alarm(on=False)
        while told[-1]:
            connection.drain_events(timeout=10)
    assert len(told) == 2
