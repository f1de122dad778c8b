"""A distributed district on this machine: processes of every service, on a manual clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chassis.settings import Settings
from console.admin.tokens import issuer_of, token_of_all
from console.client import Client
from console.runtime.district import SERVICES
from console.runtime.process import ChildEnded, Process

READY_WITHIN = 60.0


class Fleet:
    """Starts a number of processes of each service, and stops them at the end."""

    def __init__(
        self, settings: Settings, folder: Path, *, replicas: int = 1, port: int = 0
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.replicas = replicas
        self.port = port
        self.members: dict[str, list[Process]] = {kind.name: [] for kind in SERVICES}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start every process, and wait until each is ready; raises `ChildEnded`."""
        try:
            for name in self.members:
                for number in range(self.replicas):
                    first = name == "gateway" and number == 0
                    self.start(name, port=self.port if first else 0)
            self.wait_until_ready()
        except BaseException:
            self._stack.close()
            raise
        return self

    def start(
        self,
        service: str,
        *,
        port: int = 0,
        environ: Mapping[str, str] | None = None,
        entry: tuple[str, ...] = ("console.main",),
    ) -> Process:
        """Start one more process of a service, with other settings from `environ`."""
        number = len(self.members[service])
        process = Process(
            ["run", service, "--port", str(port)],
            self.folder / f"{service}-{number}.log",
            environ={
                "CLOCK": "manual",
                "AMQP_URI": self.settings.amqp_uri,
                "DATABASE_URL": self.settings.database_url,
                "SEAL_KEY_FILE": self.settings.seal_key_file,
                "ISSUER_KEY_FILE": self.settings.issuer_key_file,
                "HTTP_ADDRESS": "127.0.0.1",
                **(environ or {}),
            },
            entry=entry,
        )
        self.members[service].append(process)
        return self._stack.enter_context(process)

    def wait_until_ready(self) -> None:
        """Wait until every running process is ready; raises `ChildEnded` and `Unanswered`."""
        until = time.monotonic() + READY_WITHIN
        for process in self.processes:
            Client(process.base, patience=until - time.monotonic()).get("/readyz")
            if process.process.poll() is not None:
                raise ChildEnded(f"{process.arguments[1]} has ended; see {process.log}.")

    @property
    def processes(self) -> list[Process]:
        """Every process."""
        return [process for members in self.members.values() for process in members]

    @property
    def bases(self) -> list[str]:
        """The addresses of the gateways."""
        return [process.base for process in self.members["gateway"]]

    def client(self, **options: Any) -> Client:
        """Return a client of the gateways with every role."""
        return Client(*self.bases, token=token_of_all(issuer_of(self.settings)), **options)

    def peak_memory_mb(self) -> float:
        """Return the sum of the processes' peak memory, in MB of 10⁶ bytes."""
        return sum(process.peak_memory_mb() for process in self.processes)

    def wait(self) -> None:
        """Wait until the operator interrupts, or the gateway ends."""
        self.members["gateway"][0].wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process."""
        for process in self.processes:
            if process.process.poll() is None:
                process.process.terminate()  # all at once; then wait for each
        self._stack.close()
