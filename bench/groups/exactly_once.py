"""Exactly-once handling in one process: inbox row, row of state and outbox row for each event.

All contenders consume the same messages from a quorum queue (ours from its eight). The time runs
from the first row written to the last. Our relay is idle meanwhile, since no peer publishes its
outbox either; a separate row measures the cost of publishing too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import amqp
import psycopg

from bench.measure import Figure
from bench.ours import tally
from bench.ours.visits import PremisesVisited
from bench.stage import QUIETLY, Program, Stage, await_depth, depth, forget, publish
from chassis.ids import new_id
from chassis.message import Message, encode
from chassis.rabbitmq.topology import inbox_of, prepare, queue_of
from chassis.settings import Settings
from chassis.storage import migrations
from chassis.storage.leases import RELAY
from chassis.storage.store import Store
from chassis.storage.tables import deployment
from contracts.message import Envelope

GROUP = "exactly-once"
WHAT = "exactly-once handling, one process"
SERVICE = tally.Tally.name
PARTITIONS = Settings().partitions
QUEUES = [queue_of(SERVICE, partition) for partition in range(PARTITIONS)]
PEER_QUEUE = "bench.peer"
ENTERPRISES = 2000
SHORT = 60.0
"""Maximum seconds for handling all messages."""


def run(stage: Stage) -> Iterator[Figure]:
    """Measure all contenders in turn, round by round."""
    scale = stage.scale
    contenders: dict[str, Callable[[Stage], float]] = {
        "ours": lambda s: ours(s, int(scale.of(25_000, 8_000))),
        "nameko": lambda s: nameko(s, int(scale.of(3_000, 800))),
        "FastStream": lambda s: faststream(s, int(scale.of(3_000, 800))),
        "bare kombu": lambda s: kombu(s, int(scale.of(40_000, 10_000))),
        "ours, published": lambda s: ours(s, int(scale.of(15_000, 4_000)), relays=True),
    }
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(scale.rounds):
        for name, measure in contenders.items():
            found[name].append(measure(stage))
            stage.say(f"{WHAT}: round {turn + 1}, {name}: {found[name][-1]:,.0f}/s")
    goals = {"nameko": 6.0, "FastStream": 10.0, "bare kombu": 0.45}
    names = {
        "nameko": "plain nameko, a commit per event",
        "FastStream": "FastStream with async SQLAlchemy, a commit per event",
        "bare kombu": "a bare kombu consumer that does nothing",
    }
    for name, goal in goals.items():
        yield Figure(GROUP, WHAT, "events/s", found["ours"], goal, names[name], found[name])
    yield Figure(
        GROUP,
        f"{WHAT}, and each outbox row published",
        "events/s",
        found["ours, published"],
        note="The same process relays; no peer does.",
    )
    yield by_batch(stage)


def by_batch(stage: Stage) -> Figure:
    """Measure ours with batches of several sizes."""
    points = []
    for batch in (1, 10, 50, 100, 200, 400) if not stage.scale.quick else (1, 50, 400):
        most = int(stage.scale.of(1_500, 300) if batch == 1 else stage.scale.of(12_000, 4_000))
        rate = ours(stage, most, batch=batch)
        points.append({"x": batch, "y": round(rate)})
        stage.say(f"batches of at most {batch}: {rate:,.0f}/s")
    return Figure(
        GROUP,
        f"{WHAT}, with the largest batches",
        "events/s",
        [points[-1]["y"]],
        series=[{"plot": "Throughput by batch size", "x": "messages in a batch, at most",
                 "y": "events/s", "log": True, "lines": {"ours": points}}],
    )  # fmt: skip


# -- messages


def messages(count: int) -> list[Message]:
    """Return `count` messages, each about a different visit."""
    day = date(2020, 2, 10)
    result = []
    for number in range(count):
        identity, visit = new_id(), new_id()
        event = PremisesVisited(
            visit_id=visit,  # type: ignore[arg-type]
            enterprise_id=f"enterprise-{number % ENTERPRISES}",  # type: ignore[arg-type]
            grid="350503003",  # type: ignore[arg-type]
            visited_on=day + timedelta(days=number % 25),
            officers=2,  # type: ignore[arg-type]
        )
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        envelope = Envelope(identity, "visits", PremisesVisited.type, now, visit, identity)
        result.append(Message(envelope, encode(event.to_data()), "visits.events"))
    return result


def content(message: Message, **more: Any) -> amqp.Message:
    """Return a message as sent over AMQP."""
    return amqp.Message(
        message.body,
        content_type="application/json",
        content_encoding="utf-8",
        application_headers=message.envelope.headers() | more,
        delivery_mode=2,
        message_id=message.id,
        type=message.envelope.type,
    )


# -- contenders


def ours(
    stage: Stage, count: int, *, batch: int = 400, relays: bool = False, stored: int = 0
) -> float:
    """Return how many messages a second our process handles, with `stored` rows from `filled`."""
    with (
        prepared(stage, relays=relays, stored=stored) as environ,
        stage.connect(SERVICE) as database,
    ):
        said = messages(count)
        publish(stage, [
            (inbox_of(SERVICE), m.envelope.type,
             content(m, partition=m.partition(PARTITIONS), exchange=m.exchange))
            for m in said
        ])  # fmt: skip
        await_depth(stage, QUEUES, count)
        last = {message.partition(PARTITIONS): message.id for message in said}
        with stage.ours("bench.ours.tally", BATCH=str(batch), **environ) as program:
            rate = timed(
                program, database, [*last.values()], count, published=relays, stored=stored
            )
        assert depth(stage, QUEUES) == 0
    return rate


@contextmanager
def prepared(stage: Stage, *, relays: bool, stored: int = 0) -> Iterator[dict[str, str]]:
    """Create our database and queues, and return the environment of the process."""
    stage.new_database(SERVICE, _with(stored) if stored else "template1")
    settings = Settings.read(
        {}, database_url=stage.database.url(SERVICE), amqp_uri=stage.broker.uri
    )
    store = Store(SERVICE, settings.database_url, tally.Tally.metadata)
    with tally.arranged():
        migrations.apply(store)
    with store.write() as uow:
        paused = {"name": "paused", "value": "" if relays else RELAY}
        uow.execute(store.statements.insert_or_replace(deployment, "name"), paused)
    store.close()
    with stage.channel() as channel:
        forget(channel, SERVICE)
    prepare(settings, SERVICE, tally.BINDINGS, PARTITIONS, ())
    yield {"DATABASE_URL": settings.database_url, "AMQP_URI": settings.amqp_uri} | QUIETLY
    with stage.channel() as channel:
        forget(channel, SERVICE)


def filled(stage: Stage, count: int) -> None:
    """Create a template database with `count` rows each in outbox and inbox."""
    with prepared(stage, relays=False):
        stage.new_database(_with(count), SERVICE)
    with stage.connect(_with(count)) as database:
        fill(database, count)


def _with(stored: int) -> str:
    return f"{SERVICE}_with_{stored}"


def fill(database: psycopg.Connection[Any], count: int) -> None:
    """Insert `count` rows each into outbox and inbox, as of messages sent and handled before."""
    day = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    told = {"count": count, "day": day, "first": int(day * 1000)}
    identity = (
        "substr(t, 1, 8) || '-' || substr(t, 9, 4) || '-7' || substr(h, 1, 3) || '-8'"
        " || substr(h, 4, 3) || '-' || substr(h, 7, 12)"
    )
    hashed = (
        "(SELECT n, lpad(to_hex(%(first)s + n), 12, '0') AS t, md5(n::text) AS h"
        " FROM generate_series(1, %(count)s) AS n) AS made"
    )
    database.execute("SET synchronous_commit = off")
    database.execute(
        "INSERT INTO inbox (id, fingerprint, handled_at)"
        f" SELECT {identity}, substr(h, 1, 16), %(day)s + n * 0.001 FROM {hashed}",
        told,
    )
    database.execute(
        "INSERT INTO outbox (id, exchange, source, type, time, partitionkey, correlationid,"
        " causationid, causationtype, body, written_at, sent_at)"
        f" SELECT {identity.replace('-8', '-9')}, 'tally.events', 'tally', 'visit-counted',"
        " '2020-02-10T00:00:00.000Z', 'visit-' || n, 'cause-' || n, 'cause-' || n,"
        """ 'premises-visited', '{"visit_id":"visit-' || n || '","enterprise_id":"enterprise-1",'"""
        """ || '"grid":"350503003"}', %(day)s + n * 0.001, %(day)s + n * 0.001"""
        f" FROM {hashed}",
        told,
    )
    database.execute("VACUUM ANALYZE")


def nameko(stage: Stage, count: int) -> float:
    """Return how many messages a second plain nameko handles."""
    return peer(stage, count, "bench.peers.nameko_events", "postgresql+psycopg")


def faststream(stage: Stage, count: int) -> float:
    """Return how many messages a second FastStream handles."""
    return peer(stage, count, "bench.peers.faststream_events", "postgresql+asyncpg")


def peer(stage: Stage, count: int, module: str, driver: str) -> float:
    """Return how many messages a second a peer handles."""
    name = "bench_peer"
    prepare_peer(stage, name)
    url = stage.database.url(name).replace("postgresql+psycopg", driver)
    said = queue_for_a_peer(stage, count)
    environ = {"DATABASE_URL": url, "AMQP_URI": stage.broker.uri, "QUEUE": PEER_QUEUE}
    with stage.connect(name) as database, stage.peer(module, **environ) as program:
        # several workers: the last messages may overtake each other
        return timed(program, database, [message.id for message in said[-20:]], count)


def kombu(stage: Stage, count: int) -> float:
    """Return how many messages a second a bare consumer receives."""
    queue_for_a_peer(stage, count)
    environ = {"AMQP_URI": stage.broker.uri, "QUEUE": PEER_QUEUE, "MESSAGES": str(count)}
    with stage.peer("bench.peers.kombu_bare", **environ) as consumer:
        return float(consumer.hear("per second", SHORT))


def prepare_peer(stage: Stage, name: str) -> None:
    """Create the tables of a peer: the same as ours."""
    stage.new_database(name)
    store = Store(SERVICE, stage.database.url(name), tally.Tally.metadata)
    with tally.arranged():
        migrations.apply(store)
    store.close()


def queue_for_a_peer(stage: Stage, count: int) -> list[Message]:
    """Fill a quorum queue."""
    said = messages(count)
    with stage.channel() as channel:
        channel.queue_delete(PEER_QUEUE)
        channel.queue_declare(
            PEER_QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
    publish(stage, [("", PEER_QUEUE, content(message)) for message in said])
    await_depth(stage, [PEER_QUEUE], count)
    return said


# -- the clock


def timed(
    program: Program,
    database: psycopg.Connection[Any],
    last: Sequence[str],
    count: int,
    *,
    published: bool = False,
    stored: int = 0,
) -> float:
    """Return how many rows were written per second, from the first to the last."""
    program.until(lambda: database.execute("SELECT 1 FROM visits LIMIT 1").fetchone())
    began, already = time.monotonic(), rows(database, "visits")
    query = "SELECT count(*) FROM inbox WHERE id = ANY(%s)"
    program.until(lambda: database.execute(query, [[*last]]).fetchone() == (len(last),))
    ended = time.monotonic()
    if published:
        program.until(lambda: not rows(database, "outbox WHERE sent_at IS NULL"))
        ended = time.monotonic()
    program.until(lambda: rows(database, "visits") >= count)
    found = {table: rows(database, table) for table in ("inbox", "visits", "outbox")}
    wanted = {"inbox": count + stored, "visits": count, "outbox": count + stored}
    assert found == wanted, (found, wanted)
    return (count - already) / (ended - began)


def rows(database: psycopg.Connection[Any], table: str) -> int:
    """Count the rows of a table."""
    (found,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[misc]
    return int(found)
