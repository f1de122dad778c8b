"""`bihuan partitions`: changes the number of partitions of a district while its processes run.

The relays stop, the queues run empty, the consumers let go, the queues are made anew, and all goes
on. If it is broken off it can be run again, and what runs waits until then.

That nothing is published any more is the broker's word: the lock of each relay is held here, by the
connection that takes the queues away. Should that be lost, nothing more is taken away.
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
"""Those that no other replica could take, as it judges that."""


def partitions(
    number: Annotated[int, typer.Argument(min=1, max=1024, help="How many there are to be.")],
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for the queues to run empty.")
    ] = 120.0,
) -> None:
    """Change the number of partitions of all services: drains the queues, and makes them anew.

    Set PARTITIONS to the new number for every process that is started afterwards."""
    settings = Settings.read()
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: an embedded district has one partition.")
    settings.need_databases_of(len(SERVICES))
    with opened(settings, [kind.name for kind in SERVICES]) as stores, answering("a service"):
        try:
            _change(settings, stores, number, patience)
        except BusDown as error:
            raise Unanswered(f"RabbitMQ: {error}. Give the command again.") from None
        _pause(stores, "")
    print(f"Every service has {number} partitions. Set PARTITIONS={number} for new processes.")


def _change(
    settings: Settings,
    stores: dict[str, Store],
    number: int,
    patience: float,
) -> None:
    """Drain and make anew, over one connection that locks all relays.

    What runs goes on if nothing was changed, unless an earlier run was broken off."""
    from chassis.rabbitmq.topology import PARTITIONS, administering, lock

    with administering(settings) as broker:
        if not lock(broker, PARTITIONS):
            raise Unanswered("Another `bihuan partitions` is at work; wait for that.")
        numbers = {served_partitions(store, settings.partitions)[0] for store in stores.values()}
        before = max(numbers)
        begun = len(numbers) > 1 or _was_begun(broker, stores, before)
        try:
            _refuse_gaps(stores)
            _drain(broker, stores, before, patience, is_empty=begun)
        except BaseException:
            if not begun:
                _pause(stores, "")
            raise
        # from here on everything waits until this has come to its end, if need be another time
        _make_anew(broker, stores, before, number)


def _was_begun(broker: Any, stores: dict[str, Store], partitions_: int) -> bool:
    """Return whether an earlier run was broken off when it had taken queues away. All had run empty
    then, and whoever listened now would take what is missing for lost."""
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


def _refuse_gaps(stores: dict[str, Store]) -> None:
    for name, store in stores.items():
        with store.engine.connect() as connection:
            gaps = select(deployment.c.name).where(deployment.c.name.startswith("gap "))
            asked = resends.c.marker.is_not(None), resends.c.done_at.is_(None)
            left = select(resends.c.receiver).where(*asked)
            if connection.execute(gaps).first() is not None:
                raise Unanswered(
                    f"{name} is being sent again what a queue has lost; wait for that."
                )
            if (receiver := connection.scalar(left.limit(1))) is not None:
                raise Unanswered(
                    f"{name} sends {receiver} again what a queue has lost; wait for that."
                )


def _pause(stores: dict[str, Store], what: str) -> None:
    """Pause the relays, or everything, or nothing, in every service."""
    for store in stores.values():
        with store.write() as uow:
            statement = store.statements.insert_or_replace(deployment, "name")
            uow.execute(statement, {"name": "paused", "value": what})


def _drain(
    broker: Any, stores: dict[str, Store], partitions_: int, patience: float, *, is_empty: bool
) -> None:
    """Wait until nothing is published, nothing queued, and nothing in anybody's hand. Where all was
    empty before, and queues are gone since, nobody is let on."""
    from chassis.rabbitmq.topology import lock, queue_of, refuse_any_message, standing

    until = time.monotonic() + patience

    def are_locked() -> bool:
        """Look each time, which also tells the broker that this lives."""
        return all(lock(broker, name) for name in stores)

    def is_let_go() -> bool:
        """Return whether nobody can have anything in hand: a stopped process may, while
        connected."""
        ready, consumers = standing(broker, stores, partitions_)
        return ready > 0 or consumers == 0

    while True:
        if not is_empty:
            _pause(stores, RELAY)
            # one of a version that knows no lock has its lease alone
            _wait(lambda: are_locked() and not _held(stores, RELAY), until, "the relays to stop")
            print("The relays have stopped.", flush=True)
            _wait(
                lambda: not standing(broker, stores, partitions_)[0],
                until,
                "the queues to run empty",
            )
        _pause(stores, "all")
        _wait(
            lambda: are_locked() and not _held(stores, "%") and _nobody_writes(stores),
            until,
            "the consumers to let go",
        )
        _wait(is_let_go, until, "the consumers' connections to end")
        if standing(broker, stores, partitions_) == (0, 0):
            _refuse_gaps(stores)
            every = (
                queue_of(name, partition) for name in stores for partition in range(partitions_)
            )
            refuse_any_message(broker, every)
            print("The queues are empty, and nobody listens.", flush=True)
            return
        if is_empty:
            raise Unanswered("A queue holds messages although it had run empty; look into it.")


def _nobody_writes(stores: dict[str, Store]) -> bool:
    """Take the partitions from who has not given them back, unless a transaction still holds
    one."""
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


def _wait(fact: Callable[[], bool], until: float, what: str) -> None:
    while not fact():
        if time.monotonic() > until:
            raise Unanswered(f"There was no end of waiting for {what}; nothing was changed.")
        pause(0.2)


def _make_anew(broker: Any, stores: dict[str, Store], before: int, number: int) -> None:
    """Make the new queues, and only then say so to those who wait."""
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
