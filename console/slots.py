"""`bihuan slots`: changes the number of slots of a district while its processes run.

The relays stop, the queues run empty, the listeners let go, the queues are made anew, and all goes
on. If it is broken off it can be run again, and what runs waits until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from sqlalchemy import delete, select, text

from chassis.green import pause
from chassis.leases import RELAY, served_slots
from chassis.settings import Misconfigured, Settings
from chassis.store import Store
from chassis.tables import deployment, leases
from console.client import Unanswered
from console.databases import answering, opened
from console.district import BROUGHT, SERVICES

ABANDONED = 30.0
"""Seconds after which a lease that nobody gave back belongs to a process that is gone."""
_HELD = text(
    "SELECT count(*) FROM leases WHERE owner IS NOT NULL AND name LIKE :names"
    " AND abs(until - extract(epoch FROM clock_timestamp())) < :abandoned"
)


def slots(
    number: Annotated[int, typer.Argument(min=1, max=1024, help="How many there are to be.")],
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for the queues to run empty.")
    ] = 120.0,
) -> None:
    """Change the number of slots of all services: drains the queues, and makes them anew.

    Set SLOTS to the new number for every process that is started afterwards."""
    settings = Settings.read()
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: an embedded district has one slot.")
    settings.need_databases_of(len(SERVICES))
    with opened(settings, [kind.name for kind in SERVICES]) as stores, answering("a service"):
        numbers = {served_slots(store, settings.slots)[0] for store in stores.values()}
        before = max(numbers)
        _refuse_gaps(stores)
        try:
            _drain(settings, stores, before, patience)
        except BaseException:
            if len(numbers) == 1:  # otherwise an earlier run was broken off, and nothing may go on
                _pause(stores, "")
            raise
        # from here on everything waits until this has come to its end, if need be another time
        _make_anew(settings, stores, before, number)
        _pause(stores, "")
    print(f"Every service has {number} slots. Set SLOTS={number} for what is started from now on.")


def _refuse_gaps(stores: dict[str, Store]) -> None:
    for name, store in stores.items():
        with store.engine.connect() as connection:
            query = select(deployment.c.name).where(deployment.c.name.startswith("gap "))
            if connection.execute(query).first() is not None:
                raise Unanswered(
                    f"{name} is being sent again what a queue has lost; wait for that."
                )


def _pause(stores: dict[str, Store], what: str) -> None:
    """Pause the relays, or everything, or nothing, in every service."""
    for store in stores.values():
        with store.write() as work:
            statement = store.insert_or_replace(deployment, "name")
            work.execute(statement, {"name": "paused", "value": what})


def _drain(
    settings: Settings,
    stores: dict[str, Store],
    slots_: int,
    patience: float,
) -> None:
    """Wait until nothing is published, nothing queued, and nothing in anybody's hand."""
    from chassis.rabbit import queued

    until = time.monotonic() + patience
    services = list(stores)
    while True:
        _pause(stores, RELAY)
        _wait(lambda: not _held(stores, RELAY), until, "the relays to stop")
        print("The relays have stopped.", flush=True)
        _wait(lambda: not queued(settings, services, slots_), until, "the queues to run empty")
        _pause(stores, "all")
        _wait(lambda: not _held(stores, "%"), until, "the listeners to let go")
        if not queued(settings, services, slots_):
            print("The queues are empty, and nobody listens.", flush=True)
            return


def _held(stores: dict[str, Store], names: str) -> int:
    held = 0
    for store in stores.values():
        with store.engine.connect() as connection:
            asked = {"names": names, "abandoned": ABANDONED}
            held += connection.scalar(_HELD, asked) or 0
    return held


def _wait(fact: Callable[[], bool], until: float, what: str) -> None:
    while not fact():
        if time.monotonic() > until:
            raise Unanswered(f"There was no end of waiting for {what}; nothing was changed.")
        pause(0.2)


def _make_anew(settings: Settings, stores: dict[str, Store], before: int, number: int) -> None:
    """Make the new queues, and only then say so to those who wait."""
    from chassis.rabbit import remake

    for name, store in stores.items():
        remake(settings, name, BROUGHT[name], before, number)
        now = store.now()
        rows = [
            {"name": f"slot {slot}", "owner": None, "until": 0.0, "drained_at": now}
            for slot in range(number)
        ]
        with store.write() as work:
            work.execute(delete(leases).where(leases.c.name.startswith("slot ")))
            work.execute(leases.insert(), rows)
            statement = store.insert_or_replace(deployment, "name")
            work.execute(statement, {"name": "slots", "value": str(number)})
        print(f"{name}: {number} slots", flush=True)
