"""Distributed districts for the stories, one for each way of delivery, on a server of their own."""

import random
from collections import deque

import pytest

from chassis.rabbit import BROKEN, RabbitBus, RabbitInlet
from chassis.settings import Settings
from console.district import SERVICES, TOPOLOGY
from tests import servers
from tests.broker.conftest import start_anew
from tests.conftest import SEED, available
from tests.district import DistributedDistrict


class TwiceInlet(RabbitInlet):
    """Delivers every message twice: the second time at once, or with those that come next."""

    def __init__(self, slot, slots):
        super().__init__(slot, slots)
        self.rng = random.Random(SEED + slot)
        self.again = []

    def choose(self, ready, most):
        taken = super().choose(ready, most)
        repeats, self.again = self.again, []
        for message in taken:
            (repeats if self.rng.random() < 0.5 else self.again).append(message)
        return taken + repeats


class ShuffledInlet(RabbitInlet):
    """Delivers in a random order, in which only messages of one stream keep theirs."""

    def __init__(self, slot, slots):
        super().__init__(slot, slots)
        self.rng = random.Random(SEED + slot)

    def choose(self, ready, most):
        streams = {}
        for message in ready:
            streams.setdefault(message.stream, deque()).append(message)
        taken = []
        for _ in range(min(len(ready), self.rng.randint(1, 3))):
            stream = self.rng.choice(sorted(name for name in streams if streams[name]))
            taken.append(streams[stream].popleft())
            ready.remove(taken[-1])
        return taken

    def done(self, messages):
        """Acknowledge each by itself: others before them may not have been taken."""
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
        self.inlet_kind = {"twice": TwiceInlet, "shuffled": ShuffledInlet}.get(deliver, RabbitInlet)
        super().__init__(settings, TOPOLOGY)

    def inbox(self, service, bindings):
        made = super().inbox(service, bindings)
        made.inlet_kind = self.inlet_kind
        return made


def forget_repeats(bus):
    """Drop what would be delivered again: the next story's inbox knows nothing of it."""
    for inbox in bus._inboxes:
        for inlet in inbox._inlets.values():
            if isinstance(inlet, TwiceInlet):
                inlet.again.clear()


@pytest.fixture(scope="module")
def distributed_in(tmp_path_factory, rabbitmq):
    """Give the district of a way of delivery; one at a time, since they share the broker."""
    names = [kind.name for kind in SERVICES]
    running = {}

    def stop():
        for district in running.values():
            district.stop()
        running.clear()

    def one(deliver):
        if deliver not in running:
            stop()
            start_anew(database.url("{service}"), rabbitmq)
            where = {"database_url": database.url("{service}"), "amqp_uri": rabbitmq}
            bus = DisorderlyBus(Settings.read({}, **where), deliver)
            folder = tmp_path_factory.mktemp("stories") / "data"
            running[deliver] = DistributedDistrict(folder, *where.values(), bus)
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
