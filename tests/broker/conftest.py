"""PostgreSQL and RabbitMQ for the test session, and districts that run on them."""

from contextlib import ExitStack, contextmanager

import amqp
import psycopg
import pytest

from chassis.settings import Settings
from console.district import SERVICES
from tests import servers

NAMES = [kind.name for kind in SERVICES]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The URL of the services' databases, with `{service}` in it."""
    folder = tmp_path_factory.mktemp("postgres")
    with available(servers.postgres(folder, databases=NAMES)) as base:
        yield base + "{service}"


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    """The URI of the broker."""
    with available(servers.rabbitmq(tmp_path_factory.mktemp("rabbitmq"))) as uri:
        yield uri


@contextmanager
def available(server):
    """Run a server; where it cannot be installed the test fails with the sentence that says so."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(server)
        except servers.Unavailable as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        yield address


@pytest.fixture
def distributed(postgres, rabbitmq, tmp_path):
    """A district on servers that hold nothing of an earlier one."""
    from tests.district import DistributedDistrict

    forget(postgres, rabbitmq)
    district = DistributedDistrict(tmp_path / "distributed", postgres, rabbitmq)
    yield district
    district.stop()


@pytest.fixture(params=["embedded", "distributed"])
def district(request):
    """A district of either kind: what is told of it must come out alike."""
    if request.param == "embedded":
        return request.getfixturevalue("make_district")()
    return request.getfixturevalue("distributed")


def forget(postgres, rabbitmq):
    """Empty the databases, and take away the exchanges and queues of every service."""
    for name in NAMES:
        url = postgres.format(service=name).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    with amqp.Connection(rabbitmq.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        for name in NAMES:
            queues = [f"{name}.dead", *(f"{name}.inbox.{n}" for n in range(Settings().slots))]
            for queue in queues:
                channel.queue_delete(queue)
            for exchange in ("events", "commands", "inbox", "dead"):
                channel.exchange_delete(f"{name}.{exchange}")
