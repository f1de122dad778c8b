"""`make bench`: ours and the peers in turn, the report, the table, the plots and the page.

python -m bench.run [--only a,b] [--quick] [--rounds N] [--stored N] [--soak MINUTES]
    [--report FILE]
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import argparse
import shutil
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import report
from bench.measure import bounded
from bench.stage import PEERS, ROOT, Scale, Stage, machine, stage
from chassis import logs

GROUPS = {
    "exactly-once": 15,
    "filing": 15,
    "lifecycle": 40,
    "stored": 10,
    "month": 20,
    "memory": 10,
    "replicas": 10,
}
"""The groups of rows with their time limits in minutes, without the soak. Each is a module that is
imported when it is measured: one has messages of its own."""
NEEDED = 40_000
"""Bytes of disk space per stored lifecycle."""


def measure(stage: Stage, only: list[str], kept: Path) -> list[dict[str, Any]]:
    """Measure group after group; one that fails leaves a row with the error, and the others
    continue.

    The report is written after each, so that an interrupted run has its results.
    """
    described = machine(stage)
    entries: list[dict[str, Any]] = []
    for name in only:
        stage.say(f"== {name}")
        minutes = GROUPS[name] + (stage.scale.soak if name == "memory" else 0)
        figures = bounded(name, name, minutes * 60, group(name)(stage))
        entries += [figure.as_json() | {"machine": described} for figure in figures]
        report.write(entries, kept)
    return entries


def group(name: str) -> Any:
    """Return the function that measures a group."""
    return import_module(f"bench.groups.{name.replace('-', '_')}").run


def main() -> int:
    """Measure as the command line says; return 0 if nothing failed, whether or not the goals are
    met."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument(
        "--only", default=",".join(GROUPS), help=f"groups, separated by commas: {', '.join(GROUPS)}"
    )
    words.add_argument("--quick", action="store_true", help="a few minutes, with rough figures")
    words.add_argument("--rounds", type=int, help="rounds of each comparison (5; quick: 1)")
    words.add_argument("--soak", type=float, help="minutes of the soak (20; quick: 0.5)")
    words.add_argument(
        "--stored",
        type=int,
        help="stored lifecycles, and rows in outbox and inbox (a million; quick: 20,000)",
    )
    words.add_argument("--report", type=Path, default=Path("bench.json"))
    words.add_argument("--keep", type=Path, help="folder for logs; default: none")
    words.add_argument("--page", action="store_true", help="write docs/performance.md too")
    given = words.parse_args()
    only = [name for name in given.only.split(",") if name]
    if unknown := set(only) - {*GROUPS}:
        words.error(f"Unknown --only {', '.join(sorted(unknown))}. Groups: {', '.join(GROUPS)}.")
    if not PEERS.exists():
        words.error("The peers are not installed; run `make bench`.")
    stored = given.stored or (20_000 if given.quick else 1_000_000)
    scale = Scale(
        quick=given.quick,
        rounds=given.rounds or (1 if given.quick else 5),
        soak=given.soak or (0.5 if given.quick else 20.0),
        stored=stored,
    )
    logs.configure("critical")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    with tempfile.TemporaryDirectory(prefix="bihuan-bench-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < stored * NEEDED:
            words.error(f"--stored: {stored:,} lifecycles need {stored * NEEDED / 1e9:,.0f} GB.")
        with stage(folder, scale) as place:
            entries = measure(place, only, given.report)
    if given.page:
        report.document(entries, ROOT / "docs")
    report.show(entries, Console())
    return 1 if any(not entry["rounds"] for entry in entries) else 0


if __name__ == "__main__":
    sys.exit(main())
