"""What every test may ask for; the first import makes the process cooperative, as in production."""

import chassis.green  # noqa: F401, I001  (before everything else)

import os
import random
from collections import deque

import pytest

from chassis.bus import EmbeddedBus, EmbeddedInlet
from chassis.logs import configure

SEED = int(os.environ.get("SEED", "20200306"))

configure("critical")


def pytest_addoption(parser):
    parser.addoption(
        "--deliver",
        choices=("once", "twice", "shuffled"),
        default=None,
        help="how the loop stories' messages are delivered; without it, in all three ways",
    )
    parser.addoption("--redraw", action="store_true", help="draw docs/loop.md anew")


class TwiceInlet(EmbeddedInlet):
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


class ShuffledInlet(EmbeddedInlet):
    """Delivers in a random order, in which only messages of one stream keep theirs."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng

    def choose(self, ready, most):
        streams = {}
        for item in ready:
            streams.setdefault(item[0].stream, deque()).append(item)
        ready.clear()
        takes = self.rng.randint(1, 3)
        while streams and takes:
            stream = self.rng.choice(sorted(streams))
            yield streams[stream].popleft()
            takes -= 1
            if not streams[stream]:
                del streams[stream]
        left = [item for items in streams.values() for item in items]
        ready.extend(left)


class _Nobody:
    """Whoever waits for the acknowledgement of a repeat: nobody."""

    def paid(self, message):
        """Take note of nothing."""


class DisorderlyBus(EmbeddedBus):
    """The embedded bus, delivering twice or in disorder."""

    def __init__(self, deliver, seed=SEED):
        super().__init__()
        self.kind = {"twice": TwiceInlet, "shuffled": ShuffledInlet}[deliver]
        self.rng = random.Random(seed)

    def new_inlet(self):
        return self.kind(self.rng)


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
