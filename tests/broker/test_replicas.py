"""Replicas: processes of a service that share its partitions, and come and go."""

import signal
from collections import Counter

import amqp
import eventlet
import psycopg
import pytest
import urllib3
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from chassis.ids import new_id
from chassis.message import Message, partition_of
from chassis.rabbitmq.bus import RabbitBus
from chassis.rabbitmq.topology import prepare, queue_of
from chassis.settings import Settings
from chassis.storage.leases import LEASE, Leases
from chassis.storage.store import Store
from chassis.storage.tables import deployment, leases
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.runtime.district import TOPOLOGY
from console.runtime.process import Process
from contracts.message import Envelope
from tests.broker.conftest import PATIENCE, until
from tests.proxy import Proxy
from tests.service.sayings import register, registered


@pytest.fixture
def start(settings, tmp_path):
    """Start processes of filing, which end with the test."""
    started = []

    def one(**told):
        environ = {"AMQP_URI": settings.amqp_uri, "DATABASE_URL": settings.database_url} | told
        log = tmp_path / f"filing-{len(started)}.log"
        process = Process(["run", "filing", "--port", "0"], log, environ=environ)
        started.append(process)
        return process.__enter__()

    yield one
    for process in started:
        process.__exit__(None, None, None)


@pytest.fixture
def shares(settings):
    """Tell how many partitions each replica of filing holds, and how many relay."""
    url = settings.database_of("filing").replace("+psycopg", "")

    def now():
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT name, owner FROM leases WHERE owner IS NOT NULL"
                " AND until > extract(epoch FROM clock_timestamp())"
            ).fetchall()
        partitions = Counter(owner for name, owner in rows if name.startswith("partition"))
        return sorted(partitions.values()), sum(name == "relay" for name, _ in rows)

    return now


def test_replicas_share_the_partitions_after_a_start_a_stop_and_a_kill(start, shares):
    first = start()
    until(lambda: shares() == ([8], 1))
    second = start()
    until(lambda: shares() == ([4, 4], 1))
    third = start()
    until(lambda: shares() == ([2, 3, 3], 1))

    third.process.send_signal(signal.SIGTERM)
    assert third.process.wait(60) == 0
    until(lambda: shares() == ([4, 4], 1))
    first.kill()
    until(lambda: shares() == ([8], 1))
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(60) == 0
    assert shares() == ([], 0), "what is stopped gives its leases back"


def test_a_replica_that_was_stopped_for_long_finds_its_partitions_taken_and_takes_its_share_again(
    start, shares
):
    first, _ = start(), start()
    until(lambda: shares() == ([4, 4], 1))
    first.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: shares() == ([8], 1))
    finally:
        first.process.send_signal(signal.SIGCONT)
    until(lambda: shares() == ([4, 4], 1))


@pytest.fixture
def line(rabbitmq_server):
    """A network between a replica and the broker."""
    with Proxy(rabbitmq_server.port) as proxy:
        yield proxy


def ask_filing(settings, numbers):
    """Ask for enterprises to be registered, as the gateway does."""
    moment, asked = "2020-02-10T09:00:00+00:00", []
    for number in numbers:
        act = register(f"shop-{number}", number)
        told = Envelope(new_id(), "gateway", act.type, moment, act.key, f"cause-{number}")
        asked.append(Message.of(act, told))
    assert {message.partition(settings.partitions) for message in asked} == set(
        range(settings.partitions)
    )
    where = settings.amqp_uri.partition("@")[2].rstrip("/")
    with amqp.Connection(where, confirm_publish=True) as connection:
        channel = connection.channel()
        for message in asked:
            headers = message.envelope.headers() | {
                "partition": message.partition(settings.partitions)
            }
            said = amqp.Message(
                message.body,
                content_type="application/json",
                delivery_mode=2,
                application_headers=headers | {"exchange": message.exchange},
            )
            channel.basic_publish(said, "filing.inbox", message.envelope.type, mandatory=True)


def said_and_sent(settings):
    """Give the outcomes that filing has published, by what they are about."""
    with psycopg.connect(settings.database_of("filing").replace("+psycopg", "")) as connection:
        rows = connection.execute(
            "SELECT correlationid, id FROM outbox WHERE type = 'command-settled'"
            " AND sent_at IS NOT NULL"
        ).fetchall()
    return sorted(cause for cause, _ in rows), {identity for _, identity in rows}


def is_ready(process):
    answer = urllib3.request("GET", f"{process.base}/readyz", retries=False)
    return answer.json() == {"database": True, "bus": True, "clock": True}


