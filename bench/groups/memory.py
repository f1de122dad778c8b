"""The memory of one service process, and whether it levels off under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from statistics import mean

from bench.loads import DAY, morning, put, register, rest
from bench.measure import Figure
from bench.stage import Stage, memory_of
from console.admin.tokens import issuer_of, token_of_all
from console.demo.fleet import Fleet

GROUP = "memory"
RATE = 5.0
"""Lifecycles per second."""


def run(stage: Stage) -> Iterator[Figure]:
    """Measure the memory of each process before, during and after a soak of complaints."""
    minutes = stage.scale.soak
    with stage.district() as fleet:
        morning(fleet.client())
        shops = register(fleet.client(), 500)
        rest(stage)
        pids = {name: members[0].process.pid for name, members in fleet.members.items()}
        begun = {name: memory_of(pid) for name, pid in pids.items()}
        stage.say(f"memory (MB): {_told(begun)}; soaking for {minutes:g} min")
        lines = soak(stage, fleet, pids, shops, minutes * 60)
    ended = {name: line[-1]["y"] for name, line in lines.items()}
    worst = max(ended, key=lambda name: ended[name])
    yield Figure(
        GROUP,
        "memory of one service process",
        "MB",
        [ended[worst]],
        120.0,
        better="less",
        note=f"The largest, {worst}, after {minutes:g} min at {RATE:g} lifecycles/s; at the "
        f"beginning: {_told(begun)}; at the end: {_told(ended)}.",
        series=[{"plot": "Memory over time", "x": "minutes", "y": "MB", "log": False,
                 "lines": lines}],
    )  # fmt: skip
    grown = [growth([point["y"] for point in line]) for line in lines.values()]
    yield Figure(
        GROUP,
        f"a {minutes:g}-minute soak: memory in the last quarter to that in the third",
        "×",
        [max(grown)],
        1.02,
        better="less",
    )


def soak(
    stage: Stage, fleet: Fleet, pids: dict[str, int], shops: list[str], seconds: float
) -> dict[str, list[dict[str, float]]]:
    """Run the load, and return the memory of each process over the minutes."""
    lines: dict[str, list[dict[str, float]]] = {name: [] for name in pids}
    over = threading.Event()
    began = time.monotonic()

    def watch() -> None:
        while True:
            at = (time.monotonic() - began) / 60
            for name, pid in pids.items():
                lines[name].append({"x": round(at, 2), "y": round(memory_of(pid), 1)})
            if over.wait(seconds / 60):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        outcome = put(
            stage,
            "lifecycle",
            fleet.bases[0],
            token_of_all(issuer_of(fleet.settings)),
            shops=shops,
            day=DAY,
            connections=64,
            steps=[[RATE, seconds]],
        )
    finally:
        over.set()
        watcher.join()
    stage.say(f"soaked: {outcome.rate('lifecycle'):.1f} lifecycles/s, {outcome.statuses}")
    return lines


def growth(line: list[float]) -> float:
    """Return the ratio of the last quarter of a line to the third."""
    quarter = max(1, len(line) // 4)
    return mean(line[-quarter:]) / mean(line[-2 * quarter : -quarter] or line[-quarter:])


def _told(memory: dict[str, float]) -> str:
    return ", ".join(f"{name} {held:.0f}" for name, held in memory.items())
