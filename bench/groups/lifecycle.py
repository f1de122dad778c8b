"""Complaints from the call to the answer, and reads, with growing amounts stored; and load spikes.

The district is loaded in bulk before each measurement: with ten thousand lifecycles, then a hundred
thousand, then a million. Its services run only during measurements.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any
from urllib.parse import quote

from bench.lifecycles import load, running, template
from bench.loads import DAY, Outcome, put, rest
from bench.measure import Figure, bounded, percentile
from bench.stage import Stage
from console.admin.tokens import issuer_of, token_of_all
from console.demo.fleet import Fleet

GROUP = "lifecycle"
DIGITS = (1, 15, 1, 25, 2, 35, 10)
"""DIGIT's spike: lifecycles per second, step by step; then the initial rate again."""
GOAL = 37.0
CLIENTS = 64
WINDOW = 5.0
"""Window of the p95, in seconds, when determining its recovery."""
STEP = 300.0
"""Maximum seconds of a step besides its load."""


def run(stage: Stage) -> Iterator[Figure]:
    """Measure with little stored, load, measure again, and so on; then the spikes."""
    scale = stage.scale
    templates = template(stage)
    reads: dict[int, Outcome] = {}
    lifecycles: dict[int, list[Outcome]] = {}
    for target in scale.points:
        load(stage, templates, target)
        with running(stage) as (fleet, shops, calls):
            last = target == scale.stored
            yield from bounded(
                GROUP,
                f"complaint lifecycle, {target:,} stored",
                STEP + scale.rounds * 40,
                lifecycles(stage, fleet, shops, target, lifecycles),
            )
            yield from bounded(
                GROUP,
                f"reads, {target:,} stored",
                STEP,
                all_reads(stage, fleet, shops, calls, target, reads),
            )
            if last:
                yield from spiked(stage, fleet, shops)


def lifecycles(
    stage: Stage, fleet: Fleet, shops: list[str], target: int, lifecycles: dict[int, list[Outcome]]
) -> Iterator[Figure]:
    """Measure complaint lifecycles, in rounds where rates are compared; yield rows after the last
    amount."""
    scale = stage.scale
    last = target == scale.stored
    compared = target in (scale.points[0], scale.points[-1])
    for _ in range(scale.rounds if compared else 1):
        outcome = life(stage, fleet, shops, scale.of(30, 5))
        lifecycles.setdefault(target, []).append(outcome)
        stage.say(
            f"{target:,} stored: {outcome.rate('lifecycle'):.1f} lifecycles/s, p95 "
            f"{outcome.p(0.95, 'lifecycle'):.0f} ms; {outcome.statuses}"
        )
    if last:
        yield from of_lifecycles(lifecycles)


def of_lifecycles(lifecycles: dict[int, list[Outcome]]) -> Iterator[Figure]:
    """Yield the rows of the complaint lifecycles."""
    fewest, most = min(lifecycles), max(lifecycles)
    few, many = lifecycles[fewest], lifecycles[most]
    rate = partial(Outcome.rate, what="lifecycle")
    name = f"complaint lifecycle, {most:,} stored"
    percentiles = {
        f"p{part * 100:g}": partial(Outcome.p, part=part, what="lifecycle")
        for part in (0.5, 0.95, 0.99)
    }
    rates = [*map(rate, many)]
    yield Figure(
        GROUP,
        name,
        "lifecycles/s",
        rates,
        GOAL,
        note="DIGIT: 37 on 16 cores when nearly empty, 6.3 at a million.",
        series=[
            by_stored("Throughput by stored rows", "lifecycles/s", {
                "lifecycles": {n: _middle(found, rate) for n, found in lifecycles.items()},
            }),
            by_stored("Latency by stored rows", "ms for a lifecycle", {
                name: {n: _middle(found, took) for n, found in lifecycles.items()}
                for name, took in percentiles.items()
            }),
        ],
    )  # fmt: skip
    peer = f"ours at {fewest:,}"
    yield Figure(
        GROUP,
        f"lifecycles at {most:,} to those at {fewest:,}",
        "lifecycles/s",
        rates,
        0.9,
        peer,
        [*map(rate, few)],
    )
    for part, took in percentiles.items():
        then = [*map(took, few)]
        took_now = [*map(took, many)]
        yield Figure(GROUP, f"{name}, {part}", "ms", took_now, None, peer, then, better="less")


def all_reads(
    stage: Stage,
    fleet: Fleet,
    shops: list[str],
    calls: list[str],
    target: int,
    reads: dict[int, Outcome],
) -> Iterator[Figure]:
    """Measure reads; yield rows after the last amount."""
    scale = stage.scale
    reads[target] = read(stage, fleet, shops, calls, scale.of(20, 4))
    kinds = ("by id", "search", "list")
    for what in kinds if target == scale.stored else ():
        yield Figure(
            GROUP,
            f"read {what}, {target:,} stored, p95",
            "ms",
            [reads[target].p(0.95, what)],
            50.0,
            better="less",
            note="8 clients at once; OpenCRVS's target is 150 ms.",
            series=[
                by_stored("Reads by stored rows", "ms, p95", {
                    each: {n: outcome.p(0.95, each) for n, outcome in reads.items()}
                    for each in kinds
                }),
            ] if what == kinds[0] else [],
        )  # fmt: skip


