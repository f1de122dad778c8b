"""Disorder: what a receiver may get late, and what has overtaken what.

The bus promises an order within one (source, key), and no other. So for each receiver all that one
publisher says, or all of one kind, is held back until nothing else moves; then one message is let
go at a time, of a stream drawn by lot, and what comes of it moves on before the next.
"""

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field

CLOCK = "clock"
"""The key of what is about no thing, but the time."""


@dataclass
class Disorder:
    """What one receiver does not get yet, with what is to be done with it."""

    rng: random.Random
    what: str | None = None
    """The publisher, or the type, that is held back; none is while nothing is held."""
    held: dict = field(default_factory=lambda: defaultdict(deque))
    """By stream, in its order: (number of the arrival, what has arrived)."""
    overtaken: int = 0
    """How often a message went before an earlier one of another publisher about the same thing."""
    _arrived: int = 0

    def keeps(self, message, item):
        """Return whether a message that arrives is held back; if not, it goes on at once."""
        source, kind = message.envelope.source, message.envelope.type
        self._arrived += 1
        if not self.held:
            self.what = self.rng.choice((source, source, kind, None))
        if self.what in (source, kind) or message.stream in self.held:
            self.held[message.stream].append((self._arrived, item))
            return True
        self._count(message.stream, self._arrived)
        return False

    def let_go(self):
        """Return the first message of any stream that is held, if one is."""
        if not self.held:
            return None
        stream = self.rng.choice(sorted(self.held))
        number, item = self.held[stream].popleft()
        if not self.held[stream]:
            del self.held[stream]
        self._count(stream, number)
        return item

    def _count(self, stream, number):
        source, key = stream
        if key == CLOCK:
            return
        self.overtaken += sum(
            before < number
            for (other, about), items in self.held.items()
            if about == key and other != source
            for before, _ in items
        )
