"""A machine whose clock is wrong: it decides nothing for the district."""

import os
import signal
import subprocess
import sys
import time

import amqp
import pytest
from sqlalchemy import insert, select, update

from chassis.ids import new_id
from chassis.message import Message
from chassis.messaging import parked, replay
from chassis.rabbitmq.topology import queue_of
from chassis.settings import Settings
from chassis.storage import retention
from chassis.storage.leases import Leases
from chassis.storage.retention import DAY, Retention
from chassis.storage.store import Store
from chassis.storage.tables import leases, outbox, replicas, resends, row_of
from console.admin.tokens import issuer_of, token_of_all
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.runtime.process import Process
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope
from contracts.shapes import moment_to_json
from services.filing.service import Filings
from services.gateway.commands import clock
from services.gateway.service import Gateway
from tests import PATIENCE
from tests.broker.conftest import until
from tests.broker.test_lost_queues import rows
from tests.district import Client
from tests.faults.clocks import Shifted, turn

HOURS = select(outbox.c.time).where(outbox.c.type == "hour-began")


class FleetOf(Fleet):
    """A fleet in which filing's machine has the clock that a file tells."""

    def __init__(self, file, *given):
        super().__init__(*given)
        self.file = str(file)

    def start(self, service, **given):
        entry = ("tests.faults.clocks", self.file) if service == "filing" else ("console.main",)
        return super().start(service, entry=entry, **given)


class Looked(Exception):
    """A loop has looked often enough."""


@pytest.fixture
def machine(monkeypatch):
    """Set the clock of the machine so many seconds ahead."""
    real = time.time

    def turned(ahead):
        monkeypatch.setattr(time, "time", lambda: real() + ahead)
        monkeypatch.setattr(time, "time_ns", lambda: int((real() + ahead) * 1e9))
        monkeypatch.setattr(clock, "datetime", Shifted)

    return turned


@pytest.fixture
def store(settings):
    """Open a service's database, as a process does that has been running for a while."""
    made = []

    def opened(kind):
        made.append(Store(kind.name, settings.database_of(kind.name), kind.metadata))
        made[-1].clock.refuse()
        return made[-1]

    yield opened
    for each in made:
        each.close()


def told(settings, **more):
    """Write settings as a process is told them."""
    return {
        "AMQP_URI": settings.amqp_uri,
        "DATABASE_URL": settings.database_url,
        "SEAL_KEY_FILE": settings.seal_key_file,
        "ISSUER_KEY_FILE": settings.issuer_key_file,
        "HTTP_ADDRESS": "127.0.0.1",
        **more,
    }


def look(monkeypatch, module, loop, times=3):
    """Have a loop that pauses look so many times."""
    left = iter(range(times - 1))

    def pause(_seconds):
        if next(left, None) is None:
            raise Looked

    monkeypatch.setattr(module, "pause", pause)
    with pytest.raises(Looked):
        loop()


# at the start


@pytest.mark.parametrize(
    ("service", "kind", "ahead"),
    [("gateway", "real", 10 * DAY), ("gateway", "manual", -10 * DAY), ("filing", "real", 3600.0)],
)
def test_a_process_whose_clock_is_wrong_does_not_start(settings, service, kind, ahead):
    words = ["-m", "tests.faults.clocks", str(ahead), "run", service, "--port", "0"]
    ended = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **told(settings, CLOCK=kind)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    way = "ahead of" if ahead > 0 else "behind"
    said = f"s {way} that of the database of {service}"
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 2, last
    assert last.startswith("bihuan: The clock of this machine is ")
    assert said in last
    assert rows(settings, service, "SELECT type FROM outbox") == [], "nothing was said"


# while it runs


def test_no_hour_begins_while_the_clock_is_wrong_and_the_latest_when_it_is_right(
    store, machine, monkeypatch
):
    gateway, said = store(Gateway), []

    def hours():
        teller = clock.Clock(gateway, manual=False, wake=lambda: said.append("woken"))
        look(monkeypatch, clock, teller.run)
        with gateway.read() as session:
            return session.scalars(HOURS).all()

    for ahead in (10 * DAY, -10 * DAY):
        machine(ahead)
        assert hours() == []
        assert said == []
    machine(0.0)
    now = int(gateway.now()) // 3600 * 3600.0
    (hour,) = hours()
    assert hour in {moment(now), moment(now + 3600.0)}, "the one that has begun, or just now"
    assert said == ["woken"]


def test_hours_of_the_future_do_not_stand_before_those_that_come(store, monkeypatch):
    """An earlier version has said one by a clock ten days ahead."""
    gateway = store(Gateway)
    future = Shifted.fromtimestamp(gateway.now() + 10 * DAY, clock.UTC)
    with gateway.write() as uow:
        clock._publish(uow, clock._hour_of(future))
    teller = clock.Clock(gateway, manual=False, wake=list)
    look(monkeypatch, clock, teller.run)
    with gateway.read() as session:
        _, hour = session.scalars(HOURS.order_by(outbox.c.seq)).all()
    assert abs(clock.moment_from_json(hour).timestamp() - gateway.now()) <= 3600.0


def test_a_clock_that_goes_wrong_is_shown_until_it_is_right_again(settings, tmp_path):
    file = tmp_path / "ahead"
    turn(file, 0)
    entry = ("tests.faults.clocks", str(file))
    told_ = told(settings, CLOCK="manual")
    words, log = ["run", "gateway", "--port", "0"], tmp_path / "log"
    with Process(words, log, environ=told_, entry=entry) as process:
        until(lambda: ready(process) == (200, True))
        turn(file, 3600)
        until(lambda: ready(process) == (503, False))
        gauge = 'bihuan_clock_offset_seconds{service="gateway"} 3'
        until(lambda: gauge in ask(process, "/metrics").data.decode())
        turn(file, 0)
        until(lambda: ready(process) == (200, True))
    lines = log.read_text()
    assert lines.count("ahead of that of the database of gateway") == 1, "once, not each second"
    assert lines.count("clocks agree again") == 1