@pytest.mark.parametrize("way", ["black_hole", "refuse"])
def test_a_replica_that_is_cut_from_the_broker_leaves_everything_to_the_other(
    settings, line, start, shares, rabbitmq_server, way
):
    """Its database is well, so that it could renew whatever it holds, and do nothing with it."""
    for name, hears in TOPOLOGY.items():
        prepare(settings, name, hears, settings.partitions, ())
    cut = start(AMQP_URI=rabbitmq_server.at(line.port))
    until(lambda: shares() == ([8], 1))
    start()
    until(lambda: shares() == ([4, 4], 1))
    getattr(line, way)()  # the one that relays
    ask_filing(settings, range(40))
    causes = [f"cause-{number}" for number in range(120)]
    until(lambda: said_and_sent(settings)[0] == sorted(causes[:40]))
    until(lambda: shares() == ([8], 1))
    until(lambda: not is_ready(cut))
    ask_filing(settings, range(40, 80))
    until(lambda: said_and_sent(settings)[0] == sorted(causes[:80]))

    line.restore()
    until(lambda: shares() == ([4, 4], 1))
    ask_filing(settings, range(80, 120))
    until(lambda: len(said_and_sent(settings)[0]) >= 120)
    until(lambda: is_ready(cut) and work_done(cut) > 0)
    found, outcomes = said_and_sent(settings)
    assert found == sorted(causes), "every command is carried out once"
    await_messages(settings, "gateway", outcomes)


