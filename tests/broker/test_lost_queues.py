"""A queue that is taken away: what it held is asked for again, and comes in its order."""

import signal
from itertools import count

import amqp
import psycopg
import pytest
from sqlalchemy import select

from chassis.message import Message, partition_of
from chassis.messaging import replay
from chassis.messaging.bus import Closed
from chassis.messaging.consumer import Consumer
from chassis.messaging.relay import Relay
from chassis.rabbitmq import inbox as rabbitmq_inbox
from chassis.rabbitmq import topology
from chassis.rabbitmq.topology import queue_of
from chassis.storage import migrations
from chassis.storage.leases import PartitionLost
from chassis.storage.store import Store
from chassis.storage.tables import inbox, leases, outbox, resends
from console.demo.fleet import Fleet
from console.demo.plan import MEASURES, plan
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope
from services.filing.service import Filings
from tests.broker.conftest import NAMES, start_anew, until
from tests.district import DistributedDistrict
from tests.service.given import Deaf


def rows(settings, service, query):
    with psycopg.connect(settings.database_of(service).replace("+psycopg", "")) as connection:
        return connection.execute(query).fetchall()


def test_what_lost_queues_held_is_sent_again_in_order(settings, tmp_path):
    """Inspection is stopped while its queues fill, and are taken away with all that is in them."""
    shops = [shop for shop in plan(0.02).enterprises if not shop.five_small][:12]
    with Fleet(settings, tmp_path / "fleet") as fleet:
        client = fleet.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        drained = (
            "SELECT count(*) FROM leases WHERE name LIKE 'partition %%' AND drained_at IS NOT NULL"
        )
        until(lambda: rows(settings, "inspection", drained) == [(8,)])
        inspection = fleet.members["inspection"][0].process
        inspection.send_signal(signal.SIGSTOP)
        ids = [register_and_file(client, number, shop) for number, shop in enumerate(shops)]
        for shop in ids:
            until(lambda shop=shop: client.get(f"/v1/enterprises/{shop}")["state"] == "open")
        until(lambda: not rows(settings, "filing", "SELECT 1 FROM outbox WHERE sent_at IS NULL"))
        with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
            channel = connection.channel()
            for partition in range(settings.partitions):
                channel.queue_delete(queue_of("inspection", partition))
        inspection.send_signal(signal.SIGCONT)

        def slips():
            found = client.everything("/v1/slips", kind="prompt")
            return sorted(slip["enterprise_id"] for slip in found) == sorted(ids)

        until(slips)
        gaps = "SELECT name FROM deployment WHERE name LIKE 'recovery%%'"
        until(lambda: not rows(settings, "inspection", gaps))
    assert rows(settings, "inspection", "SELECT type, reason FROM parked_messages") == []


def test_what_was_sent_between_the_question_and_the_marker_is_sent_again(tmp_path):
    """The relay may be of another process than the consumer that was asked, and looks a second
    later; who asked leaves alone whatever comes before the marker."""
    store = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
    migrations.apply(store)
    bus = RecordingBus()
    relay = Relay(
        store, bus, 10, {"inspection": frozenset({("filing.events", "filing-withdrawn")})}
    )
    say(store, "before")
    relay.publish_next()
    with store.write() as uow:
        replay.ask(uow, "inspection", 0.0, partition=partition_of("shop", 8), marker="a-marker")
    say(store, "between")  # this relay has just looked whether it is to send anything again
    relay.publish_next()
    assert bus.published == [(None, "before"), (None, "between")]

    relay.ask_again()
    relay.publish_next()
    again = [("inspection", "a-marker"), ("inspection", "before"), ("inspection", "between")]
    assert bus.published[2:] == again
    store.close()


def test_what_an_earlier_process_said_to_itself_and_did_not_send_is_given_to_itself_too(tmp_path):
    """One of an earlier version has not handled it in the transaction that says it."""
    hears = {"filing": frozenset({("filing.events", "filing-withdrawn")})}
    earlier = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
    migrations.apply(earlier)
    say(earlier, "before")
    earlier.close()
    store = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
    migrations.apply(store)
    bus = RecordingBus()
    relay = Relay(store, bus, 10, hears)
    say(store, "now")
    relay.publish_next()
    assert bus.published == [("filing", "before"), (None, "before"), (None, "now")]
    store.close()


def test_a_partition_that_changes_hands_before_its_first_queue_is_made_has_lost_nothing(tmp_path):
    store = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
    migrations.apply(store)
    with store.write() as uow:
        uow.execute(leases.insert().values(name="partition 3", until=0.0))
    assert replay.begin_recovery(store, 3, NAMES, held) == []
    assert replay.begin_recovery(store, 3, NAMES, held) == [], "the first who looked has made none"

    replay.queue_made(store, 3, 100.0)
    assert replay.begin_recovery(store, 3, NAMES, held) == sorted(NAMES)
    replay.queue_made(store, 3, 200.0)
    with store.read() as session:
        assert session.scalar(select(leases.c.drained_at)) == 100.0, "what was lost is asked for"
    store.close()


