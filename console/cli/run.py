"""Running services: the embedded district, one process of one service, and the preparation of the
broker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from chassis.runtime.green import pause
from chassis.settings import Misconfigured
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.leases import served_partitions
from chassis.storage.store import Store
from console.exits import Ended
from console.runtime.district import BROUGHT, SERVICES, District
from console.runtime.serving import serve, serve_one, settings_with

PortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="HTTP port; 0 chooses a free one.", show_default="8000"),
]


class Unreachable(Ended):
    """A server has not responded within the timeout of a command."""


def up(
    port: PortOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
    manual_clock: Annotated[
        bool, typer.Option("--manual-clock", help="Time advances only by POST /v1/clock.")
    ] = False,
) -> None:
    """Run the embedded district: all five services in this process."""
    clock = "manual" if manual_clock else None
    serve(District(settings_with(http_port=port, data=data, clock=clock)), "Bihuan")


def run(
    service: Annotated[str, typer.Argument(help="filing, inspection, complaints, insurance, …")],
    port: PortOption = None,
) -> None:
    """Run one process of one service; several may run in parallel."""
    serve_one(service, port)


def preflight(
    wait: Annotated[float, typer.Option(help="Seconds to wait for the servers.")] = 30.0,
) -> None:
    """Declare the exchanges, queues and bindings of all services, or report what is wrong with
    them. A queue that was deleted is left to its service, which requests its messages."""
    settings = settings_with()
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: there is no broker to prepare.")
    settings.need_databases_of(len(SERVICES))
    from chassis.rabbitmq.topology import BROKEN, prepare

    until = time.monotonic() + wait
    while True:
        try:
            for kind in SERVICES:
                store = Store(kind.name, settings.database_of(kind.name), kind.metadata)
                partitions, served = served_partitions(store, settings.partitions)
                store.close()
                declared = prepare(settings, kind.name, BROUGHT[kind.name], partitions, served)
                print(
                    f"{kind.name}: {partitions} partitions, {declared} new queues declared",
                    flush=True,
                )
        except (*BROKEN, *STORAGE_ERRORS) as error:
            if time.monotonic() > until:
                raise Unreachable(f"no response within {wait:.0f} s: {error}") from None
            pause(0.5)
        else:
            return
