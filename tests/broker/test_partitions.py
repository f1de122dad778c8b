"""The number of partitions is changed while the district works, and nothing is lost by it."""

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from math import inf

import amqp
import eventlet
import psycopg
import pytest
from sqlalchemy import select

from chassis.ids import new_id
from chassis.messaging import replay
from chassis.messaging.bus import BusDown
from chassis.messaging.outbox import Outbox
from chassis.messaging.relay import Relay
from chassis.rabbitmq import publisher, topology
from chassis.rabbitmq.bus import RabbitBus
from chassis.rabbitmq.topology import prepare, queue_of
from chassis.storage.store import Store
from chassis.storage.tables import deployment
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.runtime.district import SERVICES, TOPOLOGY
from console.runtime.process import Process
from services.filing.service import Filings
from tests.broker.conftest import until
from tests.broker.test_publishing import event, standing, taken


def bihuan(settings, *arguments):
    """Run a command against the district of these settings; give its exit code and its words."""
    done = subprocess.run(
        [sys.executable, "-m", "console.main", *arguments],
        env={**os.environ, **places_of(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def places_of(settings):
    return {"AMQP_URI": settings.amqp_uri, "DATABASE_URL": settings.database_url}


def declare_all(settings):
    for kind in SERVICES:
        prepare(settings, kind.name, TOPOLOGY[kind.name], settings.partitions, ())


@contextmanager
def channel_to(settings):
    with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
        yield connection.channel()


def queues(settings):
    """Name the partitions of filing that have a queue."""
    found = set()
    with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
        for partition in range(20):
            channel = connection.channel()
            try:
                channel.queue_declare(queue_of("filing", partition), passive=True)
                found.add(partition)
            except amqp.NotFound:
                continue
    return found


@pytest.mark.parametrize("number", [3])
def test_partitions_change_under_load_and_every_request_is_answered(settings, tmp_path, number):
    shops = plan(0.01).enterprises[:60]
    with Fleet(settings, tmp_path / "fleet") as fleet:
        client = fleet.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        pool = eventlet.GreenPool(4)
        working = eventlet.spawn(
            lambda: list(
                pool.imap(
                    lambda item: client.post(
                        "/v1/enterprises", item[1].registration(), f"shop-{item[0]}"
                    ),
                    enumerate(shops),
                )
            )
        )
        code, said = bihuan(settings, "partitions", str(number))
        assert (code, "Every service has 3 partitions" in said) == (0, True), said
        assert len({answer["enterprise_id"] for answer in working.wait()}) == len(shops)
        until(lambda: client.get("/v1/statistics")["registered"]["total"] == len(shops))
        assert queues(settings) == set(range(number))

    environ = {name.upper(): str(value) for name, value in asdict(settings).items() if value}
    late = Process(
        ["run", "filing", "--port", "0"],
        tmp_path / "late.log",
        environ={"AMQP_URI": environ["AMQP_URI"], "DATABASE_URL": environ["DATABASE_URL"]},
    )
    with late:
        assert late.process.wait(60) == 2
    assert "has 3 partitions: set PARTITIONS=3" in late.log.read_text()


def test_partitions_wait_for_a_queue_that_does_not_run_empty_and_change_nothing(settings):
    """No process runs, so what is queued stays; the district is not left paused."""
    declare_all(settings)
    with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        channel.basic_publish(amqp.Message("{}"), "", queue_of("filing", 2))
    code, said = bihuan(settings, "partitions", "4", "--patience", "1")
    assert (code, "nothing was changed" in said) == (1, True), said
    assert queues(settings) == set(range(8))
    for kind in SERVICES:
        url = settings.database_of(kind.name).replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT value FROM deployment WHERE name = 'paused'")
            assert rows.fetchall() == [("",)]


@pytest.mark.parametrize("number", [3, 12])
def test_a_change_that_is_broken_off_is_finished_by_the_next(
    settings, tmp_path, monkeypatch, number
):
    """Whoever runs with the old number must not take the queues that are gone for lost."""
    shops = plan(0.01).enterprises[:6]
    with Fleet(settings, tmp_path / "fleet") as fleet:
        client = fleet.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        client.post("/v1/enterprises", shops[0].registration(), "before")
        broken = f"{BROKEN_OFF}\nsys.argv = ['bihuan', 'partitions', '{number}']; main()"
        done = subprocess.run(
            [sys.executable, "-c", broken],
            env={
                **os.environ,
                "AMQP_URI": settings.amqp_uri,
                "DATABASE_URL": settings.database_url,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -9, done.stdout + done.stderr
        code, said = bihuan(settings, "partitions", str(number))
        assert (code, f"Every service has {number} partitions" in said) == (0, True), said
        for index, shop in enumerate(shops[1:]):
            client.post("/v1/enterprises", shop.registration(), f"after-{index}")
        until(lambda: client.get("/v1/statistics")["registered"]["total"] == len(shops))
        assert queues(settings) == set(range(number))


BROKEN_OFF = """
import os, signal, sys
import chassis.runtime.green
from chassis.rabbitmq import topology
from console.main import main
remake = topology.remake
def killed(*given):
    remake(*given)
    os.kill(os.getpid(), signal.SIGKILL)
topology.remake = killed
"""


def test_partitions_wait_until_what_a_lost_queue_held_has_been_sent_again(settings):
    """The marker has closed the gap, and pages are left: a partition of theirs may be no more."""
    declare_all(settings)
    store = Store("filing", settings.database_of("filing"), Filings.metadata)
    with store.write() as uow:
        replay.ask(uow, "gateway", 0.0, partition=5, marker=new_id())
        left = {"name": "paused", "value": "relay"}  # by a run that was killed: nothing would go on
        uow.execute(store.statements.insert_or_replace(deployment, "name"), left)
    code, said = bihuan(settings, "partitions", "4")
    with store.read() as session:
        paused = select(deployment.c.value).where(deployment.c.name == "paused")
        assert session.scalar(paused) == ""
    store.close()
    assert (code, queues(settings)) == (1, set(range(8)))
    assert "filing is resending a lost queue to gateway" in said


def test_two_do_not_change_the_partitions_at_once(settings):
    declare_all(settings)
    with topology.administering(settings) as first:
        assert topology.lock(first, topology.PARTITIONS)
        code, said = bihuan(settings, "partitions", "4")
    assert (code, "Another `bihuan partitions` is running" in said) == (1, True), said
    assert queues(settings) == set(range(8))


@pytest.mark.parametrize("stalls", [False, True])
def test_a_queue_is_taken_away_only_where_it_is_surely_empty(settings, rabbitmq_server, stalls):
    """RabbitMQ 3.10 says of a queue that does not answer that nothing is in it."""
    declare_all(settings)
    queue = queue_of("filing", 2)
    with channel_to(settings) as channel:
        channel.confirm_select()
        channel.basic_publish(amqp.Message("{}", delivery_mode=2), "", queue)
    with topology.administering(settings) as broker:
        until(lambda: topology._counts(broker, queue) == (1, 0))
        if stalls:
            rabbitmq_server.ctl("eval", STALLED.format(queue=queue))
        with pytest.raises((BusDown, amqp.AMQPError)):
            topology.refuse_any_message(broker, [queue_of("filing", 1), queue])
        until(lambda: topology._counts(broker, queue) == (1, 0))
        topology.refuse_any_message(broker, [queue_of("filing", 1), "filing.inbox.99"])


STALLED = (
    '{{ok,Q}}=rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>,queue,<<"{queue}">>)),'
    "{{N,_}}=amqqueue:get_pid(Q),P=whereis(N),"
    "spawn(fun() -> erlang:suspend_process(P), timer:sleep(3000),"
    " erlang:resume_process(P) end), ok."
)


def test_nothing_is_lost_by_a_relay_that_still_publishes_although_its_lease_is_gone(
    settings, monkeypatch
):
    """It is held up with a batch under way, for longer than its lease: the command waits for its
    word, which is the broker's."""
    declare_all(settings)
    store = Store("filing", settings.database_of("filing"), Filings.metadata)
    publish, under_way, on = (
        publisher.Publisher._publish_batch,
        eventlet.event.Event(),
        eventlet.event.Event(),
    )

    def slowly(publisher, publish_batch):
        if not under_way.ready():
            under_way.send()
            on.wait()
        publish(publisher, publish_batch)

    monkeypatch.setattr(publisher.Publisher, "_publish_batch", slowly)
    monkeypatch.setattr(publisher, "CONFIRM_WITHIN", 1000.0)
    bus = RabbitBus(settings, TOPOLOGY)
    relay = Relay(store, bus, 400, TOPOLOGY)
    relay.until = inf
    with store.write() as uow:
        uow.outbox += [event(f"shop-{number}", 0) for number in range(40)]
    eventlet.spawn(relay.run)
    try:
        until(under_way.ready)
        relay.until = 0.0
        code, words = bihuan(settings, "partitions", "3", "--patience", "5")
        on.send()
        until(lambda: not Outbox(store).unsent(1) and not relay.busy)
        with channel_to(settings) as channel:
            there = taken(channel, "gateway", max(queues(settings)) + 1)
        assert there == {f"shop-{number}": [f"shop-{number}:0"] for number in range(40)}
        assert (code, "nothing was changed" in words) == (1, True), words
    finally:
        relay.stop()
        relay.stopped.wait()
        bus.close()
        store.close()
    with channel_to(settings) as channel:
        for kind in SERVICES:
            taken(channel, kind.name, settings.partitions)
    code, words = bihuan(settings, "partitions", "3")
    assert (code, "Every service has 3 partitions" in words) == (0, True), words


def test_what_somebody_has_in_hand_is_not_taken_away_with_its_queue(settings):
    """He was stopped for longer than his lease; his connection lives, and so does what he holds."""
    declare_all(settings)
    with channel_to(settings) as channel:
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message("{}"), "", queue_of("filing", 2))
        with channel_to(settings) as holding:
            holding.basic_consume(queue_of("filing", 2), callback=lambda _message: None)
            until(lambda: standing(channel, "filing", settings.partitions) == 0)
            code, words = bihuan(settings, "partitions", "4", "--patience", "5")
        until(lambda: standing(channel, "filing", len(queues(settings))) == 1)
        assert (code, "nothing was changed" in words) == (1, True), words
        assert queues(settings) == set(range(8))
        channel.queue_purge(queue_of("filing", 2))
    code, words = bihuan(settings, "partitions", "4")
    assert (code, "Every service has 4 partitions" in words) == (0, True), words


def test_nothing_is_taken_away_once_the_command_has_lost_its_locks(settings, monkeypatch):
    """What it was sure of it is sure of no more: a relay may have begun."""
    from console.cli import partitions

    declare_all(settings)
    remake = partitions._remake

    def cut_before(broker, *given):
        broker.transport.close()
        remake(broker, *given)

    monkeypatch.setattr(partitions, "_remake", cut_before)
    monkeypatch.setenv("AMQP_URI", settings.amqp_uri)
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    with channel_to(settings) as channel:
        kept = queue_of("filing", 0)
        channel.queue_bind(kept, "amq.direct", "a-mark")
        with pytest.raises(partitions.Unanswered, match="Run the command again"):
            partitions.partitions(3, 60.0)
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message("{}"), "amq.direct", "a-mark", mandatory=True)
        assert standing(channel, "filing", 8) == 1, "the queue is the one that it was"
