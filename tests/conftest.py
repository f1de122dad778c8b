"""What every test may ask for; the first import makes the process cooperative, as in production."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import os
import random
from collections import deque
from contextlib import ExitStack, contextmanager

import pytest

from chassis.messaging.memory_bus import EmbeddedBus, EmbeddedPartitionConsumer
from chassis.logs import configure
from console.runtime.district import SERVICES
from tests import servers
from tests.disorder import Disorder
from tests.parallel import (  # noqa: F401  (hooks of pytest)
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_xdist_make_scheduler,
)

SEED = int(os.environ.get("SEED", "20200306"))

configure("critical")


def pytest_addoption(parser):
    parser.addoption(
        "--deliver",
        choices=("once", "twice", "shuffled"),
        default=None,
        help="how the loop stories' messages are delivered; without it, in all three ways",
    )
    parser.addoption(
        "--rabbitmq",
        choices=("installed", "4"),
        default=os.environ.get("RABBITMQ", "installed"),
        help="which RabbitMQ the broker's tests run on; 4 is built in a folder of its own, as root",
    )
    parser.addoption(
        "--redraw", action="store_true", help="write docs/loop.md and docs/plans.md anew"
    )


class TwicePartitionConsumer(EmbeddedPartitionConsumer):
    """Delivers every message twice: the second time at once, or after others have come between."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng
        self.again = deque()

    def choose(self, ready, most):
        taken = [ready.popleft() for _ in range(min(len(ready), most))]
        repeats = [*self.again]
        self.again.clear()
        for message, _ in taken:
            if self.rng.random() < 0.5:
                repeats.append(message)
            else:
                self.again.append(message)
        yield from taken
        for message in repeats:
            yield message, _Nobody()

    def idle(self):
        if super().idle() and self.again:
            for message in self.again:
                self._ready.append((message, _Nobody()))
            self.again.clear()
            self._wake_up()
        return super().idle()


class ShuffledPartitionConsumer(EmbeddedPartitionConsumer):
    """Holds back a whole publisher, or one kind; whoever has published it is done with it, as where
    a broker keeps it."""

    def __init__(self, rng):
        super().__init__()
        self.disorder = Disorder(rng)

    def put(self, message, pending):
        if self.disorder.keeps(message, (self, message)):
            pending.paid(message)
        else:
            super().put(message, pending)

    def go(self, message):
        """Deliver what was held back."""
        super().put(message, _Nobody())


class _Nobody:
    """Whoever waits for the acknowledgement of a repeat: nobody."""

    def paid(self, message):
        """Take note of nothing."""


class DisorderlyBus(EmbeddedBus):
    """The embedded bus, delivering twice or in disorder."""

    def __init__(self, deliver, seed=SEED):
        super().__init__()
        self.kind = {"twice": TwicePartitionConsumer, "shuffled": ShuffledPartitionConsumer}[
            deliver
        ]
        self.rng = random.Random(seed)

    def new_partition_consumer(self):
        return self.kind(self.rng)

    @property
    def disorders(self):
        """What each service does not get yet, where it is to get it late."""
        return {
            name: partition_consumer.disorder
            for name, partition_consumer in self._partition_consumers.items()
        }


def bus_for(deliver):
    return EmbeddedBus() if deliver == "once" else DisorderlyBus(deliver)


@pytest.fixture
def make_district(tmp_path):
    """Start embedded districts on a manual clock; each is stopped at the end."""
    from tests.district import TestDistrict

    started = []

    def make(deliver="once", data=None, **settings):
        district = TestDistrict(
            data or tmp_path / f"district-{len(started)}", bus_for(deliver), **settings
        )
        started.append(district)
        return district

    yield make
    for district in started:
        district.stop()


# servers, which start when a test first asks for them


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """The database server's handle; who stops, kills or pauses it starts it again."""
    folder = tmp_path_factory.mktemp("postgres")
    with available(servers.postgres(folder, databases=[kind.name for kind in SERVICES])) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_version(request):
    """The broker's version: 4, or None for the installed one."""
    version = request.config.getoption("rabbitmq")
    return None if version == "installed" else int(version)


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory, rabbitmq_version):
    """The broker's handle; who stops, kills, pauses or alarms it sets it right again."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    with available(servers.rabbitmq(folder, rabbitmq_version)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(postgres_server):
    """The URL of the services' databases, with `{service}` in it."""
    return postgres_server.url("{service}")


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_server):
    """The URI of the broker."""
    return rabbitmq_server.uri


@contextmanager
def available(server):
    """Run a server; where it cannot be installed the test fails with the sentence that says so."""
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(server)
        except servers.Unavailable as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        yield handle
