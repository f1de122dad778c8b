"""A relay whose bus is away, is another's, or does not take everything."""

from itertools import count
from math import inf

import eventlet
import pytest
from sqlalchemy import select, update

from chassis.ids import new_id
from chassis.message import Message, partition_of
from chassis.messaging import relay as relaying
from chassis.messaging import replay
from chassis.messaging.bus import BusDown
from chassis.messaging.outbox import Outbox
from chassis.messaging.relay import Relay
from chassis.storage import migrations
from chassis.storage.store import Store
from chassis.storage.tables import deployment, resends
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope
from services.filing.service import Filings
from tests import PATIENCE

HEARS = {
    "filing": frozenset(),
    "gateway": frozenset({("filing.events", FilingWithdrawn.type)}),
    "inspection": frozenset({("filing.events", FilingWithdrawn.type)}),
}
PARTITIONS = 8
KEYS = [
    next(k for n in count() if partition_of(k := f"shop-{n}", PARTITIONS) == partition)
    for partition in range(4)
]


class Bus:
    """A bus that refuses keys, to everybody or to one receiver, and notes what it was given."""

    partitions = PARTITIONS

    def __init__(self):
        self.refuses = set()
        self.given = []
        self.taken = []
        self.claims = self.failures = 0
        self.is_down = False
        self.is_held = False

    def claim(self, _service, agreed):
        self.claims += 1
        self.fail()
        self.is_held = self.is_held or agreed()
        return self.is_held

    def fail(self):
        if self.is_down:
            self.failures += 1
            raise BusDown("it is down")

    def let_go(self, _service):
        self.is_held = False

    def publish(self, messages, to=None):
        self.fail()
        held, safe = set(), []
        for message in messages:
            key, name = message.envelope.partitionkey, name_of(message)
            if key in held:
                continue
            self.given.append((to, name))
            message.refused = bool({(to, key), (to, partition_of(key, PARTITIONS))} & self.refuses)
            if message.refused:
                held.add(key)
            else:
                safe.append(message)
                self.taken.append((to, name))
        return safe


def name_of(message):
    return getattr(message.payload, "marker", None) or message.id


@pytest.fixture
def store(tmp_path):
    made = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
    migrations.apply(made)
    yield made
    made.close()


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def relay(store, bus, monkeypatch):
    monkeypatch.setattr(
        relaying, "LONGEST_WAIT", 0.0, raising=False
    )  # what is not taken is always due
    made = Relay(store, bus, 10, HEARS)
    made.until = inf
    return made


def say(store, *names):
    """Say something; the key of a name is what stands before its colon."""
    with store.write() as uow:
        for name in names:
            key = name.partition(":")[0]
            fact = FilingWithdrawn(enterprise_id=key, filing_id="1", reason="none")
            envelope = Envelope(name, "filing", fact.type, "2020-02-10T00:00:00Z", key, name)
            uow.outbox.append(Message.of(fact, envelope))


def run(relay):
    """Let a relay run by itself, and end it."""
    thread = eventlet.spawn(relay.run)

    def end():
        relay.stop()
        with eventlet.Timeout(PATIENCE):
            thread.wait()

    return end


def test_while_the_bus_is_away_the_pause_holds_whoever_wakes(store, bus, relay, monkeypatch):
    monkeypatch.setattr(relaying, "pause", lambda *_, **__: 3600.0)
    bus.is_down = True
    end = run(relay)
    for number in range(20):
        say(store, f"shop:{number}")
        relay.wake()
        eventlet.sleep(0.01)
    assert bus.failures == 1
    end()


def test_a_key_that_is_refused_is_tried_with_its_oldest_message_alone(store, bus, relay):
    a, b, *_ = KEYS
    bus.refuses = {(None, a)}
    say(store, *(f"{a}:{n}" for n in range(30)), *(f"{b}:{n}" for n in range(3)))
    for _ in range(10):
        relay.publish_next()
    assert bus.taken == [(None, f"{b}:{n}") for n in range(3)]
    assert {name for _, name in bus.given if name.startswith(a)} == {f"{a}:0"}

    bus.refuses = set()
    say(store, f"{a}:30", f"{b}:3")
    while Outbox(store).unsent(1):
        relay.publish_next()
    assert [name for _, name in bus.taken if name.startswith(a)] == [f"{a}:{n}" for n in range(31)]
    assert [name for _, name in bus.taken if name.startswith(b)] == [f"{b}:{n}" for n in range(4)]


def test_more_keys_than_can_be_held_wait_for_those_that_are(store, bus, relay, monkeypatch):
    monkeypatch.setattr(relaying, "MOST_HELD", 20, raising=False)
    keys = [f"shop-{number}" for number in range(100)]
    bus.refuses = {(None, key) for key in keys}
    say(store, *(f"{key}:0" for key in keys))
    for _ in range(10):
        relay.publish_next()
    assert len(relay._held.rows) == 20
    bus.refuses = set()
    while Outbox(store).unsent(1):
        relay.publish_next()
    assert len(bus.taken) == len(set(bus.taken)) == 100


def test_what_is_looked_past_is_bounded(store, bus, relay, monkeypatch):
    monkeypatch.setattr("chassis.messaging.outbox.LOOK_PAST", 15, raising=False)
    a, b, *_ = KEYS
    bus.refuses = {(None, a)}
    say(store, *(f"{a}:{n}" for n in range(20)), f"{b}:0")
    for _ in range(5):
        relay.publish_next()
    assert bus.taken == []
    bus.refuses = set()
    while Outbox(store).unsent(1):
        relay.publish_next()
    assert len(bus.taken) == 21


