"""Running services: the embedded district, one process of one service, and what goes before."""

from __future__ import annotations

import gc
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from chassis import logs
from chassis.green import Event, pause, spawn
from chassis.leases import served_slots
from chassis.settings import Misconfigured, Settings
from chassis.store import STORAGE_ERRORS, Store
from console.district import SERVICES, TOPOLOGY, District

PortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of HTTP; 0 takes any.", show_default="8000"),
]


class Unreachable(Exception):
    """A server has not answered within the patience of a command."""


def up(
    port: PortOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
    manual_clock: Annotated[
        bool, typer.Option("--manual-clock", help="Time moves by POST /v1/clock only.")
    ] = False,
) -> None:
    """Run the embedded district: all five services in this process."""
    given = {"http_port": port, "data": data, "clock": "manual" if manual_clock else None}
    _serve(District(_settings(given)), "Bihuan")


def run(
    service: Annotated[str, typer.Argument(help="filing, inspection, complaints, insurance, …")],
    port: PortOption = None,
) -> None:
    """Run one process of one service; as many as there is work for may run beside each other."""
    settings = _settings({"http_port": port})
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: without a broker say `bihuan up`.")
    _serve(District(settings, services=(_service_of(service),)), f"Bihuan {service}")


def preflight(
    wait: Annotated[float, typer.Option(help="Seconds to wait for the servers.")] = 30.0,
) -> None:
    """Declare the exchanges, queues and bindings of all services, or say what is wrong with them.

    A queue that was there and is gone is left to its service, which asks for what it held."""
    settings = _settings({})
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: there is no broker to prepare.")
    settings.need_databases_of(len(SERVICES))
    from chassis.rabbit import BROKEN, prepare

    until = time.monotonic() + wait
    while True:
        try:
            for kind in SERVICES:
                store = Store(kind.name, settings.database_of(kind.name), kind.metadata)
                slots, served = served_slots(store, settings.slots)
                store.close()
                made = prepare(settings, kind.name, TOPOLOGY[kind.name], slots, served)
                print(f"{kind.name}: {slots} slots, {made} queues declared anew", flush=True)
        except (*BROKEN, *STORAGE_ERRORS) as error:
            if time.monotonic() > until:
                raise Unreachable(f"no answer within {wait:.0f} s: {error}") from None
            pause(0.5)
        else:
            return


def _service_of(name: str) -> Any:
    for kind in SERVICES:
        if kind.name == name:
            return kind
    names = ", ".join(kind.name for kind in SERVICES)
    raise Misconfigured(f"There is no service {name!r}; there are {names}.")


def _settings(given: dict[str, Any]) -> Settings:
    settings = Settings.read(**{name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_level)
    return settings


def _serve(district: District, name: str) -> None:
    """Serve until SIGTERM or SIGINT, or until a service ends by an error, which is raised."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.ready() or stop.send())
    district.start()
    _collect_less()
    address = district.settings.http_address
    print(f"{name} listens on http://{address}:{district.port}", flush=True)
    spawn(_fail_with, district, stop)
    stop.wait()
    district.stop()


def _collect_less() -> None:
    """Look for garbage less often: what is there at the start stays, and a batch makes much that
    its end frees without the collector."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _fail_with(district: District, stop: Any) -> None:
    """End the process when a service ends by an error."""
    try:
        district.wait()
    except Exception as error:
        if not stop.ready():
            stop.send_exception(error)
