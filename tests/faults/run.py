"""`make faults`: a district under load, faults by a seeded schedule, and the verdict.

python -m tests.faults.run [--seed N] [--minutes M] [--report FILE] [--kinds a,b] [--keep DIR]
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chassis import logs
from chassis.runtime.green import pause, spawn
from tests.faults import (  # noqa: F401  (they declare kinds)
    between,
    extremes,
    forgeries,
    intruders,
    outages,
)
from tests.faults.judging import COUNTS, Record, under_way, whole
from tests.faults.kinds import KINDS, Kind, Missed
from tests.faults.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0
"""Seconds for the district to come to rest after the faults."""
AT_ONCE = 3
"""How many faults strike at the same time at the most."""
GAPS = (1.0, 6.0)
"""Seconds between one fault and the next, at the least and at the most."""
LAST_ANSWERS = 60.0
"""Seconds in which the load gets its last answers, once the faults are over."""


class Play:
    """Deals faults like cards from a shuffled deck: each kind once before any strikes again."""

    def __init__(self, stage: Stage, seed: int, kinds: Sequence[str]) -> None:
        self.stage = stage
        self.seed = seed
        self.rng = random.Random(seed)
        self.kinds = kinds
        self.schedule: list[dict[str, Any]] = []
        self.struck: Counter[str] = Counter()
        self.missed: dict[str, str] = {}
        self._under_way: dict[int, Any] = {}

    def run(self, seconds: float) -> None:
        """Let faults strike for so long, and wait until the last one is over."""
        over = time.monotonic() + seconds
        for number, kind in enumerate(self._deal(), start=1):
            pause(self.rng.uniform(*GAPS))
            if 0 < over - time.monotonic() < kind.takes:
                self.missed[kind.name] = f"It takes {kind.takes:g} s, which were not left."
                continue
            while len(self._under_way) >= AT_ONCE and time.monotonic() < over:
                pause(0.1)
            if time.monotonic() >= over:
                break
            self._under_way[number] = spawn(self._strike, number, kind)
        for thread in [*self._under_way.values()]:
            thread.wait()

    def _deal(self) -> Iterator[Kind]:
        """Return kind after kind; one whose place is taken waits for a later turn."""
        deck: list[Kind] = []
        while True:
            if not deck:
                deck = [KINDS[name] for name in self.kinds]
                self.rng.shuffle(deck)
                deck.sort(key=lambda card: card.takes)  # the longest is dealt first
            held = [card for card in deck if card.holds and self.stage.locks[card.holds].locked()]
            free = [card for card in deck if card not in held]
            if not free:
                pause(0.2)
                continue
            deck.remove(free[-1])
            yield free[-1]

    def _strike(self, number: int, kind: Kind) -> None:
        rng, at = random.Random(f"{self.seed}-{number}"), self.stage.now
        lock = self.stage.locks.get(kind.holds or "")
        self.stage.say(f"{kind.name} …")
        try:
            if lock:
                lock.acquire()
            target = kind.strike(self.stage, rng)
        except Missed as why:
            self.missed[kind.name] = f"{why}."
            self.stage.say(f"{kind.name} missed: {why}")
        except Exception as error:
            self.missed[kind.name] = repr(error)
            self.stage.say(f"{kind.name} failed: {error!r}")
        else:
            self.struck[kind.name] += 1
            seconds = round(self.stage.now - at, 1)
            self.schedule.append(
                {"at": at, "kind": kind.name, "target": target, "seconds": seconds}
            )
            self.stage.say(f"{kind.name} is over: {target}, {seconds} s")
        finally:
            if lock:
                lock.release()
            del self._under_way[number]


def play(
    folder: Path,
    *,
    seed: int,
    minutes: float,
    kinds: Sequence[str] = tuple(KINDS),
    rate: float = 25.0,
) -> dict[str, Any]:
    """Play one district through its faults; return the report."""
    answers = folder / "load.jsonl"
    with Stage(folder) as stage:
        stage.say(f"seed {seed}: {minutes:g} min, {len(kinds)} kinds of faults")
        load = _load(answers, seed, rate, minutes * 60 + 5, stage)
        try:
            pause(3)
            game = Play(stage, seed, kinds)
            game.run(minutes * 60)
            stage.mend()
            stage.say("the faults are over")
            answered = _ended_within(load, 5 + LAST_ANSWERS)
        finally:
            load.terminate()
            load.wait()
        settled = _settle(stage, Record.read(answers, stage.record))
        stage.say(f"settled after {settled} s" if settled is not None else "not settled")
        stage.collect_dead()
        for member in stage.members:
            member.lock.acquire()
        for member in stage.members:
            stage.stop_in_order(member)
        verdict = _verdict(stage.url, answers, stage.record)
    missed = game.missed | {
        name: "The time was too short." for name in KINDS if name not in game.struck | game.missed
    }
    return {
        "seed": seed,
        "minutes": minutes,
        **verdict,
        "answered": answered,
        "settled_s": settled,
        "struck": dict(sorted(game.struck.items())),
        "missed": {name: why for name, why in missed.items() if name not in game.struck},
        "schedule": game.schedule,
        "exits": stage.exits,
    }


def _load(
    record: Path, seed: int, rate: float, seconds: float, stage: Stage
) -> subprocess.Popen[bytes]:
    words = [str(word) for word in (record, seed, rate, seconds, *stage.gateways)]
    command = [sys.executable, "-m", "tests.faults.load", *words]
    with record.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TOKEN": stage.token},
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Return whether a process has ended by itself within some seconds."""
    give_up = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < give_up:
        pause(0.1)
    return process.poll() is not None


