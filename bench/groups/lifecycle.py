"""Complaints from the call to the answer, and reads, with more and more stored; spikes.

The district is loaded in bulk between the measurements: ten thousand lifecycles, then a hundred
thousand, then a million; its services run only while something is measured.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from bench.loading import NUMBER, Moulds
from bench.loads import DAY, Outcome, morning, put, registration, rest
from bench.measure import Figure, percentile
from bench.stage import Ended, Stage
from chassis.ids import new_id
from console.client import Client
from console.fleet import Fleet
from console.tokens import issuer_of, token_of_all

GROUP = "lifecycle"
DIGITS = (1, 15, 1, 25, 2, 35, 10)
"""DIGIT's spike: lifecycles a second, step by step."""
KINDS = ("notice", "closure", "prompt", "problem", "supervision", "feedback")
GOAL = 37.0
CLIENTS = 64


def run(stage: Stage) -> Iterator[Figure]:
    """Measure with little stored, load, measure again, and so on; the spikes come last."""
    scale = stage.scale
    steps = [n for n in (500, 10_000, 100_000) if n < scale.stored][0 if scale.quick else 1 :]
    steps = [*steps[: 1 if scale.quick else None], scale.stored]
    moulds = mould(stage)
    stored, points = 1, []
    reads: dict[int, Outcome] = {}
    lives: dict[int, list[Outcome]] = {}
    for number, target in enumerate(steps):
        moulds.load(target - stored, stage.say, start=stored)
        stored = target
        last = number == len(steps) - 1
        with running(stage) as (fleet, shops, calls):
            seconds = scale.of(30, 5)
            rounds = scale.rounds if last else 1
            lives[target] = [life(stage, fleet, shops, seconds) for _ in range(rounds)]
            reads[target] = read(stage, fleet, shops, calls, scale.of(20, 4))
            told = lives[target][-1]
            stage.say(
                f"{target:,} stored: {told.rate('lifecycle'):.1f} lifecycles/s, p95 "
                f"{told.p(0.95, 'lifecycle'):.0f} ms; {told.statuses}"
            )
            points.append(target)
            if last:
                spikes = list(spiked(stage, fleet, shops))
    yield from lifecycles(lives, points)
    yield from of_reads(reads, points)
    yield from spikes


def lifecycles(lives: dict[int, list[Outcome]], points: list[int]) -> Iterator[Figure]:
    """Tell of the complaints."""
    most = lives[points[-1]]
    rates = [outcome.rate("lifecycle") for outcome in most]
    name = f"complaint lifecycle, {points[-1]:,} stored"
    by_stored = {
        "rate": [{"x": n, "y": round(lives[n][-1].rate("lifecycle"), 2)} for n in points],
        **{
            f"p{part * 100:g}": [
                {"x": n, "y": round(lives[n][-1].p(part, "lifecycle"), 1)} for n in points
            ]
            for part in (0.5, 0.95)
        },
    }
    x = "complaints, and as many enterprises, stored"
    yield Figure(
        GROUP,
        name,
        "lifecycles/s",
        rates,
        GOAL,
        note="DIGIT: 37 on 16 cores when nearly empty, 6.3 at a million.",
        series=[
            {"plot": "Throughput by stored rows", "x": x, "y": "lifecycles/s", "log": True,
             "lines": {"lifecycles": by_stored.pop("rate")}},
            {"plot": "Latency by stored rows", "x": x, "y": "ms for a lifecycle", "log": True,
             "lines": by_stored},
        ],
    )  # fmt: skip
    for part in (0.5, 0.95, 0.99):
        took = [outcome.p(part, "lifecycle") for outcome in most]
        yield Figure(GROUP, f"{name}, p{part * 100:g}", "ms", took, better="less")
    few = lives[points[0]]
    flat = [outcome.rate("lifecycle") for outcome in few]
    yield Figure(
        GROUP,
        f"lifecycles at {points[-1]:,} to those at {points[0]:,}",
        "lifecycles/s",
        rates,
        0.9,
        f"ours at {points[0]:,}",
        flat * len(rates),
    )


def of_reads(reads: dict[int, Outcome], points: list[int]) -> Iterator[Figure]:
    """Tell of the reads."""
    for what in ("by id", "search", "list"):
        yield Figure(
            GROUP,
            f"read {what}, {points[-1]:,} stored, p95",
            "ms",
            [reads[points[-1]].p(0.95, what)],
            50.0,
            better="less",
            note="8 clients at once; OpenCRVS's target is 150 ms.",
        )


# -- what is stored


