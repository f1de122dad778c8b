"""The kinds of faults, each a function that strikes once and puts right what it has done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

import psycopg

from chassis.runtime.green import pause
from console.demo.synthetic import credit_code
from tests.faults.deadly import DEADLY_NAME
from tests.faults.stage import HEARS, PLAIN, SIDES, Member, Stage

Strike = Callable[[Stage, Random], str]
"""Strikes, and tells whom; returns when what it did is over."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault; `holds` is what no other fault may touch meanwhile, `takes` the seconds that
    must be left."""

    name: str
    strike: Strike
    holds: str | None = None
    takes: float = 0.0


KINDS: dict[str, Kind] = {}


def kind(name: str, holds: str | None = None, *, takes: float = 0.0) -> Callable[[Strike], Strike]:
    """Declare a kind."""

    def declare(strike: Strike) -> Strike:
        KINDS[name] = Kind(name, strike, holds, takes)
        return strike

    return declare


RETRIED = (
    "UPDATE parked_messages SET state = 'retrying', attempts = 0, try_at = 0 "
    "WHERE state = 'exhausted'"
)
"""Has what a fault has made stuck tried again, as an operator would."""


class Missed(Exception):
    """The fault could not strike; the message says why."""


def anyone(stage: Stage, rng: Random, services: Collection[str] = tuple(HEARS)) -> Member:
    """Choose a process, of any of these services, that nothing happens to."""
    members = [member for member in stage.members if member.service in services]
    rng.shuffle(members)
    for member in members:
        if not member.lock.locked():
            return member
    raise Missed("something happens to every process of these")


def relaying(stage: Stage, rng: Random) -> Member:
    """Choose a process that is the active relay of its service."""
    members = [*stage.members]
    rng.shuffle(members)
    for member in members:
        if not member.lock.locked() and member.lives and member.relays():
            return member
    raise Missed("no process that nothing happens to is a relay")


# -- processes


def kill(stage: Stage, member: Member, rng: Random) -> str:
    """Kill a process and start it again after a while."""
    with stage.holding(member):
        stage.say(f"   {member.name} is killed")
        member.process.kill()
        pause(rng.uniform(0.2, 6))
    return member.name


@kind("kill")
def kill_anyone(stage: Stage, rng: Random) -> str:
    return kill(stage, anyone(stage, rng), rng)


@kind("kill-relay")
def kill_relay(stage: Stage, rng: Random) -> str:
    return kill(stage, relaying(stage, rng), rng)


def stop(stage: Stage, member: Member, seconds: float) -> str:
    """Let a process stand still for so long."""
    with stage.holding(member):
        stage.say(f"   {member.name} stands still for {seconds:.1f} s")
        member.signal(signal.SIGSTOP)
        pause(seconds)
        member.signal(signal.SIGCONT)
    return member.name


@kind("stop")
def stop_anyone(stage: Stage, rng: Random) -> str:
    return stop(stage, anyone(stage, rng), rng.uniform(1, 12))


@kind("stop-relay")
def stop_relay(stage: Stage, rng: Random) -> str:
    """Past its lease: another takes over, and then this one goes on."""
    return stop(stage, relaying(stage, rng), rng.uniform(6, 15))


@kind("hub-blocked", takes=35)
def block(stage: Stage, rng: Random) -> str:
    """For its peers a process whose hub is blocked stands still."""
    return stop(stage, anyone(stage, rng), 30)


@kind("term")
def term(stage: Stage, rng: Random) -> str:
    """SIGTERM under load."""
    member = anyone(stage, rng)
    with stage.holding(member):
        stage.stop_in_order(member)
        pause(rng.uniform(0.2, 3))
    return member.name


@kind("replica")
def one_more(stage: Stage, rng: Random) -> str:
    """One more process of a service comes for a while, and takes its share."""
    service = rng.choice([*HEARS])
    process = stage.fleet.start(service, environ=stage.places(rng.choice(SIDES)))
    more = Member(f"{service}-extra", process, stage.folder / "extra.orders")
    pause(rng.uniform(8, 20))
    stage.stop_in_order(more)
    return service


@kind("poison", takes=120)
def poison(stage: Stage, rng: Random) -> str:
    """A message that ends its process is parked at the fifth attempt; put right, it goes on."""
    ill = stage.of("filing")
    with stage.holding(ill[0]), stage.holding(ill[1]):
        change(stage, ill, DEADLY)
        stage.request("/v1/enterprises", DEADLY_SHOP, f"deadly-{rng.getrandbits(64):x}")
        give_up = time.monotonic() + 150
        while not _stuck(stage) and time.monotonic() < give_up:
            for member in ill:
                if not member.lives:
                    stage.start_again(member)
            pause(0.5)
        is_stuck = _stuck(stage)
        change(stage, ill, PLAIN)
        asked(stage, RETRIED)
    if not is_stuck:
        raise Missed("the message was not parked within 150 s")
    return "filing"


DEADLY = ("tests.faults.crashing", "deadly", "0")
DEADLY_SHOP = {
    "credit_code": credit_code(99_999_999),
    "name": DEADLY_NAME,
    "kind": "sole_trader",
    "size": "micro",
    "industry": "H6210",
    "premises": "shop",
    "grid": "350503003",
}


def change(stage: Stage, members: list[Member], entry: tuple[str, ...]) -> None:
    """Run another program as these processes."""
    for member in members:
        if member.lives:
            stage.stop_in_order(member)
        member.process.entry = entry
        stage.start_again(member)


def _stuck(stage: Stage) -> bool:
    return bool(asked(stage, "SELECT 1 FROM parked_messages WHERE state = 'exhausted'"))


def asked(stage: Stage, sql: str, service: str = "filing") -> list[tuple[object, ...]] | None:
    """Have a service's database execute a statement that may be repeated: another fault may just
    have struck it."""
    give_up = time.monotonic() + 120
    while True:
        try:
            return stage.database.execute(sql, service)
        except psycopg.OperationalError:
            if time.monotonic() > give_up:
                raise
            pause(0.5)