def _settle(stage: Stage, record: Record) -> float | None:
    """Wait until nothing is under way, and give the seconds that took; None where it is too long.

    Whoever has heard something may have said more meanwhile, so a second look confirms the first.
    """
    began, quiet, told = time.monotonic(), 0, 0.0
    while quiet < 2:
        left = under_way(stage.url, record)
        quiet = 0 if left else quiet + 1
        if time.monotonic() > began + PATIENCE:
            stage.say(f"{len(left)} things are still under way, {left[:3]} among them")
            return None
        if left and time.monotonic() > told + 10:
            told = time.monotonic()
            stage.say(f"{len(left)} things are under way, {left[0]} among them")
        pause(1)
    return round(time.monotonic() - began, 1)


def _verdict(url: str, *records: Path) -> dict[str, Any]:
    """Have the checker judge, which is a program of its own."""
    command = [sys.executable, "-m", "tests.faults.judging", url, *map(str, records)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict


def summary(report: dict[str, Any]) -> str:
    """Write a report for people."""
    lines = [f"{name.replace('_', ' '):>14}  {report[name]}" for name in ("accepted", *COUNTS)]
    lines += [f"{name:>14}  {report[name]}" for name in ("parked", "refused", "settled_s")]
    lines += ["", "        struck  kind"]
    lines += [f"{count:>14}  {name}" for name, count in report["struck"].items()]
    lines += [f"{'-':>14}  {name}: {why}" for name, why in report["missed"].items()]
    for name, sentences in report["evidence"].items():
        lines += ["", f"{name}:", *(f"  {sentence}" for sentence in sentences)]
    bad = [exit_ for exit_ in report["exits"] if exit_["code"] != 0]
    lines += ["", *(f"exit: {exit_}" for exit_ in bad)]
    return "\n".join(lines)


def main() -> int:
    """Play by the command line; 0 if the district came out whole."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--seed", type=int, default=random.randrange(10**6))
    words.add_argument("--minutes", type=float, default=3.0)
    words.add_argument("--rate", type=float, default=25.0, help="requests per second")
    words.add_argument("--report", type=Path, default=Path("faults.json"))
    words.add_argument("--kinds", default=",".join(KINDS), help="names, with commas between")
    words.add_argument("--keep", type=Path, help="a folder for the logs, instead of none")
    given = words.parse_args()
    if given.keep and given.keep.exists() and any(given.keep.iterdir()):
        words.error(f"--keep: {given.keep} holds something already, and a record is judged whole.")
    logs.configure("critical")
    with tempfile.TemporaryDirectory(prefix="bihuan-faults-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kinds = [name for name in given.kinds.split(",") if name]
        report = play(folder, seed=given.seed, minutes=given.minutes, kinds=kinds, rate=given.rate)
    given.report.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    sys.stderr.write(summary(report) + "\n")
    return 0 if whole(report) else 1


if __name__ == "__main__":
    sys.exit(main())
