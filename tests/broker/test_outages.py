"""The broker or the database is away: the district says so, and goes on by itself."""

import json
import signal
from contextlib import contextmanager

import eventlet
import psycopg
import pytest
import urllib3

from console.admin.tokens import token_of_all
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.runtime.process import Process
from services.gateway.access.tokens import Issuer
from tests.broker.conftest import ISSUER_KEY, PATIENCE, until

TOKEN = token_of_all(Issuer(bytes.fromhex(ISSUER_KEY)))
NAMES = ("filing", "inspection", "complaints", "insurance", "gateway")


def ask(base, method, path, body=None, **headers):
    """Ask once, without the client's patience."""
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    return urllib3.request(
        method, base + path, body=data, headers=sent, retries=False, timeout=PATIENCE
    )


def register(base, number, shop, **headers):
    return ask(
        base,
        "POST",
        "/v1/enterprises",
        shop.registration(),
        Idempotency_Key=f"k{number}",
        **headers,
    )


@contextmanager
def away(server):
    """Let a server be down, and start it again whatever happens."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.fixture
def gateway(settings, tmp_path):
    """Start a gateway alone, and end it."""

    def start(**environ):
        told = {"AMQP_URI": settings.amqp_uri, "DATABASE_URL": settings.database_url}
        keys = {"SEAL_KEY_FILE": settings.seal_key_file}
        keys |= {"ISSUER_KEY_FILE": settings.issuer_key_file}
        told |= {"CLOCK": "manual", **keys, **environ}
        log = tmp_path / "gateway.log"
        made.append(Process(["run", "gateway", "--port", "0"], log, environ=told))
        return made[-1].__enter__()

    made = []
    yield start
    for process in made:
        process.__exit__(None, None, None)


def count(settings, service, table, where="true"):
    with psycopg.connect(settings.database_of(service).replace("+psycopg", "")) as connection:
        return connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]


def test_a_start_without_the_database_is_said_and_mends_itself(gateway, postgres_server):
    with away(postgres_server):
        process = gateway()
        answer = ask(process.base, "GET", "/readyz")
        assert (answer.status, answer.json()["database"]) == (503, False)
        assert ask(process.base, "GET", "/livez").status == 200
        refused = register(process.base, 1, plan(0.01).enterprises[0])
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        until(lambda: "waiting for the database" in process.log.read_text())
    until(lambda: ask(process.base, "GET", "/readyz").status == 200)


def test_a_start_without_the_broker_is_said_and_mends_itself(gateway, rabbitmq_server):
    with away(rabbitmq_server):
        process = gateway()
        until(lambda: ask(process.base, "GET", "/readyz").json()["clock"])
        answer = ask(process.base, "GET", "/readyz")
        assert (answer.status, answer.json()) == (
            503,
            {"database": True, "bus": False, "clock": True},
        )
        until(lambda: "waiting for the broker" in process.log.read_text())
        ask(process.base, "POST", "/v1/clock", {"at": "2020-02-10T08:00:00+08:00"},
            Idempotency_Key="clock", Prefer="respond-async")  # fmt: skip
        shop = plan(0.01).enterprises[0]
        accepted = register(process.base, 1, shop, Prefer="respond-async")
        assert accepted.status == 202, "what is accepted is durable without a broker"
    until(lambda: ask(process.base, "GET", "/readyz").status == 200)


def test_what_comes_in_while_the_broker_is_away_is_settled_afterwards(
    settings, tmp_path, rabbitmq_server
):
    shops = plan(0.01).enterprises[:30]
    with Fleet(settings, tmp_path / "fleet") as fleet:
        client, base = fleet.client(), fleet.bases[0]
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        with away(rabbitmq_server):
            answers = [
                register(base, number, shop, Prefer="wait=0") for number, shop in enumerate(shops)
            ]
            assert {answer.status for answer in answers} == {202}
            assert ask(base, "GET", "/v1/statistics").status == 200, "a read needs no broker"
        for answer in answers:
            path = answer.headers["Location"]
            until(lambda path=path: client.get(path)["state"] == "done")
    assert [count(settings, name, "parked_messages") for name in NAMES] == [0] * len(NAMES)


def test_a_database_outage_is_503_and_leaves_nothing_half_done(settings, tmp_path, postgres_server):
    shops = plan(0.01).enterprises[:20]
    with Fleet(settings, tmp_path / "fleet") as fleet:
        client, base = fleet.client(), fleet.bases[0]
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        with away(postgres_server):
            answers = [register(base, number, shop) for number, shop in enumerate(shops[:3])]
            assert {answer.status for answer in answers} == {503}
            assert all(answer.headers["Retry-After"] for answer in answers)
            assert ask(base, "GET", "/v1/statistics").status == 503
        for number, shop in enumerate(shops):
            client.post("/v1/enterprises", shop.registration(), f"k{number}")
        assert client.get("/v1/statistics")["registered"]["total"] == len(shops)
    assert count(settings, "filing", "enterprises") == len(shops)
    assert count(settings, "filing", "outbox", "type = 'enterprise-registered'") == len(shops)


def test_sigterm_under_load_ends_with_0_and_nothing_happens_twice(settings, tmp_path):
    shops = plan(0.02).enterprises[:200]
    with Fleet(settings, tmp_path / "fleet", replicas=2) as fleet:
        client = fleet.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        done = eventlet.Queue()

        def uow():
            pool = eventlet.GreenPool(8)
            for item in enumerate(shops):
                pool.spawn(
                    lambda number, shop: done.put(
                        client.post("/v1/enterprises", shop.registration(), f"k{number}")
                    ),
                    *item,
                )
            pool.waitall()

        working = eventlet.spawn(uow)
        until(lambda: done.qsize() > 10)
        stopped = [fleet.members[name][1].process for name in NAMES]
        for process in stopped:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in stopped] == [0] * len(stopped)
        working.wait()
        until(lambda: client.get("/v1/statistics")["registered"]["total"] == len(shops))
        until(lambda: not any(count(settings, n, "outbox", "sent_at IS NULL") for n in NAMES))
    settled = "SELECT body::json->>'command_id' FROM outbox WHERE type = 'command-settled'"
    with psycopg.connect(settings.database_of("filing").replace("+psycopg", "")) as connection:
        commands = [row[0] for row in connection.execute(settled)]
    assert len(commands) == len(set(commands))
    assert count(settings, "filing", "enterprises") == len(shops)
    assert [count(settings, name, "parked_messages") for name in NAMES] == [0] * len(NAMES)
