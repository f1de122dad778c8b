"""The services of this process: all five of an embedded district, or one of a distributed one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from nameko.runners import ServiceRunner

from chassis.host import HostExtension, ServiceHost, hosted
from chassis.messaging.bus import Bus
from chassis.messaging.memory_bus import EmbeddedBus
from chassis.runtime.green import Timeout, pause, quietly
from chassis.service import Service, bindings_of, brought_to
from chassis.settings import Misconfigured, Settings
from rulebook import Rulebook
from services.complaints.service import Complaints
from services.filing.service import Filings
from services.gateway.service import Gateway
from services.inspection.service import Inspection
from services.insurance.service import Insurance

SERVICES: tuple[type[Service], ...] = (Filings, Inspection, Complaints, Insurance, Gateway)
TOPOLOGY = {service.name: bindings_of(service) for service in SERVICES}
"""The bindings of each service, wherever it runs."""
BROUGHT = {service.name: brought_to(service) for service in SERVICES}
"""The bindings that the bus delivers: without the service's own messages."""


class District:
    """Services started and stopped together; the gateway serves HTTP, or the only service."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus | None = None,
        services: tuple[type[Service], ...] = SERVICES,
    ) -> None:
        self.settings = settings
        self.services = services
        self.bus: Bus = bus or bus_of(settings)
        self._lock: int | None = None

    def start(self) -> None:
        """Start every service; raises `Misconfigured` with a sentence for the operator."""
        self.settings.need_databases_of(len(self.services))
        self._lock_data()
        book = Rulebook.load(Path(self.settings.rulebook) if self.settings.rulebook else None)
        provide: dict[str, Any] = {"rulebook": book, "quiet": self.quiet}
        if not isinstance(self.bus, EmbeddedBus):
            del provide["quiet"]
        self.runner = ServiceRunner(
            {
                "settings": self.settings,
                "bus": self.bus,
                "topology": TOPOLOGY,
                "provide": provide,
                "ready": self.ready,
                "http": {self.services[-1].name},
            }
        )
        for service in self.services:
            self.runner.add_service(hosted(service))
        with quietly():
            self.runner.start()
        self.bus.open()

    def stop(self) -> None:
        """Stop consuming, finish the messages in hand, and release everything."""
        self.runner.stop()
        self.bus.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def wait(self) -> None:
        """Wait until the district has stopped; raises the error that ended it."""
        self.runner.wait()

    @property
    def hosts(self) -> dict[str, ServiceHost]:
        """The service host of each service."""
        return {
            name: container.shared_extensions[HostExtension].host
            for name, container in self.runner.service_map.items()
        }

    @property
    def port(self) -> int:
        """The port on which HTTP is served."""
        return self.hosts[self.services[-1].name].web.port

    def ready(self) -> dict[str, bool]:
        """Return for each service whether its database and the bus respond."""
        parts = {name: host.ready() for name, host in self.hosts.items()}
        if len(parts) == 1:
            return parts[self.services[0].name]
        return {name: all(ready.values()) for name, ready in parts.items()}

    def quiet(self) -> bool:
        """Return whether no message is in progress: neither with a consumer nor in an outbox."""
        return (
            isinstance(self.bus, EmbeddedBus)
            and self.bus.idle()
            and all(host.idle() for host in self.hosts.values())
        )

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until no message is in progress; raises `TimeoutError`."""
        with Timeout(seconds, TimeoutError(f"not quiet after {seconds} s")):
            while not self.quiet():
                pause(0.002)

    def _lock_data(self) -> None:
        if self.settings.database_url:
            return
        self.settings.data.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.settings.data / "district.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise Misconfigured(
                f"Another district is running on {self.settings.data}; choose another --data."
            ) from None


def bus_of(settings: Settings) -> Bus:
    """Return the bus of the settings."""
    if settings.amqp_uri:
        from chassis.rabbitmq.bus import RabbitBus

        return RabbitBus(settings, TOPOLOGY)
    return EmbeddedBus()
