"""Leases: which replicas of a service live, which partitions each of them serves, and which one
relays.

A lease is a row that expires by the database's clock: a replica that is killed or suspended loses
it after `LEASE`. A lease that ends much later was written while that clock was wrong, and is void.
A replica writes for a partition only while it locks the partition's row against a change of owner,
so that two never serve one partition at once. Leases are renewed over a reserved connection, and
only by a replica that is connected to the broker too.
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
"""Seconds after which a lease expires unless it is renewed."""
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
    " (SELECT 1 FROM deployment AS other"
    " WHERE other.name LIKE 'recovery ' || substr(:name, 11) || ' %')"
)
_DEPLOYMENT = text("SELECT name, value FROM deployment WHERE name IN ('partitions', 'paused')")
_SERVED = text("SELECT name FROM leases WHERE name LIKE 'partition %' AND drained_at IS NOT NULL")
_AGREE = text(
    "INSERT INTO deployment (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"
)
_ROW = text("INSERT INTO leases (name, until) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING")


class PartitionLost(Exception):
    """Another replica serves the partition by now: no row is written, and no message
    acknowledged."""


@dataclass(frozen=True)
class Share:
    """The leases of a replica after a tick: those held, the new ones among them, and those to
    release.

    `replicas` counts this one too; `retires` says that it holds the relay's lease but must not
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
    """Return the name of the lease of a partition."""
    return f"partition {partition}"


class Leases:
    """The leases of one replica."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.owner = new_id()
        self._write = partial(store.write, reserved=True)

    def agree(self, partitions: int) -> int:
        """Insert the missing rows; return the number of partitions that the replicas agree on."""
        with self._write() as uow:
            uow.execute(_AGREE, {"name": "partitions", "value": str(partitions)})
            agreed = int(self._deployment(uow)["partitions"])
            names = [{"name": name} for name in (RELAY, *map(name_of, range(agreed)))]
            uow.execute(_ROW, names)
        return agreed

    def tick(self, *, able: bool = True) -> Share:
        """Renew the leases held, take free ones, and determine the surplus.

        One that is not `able` to serve does not count as a replica, and all its leases are surplus;
        it renews those it has not released yet.
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
        """Return the statement that locks the leases of partitions until the transaction ends; its
        rows go to `judge`."""
        return Statement(
            _HOLD, {"names": [name_of(partition) for partition in partitions], "me": self.owner}
        )

    @staticmethod
    def judge(answer: list[Any], partitions: Collection[int]) -> None:
        """Make sure that all these partitions are held; raises `PartitionLost`."""
        if lost := {name_of(partition) for partition in partitions}.difference(
            name for (name,) in answer
        ):
            raise PartitionLost(*sorted(lost))

    def drained(self, moments: dict[int, float]) -> None:
        """Record, for each partition, a moment before which all its messages were handled; not for
        one in recovery."""
        rows = [
            {"name": name_of(partition), "at": at, "me": self.owner}
            for partition, at in moments.items()
        ]
        if rows:
            with self._write(durable=False) as uow:
                uow.execute(_DRAINED, rows)

    def release(self, name: str) -> None:
        """Release a partition whose queue is no longer consumed here, or the relay's lease once no
        message is in flight."""
        with self._write() as uow:
            uow.execute(_RELEASE, {"me": self.owner, "names": [name]})

    def leave(self) -> None:
        """Release all leases, and stop being a replica."""
        with self._write() as uow:
            uow.execute(_LEAVE, {"me": self.owner})
            uow.execute(_GONE, {"me": self.owner})


def served_partitions(store: Store, partitions: int) -> tuple[int, set[int]]:
    """Return the number of partitions that the replicas agree on, and those that were ever
    served."""
    with store.engine.connect() as connection:
        agreed = {row.name: row.value for row in connection.execute(_DEPLOYMENT)}
        served = connection.execute(_SERVED).scalars()
        return int(agreed.get("partitions", partitions)), {int(name.split()[1]) for name in served}


def fair(partitions: int, replicas: list[str], owner: str) -> int:
    """Return the number of partitions that a replica is to serve: as many as the others, or one
    more."""
    rank = replicas.index(owner)
    return partitions // len(replicas) + (rank < partitions % len(replicas))
