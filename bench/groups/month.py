"""The Fengze month, embedded and distributed: its duration and memory."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.measure import Figure
from bench.stage import Ended, Stage

GROUP = "month"
LONGEST = 900.0
_TOLD = re.compile(r"([\d.]+) s; the district took (\d+) MB")


def run(stage: Stage) -> Iterator[Figure]:
    """Measure `bihuan demo --once`, which checks that every figure is right."""
    scale = stage.scale.of(1.0, 0.05)
    size = "full size" if scale == 1.0 else f"{scale:.0%} of it"
    key = stage.folder / "month.key"
    key.write_text("ab" * 32)
    distributed = {
        "AMQP_URI": stage.broker.uri,
        "DATABASE_URL": stage.database.url("{service}"),
        "SEAL_KEY_FILE": str(key),
        "ISSUER_KEY_FILE": str(key),
    }
    where: dict[str, Mapping[str, str]] = {"embedded": {}, "distributed": distributed}
    for how, environ in where.items():
        if environ:
            stage.empty()
        seconds, memory = replay(stage, scale, environ)
        stage.say(f"the month, {how}: {seconds:.1f} s, {memory:.0f} MB")
        goals = (90.0, 400.0) if how == "embedded" and scale == 1.0 else (None, None)
        note = "" if how == "embedded" else "The memory of all five processes, added up."
        name = f"the Fengze month, {how}, {size}"
        least = 150.0 if goals[0] else None
        yield Figure(GROUP, name, "s", [seconds], goals[0], better="less", least=least)
        yield Figure(GROUP, f"{name}: memory", "MB", [memory], goals[1], better="less", note=note)


def replay(stage: Stage, scale: float, environ: Mapping[str, str]) -> tuple[float, float]:
    """Replay the month, and return its seconds and the peak memory of the district (MB)."""
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        words = ["demo", "--once", "--port", 0, "--scale", scale, "--data", folder]
        with stage.ours("console.main", *words, COLUMNS="200", **environ) as program:
            program.process.wait(LONGEST)
            said = Path(program.said).read_text()
        match = _TOLD.search(said)
        if program.process.returncode or not match:
            raise Ended(f"the month ended with {program.process.returncode}:\n{said[-2000:]}")
    return float(match[1]), float(match[2])
