"""Districts in which much comes late, and whose stories do not wait for it."""

import eventlet
from sqlalchemy import select

from chassis.storage.tables import outbox
from contracts.gateway import HourBegan
from tests import PATIENCE
from tests.district import Client, DistributedDistrict, TestDistrict


class HastyClient(Client):
    """Speaks on at once, and waits only before it reads, until all have heard."""

    def __init__(self, base, token, rest):
        super().__init__(base, token)
        self.rest = rest

    def get(self, path):
        self.rest()
        return super().get(path)


class Hasty:
    """A district whose stories do not wait between their words, except to read what came of them.

    What is held back is let go when nothing else moves and somebody waits: for the outcome of a
    command, for an hour to be handled, or to read.
    """

    def __init__(self, *given, **settings):
        super().__init__(*given, **settings)
        self._pusher = eventlet.spawn(self._push)

    def client_as(self, caller):
        client = super().client_as(caller)
        return HastyClient(client.base, client.token, self.rest)

    def settle(self):
        """Do not wait: the next word follows at once."""

    def rest(self):
        """Let go of one after another, until nothing is under way."""
        with eventlet.Timeout(PATIENCE, TimeoutError("the district does not come to rest")):
            while not self.is_still() or self.let_go() or self.under_way():
                eventlet.sleep(0.002)

    def reopened(self, premises="shop", **more):
        """Have it open without looking whether it is yet."""
        shop = self.register(premises, **more)
        self.file(shop)
        if self.service("filing").rulebook.five_small(premises):
            self.reviewed(shop)
        return shop

    def stop(self):
        self._pusher.kill()
        super().stop()

    @property
    def overtaken(self):
        """How often a message has gone before an earlier one about the same thing."""
        return sum(disorder.overtaken for disorder in self.running.bus.disorders.values())

    def let_go(self, first=None):
        """Let one message go, of any receiver, or of the first one as long as it holds any; False
        where nothing is held."""
        bus = self.running.bus
        names = sorted(bus.disorders)
        bus.rng.shuffle(names)
        names.sort(key=lambda name: name != first)
        item = next((item for name in names if (item := bus.disorders[name].let_go())), None)
        if item is not None:
            partition_consumer, message = item
            partition_consumer.go(message)
        return item is not None

    def _push(self):
        while True:
            if self._waits() and self.is_still():
                self.let_go(first="gateway")  # without which nobody has an answer
            eventlet.sleep(0.002)

    def _waits(self):
        """Tell whether a command's outcome is waited for, or an hour to be handled by all."""
        gateway = self.service("gateway")
        waiters = list(gateway.components.intake._waiters.values())
        if any(waiter.holders and not waiter.ready() for waiter in waiters):
            return True
        hour = select(outbox.c.id).where(outbox.c.type == HourBegan.type)
        with self.store("gateway").engine.connect() as connection:
            last = connection.scalar(hour.order_by(outbox.c.seq.desc()).limit(1))
        return last is not None and not gateway.components.clock.all_swept(last)


class HastyDistrict(Hasty, TestDistrict):
    """An embedded district in disorder."""

    def is_still(self):
        """Tell whether nothing moves but what is held back."""
        return self.running.quiet()

    def under_way(self):
        """Name what is under way: nothing, where nothing moves and nothing is held."""
        return []


class HastyDistributedDistrict(Hasty, DistributedDistrict):
    """A distributed district in disorder."""

    def is_still(self):
        """Tell whether nothing moves but what is held back."""
        said = {name: self.said(name) for name in self.hears}
        rows = [row for name in said for row in said[name]]
        return (
            all(row.sent_at for row in rows)
            and all(self.due(name, rows).keys() <= self._held(name) for name in self.hears)
            and all(said[name] == self.said(name) for name in said)
        )

    def _held(self, name):
        held = self.running.bus.disorders[name].held.values()
        return {message.id for items in held for _, (_, message) in items}
