"""The number of slots is changed while the district works, and nothing is lost by it."""

import subprocess
import sys
from dataclasses import asdict

import amqp
import eventlet
import psycopg
import pytest

from chassis.rabbit import queue_of
from console.child import Process
from console.district import SERVICES
from console.fleet import Fleet
from console.month import plan
from tests.broker.conftest import until


def bihuan(settings, *arguments):
    """Run a command against the district of these settings; give its exit code and its words."""
    environ = {"AMQP_URI": settings.amqp_uri, "DATABASE_URL": settings.database_url}
    done = subprocess.run(
        [sys.executable, "-m", "console.main", *arguments],
        env={**__import__("os").environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def queues(settings):
    """Name the slots of filing that have a queue."""
    found = set()
    with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
        for slot in range(20):
            channel = connection.channel()
            try:
                channel.queue_declare(queue_of("filing", slot), passive=True)
                found.add(slot)
            except amqp.NotFound:
                continue
    return found


@pytest.mark.parametrize("number", [3])
def test_slots_change_under_load_and_every_request_is_answered(settings, tmp_path, number):
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
        code, said = bihuan(settings, "slots", str(number))
        assert (code, "Every service has 3 slots" in said) == (0, True), said
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
    assert "has 3 slots: set SLOTS=3" in late.log.read_text()


def test_slots_wait_for_a_queue_that_does_not_run_empty_and_change_nothing(settings):
    """No process runs, so what is queued stays; the district is not left paused."""
    from chassis.rabbit import prepare
    from console.district import TOPOLOGY

    for kind in SERVICES:
        prepare(settings, kind.name, TOPOLOGY[kind.name], settings.slots, ())
    with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        channel.basic_publish(amqp.Message("{}"), "", queue_of("filing", 2))
    code, said = bihuan(settings, "slots", "4", "--patience", "1")
    assert (code, "nothing was changed" in said) == (1, True), said
    assert queues(settings) == set(range(8))
    for kind in SERVICES:
        url = settings.database_of(kind.name).replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT value FROM deployment WHERE name = 'paused'")
            assert rows.fetchall() == [("",)]
