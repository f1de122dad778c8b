"""Distributed districts for the stories, one for each way of delivery, on a server of their own."""

import random
from functools import partial

import pytest

from chassis.rabbitmq.bus import RabbitBus
from chassis.rabbitmq.inbox import RabbitPartitionConsumer
from chassis.rabbitmq.topology import BROKEN
from chassis.settings import Settings
from console.runtime.district import SERVICES, TOPOLOGY
from tests import servers
from tests.broker.conftest import start_anew
from tests.conftest import SEED, available
from tests.disorder import Disorder
from tests.district import DistributedDistrict
from tests.loop.hasty import HastyDistributedDistrict


class TwicePartitionConsumer(RabbitPartitionConsumer):
    """Delivers every message twice: the second time at once, or with those that come next."""

    def __init__(self, partition, partitions):
        super().__init__(partition, partitions)
        self.rng = random.Random(SEED + partition)
        self.again = []

    def choose(self, ready, most):
        taken = super().choose(ready, most)
        repeats, self.again = self.again, []
        for message in taken:
            (repeats if self.rng.random() < 0.5 else self.again).append(message)
        return taken + repeats


class ShuffledPartitionConsumer(RabbitPartitionConsumer):
    """Holds back a whole publisher, or one kind."""

    def __init__(self, partition, partitions, disorder):
        super().__init__(partition, partitions)
        self.disorder = disorder

    def _put(self, delivery):
        before = len(self._ready)
        super()._put(delivery)
        if len(self._ready) > before:
            message = self._ready[-1]
            if self.disorder.keeps(message, (self, message)):
                self._ready.pop()

    def go(self, message):
        """Deliver what was held back."""
        self._ready.append(message)
        self._wake_up()

    def idle(self):
        return super().idle() and not self.disorder.held

    def done(self, messages):
        """Acknowledge each by itself: others before them may be held back."""
        self._in_hand = False
        for channel, tag in (message.tag for message in messages):
            if channel is self.channel:
                try:
                    channel.basic_ack(tag)
                except BROKEN:
                    return


class DisorderlyBus(RabbitBus):
    """The bus over RabbitMQ, delivering twice or in disorder."""

    def __init__(self, settings, deliver):
        self.deliver = deliver
        self.rng = random.Random(SEED)
        self.disorders = {}
        super().__init__(settings, TOPOLOGY)

    def inbox(self, service, bindings):
        made = super().inbox(service, bindings)
        if self.deliver == "twice":
            made.partition_consumer_kind = TwicePartitionConsumer
        elif self.deliver == "shuffled":
            disorder = self.disorders[service] = Disorder(self.rng)
            made.partition_consumer_kind = partial(ShuffledPartitionConsumer, disorder=disorder)
        return made


def forget_repeats(bus):
    """Drop what would be delivered again: the next story's inbox knows nothing of it."""
    for inbox in bus._inboxes:
        for partition_consumer in inbox._partition_consumers.values():
            if isinstance(partition_consumer, TwicePartitionConsumer):
                partition_consumer.again.clear()


@pytest.fixture(scope="module")
def distributed_in(tmp_path_factory, rabbitmq):
    """Give the district of a way of delivery; one at a time, since they share the broker."""
    names = [kind.name for kind in SERVICES]
    running = {}

    def stop():
        while running:
            deliver, district = running.popitem()
            district.stop()
            assert district.overtaken or deliver != "shuffled", "nothing has overtaken anything"

    def one(deliver):
        if deliver not in running:
            stop()
            start_anew(database.url("{service}"), rabbitmq)
            where = {"database_url": database.url("{service}"), "amqp_uri": rabbitmq}
            bus = DisorderlyBus(Settings.read({}, **where), deliver)
            folder = tmp_path_factory.mktemp("stories") / "data"
            kind = HastyDistributedDistrict if deliver == "shuffled" else DistributedDistrict
            running[deliver] = kind(folder, *where.values(), bus)
        forget_repeats(running[deliver].running.bus)
        return running[deliver]

    with available(
        servers.postgres(tmp_path_factory.mktemp("postgres"), databases=names)
    ) as database:
        # what outlives a power cut is for other tests; here there are hundreds of small steps
        database.execute("ALTER SYSTEM SET fsync = off")
        database.execute("SELECT pg_reload_conf()")
        yield one
        stop()
