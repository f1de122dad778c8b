"""Exactly-once handling with a million rows in outbox and inbox, beside the same with none."""

from __future__ import annotations

from collections.abc import Iterator

from bench.groups.exactly_once import ours
from bench.measure import Figure
from bench.stage import Stage

GROUP = "stored"


def run(stage: Stage) -> Iterator[Figure]:
    """Measure both in turn, round by round."""
    scale = stage.scale
    count, stored = int(scale.of(20_000, 5_000)), int(scale.of(1_000_000, 100_000))
    many: list[float] = []
    none: list[float] = []
    for turn in range(scale.rounds):
        none.append(ours(stage, count))
        many.append(ours(stage, count, stored=stored))
        told = f"{none[-1]:,.0f}/s with none, {many[-1]:,.0f}/s with {stored:,}"
        stage.say(f"rows in outbox and inbox, round {turn + 1}: {told}")
    name = f"throughput with {stored:,} rows in outbox and inbox"
    yield Figure(GROUP, name, "events/s", many, 0.9, "ours with none", none)