def test_what_is_sent_again_and_not_taken_holds_back_its_partition_alone(store, bus, relay):
    """New messages to the partition that lost its queue would overtake; nobody else waits."""
    lost, other, *_ = KEYS
    say(store, f"{lost}:0", f"{lost}:1", f"{other}:0")
    relay.publish_next()
    bus.taken.clear()
    with store.write() as uow:
        replay.ask(
            uow, "inspection", 0.0, partition=partition_of(lost, PARTITIONS), marker="marker"
        )
        replay.ask(uow, "gateway", 0.0, partition=partition_of(other, PARTITIONS), marker="another")
    bus.refuses = {("inspection", lost)}  # the marker is taken, and then no more
    say(store, f"{lost}:2", f"{other}:1")
    relay.ask_again()
    for _ in range(3):
        relay.publish_next()
    gateways = [("gateway", name) for name in ("another", f"{other}:0", f"{other}:1")]
    rest = [each for each in bus.taken if each != ("inspection", "marker")]
    assert rest == [*gateways, (None, f"{other}:1")]

    bus.refuses = set()
    bus.taken.clear()
    while Outbox(store).unsent(1):
        relay.publish_next()
    again = [("inspection", name) for name in ("marker", *(f"{lost}:{n}" for n in range(3)))]
    assert bus.taken == [*again, (None, f"{lost}:2")]
    with store.read() as session:
        assert not session.scalars(select(resends.c.seq).where(resends.c.done_at.is_(None))).all()


def test_what_an_operator_sends_again_and_nobody_takes_holds_back_nothing(store, bus, relay):
    a, b, *_ = KEYS
    say(store, f"{a}:0")
    relay.publish_next()
    with store.write() as uow:
        replay.ask(uow, "inspection", 0.0)
        replay.ask(uow, "gateway", 0.0)
    bus.refuses = {("inspection", a)}
    say(store, f"{a}:1", f"{b}:0")
    relay.ask_again()
    for _ in range(3):
        relay.publish_next()
    wanted = {("gateway", f"{a}:0"), (None, f"{a}:1"), (None, f"{b}:0")}
    assert wanted <= set(bus.taken)
    bus.refuses = set()
    relay.publish_next()
    assert ("inspection", f"{a}:0") in bus.taken


def test_what_a_service_does_not_take_from_itself_holds_back_its_keys_alone(tmp_path, bus):
    hears = {"filing": frozenset({("filing.events", FilingWithdrawn.type)})}
    a, b, *_ = KEYS
    for turn in range(2):
        store = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
        migrations.apply(store)
        if not turn:
            say(store, f"{a}:0", f"{a}:1", f"{b}:0")
            store.close()
    bus.refuses = {("filing", a)}
    relay = Relay(store, bus, 10, hears)
    relay.publish_next()
    assert bus.taken == [("filing", f"{b}:0"), (None, f"{b}:0")]
    bus.refuses = set()
    relay._round.at = 0.0
    while Outbox(store).unsent(1):
        relay.publish_next()
    ours = [(to, name) for to, name in bus.taken if name.startswith(a)]
    assert [name for to, name in ours if to is None] == [f"{a}:0", f"{a}:1"]
    assert ours[0] == ("filing", f"{a}:0")
    store.close()


@pytest.mark.parametrize(("name", "value"), [("paused", "relay"), ("partitions", "3")])
def test_a_relay_that_has_become_the_only_one_looks_first_whether_it_may_publish(
    store, bus, relay, name, value
):
    """It may have been stopped while the partitions were changed, or still are."""

    def agree(value):
        with store.write() as uow:
            uow.execute(
                store.statements.insert_or_replace(deployment, "name"),
                {"name": name, "value": value},
            )

    agree(value)
    say(store, "shop:0")
    end = run(relay)
    with eventlet.Timeout(PATIENCE):
        while bus.claims < 2:
            relay.wake()
            eventlet.sleep(0.01)
    assert bus.given == []
    agree("8" if name == "partitions" else "")
    with eventlet.Timeout(PATIENCE):
        while not bus.taken:
            relay.wake()
            eventlet.sleep(0.01)
    end()


def test_a_relay_whose_lease_has_ended_lets_another_publish(store, bus, relay):
    say(store, "shop:0")
    end = run(relay)
    with eventlet.Timeout(PATIENCE):
        while not bus.taken:
            eventlet.sleep(0.01)
    assert bus.is_held
    relay.until = 0.0
    with eventlet.Timeout(PATIENCE):
        while bus.is_held:
            eventlet.sleep(0.01)
    end()


def test_a_request_that_another_relay_has_finished_holds_nothing_back(
    store, bus, relay, monkeypatch
):
    """This one has put it off, stood still, and is the relay again without having noticed."""
    monkeypatch.setattr(relaying, "pause", lambda *_given, **_more: 0.0)
    with store.write() as uow:
        replay.ask(uow, "inspection", 0.0, partition=0, marker=new_id())
    monkeypatch.setattr(bus, "publish", refusing)
    relay.publish_next()
    assert relay.resender.put_off
    with store.write() as uow:
        uow.execute(update(resends).values(done_at=1.0))
    monkeypatch.undo()
    say(store, KEYS[0])
    relay._round.at = 0.0
    relay.publish_next()
    relay.publish_next()
    assert not relay.resender.put_off
    assert (None, KEYS[0]) in bus.taken


def refusing(messages, to=None):
    for message in messages:
        message.refused = True
    return []
