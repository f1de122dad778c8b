"""What befalls the broker, the database, and the networks between them and the processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from random import Random
from typing import Any

import amqp
import psycopg
from psycopg import sql

from chassis.runtime.green import pause, spawn
from tests.faults.kinds import Missed, kind
from tests.faults.stage import HEARS, SIDES, Stage
from tests.proxy import Proxy

HOT_TABLES = ("outbox", "inbox", "leases")


# -- networks

Wrong = Callable[[Proxy, Random], None]
WRONGS: dict[str, tuple[Wrong, tuple[float, float]]] = {
    "cut": (lambda network, _rng: network.cut(), (0, 0)),
    "reset": (lambda network, _rng: network.cut(reset=True), (0, 0)),
    "refused": (lambda network, _rng: network.refuse(), (2, 9)),
    "black-hole": (lambda network, _rng: network.black_hole(), (5, 20)),
    "black-hole-up": (lambda network, _rng: network.black_hole("up"), (5, 20)),
    "black-hole-down": (lambda network, _rng: network.black_hole("down"), (5, 20)),
    "half-open": (lambda network, _rng: network.half_open(), (5, 15)),
    "delay": (lambda network, rng: network.delay(rng.uniform(0.02, 0.2)), (5, 10)),
}
"""What may be wrong with a network, and for how many seconds."""


def go_wrong(which: str, wrong: str, stage: Stage, rng: Random) -> str:
    """Let the network of one side, or of both, be wrong for a while."""
    do, seconds = WRONGS[wrong]
    sides = rng.choice([SIDES[:1], SIDES[1:], SIDES])
    for side in sides:
        do(stage.networks[side, which], rng)
    pause(rng.uniform(*seconds))
    for side in sides:
        stage.networks[side, which].restore()
    return " and ".join(sides)


for _which in ("broker", "database"):
    for _wrong in WRONGS:
        kind(f"{_which}-{_wrong}", _which)(partial(go_wrong, _which, _wrong))


# -- the broker


@kind("broker-restart", "broker")
def restart_broker(stage: Stage, rng: Random) -> str:
    stage.broker.stop()
    pause(rng.uniform(0, 4))
    stage.broker.start()
    return "broker"


@kind("broker-kill", "broker")
def kill_broker(stage: Stage, rng: Random) -> str:
    stage.broker.kill()
    pause(rng.uniform(0, 4))
    stage.broker.start()
    return "broker"


@kind("broker-pause", "broker")
def pause_broker(stage: Stage, rng: Random) -> str:
    stage.broker.pause()
    pause(rng.uniform(3, 15))
    stage.broker.resume()
    return "broker"


@kind("broker-alarm", "broker")
def alarm(stage: Stage, rng: Random) -> str:
    """A memory alarm: the broker reads nothing from those who publish."""
    stage.broker.alarm(on=True)
    pause(rng.uniform(3, 15))
    stage.broker.alarm(on=False)
    return "broker"


@kind("queue-deleted", "broker")
def delete_queue(stage: Stage, rng: Random) -> str:
    """Whatever it held is gone; who listened declares it anew and asks for what it has missed."""
    queue = f"{rng.choice([*HEARS])}.inbox.{rng.randrange(stage.partitions)}"
    channel = stage.channel()
    channel.queue_delete(queue)
    give_up = time.monotonic() + 30
    while not _is_there(channel.connection, queue) and time.monotonic() < give_up:
        pause(0.2)
    pause(2)
    stage.broker.sync()
    channel.connection.close()
    return queue


def _is_there(connection: Any, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except amqp.NotFound:
        return False
    channel.close()
    return True


@kind("full-partner", "broker")
def fill_partner(stage: Stage, rng: Random) -> str:
    """A department's bounded queue that nobody empties drops its oldest, and hinders nobody."""
    channel, queue = stage.channel(), "tax.everything"
    bounds = {"x-max-length": 3, "x-overflow": "drop-head"}
    channel.queue_declare(queue, durable=True, auto_delete=False, arguments=bounds)
    channel.queue_bind(queue, "filing.events", "#")
    pause(rng.uniform(8, 15))
    channel.queue_delete(queue)
    channel.connection.close()
    return queue


@kind("unroutable", "broker")
def unbind(stage: Stage, rng: Random) -> str:
    """A command that nobody is bound to is returned, and stays in the outbox until somebody is."""
    command = rng.choice(["register-enterprise", "submit-filing"])
    channel = stage.channel()
    channel.exchange_unbind("filing.inbox", "filing.commands", command)
    pause(rng.uniform(2, 6))
    channel.exchange_bind("filing.inbox", "filing.commands", command)
    channel.connection.close()
    return command


# -- the database


