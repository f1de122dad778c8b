"""What befalls a process between two statements of its work, and what comes of the time lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from chassis.runtime.green import pause
from console.demo.synthetic import credit_code
from tests.faults.intruders import handled, put_in_again
from tests.faults.kinds import RETRIED, Missed, anyone, asked, change, kind
from tests.faults.load import CLIENT
from tests.faults.points import FAIL, FREEZE, KILL, LOSE, NOTHING, POINTS, SLOW
from tests.faults.stage import PLAIN, SIDES, Member, Stage

REACHED_WITHIN = 45.0
"""Seconds within which a process comes to the point that it was told."""
PATIENCE = 90.0
"""Seconds for what must come about meanwhile."""
OFTEN = 60
"""From how many statements one is chosen."""
LOST = ((5, 1), (5, 1), (5, 2), (4, 3))
"""How many commits about a message are undone, and then unanswered: as many as a consumer takes for
the database's own trouble, and those after which it judges the handler."""
PROBES = 32
"""Requests of different keys: one partition of eight, which is served by nobody, is missed by all
of them with a chance of 1.4 %, and half of the partitions never."""
SLOW_BY = 8.0
"""Seconds by which a publish batch is late: less than the broker is given to confirm it."""
DAY = 86_400.0
HANDLED = r'INSERT INTO inbox.*?"id": ?"([^"]+)"'
"""How a transaction begins that handles a message; the group is the message's id."""
SHOPS, SHOP = (
    "/v1/enterprises",
    {
        "kind": "sole_trader",
        "size": "micro",
        "industry": "H6210",
        "premises": "shop",
        "grid": "350503003",
    },
)


def until(fact: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.1) -> Any:
    """Wait for a fact; return what it is, or what it is not, in the end."""
    give_up = time.monotonic() + seconds
    while not (found := fact()) and time.monotonic() < give_up:
        pause(every)
    return found


def told(member: Member, **order: Any) -> str:
    """Have a process do something at a point; tells which it was. Raises `Missed`."""
    member.order(**order)
    done = until(lambda: member.done() or not member.lives, REACHED_WITHIN, 0.02)
    if not (done := member.done() or done):
        member.order(do=NOTHING)
        raise Missed(f"{member.name} did not come to {order.get('at')}")
    return f"{done['point']} {done['last']}" if isinstance(done, dict) else "its end"


def somewhere(rng: Random) -> dict[str, Any]:
    """Choose a point: every one is as likely as another, however often it is passed."""
    point = rng.choice(POINTS)
    often = OFTEN if point.endswith("-statement") else 1 if point == "after-rollback" else 8
    return {"at": point, "nth": rng.randint(1, often)}


@kind("frozen-between", takes=60)
def freeze(stage: Stage, rng: Random) -> str:
    """For longer than a lease, or than the broker waits for a heartbeat; then it goes on."""
    member, seconds = anyone(stage, rng), rng.choice([rng.uniform(6, 12), 25.0])
    with stage.holding(member):
        where = told(member, do=FREEZE, **somewhere(rng))
        stage.say(f"   {member.name} stands still for {seconds:.1f} s at {where}")
        pause(seconds)
        member.signal(signal.SIGCONT)
    return f"{member.name} at {where}"


@kind("killed-between", takes=40)
def kill(stage: Stage, rng: Random) -> str:
    member = anyone(stage, rng)
    with stage.holding(member):
        where = told(member, do=KILL, **somewhere(rng))
        member.process.process.wait()
        pause(rng.uniform(0.2, 3))
    return f"{member.name} at {where}"


@kind("commit-unanswered", takes=60)
def lose_answers(stage: Stage, rng: Random) -> str:
    """Some commits in a row are undone, since the connection breaks before; then some are done, and
    it breaks before the answer."""
    member = anyone(stage, rng, {"filing", "inspection", "gateway"})
    lost = [*LOST, (rng.randint(3, 6), rng.randint(1, 3))]
    rng.shuffle(lost)
    with stage.holding(member):
        met = [_loses(member, undone, unanswered) for undone, unanswered in lost]
    if not any(met):  # each may be handled by another process in the end
        raise Missed(f"{member.name} did not come to the last commit of any message")
    return f"{member.name}: " + ", ".join(filter(None, met))


def _loses(member: Member, undone: int, unanswered: int) -> str:
    try:
        told(member, do=LOSE, undone=undone, unanswered=unanswered, of=HANDLED)
    except Missed:
        return ""
    return f"{undone} undone and {unanswered} unanswered"


# -- a parked message whose command is refused


@kind("parked-message-frozen", takes=60)
def freeze_before_the_outcome(stage: Stage, rng: Random) -> str:
    """A command is refused from a parked message, and before that is written its process stands
    still until another has answered the command."""
    ill = stage.of("inspection")
    with stage.holding(ill[0]), stage.holding(ill[1]):
        shop = _shop(stage, rng)
        _close(stage, shop, rng)
        for member in ill:
            member.order(do=FAIL, at="before-statement", of=f"premises.*{shop}")
        command = ""
        try:
            command = _close(stage, shop, rng, "respond-async").get("command_id", "")
            parked_message = (
                f"SELECT 1 FROM parked_messages WHERE id = '{command}' AND state = 'retrying'"
            )
            if not until(lambda: asked(stage, parked_message, "inspection"), every=0.03):
                raise Missed("the command was not set aside")
            for member in ill:
                member.order(do=FREEZE, at="after-rollback", of=f"parked_messages.*{shop}")
            where = _frozen(ill)
        finally:
            for member in ill:
                if not member.done():
                    member.order(do=NOTHING)
            asked(stage, f"{RETRIED} AND id = '{command}'", "inspection")
        settled = (
            "SELECT 1 FROM outbox WHERE type = 'command-settled'"
            f" AND body::json ->> 'command_id' = '{command}'"
        )
        is_settled = until(lambda: asked(stage, settled, "inspection"))
        for member in ill:
            member.signal(signal.SIGCONT)
        if not is_settled:
            raise Missed("the other process did not answer the command")
    return where


