"""What is in order, and much; and what a machine or a database does that is set up wrongly."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from random import Random

from chassis.runtime.green import pause
from console.demo.synthetic import credit_code
from console.runtime.process import ChildEnded
from tests.faults.clocks import turn
from tests.faults.kinds import anyone, kind
from tests.faults.stage import HEARS, PLAIN, Stage

FULL = 5000
"""Rows of a batch, as many as there may be."""
DAY = 86_400
REFUSES_WITHIN = 60.0
"""Seconds in which a process looks at the database's clock."""


@kind("full-batch", takes=40)
def send_full_batch(stage: Stage, rng: Random) -> str:
    """Five thousand enterprises in one request, while others write too."""
    first = 10_000_000 + FULL * rng.randrange(8000)
    rows = [
        {
            "credit_code": credit_code(first + number),
            "name": f"第{first + number}號店",
            "kind": "sole_trader",
            "size": "micro",
            "industry": "H6210",
            "premises": "shop",
            "grid": "350503003",
        }
        for number in range(FULL)
    ]
    body = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    stage.request("/v1/enterprises/batch", body, f"full-{rng.getrandbits(64):x}")
    return f"{FULL} enterprises"


@kind("read-only", "database")
def let_nobody_write(stage: Stage, rng: Random) -> str:
    """As after a failover to a standby, of the databases of one service or of all."""
    names = rng.choice([[rng.choice([*HEARS])], [*HEARS]])
    stage.database.let_write(*names, allowed=False)
    pause(rng.uniform(4, 12))
    stage.database.let_write(*names, allowed=True)
    return ", ".join(names)


@kind("wrong-clock", "database")
def start_with_a_wrong_clock(stage: Stage, rng: Random) -> str:
    """A process starts on a machine whose clock is hours or days off, and must not."""
    member, ahead = anyone(stage, rng), rng.choice([-1, 1]) * rng.uniform(600, 10 * DAY)
    with stage.holding(member):
        stage.stop_in_order(member)
        member.process.entry = ("tests.faults.clocks", str(ahead))
        with suppress(ChildEnded):  # before it listens; or soon after
            member.process.__enter__()
        give_up = time.monotonic() + REFUSES_WITHIN
        while member.lives and time.monotonic() < give_up:
            pause(0.1)
        if member.lives:
            stage.own_up(amiss=f"{member.name} runs {ahead:.0f} s ahead")
            stage.stop_in_order(member)
        elif "clock" not in (why := member.process._last_words()):
            stage.own_up(amiss=f"{member.name} with a wrong clock ended by {why}")
        member.process.entry = PLAIN
    return f"{member.name}, {ahead:.0f} s ahead"


@kind("clock-jumps", "database", takes=30)
def let_a_clock_jump(stage: Stage, rng: Random) -> str:
    """The clock of a process that runs jumps, and after a while back again."""
    member, ahead = anyone(stage, rng), rng.choice([-1, 1]) * rng.uniform(3600, 40 * DAY)
    file = stage.folder / f"clock-{rng.getrandbits(32):x}"
    turn(file, 0)
    with stage.holding(member):
        stage.stop_in_order(member)
        member.process.entry = ("tests.faults.clocks", str(file))
        stage.start_again(member)
    try:
        pause(3)
        turn(file, ahead)
        pause(rng.uniform(5, 12))
        turn(file, 0)
        pause(2)
    finally:
        with stage.holding(member):
            member.process.entry = PLAIN
            stage.stop_in_order(member)
    return f"{member.name}, {ahead:.0f} s ahead"