@kind("database-restart", "database")
def restart_database(stage: Stage, rng: Random) -> str:
    stage.database.stop()
    pause(rng.uniform(0, 4))
    stage.database.start()
    return "database"


@kind("database-kill", "database")
def kill_database(stage: Stage, rng: Random) -> str:
    stage.database.kill()
    pause(rng.uniform(0, 4))
    stage.database.start()
    return "database"


@kind("database-pause", "database")
def pause_database(stage: Stage, rng: Random) -> str:
    stage.database.pause()
    pause(rng.uniform(3, 15))
    stage.database.resume()
    return "database"


@kind("backends-terminated", "database")
def terminate(stage: Stage, rng: Random) -> str:
    """Connections are ended by the database, in whatever transaction they are."""
    ended = 0
    for _ in range(rng.randint(2, 6)):
        name = rng.choice([*HEARS])
        found = stage.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{name}' AND random() < 0.5"
        )
        ended += len(found or [])
        pause(rng.uniform(0.1, 1))
    return f"{ended} backends"


@kind("long-transaction", "database")
def hold_open(stage: Stage, rng: Random) -> str:
    """Another's transaction, long and idle, with a row of the outbox that it never commits."""
    name = rng.choice([*HEARS])
    with _session(stage, name) as session:
        session.execute("SET idle_in_transaction_session_timeout = 0")
        session.execute(
            "INSERT INTO outbox (id, exchange, source, type, time, partitionkey, correlationid,"
            " body, written_at) VALUES ('never', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 0)"
        )
        pause(20)
        session.rollback()
    return name


@kind("locked-row", "database")
def lock_rows(stage: Stage, rng: Random) -> str:
    """Another holds what replicas and projections need, for longer than they wait for a lock."""
    name = rng.choice([*HEARS])
    with _session(stage, name) as session:
        table = rng.choice(["leases", "leases", "counters"]) if name == "gateway" else "leases"
        session.execute(sql.SQL("SELECT * FROM {} FOR UPDATE").format(sql.Identifier(table)))
        pause(rng.uniform(2, 9))
        session.rollback()
    return f"{table} of {name}"


@kind("leases-ended", "database")
def end_leases(stage: Stage, rng: Random) -> str:
    """The partitions of a service change hands again and again, with whatever is in hand."""
    name = rng.choice([*HEARS])
    until = time.monotonic() + rng.uniform(6, 15)
    with _session(stage, name) as session:
        while time.monotonic() < until:
            session.execute("UPDATE leases SET until = 0 WHERE name <> 'relay'")
            session.commit()
            pause(rng.uniform(0.1, 0.9))
    return name


@kind("locked-table", "database")
def lock_table(stage: Stage, rng: Random) -> str:
    name, table = rng.choice([*HEARS]), rng.choice(HOT_TABLES)
    with _session(stage, name) as session:
        session.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(table)))
        pause(rng.uniform(2, 9))
        session.rollback()
    return f"{table} of {name}"


@kind("deadlock", "database")
def deadlock(stage: Stage, rng: Random) -> str:
    """Another locks two figures of the gateway in the order that no gateway uses."""
    before = _deadlocks(stage)
    with _session(stage, "gateway") as session:
        for _ in range(20):
            with suppress(psycopg.errors.DeadlockDetected):
                names = session.execute("SELECT name FROM counters ORDER BY name").fetchall()
                if len(names) < 2:
                    raise Missed("the gateway counts nothing yet")
                for (name,) in reversed(names):
                    session.execute("SELECT * FROM counters WHERE name = %s FOR UPDATE", [name])
                    pause(0.05)
            session.rollback()
            if _deadlocks(stage) > before:
                return "counters of gateway"
            pause(0.2)
    raise Missed("no gateway wrote in between")


def _deadlocks(stage: Stage) -> int:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'gateway'"
    ((count,),) = stage.database.execute(query) or [(0,)]
    return int(str(count))


@kind("connections-exhausted", "database")
def exhaust(stage: Stage, rng: Random) -> str:
    """Somebody takes every connection that the database has, and then some of ours are ended."""
    with ExitStack() as held:
        taken = 0
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(_session(stage, "postgres"))
                taken += 1
        ender = spawn(_end_some, stage, rng) if taken else None
        with suppress(psycopg.OperationalError):
            pause(rng.uniform(3, 8))
            while True:  # what was freed is taken too
                held.enter_context(_session(stage, "postgres"))
        pause(rng.uniform(1, 4))
    if ender is not None:
        ender.wait()
    return f"{taken} connections"


def _end_some(stage: Stage, rng: Random) -> None:
    with suppress(psycopg.OperationalError):
        terminate(stage, rng)


def _session(stage: Stage, database: str) -> psycopg.Connection[Any]:
    address = stage.database.url(database).replace("+psycopg", "")
    return psycopg.connect(address, connect_timeout=5)
