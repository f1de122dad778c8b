"""Partitions share a transaction: together where it works, each by itself where it does not."""

from itertools import count

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select, text

from chassis.message import Message, partition_of
from chassis.messaging.bus import Closed
from chassis.messaging.consumer import Consumer
from chassis.runtime.green import Event, pause, spawn
from chassis.storage import migrations
from chassis.storage.leases import PartitionLost
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.tables import inbox, parked_messages
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope

PARTITIONS = 8
metadata = MetaData()
effects = Table("effects", metadata, Column("key", String, nullable=False))
KEYS = [
    next(key for key in map(str, count()) if partition_of(key, PARTITIONS) == n)
    for n in range(PARTITIONS)
]
"""A key of each partition."""


class Withdrawals:
    """A service that notes each withdrawal, and holds its first batch until it is let go."""

    def __init__(self):
        self.batches, self.go, self.fails = [], Event(), set()

    def before_batch(self, messages, _uow):
        self.batches.append({message.envelope.partitionkey for message in messages})
        if len(self.batches) == 1:
            self.go.wait()

    def note(self, fact, uow):
        if fact.enterprise_id in self.fails:
            raise RuntimeError("no")
        uow.execute(insert(effects), {"key": fact.enterprise_id})

    def before_commit(self, uow):
        pass

    def after_commit(self, uow):
        pass


class Partition:
    """A partition consumer that gives one message, and notes what is acknowledged."""

    def __init__(self, partition):
        self.partition, self.given, self.acknowledged = partition, [withdrawn(KEYS[partition])], []

    def take(self, _most):
        if not self.given:
            raise Closed
        return [self.given.pop()]

    def done(self, messages):
        self.acknowledged += messages


def withdrawn(key):
    fact = FilingWithdrawn(enterprise_id=key, filing_id="1", reason="none")
    envelope = Envelope(f"of-{key}", "filing", fact.type, "2020-02-10T00:00:00Z", key, "cause")
    return Message.of(fact, envelope)


@pytest.fixture
def consumer(tmp_path):
    store, service = Store("filing", f"sqlite:///{tmp_path / 'shared.db'}"), Withdrawals()
    migrations.apply(store)
    metadata.create_all(store.engine)
    made = Consumer(service, store, {FilingWithdrawn.type: [service.note]}, list)
    made.partitions.count = PARTITIONS
    yield made
    store.close()


def run(consumer):
    """Let partition 0 begin, and all the others come while it is busy; give them when they are
    done."""
    partitions = [Partition(number) for number in range(PARTITIONS)]
    threads = [spawn(consumer.run, partitions[0], 400)]
    while not consumer.processor.service.batches:
        pause(0)
    threads += [spawn(consumer.run, partition, 400) for partition in partitions[1:]]
    pause(0)
    consumer.processor.service.go.send()
    for thread in threads:
        thread.wait()
    return partitions


def noted(consumer, column):
    with consumer.store.read() as session:
        return sorted(session.scalars(select(column)))


def test_what_waits_is_handled_in_one_transaction(consumer):
    partitions = run(consumer)
    assert consumer.processor.service.batches == [{KEYS[0]}, {*KEYS[1:]}]
    assert all(len(partition.acknowledged) == 1 for partition in partitions)
    assert noted(consumer, effects.c.key) == sorted(KEYS)


def test_one_that_fails_costs_the_others_a_retry_and_no_effect(consumer):
    consumer.processor.service.fails = {KEYS[3]}
    partitions = run(consumer)
    assert all(len(partition.acknowledged) == 1 for partition in partitions), (
        "one is a parked message, which is safe"
    )
    assert noted(consumer, effects.c.key) == sorted({*KEYS} - {KEYS[3]}), "each once"
    assert noted(consumer, inbox.c.id) == sorted(f"of-{key}" for key in KEYS)
    assert noted(consumer, parked_messages.c.partitionkey) == [KEYS[3]]


class Held:
    """Leases of which one is another replica's."""

    lost = 5

    def holding(self, _partitions):
        return Statement(text("SELECT 1"))

    def judge(self, _answer, partitions):
        if self.lost in partitions:
            raise PartitionLost(self.lost)


def test_a_partition_that_is_lost_is_written_for_no_more_and_the_others_are(consumer):
    consumer.partitions.leases = Held()
    partitions = run(consumer)
    assert [partition.partition for partition in partitions if not partition.acknowledged] == [
        Held.lost
    ]
    assert noted(consumer, effects.c.key) == sorted({*KEYS} - {KEYS[Held.lost]})


def test_one_transaction_holds_only_so_much(consumer, monkeypatch):
    monkeypatch.setattr("chassis.messaging.batching.MOST_TOGETHER", 3)
    run(consumer)
    assert [len(batch) for batch in consumer.processor.service.batches] == [1, 3, 3, 1]
    assert noted(consumer, effects.c.key) == sorted(KEYS)