@pytest.fixture
def database_line(postgres_server):
    """A network between a replica and its database."""
    with Proxy(postgres_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("way", ["black_hole", "refuse"])
def test_a_replica_that_is_cut_from_its_database_gives_back_what_it_was_given(
    settings, database_line, start, shares, postgres_server, way
):
    """Its broker is well, and would go on to give it what nobody can handle there."""
    for name, hears in TOPOLOGY.items():
        prepare(settings, name, hears, settings.partitions, ())
    there, here = (f":{port}/" for port in (postgres_server.port, database_line.port))
    start(DATABASE_URL=settings.database_url.replace(there, here))
    until(lambda: shares() == ([8], 1))
    start()
    until(lambda: shares() == ([4, 4], 1))
    getattr(database_line, way)()
    ask_filing(settings, range(40))
    causes = [f"cause-{number}" for number in range(80)]
    until(lambda: said_and_sent(settings)[0] == sorted(causes[:40]))

    database_line.restore()
    until(lambda: shares() == ([4, 4], 1))
    ask_filing(settings, range(40, 80))
    until(lambda: len(said_and_sent(settings)[0]) >= 80)
    found, outcomes = said_and_sent(settings)
    assert found == sorted(causes), "every command is carried out once"
    await_messages(settings, "gateway", outcomes)


def test_when_the_broker_is_away_nobody_holds_anything_until_it_is_back(
    settings, start, shares, rabbitmq_server
):
    start(), start()
    until(lambda: shares() == ([4, 4], 1))
    rabbitmq_server.stop()
    try:
        until(lambda: shares() == ([], 0))
    finally:
        rabbitmq_server.start()
    until(lambda: shares() == ([4, 4], 1))


def test_leases_do_not_wait_for_the_connections_of_handlers(distributed, postgres):
    """All of them are in use for longer than a lease; another replica takes what is left free."""
    store, replica = distributed.store("filing"), distributed.running.hosts["filing"].replica
    until(lambda: len(replica._serving) == 8)
    elsewhere = Store("filing", postgres.format(service="filing"))
    other = Leases(elsewhere)
    until(lambda: len(other.tick().held) == 4)
    until(lambda: len(replica._serving) == 4)
    mine = other.tick().held
    held = [store.engine.connect() for _ in range(Settings().database_pool)]
    end = elsewhere.now() + 3 * LEASE

    def is_over():
        share = other.tick()
        assert (share.held, share.replicas, share.relay) == (mine, 2, False)
        return elsewhere.now() > end

    until(is_over)
    for connection in held:
        connection.close()
    other.leave()
    elsewhere.close()
    until(lambda: len(replica._serving) == 8)


def test_a_relay_that_is_paused_keeps_its_lease_until_nothing_is_in_flight(
    distributed, monkeypatch
):
    host, store = distributed.running.hosts["filing"], distributed.store("filing")
    replica, going, ticks = host.replica, eventlet.event.Event(), []
    publish, tick = host.bus.publish, replica.leases.tick

    def slowly(messages, *to):
        if messages[0].envelope.source == "filing":
            going.wait()
        return publish(messages, *to)

    def owner():
        with store.read() as session:
            return session.scalar(select(leases.c.owner).where(leases.c.name == "relay"))

    def pause(what):
        with store.write() as uow:
            statement = store.statements.insert_or_replace(deployment, "name")
            uow.execute(statement, {"name": "paused", "value": what})

    distributed.client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"})
    monkeypatch.setattr(host.bus, "publish", slowly)
    monkeypatch.setattr(replica.leases, "tick", lambda **way: ticks.append(1) or tick(**way))
    shop = plan(0.01).enterprises[0].registration()
    asked = distributed.client.post("/v1/enterprises", shop, Prefer="respond-async")
    until(lambda: host.relay.busy)
    pause("relay")
    until(lambda: not host.relay.active)
    seen = len(ticks)
    until(lambda: len(ticks) > seen + 2)
    assert owner() == replica.leases.owner
    going.send()
    until(lambda: owner() is None)
    pause("")
    path = f"/v1/commands/{asked['command_id']}"
    until(lambda: distributed.client.get(path)["state"] == "done")


def test_a_partition_that_was_lost_and_held_again_before_that_was_noticed_is_served(
    distributed, monkeypatch
):
    """While the database fails it, a replica may miss that another has had its partitions."""
    replica, store = distributed.running.hosts["filing"].replica, distributed.store("filing")
    distributed.client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"})
    until(lambda: len(replica._serving) == 8)
    missed = []

    def away(**_way):
        missed.append(True)
        raise OperationalError("SELECT 1", {}, Exception("the database does not answer"))

    def hand_over(owner):
        with store.write() as uow:
            rows = leases.update().where(leases.c.name != "relay")
            uow.execute(rows.values(owner=owner, until=0.0))

    with monkeypatch.context() as patch:
        patch.setattr(replica.leases, "tick", away)
        until(lambda: missed)
        hand_over("another")
        shop = plan(0.01).enterprises[0].registration()
        asked = distributed.client.post("/v1/enterprises", shop, Prefer="respond-async")
        until(lambda: any(thread.dead for _, thread in replica._serving.values()))
        hand_over(None)
    path = f"/v1/commands/{asked['command_id']}"
    until(lambda: distributed.client.get(path)["state"] == "done")


def work_done(process):
    """Tell how many messages a process has handled."""
    answer = urllib3.request("GET", f"{process.base}/metrics", retries=False)
    lines = answer.data.decode().splitlines()
    wanted = 'bihuan_messages_total{outcome="done"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


def test_both_replicas_of_every_service_do_work(settings, tmp_path):
    complaint = {"track": "report", "channel": "12315", "content": "店內有人堂食",
                 "caller": "王小明", "phone": "13800000000"}  # fmt: skip
    with Fleet(settings, tmp_path / "fleet", replicas=2) as fleet:
        client = fleet.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        for number, shop in enumerate(plan(0.01).enterprises[:40]):
            made = client.post("/v1/enterprises", shop.registration(), f"shop-{number}")
            asked = complaint | {"enterprise_id": made["enterprise_id"]}
            client.post("/v1/complaints", asked, f"complaint-{number}")
        for members in fleet.members.values():
            for process in members:
                until(lambda process=process: work_done(process) > 0)


def test_a_restart_of_the_broker_moves_no_key_to_another_queue(settings, rabbitmq_server):
    everyone = {name: TOPOLOGY[name] for name in ("filing",)}
    prepare(settings, "filing", TOPOLOGY["filing"], settings.partitions, ())
    keys = [f"key-{number}" for number in range(200)]

    def queues_of():
        bus = RabbitBus(settings, everyone)
        try:
            until(lambda: bus.claim("filing", lambda: True))
            sent = [said_of(key) for key in keys]
            assert len(bus.publish(sent, to="filing")) == len(keys)
        finally:
            bus.close()
        return emptied(settings, settings.amqp_uri)

    before = queues_of()
    rabbitmq_server.restart()
    assert queues_of() == before == {key: partition_of(key, settings.partitions) for key in keys}


def said_of(key):
    fact = registered(key)
    moment = "2020-02-10T09:00:00+00:00"
    return Message.of(fact, Envelope(new_id(), "filing", fact.type, moment, key, "cause"))


def emptied(settings, uri):
    """Take every message from filing's queues; tell in which partition each key was."""
    found = {}
    with amqp.Connection(uri.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        for partition in range(settings.partitions):

            def take(message, partition=partition):
                found[message.headers["cloudEvents_partitionkey"]] = partition
                channel.basic_ack(message.delivery_tag)

            channel.basic_consume(queue_of("filing", partition), callback=take)
        with eventlet.Timeout(PATIENCE):
            while len(found) < 200:
                connection.drain_events()
    return found


def await_messages(settings, service, wanted):
    """Read the queues of a service until all that is wanted has come."""
    found = set()
    with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        for partition in range(settings.partitions):
            channel.basic_consume(
                queue_of(service, partition),
                callback=lambda message: found.add(message.headers["cloudEvents_id"]),
            )
        with eventlet.Timeout(PATIENCE):
            while not wanted <= found:
                connection.drain_events()


@pytest.mark.parametrize("partitions", [4, 16])
def test_another_number_of_partitions_is_one_clear_sentence(
    settings, start, shares, partitions, tmp_path
):
    start()
    until(lambda: shares() == ([8], 1))
    environ = {"AMQP_URI": settings.amqp_uri, "DATABASE_URL": settings.database_url}
    environ |= {"PARTITIONS": str(partitions)}
    other = Process(["run", "filing", "--port", "0"], tmp_path / "other.log", environ=environ)
    with other:
        assert other.process.wait(60) == 2
    assert "has 8 partitions: set PARTITIONS=8" in (tmp_path / "other.log").read_text()
