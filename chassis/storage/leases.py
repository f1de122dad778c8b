"""Leases: which replicas of a service live, which partitions each of them serves, and which one
relays.

A lease is a row that ends by itself, by the database's clock: a replica that is killed, or stopped
for a while, holds nothing for longer than `LEASE`. One that ends much later was written while that
clock was wrong, and holds nothing either. Whatever a replica writes for a partition it writes while
it holds the partition's row against a change of owner, so that two never serve one partition at
once. They are renewed over a connection of their own, which whoever works cannot take away, and
only by who hears the broker too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import bindparam, text

from chassis.ids import new_id
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork

LEASE = 5.0
"""Seconds for which a replica holds what it does not renew."""
TICK = 1.0
"""Seconds between renewals."""
RELAY = "relay"
PAUSES = ("", RELAY, "all")
"""What an operator may pause: nothing, the relays, or the relays and the consumers."""

_LIVE = text(
    "INSERT INTO replicas (owner, until) VALUES (:me, :until)"
    " ON CONFLICT (owner) DO UPDATE SET until = excluded.until"
)
_FORGET = text("DELETE FROM replicas WHERE until < :long_ago OR until > :too_late")
_REPLICAS = text("SELECT owner FROM replicas WHERE until > :now ORDER BY owner")
_RENEW = text("UPDATE leases SET until = :until WHERE owner = :me RETURNING name")
_FREE = text(
    "SELECT name FROM leases WHERE name IN :wanted"
    " AND (owner IS NULL OR until < :now OR until > :too_late)"
    " ORDER BY name LIMIT :most FOR UPDATE SKIP LOCKED"
).bindparams(bindparam("wanted", expanding=True))
_TAKE = text("UPDATE leases SET owner = :me, until = :until WHERE name IN :names").bindparams(
    bindparam("names", expanding=True)
)
_RELEASE = text(
    "UPDATE leases SET owner = NULL, until = 0 WHERE owner = :me AND name IN :names"
).bindparams(bindparam("names", expanding=True))
_LEAVE = text("UPDATE leases SET owner = NULL, until = 0 WHERE owner = :me")
_HOLD = text(
    "SELECT name FROM leases WHERE name = ANY(:names) AND owner = :me ORDER BY name FOR KEY SHARE"
)
_GONE = text("DELETE FROM replicas WHERE owner = :me")
_DRAINED = text(
    "UPDATE leases SET drained_at = :at WHERE name = :name AND owner = :me AND NOT EXISTS"
    " (SELECT 1 FROM deployment AS gap WHERE gap.name LIKE 'gap ' || substr(:name, 6) || ' %')"
)
_DEPLOYMENT = text("SELECT name, value FROM deployment WHERE name IN ('partitions', 'paused')")
_SERVED = text("SELECT name FROM leases WHERE name LIKE 'partition %' AND drained_at IS NOT NULL")
_AGREE = text(
    "INSERT INTO deployment (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"
)
_ROW = text("INSERT INTO leases (name, until) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING")


class PartitionLost(Exception):
    """Another replica serves the partition by now: nothing is written, and nothing acknowledged."""


@dataclass(frozen=True)
class Share:
    """What a replica holds after a tick, what of it is new, and what it is to give up.

    `replicas` counts this one too; `retires` says that it holds the relay's lease and is not to
    relay.
    """

    partitions: int
    paused: str
    replicas: int
    held: frozenset[int]
    taken: frozenset[int]
    surplus: frozenset[int]
    relay: bool
    retires: bool


def name_of(partition: int) -> str:
    """Name the lease of a partition."""
    return f"partition {partition}"


class Leases:
    """What one replica holds of its service."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.owner = new_id()
        self._write = partial(store.write, reserved=True)

    def agree(self, partitions: int) -> int:
        """Make the rows that are missing; give the number of partitions that the replicas agree
        on."""
        with self._write() as uow:
            uow.execute(_AGREE, {"name": "partitions", "value": str(partitions)})
            agreed = int(self._deployment(uow)["partitions"])
            names = [{"name": name} for name in (RELAY, *map(name_of, range(agreed)))]
            uow.execute(_ROW, names)
        return agreed

    def tick(self, *, able: bool = True) -> Share:
        """Renew what is held, take what is free, and tell what is too much.

        One that is not `able` to serve is no replica, and all is too much for it; it renews what it
        has not given up yet.
        """
        with self._write() as uow:
            now = self.store.seconds(uow)
            times = {"now": now, "until": now + LEASE, "me": self.owner}
            times |= {"long_ago": now - 60, "too_late": now + 60}
            uow.execute(_LIVE if able else _GONE, times)
            uow.execute(_FORGET, times)
            replicas = list(uow.scalars(_REPLICAS, times))
            agreed = self._deployment(uow)
            partitions, paused = int(agreed["partitions"]), agreed.get("paused", "")
            held = set(uow.scalars(_RENEW, times))
            mine = fair(partitions, replicas, self.owner) if able and paused != "all" else 0
            served = {partition for partition in range(partitions) if name_of(partition) in held}
            wanted = [
                name_of(partition) for partition in range(partitions) if partition not in served
            ]
            names = self._take(uow, wanted, mine - len(served), times)
            taken = frozenset(
                partition for partition in range(partitions) if name_of(partition) in names
            )
            served |= taken
            may_relay = able and not paused
            relay = RELAY in held or bool(self._take(uow, [RELAY], int(may_relay), times))
        surplus = sorted(served)[mine:]
        mine_now, too_much = frozenset(served), frozenset(surplus)
        others, retires = len({*replicas} - {self.owner}), relay and not may_relay
        return Share(
            partitions, paused, 1 + others, mine_now, taken, too_much, relay and may_relay, retires
        )

    @staticmethod
    def _take(uow: UnitOfWork, wanted: list[str], most: int, times: dict[str, Any]) -> set[str]:
        if most <= 0 or not wanted:
            return set()
        free = list(uow.scalars(_FREE, times | {"wanted": wanted, "most": most}))
        if free:
            uow.execute(_TAKE, times | {"names": free})
        return set(free)

    @staticmethod
    def _deployment(uow: UnitOfWork) -> dict[str, str]:
        return {row.name: row.value for row in uow.execute(_DEPLOYMENT)}

    def holding(self, partitions: Collection[int]) -> Statement:
        """Ask to keep partitions from changing hands until the transaction ends; `judge` the
        answer."""
        return Statement(
            _HOLD, {"names": [name_of(partition) for partition in partitions], "me": self.owner}
        )

    @staticmethod
    def judge(answer: list[Any], partitions: Collection[int]) -> None:
        """Go on only if every one of these partitions is held; raises `PartitionLost`."""
        if lost := {name_of(partition) for partition in partitions}.difference(
            name for (name,) in answer
        ):
            raise PartitionLost(*sorted(lost))

    def drained(self, moments: dict[int, float]) -> None:
        """Note moments before which everything that partitions were given had been handled; not of
        one that still waits for what was lost."""
        rows = [
            {"name": name_of(partition), "at": at, "me": self.owner}
            for partition, at in moments.items()
        ]
        if rows:
            with self._write(durable=False) as uow:
                uow.execute(_DRAINED, rows)

    def release(self, name: str) -> None:
        """Give up a partition whose queue is no longer consumed here, or the relay's lease once
        nothing is in flight."""
        with self._write() as uow:
            uow.execute(_RELEASE, {"me": self.owner, "names": [name]})

    def leave(self) -> None:
        """Return everything up, and be no replica any more."""
        with self._write() as uow:
            uow.execute(_LEAVE, {"me": self.owner})
            uow.execute(_GONE, {"me": self.owner})


def served_partitions(store: Store, partitions: int) -> tuple[int, set[int]]:
    """Return how many partitions the replicas have agreed on, and which of them were ever
    served."""
    with store.engine.connect() as connection:
        agreed = {row.name: row.value for row in connection.execute(_DEPLOYMENT)}
        served = connection.execute(_SERVED).scalars()
        return int(agreed.get("partitions", partitions)), {int(name.split()[1]) for name in served}


def fair(partitions: int, replicas: list[str], owner: str) -> int:
    """Return how many partitions a replica is to serve: as many as the others, or one more."""
    rank = replicas.index(owner)
    return partitions // len(replicas) + (rank < partitions % len(replicas))
