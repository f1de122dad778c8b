"""Exactly-once handling with a million rows in outbox and inbox, compared with none."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench.groups.exactly_once import filled, ours
from bench.measure import Figure
from bench.stage import Stage

GROUP = "stored"


def run(stage: Stage) -> Iterator[Figure]:
    """Measure both in turn, round by round; and once each with fewer rows."""
    scale = stage.scale
    count, stored = int(scale.of(20_000, 5_000)), scale.stored
    for each in scale.points:
        filled(stage, each)
    few = {each: ours(stage, count, stored=each) for each in scale.points[:-1]}
    many: list[float] = []
    none: list[float] = []
    for turn in range(scale.rounds):
        none.append(ours(stage, count))
        many.append(ours(stage, count, stored=stored))
        told = f"{none[-1]:,.0f}/s with none, {many[-1]:,.0f}/s with {stored:,}"
        stage.say(f"rows in outbox and inbox, round {turn + 1}: {told}")
    rates = few | {stored: median(many)}
    points = [{"x": each, "y": round(rate)} for each, rate in rates.items()]
    yield Figure(
        GROUP,
        f"throughput with {stored:,} rows in outbox and inbox",
        "events/s",
        many,
        0.9,
        "ours with none",
        none,
        note="With fewer: " + ", ".join(f"{rate:,.0f}/s with {n:,}" for n, rate in few.items()),
        series=[{"plot": "Throughput by rows in outbox and inbox", "x": "rows in each",
                 "y": "events/s", "log": True, "lines": {"ours": points}}],
    )  # fmt: skip
