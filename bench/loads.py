"""Loads put on a server by a separate process, and the enterprises for them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from bench.measure import percentile
from bench.stage import Ended, Stage, depth
from chassis.rabbitmq.topology import queue_of
from chassis.settings import Settings
from console.client import Client
from console.demo.synthetic import credit_code
from console.runtime.district import SERVICES

DAY = "2020-02-10"
MORNING = f"{DAY}T08:00:00+08:00"
BATCH = 1000
BAD = ("timeout", "broken")


class Outcome:
    """The results of a load."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.seconds: float = results["seconds"]
        self.turns: int = results["turns"]
        self.statuses: dict[str, int] = results["statuses"]
        self.samples: list[tuple[float, float, str]] = results["samples"]

    def took(self, what: str, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Return the durations of one kind of operation (ms), of those begun within an interval."""
        return [
            took * 1000 for at, took, name in self.samples if name == what and since <= at < until
        ]

    def rate(self, what: str) -> float:
        """Return the number of operations of one kind per second."""
        return len(self.took(what)) / self.seconds

    def p(self, part: float, what: str) -> float:
        """Return a percentile of the durations of one kind of operation (ms)."""
        return percentile(self.took(what), part)

    @property
    def errors(self) -> float:
        """Return the fraction of requests that failed: 5xx, 429, timeouts, broken connections."""
        bad = sum(
            count
            for status, count in self.statuses.items()
            if status in BAD or status == "429" or status.startswith("5")
        )
        return bad / (sum(self.statuses.values()) or 1)

    @property
    def refused(self) -> int:
        """Return the number of requests that were rejected: 4xx, which no load here should get."""
        return sum(count for status, count in self.statuses.items() if status.startswith("4"))


def put(stage: Stage, what: str, base: str, token: str = "", **told: Any) -> Outcome:
    """Run a load on a server, and return its results."""
    words = stage.folder / f"{what}.json"  # too many shops for a command line
    words.write_text(json.dumps({"base": base, **told}))
    seconds = told.get("seconds", 0) + told.get("warmup", 0)
    seconds += sum(step[1] for step in told.get("steps", ()))
    with stage.peer("bench.load", what, words, TOKEN=token) as program:
        outcome = Outcome(json.loads(program.hear("result", seconds + 90)))
    if not outcome.samples:
        raise Ended(f"no request succeeded: {outcome.statuses}")
    if outcome.refused:
        stage.say(f"!! {what}: {outcome.statuses}")
    return outcome


def rest(stage: Stage, seconds: float = 120.0) -> None:
    """Wait until no message is in progress: no outbox has unsent rows, and all queues are empty."""
    give_up, quiet = time.monotonic() + seconds, 0
    names = [kind.name for kind in SERVICES]
    queues = [
        queue_of(name, partition) for name in names for partition in range(Settings().partitions)
    ]
    while quiet < 3:
        unsent = 0
        for name in names:
            with stage.connect(name) as database:
                query = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
                unsent += database.execute(query).fetchone()[0]  # type: ignore[index]
        quiet = 0 if unsent or depth(stage, queues) else quiet + 1
        if time.monotonic() > give_up:
            raise Ended(f"not at rest after {seconds:g} s")
        time.sleep(0.3)


def morning(client: Client) -> None:
    """Set the clock."""
    client.post("/v1/clock", {"at": MORNING}, "bench-clock")


def register(client: Client, count: int, first: int = 1) -> list[str]:
    """Register `count` shops, and return their ids."""
    made: list[str] = []
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        made += batch(client, "/v1/enterprises", [registration(n) for n in numbers], start)
    return made


def registration(number: int) -> dict[str, Any]:
    """Return the registration of a shop that needs no visit before it opens."""
    return {
        "credit_code": credit_code(number, sole_trader=True),
        "name": f"第{number}號店",
        "kind": "sole_trader",
        "size": "micro",
        "industry": "F5211",
        "premises": "shop",
        "grid": f"350503{number % 8 + 1:03d}",
    }


def batch(client: Client, path: str, rows: Sequence[dict[str, Any]], number: int) -> list[str]:
    """Submit a batch, and return the ids of the created things."""
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    key = f"bench-{path}-{number}"
    answer = client.post(f"{path}/batch", data, key, kind="application/x-ndjson")
    items = answer.get("items")
    if items is None:
        items = list(client.everything(f"/v1/commands/{answer['id']}/rows"))
    if bad := [item for item in items if item["state"] != "done"]:
        raise Ended(f"batch item failed: {bad[0]}")
    return [item["location"].rpartition("/")[2] for item in items]
