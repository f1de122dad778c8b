"""Given some facts, when something is said to a service, then look at what it says."""

from datetime import datetime

from chassis.ids import new_id
from chassis.message import Message
from chassis.messaging.bus import ANY, Closed
from chassis.messaging.consumer import Consumer
from chassis.messaging.outbox import Outbox
from chassis.service import bindings_of, handlers_of
from chassis.storage import migrations
from chassis.storage.store import Store
from chassis.storage.unit_of_work import SHANGHAI
from console.runtime.district import SERVICES
from contracts.message import Command, Envelope
from contracts.shapes import moment_to_json
from rulebook import Rulebook
from tests.emptied import files_anew


class Deaf:
    """A service that has nothing to prepare or to finish."""

    handle_inline = False

    def before_batch(self, messages, uow):
        pass

    def before_commit(self, uow):
        pass

    def after_commit(self, uow):
        pass


class Given:
    """One service with its real handlers, a database of its own, and the clock of the story."""

    partition = 0

    def __init__(self, kind, folder):
        self.at, self.acknowledged = datetime(2020, 2, 10, 9, tzinfo=SHANGHAI), []
        if kind in SERVICES:
            files_anew(folder, [kind])
        self.store = Store(kind.name, f"sqlite:///{folder / kind.name}.db", kind.metadata)
        migrations.apply(self.store)
        self.service, self.hears = kind(), bindings_of(kind)
        self.service.rulebook, self.service.store = Rulebook.load(), self.store
        self.consumer = Consumer(self.service, self.store, handlers_of(self.service), lambda: None)

    def on(self, day):
        self.at = self.at.replace(year=day.year, month=day.month, day=day.day)
        return self

    def facts(self, *said):
        self.when(*said)
        return self

    def when(self, *said):
        """Say these in one batch; give all that the service says, also in reaction to itself."""
        return self.deliver(*map(self.message, said))

    def message(self, said, *, identity=None, source=None):
        source = source or ("gateway" if isinstance(said, Command) else said.service)
        identity, time = identity or new_id(), moment_to_json(self.at)
        return Message.of(said, Envelope(identity, source, said.type, time, said.key, identity))

    def deliver(self, *messages):
        self.batches = [list(messages)] if messages else []
        self.consumer.run(
            self, most=400
        )  # this is its partition consumer, which closes after the batch
        if not (said := Outbox(self.store).unsent(10_000)):
            return []
        Outbox(self.store).mark_sent(said)
        own = [
            m for m in said if self.hears & {(m.exchange, m.payload.type), (ANY, m.payload.type)}
        ]
        return [m.payload for m in said] + (self.deliver(*own) if own else [])

    def take(self, _most):
        if not self.batches:
            raise Closed
        return self.batches.pop()

    def done(self, messages):
        self.acknowledged += [message.id for message in messages]
