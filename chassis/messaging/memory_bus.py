"""The bus of an embedded district: queues in the memory of one process."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence

import eventlet
from eventlet.event import Event

from chassis.message import Message
from chassis.messaging.bus import ANY, Bindings, Closed, Inbox, Inlet


class _Pending:
    """What one call of `publish` waits for: the acknowledgements still owed for each message."""

    def __init__(self) -> None:
        self.owed: dict[str, int] = {}
        self.all_safe = Event()

    def paid(self, message: Message) -> None:
        self.owed[message.id] -= 1
        if not self.owed[message.id]:
            del self.owed[message.id]
            if not self.owed:
                self.all_safe.send()


class EmbeddedInlet:
    """A queue in memory; what is in it is also an unsent row of some outbox."""

    slot = 0

    def __init__(self) -> None:
        self._ready: deque[tuple[Message, _Pending]] = deque()
        self._taken: dict[str, list[_Pending]] = defaultdict(list)
        self._wake = Event()
        self._closed = False

    def put(self, message: Message, pending: _Pending) -> None:
        """Add a message at the end."""
        self._ready.append((message, pending))
        self._wake_up()

    def take(self, most: int) -> list[Message]:
        """Wait until something is ready, then give all that is, up to `most`; raises `Closed`."""
        while not self._ready and not self._closed:
            self._wake = Event()
            self._wake.wait()
        if self._closed:
            raise Closed
        taken = []
        for message, pending in self.choose(self._ready, most):
            self._taken[message.receipt].append(pending)
            taken.append(message)
        return taken

    def choose(
        self, ready: deque[tuple[Message, _Pending]], most: int
    ) -> Iterable[tuple[Message, _Pending]]:
        """Take the next messages off the queue: the oldest."""
        while ready and most:
            most -= 1
            yield ready.popleft()

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages that were handled or parked."""
        for message in messages:
            for pending in self._taken.pop(message.receipt, ()):
                pending.paid(message)

    def close(self) -> None:
        """Stop taking; whoever waits in `take` gets `Closed`."""
        self._closed = True
        self._wake_up()

    def idle(self) -> bool:
        """Tell whether nothing is queued and nothing in hand."""
        return not self._ready and not self._taken

    def _wake_up(self) -> None:
        if not self._wake.ready():
            self._wake.send()


class EmbeddedInbox:
    """The inbox of a service in this process: a single slot."""

    slots = 1
    until = kept_until = math.inf

    def __init__(self, inlet: EmbeddedInlet) -> None:
        self.inlet = inlet
        self.on_missing: Callable[[int], bool] = lambda _slot: True
        self.on_declared: Callable[[int], None] = lambda _slot: None
        self.ready = Event()
        self.ready.send()

    def heard(self) -> bool:
        """Tell that the bus is there: always."""
        return True

    def open(self, slot: int) -> EmbeddedInlet:
        """Give the one inlet, which receives from the start."""
        return self.inlet

    def leave(self, inlet: Inlet) -> None:
        """Give nothing back: what was not handled is unsent in some outbox."""


class EmbeddedBus:
    """The bus inside one process: the relay's rows go straight to the listeners."""

    slots = 1

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], list[EmbeddedInlet]] = defaultdict(list)
        self._inlets: dict[str, EmbeddedInlet] = {}
        self._open = Event()

    def open(self) -> None:
        """Let publishing begin: every inlet is there."""
        self._open.send()

    def new_inlet(self) -> EmbeddedInlet:
        """Make an inlet; test modes of delivery give another kind."""
        return EmbeddedInlet()

    def claim(self, service: str, agreed: Callable[[], bool]) -> bool:
        """Tell that this process publishes: there is no other."""
        return True

    def let_go(self, service: str) -> None:
        """Do nothing: there is no other."""

    def publish(self, messages: Sequence[Message], to: str | None = None) -> list[Message]:
        """Hand each message to all its subscribers, and wait until they are done with it."""
        self._open.wait()
        pending = _Pending()
        only = None if to is None else [self._inlets[to]]
        addressed = [
            (message, receivers)
            for message in messages
            if (receivers := only or self._receivers(message))
        ]
        pending.owed = {message.id: len(receivers) for message, receivers in addressed}
        for message, receivers in addressed:
            for inlet in receivers:
                inlet.put(message, pending)
        if pending.owed:
            pending.all_safe.wait()
        return list(messages)

    def _receivers(self, message: Message) -> list[EmbeddedInlet]:
        kind = message.envelope.type
        return [*self._routes[message.exchange, kind], *self._routes[ANY, kind]]

    def inbox(self, service: str, bindings: Bindings) -> Inbox:
        """Give the inbox of a service, with its one inlet."""
        inlet = self._inlets[service] = self.new_inlet()
        for binding in bindings:
            self._routes[binding].append(inlet)
        return EmbeddedInbox(inlet)

    def connected(self) -> bool:
        """Tell whether the bus can be reached: always."""
        return True

    def leave(self, service: str) -> None:
        """Do nothing: what a service has not handled is unsent in some outbox."""

    def idle(self) -> bool:
        """Tell whether no consumer has anything queued or in hand."""
        return all(inlet.idle() for inlet in self._inlets.values())

    def close(self) -> None:
        """Close the inlets."""
        for inlet in self._inlets.values():
            inlet.close()
        eventlet.sleep(0)