def mould(stage: Stage) -> Moulds:
    """Have the services write one lifecycle, and keep what they wrote as the mould."""
    with stage.district() as fleet:
        client = fleet.client()
        morning(client)
        rest(stage)
        with stage.connect("inspection") as database:
            for kind in KINDS:
                database.execute(
                    "INSERT INTO series VALUES (%s, %s)"
                    " ON CONFLICT (name) DO UPDATE SET last = excluded.last",
                    [f"350503/{kind}/2020", NUMBER - 1],
                )
        moulds = Moulds(stage.connect)
        whole(client)
        rest(stage)
        moulds.take()
    return moulds


def whole(client: Client) -> None:
    """Have an enterprise registered, and a complaint about it answered."""
    shop = client.post("/v1/enterprises", registration(NUMBER), new_id())["enterprise_id"]
    asked = {
        "track": "report",
        "channel": "12315",
        "content": "店內有人堂食",
        "phone": "13800000000",
    }
    asked |= {"caller": "王小明", "enterprise_id": shop}
    call = client.post("/v1/complaints", asked, new_id())["complaint_id"]
    client.post(f"/v1/complaints/{call}/acceptance", {"by": "desk-1"}, new_id())
    (visit,) = wait(lambda: [*client.everything("/v1/visits", complaint_id=call)])
    done = {"visit_id": visit["id"], "day": DAY, "agencies": ["market-regulation"], "findings": []}
    client.post("/v1/visits", done, new_id())
    wait(lambda: client.get(f"/v1/complaints/{call}")["state"] == "answered")


def wait(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Look until there is something."""
    give_up = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > give_up:
            raise Ended("what should follow has not come")
        time.sleep(0.02)
    return found


@contextmanager
def running(stage: Stage) -> Iterator[tuple[Fleet, list[str], list[str]]]:
    """Run the district on what is stored; give it, some of the shops and some of the complaints."""
    rng = random.Random(20200306)
    with stage.connect("gateway") as database:
        (count,) = database.execute("SELECT max(position) FROM complaints").fetchone()  # type: ignore[misc]
        some = [rng.randint(1, count) for _ in range(3000)]
        found = []
        for table in ("enterprises", "complaints"):
            query = f"SELECT id FROM {table} WHERE position = ANY(%s)"
            found.append([identity for (identity,) in database.execute(query, [some])])
    with stage.district(fresh=False) as fleet:
        yield fleet, *found


# -- what is measured


def life(stage: Stage, fleet: Fleet, shops: list[str], seconds: float) -> Outcome:
    """Have as many complaints dealt with as go."""
    told = {"connections": CLIENTS, "seconds": seconds, "warmup": min(5.0, seconds / 2)}
    return put(stage, "lifecycle", fleet.bases[0], _token(fleet), shops=shops, day=DAY, **told)


def read(stage: Stage, fleet: Fleet, shops: list[str], calls: list[str], seconds: float) -> Outcome:
    """Read by id, by words and lists, at random places."""
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
    """Put spikes on: five times as much as before, and DIGIT's shape."""
    scale = stage.scale
    base = 5.0
    calm, high = scale.of(30, 5), scale.of(120, 6)
    steps = [[base, calm], [5 * base, high], [base, scale.of(90, 8)]]
    yield from _spike(stage, fleet, shops, "spike ×5", steps)
    step = scale.of(30, 3)
    shape = [[float(rate), step] for rate in DIGITS]
    yield from _spike(stage, fleet, shops, "DIGIT's spikes", shape)


def _spike(
    stage: Stage, fleet: Fleet, shops: list[str], name: str, steps: list[list[float]]
) -> Iterator[Figure]:
    outcome = put(
        stage,
        "lifecycle",
        fleet.bases[0],
        _token(fleet),
        shops=shops,
        day=DAY,
        connections=256,
        steps=steps,
    )
    ends = [sum(seconds for _, seconds in steps[:n]) for n in range(len(steps) + 1)]
    p95 = [
        percentile(outcome.took("file", begin, end), 0.95)
        for begin, end in itertools.pairwise(ends)
    ]
    told = ", ".join(f"{rate:g}/s: {p:.0f}" for (rate, _), p in zip(steps, p95, strict=True))
    note = f"Filing a complaint, p95 in ms, step by step: {told}. Answers: {outcome.statuses}."
    errors = [outcome.errors * 100]
    yield Figure(GROUP, f"{name}, errors", "%", errors, 1.0, better="less", note=note)
    after = recovery(outcome, ends[-2], p95[0])
    yield Figure(
        GROUP, f"{name}, p95 within 20 % of before", "s afterwards", [after], 60.0, better="less"
    )
    stage.say(f"{name}: {note}")


def recovery(outcome: Outcome, since: float, before: float) -> float:
    """Give the seconds after which the p95, over five seconds each, is back; infinite if never."""
    window = 5.0
    at = since
    while took := outcome.took("file", at, at + window):
        if percentile(took, 0.95) <= 1.2 * before:
            return at - since
        at += window
    return 1e9


def _token(fleet: Fleet) -> str:
    return token_of_all(issuer_of(fleet.settings))
