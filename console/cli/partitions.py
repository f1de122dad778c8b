"""`bihuan partitions`: changes the number of partitions of a district while its processes run.

The relays stop, the queues drain, the consumers release their partitions, the queues are declared
again, and everything resumes. If it is interrupted it can be run again; until then the district
waits.

The broker guarantees that no message is published meanwhile: the connection that deletes the queues
holds the lock of each relay. If it is lost, no more queues are deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from sqlalchemy import delete, select, text, update

from chassis.messaging.bus import BusDown
from chassis.runtime.green import pause
from chassis.settings import Misconfigured, Settings
from chassis.storage.leases import RELAY, served_partitions
from chassis.storage.store import Store
from chassis.storage.tables import deployment, leases, resends
from console.admin.databases import answering, opened
from console.client import Unanswered
from console.runtime.district import BROUGHT, SERVICES

_HELD = text(
    "SELECT count(*) FROM leases WHERE owner IS NOT NULL AND name LIKE :names"
    " AND until - extract(epoch FROM clock_timestamp()) BETWEEN 0 AND 60"
)
"""The leases that are held and that no other replica could take."""


def partitions(
    number: Annotated[int, typer.Argument(min=1, max=1024, help="The new number of partitions.")],
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for the queues to drain.")
    ] = 120.0,
) -> None:
    """Change the number of partitions of all services: drain the queues and declare them again. Set
    PARTITIONS to the new number for every process started afterwards."""
    settings = Settings.read()
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: an embedded district has one partition.")
    settings.need_databases_of(len(SERVICES))
    with opened(settings, [kind.name for kind in SERVICES]) as stores, answering("a service"):
        try:
            _change(settings, stores, number, patience)
        except BusDown as error:
            raise Unanswered(f"RabbitMQ: {error}. Run the command again.") from None
        _pause(stores, "")
    print(f"Every service has {number} partitions. Set PARTITIONS={number} for new processes.")


def _change(
    settings: Settings,
    stores: dict[str, Store],
    number: int,
    patience: float,
) -> None:
    """Drain the queues and declare them again, over one connection that locks all relays.

    The district resumes if nothing was changed, unless an earlier run was interrupted."""
    from chassis.rabbitmq.topology import PARTITIONS, administering, lock

    with administering(settings) as broker:
        if not lock(broker, PARTITIONS):
            raise Unanswered("Another `bihuan partitions` is running; wait until it ends.")
        numbers = {served_partitions(store, settings.partitions)[0] for store in stores.values()}
        before = max(numbers)
        begun = len(numbers) > 1 or _was_begun(broker, stores, before)
        try:
            _refuse_recoveries(stores)
            _drain(broker, stores, before, patience, is_empty=begun)
        except BaseException:
            if not begun:
                _pause(stores, "")
            raise
        # from here on the district waits until this has finished, if need be in another run
        _remake(broker, stores, before, number)


def _was_begun(broker: Any, stores: dict[str, Store], partitions_: int) -> bool:
    """Return whether an earlier run was interrupted after it had deleted queues. All were empty
    then, and a consumer now would take the missing queues for lost."""
    from chassis.rabbitmq.topology import is_there, queue_of

    if {_paused(store) for store in stores.values()} != {"all"}:
        return False
    numbers = {name: served_partitions(store, partitions_)[0] for name, store in stores.items()}
    queues = [
        queue_of(name, partition) for name, number in numbers.items() for partition in range(number)
    ]
    return not all(is_there(broker, queue) for queue in queues)


def _paused(store: Store) -> str:
    with store.engine.connect() as connection:
        query = select(deployment.c.value).where(deployment.c.name == "paused")
        return connection.scalar(query) or ""


def _refuse_recoveries(stores: dict[str, Store]) -> None:
    for name, store in stores.items():
        with store.engine.connect() as connection:
            recoveries = select(deployment.c.name).where(deployment.c.name.startswith("recovery "))
            open_recoveries = resends.c.marker.is_not(None), resends.c.done_at.is_(None)
            left = select(resends.c.receiver).where(*open_recoveries)
            if connection.execute(recoveries).first() is not None:
                raise Unanswered(f"{name} is recovering a lost queue; wait until it is done.")
            if (receiver := connection.scalar(left.limit(1))) is not None:
                raise Unanswered(
                    f"{name} is resending a lost queue to {receiver}; wait until it is done."
                )


def _pause(stores: dict[str, Store], what: str) -> None:
    """Pause the relays, everything or nothing, in every service."""
    for store in stores.values():
        with store.write() as uow:
            statement = store.statements.insert_or_replace(deployment, "name")
            uow.execute(statement, {"name": "paused", "value": what})


def _drain(
    broker: Any, stores: dict[str, Store], partitions_: int, patience: float, *, is_empty: bool
) -> None:
    """Wait until no message is published, queued or in hand. If an earlier run found all queues
    empty and deleted some, the consumers are not resumed."""
    from chassis.rabbitmq.topology import lock, queue_of, refuse_any_message, standing

    until = time.monotonic() + patience

    def are_locked() -> bool:
        """Check the locks, which also keeps the connection alive."""
        return all(lock(broker, name) for name in stores)

    def is_let_go() -> bool:
        """Return whether no consumer can have a message in hand: a suspended process may, while
        connected."""
        ready, consumers = standing(broker, stores, partitions_)
        return ready > 0 or consumers == 0

    while True:
        if not is_empty:
            _pause(stores, RELAY)
            # a relay of an older version has only its lease
            _wait(lambda: are_locked() and not _held(stores, RELAY), until, "the relays to stop")
            print("The relays have stopped.", flush=True)
            _wait(
                lambda: not standing(broker, stores, partitions_)[0],
                until,
                "the queues to drain",
            )
        _pause(stores, "all")
        _wait(
            lambda: are_locked() and not _held(stores, "%") and _release_abandoned(stores),
            until,
            "the consumers to release their partitions",
        )
        _wait(is_let_go, until, "the consumers' connections to end")
        if standing(broker, stores, partitions_) == (0, 0):
            _refuse_recoveries(stores)
            every = (
                queue_of(name, partition) for name in stores for partition in range(partitions_)
            )
            refuse_any_message(broker, every)
            print("The queues are empty, and the consumers have stopped.", flush=True)
            return
        if is_empty:
            raise Unanswered("A queue holds messages although it was empty; investigate it.")


def _release_abandoned(stores: dict[str, Store]) -> bool:
    """Take the partitions from replicas that have not released them, unless a transaction still
    holds one; return whether all are free."""
    for store in stores.values():
        with store.write() as uow:
            names = select(leases.c.name).where(leases.c.name.startswith("partition "))
            all_ = set(uow.scalars(names))
            free = set(uow.scalars(names.with_for_update(skip_locked=True)))
            uow.execute(update(leases).where(leases.c.name.in_(free)).values(owner=None, until=0))
        if all_ != free:
            return False
    return True


def _held(stores: dict[str, Store], names: str) -> int:
    held = 0
    for store in stores.values():
        with store.engine.connect() as connection:
            held += connection.scalar(_HELD, {"names": names}) or 0
    return held


def _wait(condition: Callable[[], bool], until: float, what: str) -> None:
    while not condition():
        if time.monotonic() > until:
            raise Unanswered(f"Timed out waiting for {what}; nothing was changed.")
        pause(0.2)


def _remake(broker: Any, stores: dict[str, Store], before: int, number: int) -> None:
    """Declare the new queues, and only then record the new number for the waiting replicas."""
    from chassis.rabbitmq.topology import remake

    for name, store in stores.items():
        remake(broker, name, BROUGHT[name], before, number)
        now = store.now()
        rows = [
            {"name": f"partition {partition}", "owner": None, "until": 0.0, "drained_at": now}
            for partition in range(number)
        ]
        with store.write() as uow:
            uow.execute(delete(leases).where(leases.c.name.startswith("partition ")))
            uow.execute(leases.insert(), rows)
            statement = store.statements.insert_or_replace(deployment, "name")
            uow.execute(statement, {"name": "partitions", "value": str(number)})
        print(f"{name}: {number} partitions", flush=True)