def _frozen(members: list[Member]) -> str:
    """Wait until one of these has stopped where it was told to; raises `Missed`."""
    if not until(lambda: any(member.done() for member in members), REACHED_WITHIN, 0.02):
        raise Missed("the parked message was not tried")
    for member in members:
        if not member.done():
            member.order(do=NOTHING)
    return next(member.name for member in members if member.done())


def _shop(stage: Stage, rng: Random) -> str:
    """Register an enterprise, and give its id."""
    number = rng.randrange(60_000_000, 90_000_000)
    body = {"credit_code": credit_code(number), "name": f"第{number}號店", **SHOP}
    made = stage.request(SHOPS, body, f"shop-{number}", "wait=15")
    if "enterprise_id" not in made:
        raise Missed("no enterprise was registered in time")
    return str(made["enterprise_id"])


def _close(stage: Stage, shop: str, rng: Random, prefer: str = "wait=15") -> dict[str, Any]:
    """Have an enterprise closed; who asks again is refused."""
    asked_ = {"enterprise_id": shop, "reason": "檢查"}
    return stage.request("/v1/closures", asked_, f"close-{rng.getrandbits(64):x}", prefer)


# -- a side that is cut from the broker alone


@kind("cut-from-broker", "broker", takes=90)
def cut_one_side(stage: Stage, rng: Random) -> str:
    """What it served must be served by the other side, whatever its leases say."""
    cut, well = rng.sample(SIDES, 2)
    network = stage.networks[cut, "broker"]
    names = [f"{service}-{well}" for service in ("gateway", "filing")]
    members = [member for member in stage.members if member.name in names]
    with stage.locks["database"], stage.holding(members[0]), stage.holding(members[1]):
        network.refuse()
        try:
            well_served = _serves(stage, f"gateway-{well}", rng)
        finally:
            network.restore()
    if not well_served:
        stage.own_up(amiss=f"nobody served what the {cut} did, cut from the broker {PATIENCE:g} s")
    return cut


def _serves(stage: Stage, gateway: str, rng: Random) -> bool:
    """Have enterprises registered through one gateway, of as many keys as reach every partition,
    and tell whether all were answered in time."""
    (base,) = [member.process.base for member in stage.members if member.name == gateway]
    first = rng.randrange(60_000_000, 90_000_000 - PROBES)
    keys = [f"probe-{number}" for number in range(first, first + PROBES)]
    for number, key in enumerate(keys, start=first):
        body = {"credit_code": credit_code(number), "name": f"第{number}號店", **SHOP}
        stage.request(SHOPS, body, key, bases=[base])
    names = ", ".join(f"'POST {SHOPS} {CLIENT} {key}'" for key in keys)
    query = f"SELECT count(*) FROM commands WHERE state <> 'pending' AND idempotency IN ({names})"
    return bool(until(lambda: asked(stage, query, "gateway") == [(PROBES,)]))


# -- another number of partitions


@kind("partitions", "broker", takes=90)
def change_partitions(stage: Stage, rng: Random) -> str:
    """The number of partitions changes under load, while what publishes is slow: each publish batch
    of messages goes out some seconds after it was made, and a batch may be many publish batches."""
    number = rng.choice([number for number in (5, 8, 12) if number != stage.partitions])
    with stage.locks["database"]:
        for member in stage.members:
            member.order(do=SLOW, at="before-wave", seconds=SLOW_BY)
        try:
            until(lambda: any(member.done() for member in stage.members))
            while _changing(stage, number) != 0:  # broken off: everything waits for the next run
                stage.say("!! `bihuan partitions` has failed, and is run again")
            stage.partitions = number
            for member in stage.members:
                member.process.environ = {**member.process.environ, "PARTITIONS": str(number)}
        finally:
            for member in stage.members:
                member.order(do=NOTHING)
    return f"{number} partitions"


def _changing(stage: Stage, number: int) -> int:
    """Have an operator change the number of partitions; return the exit code."""
    where = {
        "AMQP_URI": stage.broker.uri,
        "DATABASE_URL": stage.url,
        "PARTITIONS": str(stage.partitions),
    }
    with (stage.folder / "partitions.log").open("ab") as log:
        command = [sys.executable, "-m", "console.main", "partitions", str(number)]
        process = subprocess.Popen(
            command, env={**os.environ, **where}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    while process.poll() is None:
        pause(0.1)
    return process.returncode


# -- retention by a clock that is wrong


@kind("sweeps-ahead", "broker", takes=60)
def sweep_ahead(stage: Stage, rng: Random) -> str:
    """A service's processes take away what is old while their clock is weeks ahead, and then
    messages come once more that were handled before."""
    rows = handled(stage, rng, 30)
    receiver = rows[0][0]
    ill, ahead = stage.of(receiver), rng.uniform(31, 60) * DAY
    file = stage.folder / f"swept-{rng.getrandbits(32):x}"
    with stage.holding(ill[0]), stage.holding(ill[1]):
        change(stage, ill, ("tests.faults.sweeping", str(ahead), str(file)))
        swept = until(file.exists)
        for _, row in rows:
            put_in_again(stage, receiver, row)
        change(stage, ill, PLAIN)
    if not swept:
        raise Missed(f"{receiver} took nothing away")
    return f"{receiver}, {ahead / DAY:.0f} days ahead"
