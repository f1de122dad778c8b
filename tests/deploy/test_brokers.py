"""RabbitMQ and PostgreSQL as the deployment sets them up: each service has its own, and no more."""

import time
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import urlopen

import amqp
import psycopg
import pytest

from chassis.rabbitmq.topology import lock, queue_of
from console.runtime.district import TOPOLOGY
from tests.console.conftest import here
from tests.deploy.files import SERVICES
from tests.deploy.test_monitoring import OF_RABBITMQ

DURABLE = {"durable": True, "auto_delete": False}


@contextmanager
def connected(deployment, user, password=None):
    """Speak AMQP as a user; the channel is new."""
    uri = urlsplit(deployment.secret(f"{user}_amqp_uri"))
    place = f"{uri.hostname}:{uri.port}"
    with amqp.Connection(place, userid=user, password=password or uri.password) as connection:
        yield connection.channel()


@contextmanager
def database(deployment, user, name, password=None):
    uri = urlsplit(deployment.secret(f"{user}_database_url"))
    with psycopg.connect(
        host=uri.hostname,
        port=uri.port,
        user=user,
        password=password or uri.password,
        dbname=name,
        autocommit=True,
    ) as connection:
        yield connection


@pytest.fixture(scope="module")
def topology(deployment):
    """What each service needs of the broker, declared by nobody but itself."""
    for name in SERVICES:
        with connected(deployment, name) as channel:
            for exchange in sorted({each for each, _ in TOPOLOGY[name]} | {f"{name}.events"}):
                if exchange.endswith((".events", ".commands")):
                    channel.exchange_declare(exchange, "topic", **DURABLE)
            channel.exchange_declare(f"{name}.inbox", "headers", **DURABLE)
            channel.exchange_declare(f"{name}.dead", "fanout", **DURABLE)
            arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": f"{name}.dead"}
            channel.queue_declare(queue_of(name, 0), arguments=arguments, **DURABLE)
            channel.queue_bind(queue_of(name, 0), f"{name}.inbox", arguments={"x-match": "all"})
            channel.exchange_bind(f"{name}.inbox", f"{name}.events", "x")
            channel.queue_declare(f"{name}.dead", **DURABLE)
            channel.queue_bind(f"{name}.dead", f"{name}.dead")
    yield
    with connected(deployment, "operator") as channel:
        for name in SERVICES:
            for queue in (queue_of(name, 0), f"{name}.dead"):
                channel.queue_delete(queue)
            for exchange in ("events", "commands", "inbox", "dead"):
                channel.exchange_delete(f"{name}.{exchange}")


# -- RabbitMQ


def test_there_is_no_user_whom_everybody_knows(deployment):
    users = {line.split()[0] for line in deployment.rabbitmq.ctl("list_users").splitlines()}
    assert users - {"user"} == {"operator", *SERVICES}
    for password in ("guest", "operator", ""):
        with pytest.raises(amqp.AccessRefused), connected(deployment, "operator", password or "-"):
            pass


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_publish_to_any_inbox_and_listen_at_its_own(deployment, topology, name):
    other = SERVICES[SERVICES.index(name) - 1]
    with connected(deployment, name) as channel:
        channel.confirm_select()
        for exchange in (f"{name}.events", f"{name}.commands", f"{other}.commands"):
            channel.exchange_declare(exchange, "topic", **DURABLE)
            channel.basic_publish_confirm(amqp.Message("{}"), exchange, "y")
        channel.basic_publish_confirm(amqp.Message("{}"), f"{other}.inbox", "y")
        channel.basic_consume(queue_of(name, 0), callback=print)
        assert lock(channel.connection, name)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_cannot_say_what_another_says_nor_take_what_is_for_another(
    deployment, topology, name
):
    other = SERVICES[SERVICES.index(name) - 1]
    for forbidden in (
        lambda channel: channel.basic_publish_confirm(amqp.Message("{}"), f"{other}.events", "x"),
        lambda channel: channel.basic_consume(queue_of(other, 0)),
        lambda channel: channel.queue_purge(queue_of(other, 0)),
        lambda channel: channel.queue_delete(queue_of(other, 0)),
        lambda channel: channel.queue_declare(f"{name}.elsewhere"),
        lambda channel: lock(channel.connection, other),
        lambda channel: channel.basic_publish_confirm(amqp.Message(""), "", queue_of(other, 0)),
    ):
        with pytest.raises(amqp.AccessRefused), connected(deployment, name) as channel:
            forbidden(channel)


def test_the_broker_reports_what_the_alarms_ask_for(deployment, topology):
    base = f"http://127.0.0.1:{deployment.rabbitmq_metrics}/metrics"
    detailed = f"{base}/detailed?family=queue_coarse_metrics&family=queue_consumer_count"
    inbox, deadline = queue_of("filing", 0), time.monotonic() + 60
    names, found = set(), False
    while not (names >= OF_RABBITMQ and found):  # the plugin collects every few seconds
        assert time.monotonic() < deadline, (OF_RABBITMQ - names, found)
        text = "".join(urlopen(url).read().decode() for url in (base, detailed))
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        names = {line.partition("{")[0].partition(" ")[0] for line in lines}
        found = any(f'queue="{inbox}"' in line for line in lines if "_consumers" in line)
        time.sleep(0.2)


def test_the_operator_makes_departments_and_no_service_can(deployment, topology):
    uri = deployment.secret("operator_broker_admin_uri")
    words = ("department", "add", "tax", "--events", "enterprise-reopened")
    assert here({"BROKER_ADMIN_URI": uri}, *words)[0] == 0
    assert here({"BROKER_ADMIN_URI": uri}, "department", "remove", "tax", "--yes")[0] == 0
    operator, filing = urlsplit(uri), urlsplit(deployment.secret("filing_amqp_uri"))
    other = uri.replace(operator.password, filing.password).replace("operator", "filing")
    code, _, errors = here({"BROKER_ADMIN_URI": other}, *words)
    assert code == 2
    assert "not an administrator" in errors[0]


def test_the_users_outlive_a_restart(deployment):
    deployment.rabbitmq.restart()
    with connected(deployment, "filing") as channel:
        assert channel.is_open


# -- PostgreSQL


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_owns_its_database_and_cannot_enter_another(deployment, name):
    other = SERVICES[SERVICES.index(name) - 1]
    with database(deployment, name, name) as connection:
        connection.execute("CREATE TABLE mine (a int)")
        connection.execute("DROP TABLE mine")
    for where, password, why in (
        (other, None, "permission denied"),
        (name, "guessed", "password authentication failed"),
    ):
        entering = database(deployment, name, where, password)
        with pytest.raises(psycopg.OperationalError, match=why), entering:
            pass


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_operator_makes_belongs_to_the_service(deployment, name):
    with database(deployment, "operator", name) as connection:
        connection.execute("CREATE TABLE made (a int)")
        owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'made'"
        assert connection.execute(owner).fetchone() == (name,)
    with database(deployment, name, name) as connection:
        connection.execute("DROP TABLE made")


def test_nobody_but_the_superuser_makes_databases_or_roles(deployment):
    rows = deployment.postgres.execute(
        "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
        " AND NOT rolcreatedb AND NOT rolcreaterole"
    )
    assert {name for (name,) in rows} == {"operator", *SERVICES}