def test_what_is_taken_in_is_dated_by_the_database(store, machine):
    gateway = store(Gateway)
    teller = clock.Clock(gateway, manual=False, wake=list)
    with gateway.read() as session:
        before = gateway.now()
        machine(10 * DAY)
        assert 0 <= teller.now(session).timestamp() - before < PATIENCE
    identity = gateway.new_id()
    made = int(identity.replace("-", "")[:12], 16) / 1000
    assert -1 < made - before < PATIENCE, "by which retention knows how old it is"
    assert new_id() > identity, "which the machine alone would not have known"


def test_what_lost_queues_held_is_sent_again_although_the_receivers_clock_is_ahead(
    settings, tmp_path
):
    """Filing is stopped while the commands come, and its queues are taken away with them."""
    shops, file = plan(0.02).enterprises[:12], tmp_path / "ahead"
    turn(file, 0)
    with FleetOf(file, settings, tmp_path / "fleet") as fleet:
        (filing,) = fleet.members["filing"]
        client = Client(fleet.bases[0], token_of_all(issuer_of(settings)))
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"})
        turn(file, 3600)
        since = time.time()
        drained = f"SELECT count(*) FROM leases WHERE drained_at > {since}"
        until(lambda: rows(settings, "filing", drained) == [(8,)])
        filing.process.send_signal(signal.SIGSTOP)
        for number, shop in enumerate(shops):
            key = {"Idempotency_Key": f"shop-{number}", "Prefer": "respond-async"}
            client.post("/v1/enterprises", shop.registration(), **key)
        unsent = "SELECT 1 FROM outbox WHERE sent_at IS NULL"
        until(lambda: not rows(settings, "gateway", unsent))
        with amqp.Connection(settings.amqp_uri.partition("@")[2].rstrip("/")) as connection:
            channel = connection.channel()
            for partition in range(settings.partitions):
                channel.queue_delete(queue_of("filing", partition))
        filing.process.send_signal(signal.SIGCONT)
        pending = "SELECT count(*) FROM commands WHERE state = 'pending'"
        until(lambda: rows(settings, "gateway", pending) == [(0,)])
        registered = "SELECT count(*) FROM enterprises"
        assert rows(settings, "filing", registered) == [(len(shops),)]


def test_a_parked_message_that_a_machine_with_a_wrong_clock_has_parked_is_tried_in_time(
    store, machine
):
    mine, another = store(Filings), store(Filings)
    machine(3600.0)
    with mine.write() as uow:
        parked.park(uow, withdrawn(), parked.RETRYING, "it failed", awaits=None, attempt=1)
    machine(0.0)
    assert until(lambda: parked.due(another), seconds=20) == [("filing", "shop")]
    assert parked.ages(another)[parked.RETRYING] < PATIENCE


def test_a_parked_message_is_not_tried_too_early_by_a_machine_with_a_wrong_clock(store, machine):
    mine, another = store(Filings), store(Filings)
    with mine.write() as uow:
        parked.park(uow, withdrawn(), parked.RETRYING, "it failed", awaits=None, attempt=20)
    machine(3600.0)
    assert parked.due(another) == []


def test_nothing_is_taken_away_for_its_age_while_the_clock_is_wrong(store, machine, monkeypatch):
    mine, now = store(Filings), time.time()
    with mine.write() as uow:
        row = row_of(withdrawn()) | {"written_at": now, "sent_at": now}
        uow.execute(insert(outbox), row)
    machine(60 * DAY)
    sweeper = Retention(mine, Settings(), {}, lambda: True)
    look(monkeypatch, retention, sweeper.run)
    with mine.read() as session:
        assert session.scalars(select(outbox.c.id)).all() == ["one"]


def test_what_a_wrong_clock_of_the_database_has_leased_for_long_is_taken(store):
    """Its holder has ended before that clock was set right."""
    filing = store(Filings)
    mine, gone = Leases(filing), "who-has-ended"
    assert mine.agree(8) == 8
    with filing.write() as uow:
        until_ = filing.now() + 10 * DAY
        uow.execute(insert(replicas).values(owner=gone, until=until_))
        uow.execute(update(leases).values(owner=gone, until=until_))
    share = mine.tick()
    assert (share.replicas, share.held, share.relay) == (1, frozenset(range(8)), True)


def test_what_was_drained_in_the_future_is_asked_for_from_the_beginning(store):
    """A version before this one has noted it by a clock that was wrong."""
    filing = store(Filings)
    with filing.write() as uow:
        drained = filing.now() + 3600.0
        uow.execute(insert(leases).values(name="partition 3", until=0.0, drained_at=drained))
    assert replay.begin_recovery(filing, 3, ["filing"], lambda *_: None) == ["filing"]
    with filing.read() as session:
        assert session.scalars(select(resends.c.since)).all() == [0.0]


def withdrawn():
    fact = FilingWithdrawn(enterprise_id="shop", filing_id="1", reason="none")
    envelope = Envelope("one", "filing", fact.type, "2020-02-10T00:00:00Z", "shop", "one")
    return Message.of(fact, envelope)


def moment(seconds):
    return moment_to_json(Shifted.fromtimestamp(seconds, clock.UTC))


def ask(process, path):
    return Client(process.base).request("GET", path)


def ready(process):
    answer = ask(process, "/readyz")
    return answer.status, answer.json()["clock"]