def test_a_queue_whose_first_declaration_fails_is_not_asked_for(
    postgres, rabbitmq, tmp_path, monkeypatch
):
    start_anew(postgres, rabbitmq)
    declare, failed = topology.declare_queue, set()

    def fail_once(connection, service, partition):
        if (service, partition) not in failed and service == "filing":
            failed.add((service, partition))
            raise ConnectionResetError
        declare(connection, service, partition)

    monkeypatch.setattr(rabbitmq_inbox, "declare_queue", fail_once)
    monkeypatch.setattr(rabbitmq_inbox, "pause", lambda *_, **__: 0.1)
    district = DistributedDistrict(tmp_path / "district", postgres, rabbitmq)
    try:
        store = district.store("filing")
        made = "SELECT count(*) FROM leases WHERE drained_at IS NOT NULL"
        with store.engine.connect() as connection:
            until(lambda: connection.exec_driver_sql(made).scalar() == 8)
        assert len(failed) == 8
        with store.read() as session:
            assert not session.scalars(select(outbox.c.id).where(outbox.c.type == "resend")).all()
            assert not session.scalars(select(resends.c.seq)).all()
    finally:
        district.stop()


def test_who_has_lost_a_partition_neither_takes_its_marker_nor_asks_for_what_was_lost(tmp_path):
    """A replica whose lease has ended is still given messages: what it drops, or a marker that it
    takes, would be lost to the one that serves the partition by now."""
    store = Store("inspection", f"sqlite:///{tmp_path}/inspection.db", Filings.metadata)
    migrations.apply(store)
    with store.write() as uow:
        uow.execute(leases.insert().values(name="partition 3", until=0.0, drained_at=100.0))
    assert replay.begin_recovery(store, 3, ["filing"], held) == ["filing"]
    with store.read() as session:
        marker = replay.recoveries_of(session, 3)["filing"]
    lane = replay.marker_of("filing", marker, 3, 8, store.now())

    before, mine = consumer(store, lost), consumer(store, held)
    for batch in ([lane], [withdrawn("early")], [lane, withdrawn("again")]):
        partition_consumer = Partition3(batch)
        before.run(partition_consumer, 10)
        assert partition_consumer.acknowledged == [], "whatever it would do with them"
    with pytest.raises(PartitionLost):
        replay.begin_recovery(store, 3, ["filing"], lost)
    with store.read() as session:
        assert replay.recoveries_of(session, 3) == {"filing": marker}, (
            "for who serves the partition"
        )

    early, again = withdrawn("early"), withdrawn("again")
    partition_consumer = Partition3([early], [lane, again])
    mine.run(partition_consumer, 10)
    assert partition_consumer.acknowledged == [early, lane, again]
    with store.read() as session:
        assert replay.recoveries_of(session, 3) == {}
        assert set(session.scalars(select(inbox.c.id))) == {"again"}
    store.close()


def held(_uow, _partition):
    """Hold a partition as who serves it does."""


def lost(_uow, partition):
    raise PartitionLost(partition)


def consumer(store, hold):
    """Make a consumer to whom partition 3 has been given, with what its queue lost being sent
    again."""
    made = Consumer(Deaf(), store, {FilingWithdrawn.type: [lambda _fact, _uow: None]}, list)
    made.partitions.count, made.partitions.hold = 8, hold
    made.recovering.add(3)
    return made


def withdrawn(identity):
    """Make a message of partition 3."""
    fact = FilingWithdrawn(enterprise_id=IN_PARTITION_3, filing_id="1", reason="none")
    moment = "2020-02-10T00:00:00Z"
    envelope = Envelope(identity, "filing", fact.type, moment, IN_PARTITION_3, identity)
    return Message.of(fact, envelope)


IN_PARTITION_3 = next(key for key in map(str, count()) if partition_of(key, 8) == 3)


class Partition3:
    """A partition consumer that gives these batches, and then is closed."""

    partition = 3

    def __init__(self, *batches):
        self.batches = [*batches]
        self.acknowledged = []

    def take(self, _most):
        if not self.batches:
            raise Closed
        return self.batches.pop(0)

    def done(self, messages):
        self.acknowledged += messages


class RecordingBus:
    """A bus with which everything is safe at once: it notes to whom it went."""

    partitions = 8

    def __init__(self):
        self.published = []

    def claim(self, service, agreed):
        return agreed()

    def let_go(self, service):
        pass

    def publish(self, messages, to=None):
        for message in messages:
            self.published.append((to, getattr(message.payload, "marker", None) or message.id))
        return messages


def say(store, identity):
    fact = FilingWithdrawn(enterprise_id="shop", filing_id="1", reason="none")
    moment = "2020-02-10T00:00:00Z"
    envelope = Envelope(identity, "filing", fact.type, moment, "shop", identity)
    with store.write() as uow:
        uow.outbox.append(Message.of(fact, envelope))


def register_and_file(client, number, shop):
    made = client.post("/v1/enterprises", shop.registration(), f"shop-{number}")
    filing = {
        "enterprise_id": made["enterprise_id"],
        "reopen_on": "2020-02-10",
        "headcount": 3,
        "out_of_province": 0,
        "measures": list(MEASURES),
        "pledge": True,
    }
    client.post("/v1/filings", filing, f"filing-{number}")
    return made["enterprise_id"]