def _middle(found: list[Outcome], figure: Callable[[Outcome], float]) -> float:
    return median(map(figure, found))


def by_stored(plot: str, unit: str, lines: dict[str, dict[int, float]]) -> dict[str, Any]:
    """Return the series of a plot."""
    return {
        "plot": plot,
        "x": "complaints, and as many enterprises, stored",
        "y": unit,
        "log": True,
        "lines": {
            name: [{"x": n, "y": round(y, 2)} for n, y in line.items() if math.isfinite(y)]
            for name, line in lines.items()
        },
    }


# -- measurements


def life(stage: Stage, fleet: Fleet, shops: list[str], seconds: float) -> Outcome:
    """Run complaint lifecycles at full load."""
    told = {"connections": CLIENTS, "seconds": seconds, "warmup": min(5.0, seconds / 2)}
    return put(stage, "lifecycle", fleet.bases[0], _token(fleet), shops=shops, day=DAY, **told)


def read(stage: Stage, fleet: Fleet, shops: list[str], calls: list[str], seconds: float) -> Outcome:
    """Read by id, by search and by list, at random positions."""
    paths = {
        "by id": [f"/v1/complaints/{call}" for call in calls]
        + [f"/v1/enterprises/{shop}" for shop in shops],
        "search": [f"/v1/enterprises?q={quote(f'第{n}號')}" for n in range(1, 9000, 37)]
        + [f"/v1/complaints?q={quote('堂食')}&limit=20"],
        "list": [
            "/v1/complaints?state=answered&limit=100",
            "/v1/complaints?state=answered&sort=-received_on&limit=50",
            *(f"/v1/complaints?enterprise_id={shop}" for shop in shops[:200]),
            *(f"/v1/enterprises?grid=350503{n:03d}&limit=100" for n in range(1, 9)),
        ],
    }
    told = {"connections": 8, "seconds": seconds, "warmup": 1}
    return put(stage, "reads", fleet.bases[0], _token(fleet), paths=paths, **told)


def spiked(stage: Stage, fleet: Fleet, shops: list[str]) -> Iterator[Figure]:
    """Run the spikes: five times the initial rate, and DIGIT's shape."""
    scale = stage.scale
    base, step, after = 5.0, scale.of(20, 3), scale.of(70, 8)
    shapes = {
        "spike ×5": [[base, step], [5 * base, scale.of(120, 6)], [base, after]],
        "DIGIT's spikes": [*([float(rate), step] for rate in DIGITS), [float(DIGITS[0]), after]],
    }
    for name, steps in shapes.items():
        most = STEP + sum(seconds for _, seconds in steps)
        yield from bounded(GROUP, name, most, _spike(stage, fleet, shops, name, steps))


def _spike(
    stage: Stage, fleet: Fleet, shops: list[str], name: str, steps: list[list[float]]
) -> Iterator[Figure]:
    rest(stage)
    told = {"shops": shops, "day": DAY, "connections": 256, "steps": steps}
    outcome = put(stage, "lifecycle", fleet.bases[0], _token(fleet), **told)
    ends = [sum(seconds for _, seconds in steps[:n]) for n in range(len(steps) + 1)]
    p95 = [
        percentile(outcome.took("file", begin, end), 0.95)
        for begin, end in itertools.pairwise(ends)
    ]
    values = ", ".join(f"{rate:g}/s: {p:.0f}" for (rate, _), p in zip(steps, p95, strict=True))
    note = f"Filing a complaint, p95 in ms, step by step: {values}. Answers: {outcome.statuses}."
    stage.say(f"{name}: {note}")
    errors = [outcome.errors * 100]
    yield Figure(GROUP, f"{name}, errors", "%", errors, 1.0, better="less", note=note)
    after = recovery(outcome, ends[-2], ends[-1], p95[0])
    yield Figure(
        GROUP,
        f"{name}, p95 within 20 % of before",
        "s afterwards",
        [after],
        60.0,
        better="less",
        note="" if math.isfinite(after) else f"Not reached in {ends[-1] - ends[-2]:g} s.",
    )


def recovery(outcome: Outcome, since: float, until: float, before: float) -> float:
    """Return the seconds until the p95 has recovered; infinite if never."""
    at = since
    while at < until:
        if percentile(outcome.took("file", at, at + WINDOW), 0.95) <= 1.2 * before:
            return at - since
        at += WINDOW
    return math.inf


def _token(fleet: Fleet) -> str:
    return token_of_all(issuer_of(fleet.settings))
