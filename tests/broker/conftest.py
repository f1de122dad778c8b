"""PostgreSQL and RabbitMQ for the test session, and districts that run on them."""

import amqp
import eventlet
import pytest
from eventlet.hubs import get_hub

from chassis.runtime.green import in_thread
from chassis.settings import Settings
from console.runtime.district import SERVICES
from tests import PATIENCE, servers
from tests.conftest import available
from tests.emptied import tables_anew
from tests.servers.programs import HOST, free_ports

NAMES = [kind.name for kind in SERVICES]


ISSUER_KEY = "ab" * 32
MOST_PARTITIONS = 16
"""More than any test changes their number to."""


def until(fact, seconds=PATIENCE):
    """Wait for a fact, and give it."""
    with eventlet.Timeout(seconds):
        while not (found := fact()):
            eventlet.sleep(0.05)
        return found


@pytest.fixture(scope="session")
def managed_rabbitmq(tmp_path_factory, rabbitmq_version):
    """A broker whose management API answers, at its `admin_uri`."""
    folder = tmp_path_factory.mktemp("managed")
    with free_ports(1) as (port,):
        conf = f"management.tcp.ip = {HOST}\nmanagement.tcp.port = {port}"
        node = servers.rabbitmq(
            folder, rabbitmq_version, conf=conf, plugins=["rabbitmq_management"]
        )
        with available(node) as server:
            server.admin_uri = f"http://guest:guest@{HOST}:{port}"
            yield server


@pytest.fixture(autouse=True)
def nobody_waits():
    """See after each test that none of its green threads waits on a socket any more: once that is
    closed, whoever gets its number next could not wait on it."""
    in_thread(int)  # from its first call on, somebody waits for what threads say
    before = waiting()
    yield
    assert not waiting() - before


def waiting():
    """Give who waits on a file: the green threads, or what is called for them."""
    waits = [each.cb for found in get_hub().listeners.values() for each in found.values()]
    return {getattr(call, "__self__", call) for call in waits}


@pytest.fixture
def distributed(postgres, rabbitmq, tmp_path):
    """A district on servers that hold nothing of an earlier one."""
    from tests.district import DistributedDistrict

    start_anew(postgres, rabbitmq)
    district = DistributedDistrict(tmp_path / "distributed", postgres, rabbitmq)
    yield district
    district.stop()


@pytest.fixture(params=["embedded", "distributed"])
def district(request):
    """A district of either kind: what is told of it must come out alike."""
    if request.param == "embedded":
        return request.getfixturevalue("make_district")()
    return request.getfixturevalue("distributed")


def start_anew(postgres, rabbitmq):
    """Empty the databases, and take away the exchanges and queues of every service."""
    tables_anew(postgres)
    with amqp.Connection(rabbitmq.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        for name in NAMES:
            queues = [f"{name}.dead", *(f"{name}.inbox.{n}" for n in range(MOST_PARTITIONS))]
            for queue in queues:
                channel.queue_delete(queue)
            for exchange in ("events", "commands", "inbox", "dead"):
                channel.exchange_delete(f"{name}.{exchange}")


@pytest.fixture
def settings(postgres, rabbitmq, tmp_path):
    """What processes are told; the servers hold nothing of an earlier test."""
    start_anew(postgres, rabbitmq)
    key = tmp_path / "seal.key"
    key.write_text(ISSUER_KEY)
    told = {"database_url": postgres, "amqp_uri": rabbitmq}
    return Settings.read({}, seal_key_file=str(key), issuer_key_file=str(key), **told)
