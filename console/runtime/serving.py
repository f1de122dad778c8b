"""Serving: runs the services of a process until it is stopped."""

from __future__ import annotations

import gc
import signal
from typing import Any

from chassis import logs
from chassis.runtime.green import Event, spawn
from chassis.settings import Misconfigured, Settings
from console.runtime.district import SERVICES, District


def serve_one(name: str, port: int | None = None) -> None:
    """Run one process of one service; raises `Misconfigured`."""
    settings = settings_with(http_port=port)
    if not settings.amqp_uri:
        raise Misconfigured("AMQP_URI is missing: without a broker run `bihuan up`.")
    serve(District(settings, services=(_service_of(name),)), f"Bihuan {name}")


def settings_with(**given: Any) -> Settings:
    """Read the settings, with `given` ones taking precedence, and configure the log."""
    settings = Settings.read(**{name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_level)
    return settings


def serve(district: District, name: str) -> None:
    """Serve until SIGTERM or SIGINT, or until a service fails, whose error is raised."""
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
    """Collect garbage less often: objects of the start stay, and a batch creates many that are
    freed without the collector."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _fail_with(district: District, stop: Any) -> None:
    """End the process when a service fails."""
    try:
        district.wait()
    except Exception as error:
        if not stop.ready():
            stop.send_exception(error)


def _service_of(name: str) -> Any:
    for kind in SERVICES:
        if kind.name == name:
            return kind
    names = ", ".join(kind.name for kind in SERVICES)
    raise Misconfigured(f"Unknown service {name!r}. Services: {names}.")
