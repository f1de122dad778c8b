"""Has Spin search a model of docs/model: every order of its steps, to the last."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.packages import PATH, need

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "docs" / "model"
MEMORY = 12_000
"""MB that a search may take at the most."""
DEPTH = 10_000
"""Steps one after the other; a search that would go deeper is not complete."""
_BROKEN = re.compile(r"^pan:1: assertion violated (.*) \(at depth \d+\)$", re.MULTILINE)
_UNREACHED = re.compile(r'^\tm\.pml:(\d+), state \d+, "(?!-end-)', re.MULTILINE)


@dataclass(frozen=True)
class Search:
    """One configuration of a model; `breaks` is part of the promise that does not hold in it."""

    model: str
    switches: tuple[str, ...] = ()
    breaks: str = ""
    is_long: bool = False

    def __str__(self) -> str:
        return " ".join((self.model, *self.switches))


@dataclass(frozen=True)
class Found:
    """What a search has come to: the promise that was broken, if one was, and what it took."""

    broken: str
    is_complete: bool
    states: int
    megabytes: float
    seconds: float
    unreached: frozenset[int] = field(repr=False)
    """Lines of the model that were never reached."""


def _of_recovery(*switches: str, **more: str | bool) -> Search:
    return Search("recovery", ("EVENTS=2", *switches), **more)  # type: ignore[arg-type]


SEARCHES = (
    Search("receiving"),
    Search("receiving", ("REPEATED",)),
    Search("receiving", ("OLD_K1",), breaks="effect["),
    Search("receiving", ("OLD_K4",), breaks="settled[m]"),
    Search("receiving", ("PARTITION_ONLY",), breaks="settled[m]"),
    Search("sending"),
    Search("sending", ("NO_CHANGE",)),
    Search("sending", ("NO_CHANGE", "OLD_K2")),
    Search("sending", ("OLD_K2",), breaks="handled==3"),
    Search("sending", ("OLD_HAND",), breaks="handled==3"),
    Search("sending", ("LATE_LOCK",), breaks="==handled)"),
    _of_recovery("WRITTEN=1"),
    Search("recovery", ("WRITTEN=3",)),
    _of_recovery("TWO_RECEIVERS"),
    _of_recovery("TWO_RELAYS"),
    _of_recovery("LOSSES=2", "FAULTS=0"),
    _of_recovery("OLD_K3", breaks="==handled)"),
    _of_recovery("NO_ORDER", "LOSSES=2", breaks="handled==2"),
    _of_recovery("NO_LOCK", "TWO_RELAYS", breaks="==handled)"),
    Search("receiving", ("LOOK_ONLY",), is_long=True),
    Search("receiving", ("REPEATED", "FAULTS=3", "REFUSALS=3"), is_long=True),
    Search("sending", ("FAULTS=3",), is_long=True),
    _of_recovery("FAULTS=2", is_long=True),
    _of_recovery("LOSSES=2", is_long=True),
    _of_recovery("TWO_RELAYS", "FAULTS=2", is_long=True),
    Search("recovery", ("WRITTEN=3", "TWO_RECEIVERS"), is_long=True),
)


def search(wanted: Search, folder: Path) -> Found:
    """Make the checker of a model in a folder, and let it run to its end; raises `Unavailable`."""
    spin, gcc = need(_programs, "spin", "gcc", "libc6-dev")
    shutil.copy(MODELS / f"{wanted.model}.pml", folder / "m.pml")
    switches = [f"-D{switch}" for switch in wanted.switches]
    _run(folder, spin, "-a", *switches, "m.pml")
    bounds = ["-DSAFETY", f"-DMEMLIM={MEMORY}", *(["-DCOLLAPSE"] if wanted.is_long else [])]
    _run(folder, gcc, "-O1", "-w", *bounds, "-o", "pan", "pan.c")
    # a process that has nothing to do stands still, which is no deadlock: what must have come to
    # pass when nothing moves any more is asserted
    return _read(_run(folder, "./pan", "-E", f"-m{DEPTH}"))


def _programs() -> tuple[str, str] | None:
    spin, gcc = (shutil.which(name, path=PATH) for name in ("spin", "gcc"))
    return (spin, gcc) if spin and gcc else None


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{said}")
    return said


def _read(said: str) -> Found:
    broken = _BROKEN.search(said)
    errors = int(_number(said, r"errors: (\d+)"))
    if bool(errors) != bool(broken):
        raise RuntimeError(f"the search found something else than a broken promise:\n{said}")
    cut_off = re.search(r"Search not completed|max search depth|out of memory|reached -DMEM", said)
    return Found(
        broken[1] if broken else "",
        not cut_off,
        int(_number(said, r"^\s*(\d+) states, stored")),
        _number(said, r"([\d.]+)\ttotal actual memory usage"),
        _number(said, r"elapsed time ([\d.]+) seconds"),
        frozenset(int(line) for line in _UNREACHED.findall(said)),
    )


def _number(said: str, pattern: str) -> float:
    found = re.search(pattern, said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the search ended otherwise than expected:\n{said}")
    return float(found[1])
