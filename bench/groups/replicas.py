"""Two processes of a service compared with one, on the same cores as the broker and the database.

The partitions are assigned before publishing begins; the time runs from the first message published
to the last row. Two processes are faster only if a core is free.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg

from bench.groups.exactly_once import PARTITIONS, SERVICE, content, messages, prepared, rows
from bench.measure import Figure
from bench.stage import Stage, publish
from chassis.rabbitmq.topology import inbox_of

GROUP = "replicas"


def run(stage: Stage) -> Iterator[Figure]:
    """Measure both in turn, round by round."""
    scale = stage.scale
    count = int(scale.of(25_000, 6_000))
    one: list[float] = []
    two: list[float] = []
    for turn in range(scale.rounds):
        one.append(handled(stage, count, 1))
        two.append(handled(stage, count, 2))
        stage.say(f"processes, round {turn + 1}: one {one[-1]:,.0f}/s, two {two[-1]:,.0f}/s")
    yield Figure(
        GROUP,
        "two processes of a service",
        "events/s",
        two,
        None,
        "one process",
        one,
        note="Messages are published meanwhile; broker and database have the same cores.",
    )


def handled(stage: Stage, count: int, processes: int) -> float:
    """Return how many messages a second a number of processes handle, while they are published."""
    with ExitStack() as stack:
        environ = stack.enter_context(prepared(stage, relays=False))
        database = stack.enter_context(stage.connect(SERVICE))
        programs = [
            stack.enter_context(stage.ours("bench.ours.tally", **environ)) for _ in range(processes)
        ]
        programs[0].until(lambda: shared_out(database, processes))
        said = messages(count)
        began = time.monotonic()
        publish(stage, [
            (inbox_of(SERVICE), m.envelope.type,
             content(m, partition=m.partition(PARTITIONS), exchange=m.exchange))
            for m in said
        ])  # fmt: skip
        programs[0].until(lambda: rows(database, "visits") >= count, 120)
        ended = time.monotonic()
    return count / (ended - began)


def shared_out(database: psycopg.Connection[Any], processes: int) -> bool:
    """Return whether each process has its share of the partitions."""
    query = (
        "SELECT count(*) FROM leases WHERE owner IS NOT NULL AND name LIKE 'partition %'"
        " GROUP BY owner ORDER BY 1"
    )
    shares = [count for (count,) in database.execute(query)]
    return shares == [PARTITIONS // processes] * processes
