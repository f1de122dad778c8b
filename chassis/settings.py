"""The configuration, read in one place; a wrong value is one clear sentence at start-up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

LEVELS = ("debug", "info", "warning", "error", "critical")


class Misconfigured(Exception):
    """A setting is wrong; the message is one sentence for the operator."""


@dataclass(frozen=True)
class Settings:
    """What a process is told. Each field may be set by the environment variable of its name.

    `database_url` holds `{service}` where the service's name goes. `clock` is `real` or `manual`.
    `wait` is how long a request waits for its outcome (s), `batch` how many messages a listener
    takes at once, `slots` a constant of the deployment.
    """

    data: Path = Path("bihuan-data")
    database_url: str = ""
    amqp_uri: str = ""
    clock: str = "real"
    http_address: str = "127.0.0.1"
    http_port: int = 8000
    wait: float = 10.0
    batch: int = 400
    slots: int = 8
    seal_key_file: str = ""
    rulebook: str = ""
    log_level: str = "info"
    stop_within: float = 20.0

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Read the environment; what is `given` goes before it."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = environ.get(field.name.upper())
            if field.name in given or text in (None, ""):
                continue
            kind = {"Path": Path, "int": int, "float": float}.get(str(field.type), str)
            try:
                values[field.name] = kind(text)  # type: ignore[arg-type]
            except ValueError:
                raise Misconfigured(
                    f"{field.name.upper()} must be a number, not {text!r}."
                ) from None
        return cls(**values, **given)

    def __post_init__(self) -> None:
        if self.clock not in ("real", "manual"):
            raise Misconfigured(f"CLOCK must be real or manual, not {self.clock!r}.")
        if self.database_url and "{service}" not in self.database_url:
            raise Misconfigured("DATABASE_URL must hold {service} where the service's name goes.")
        if self.amqp_uri and not self.database_url.startswith("postgresql"):
            raise Misconfigured("AMQP_URI needs a DATABASE_URL of PostgreSQL.")
        if self.log_level not in LEVELS:
            raise Misconfigured(f"LOG_LEVEL must be one of {', '.join(LEVELS)}.")
        for name in ("batch", "slots", "wait", "stop_within"):
            if getattr(self, name) <= 0:
                raise Misconfigured(f"{name.upper()} must be greater than 0.")
        if not 0 <= self.http_port <= 65535:
            raise Misconfigured("HTTP_PORT must be between 0 and 65535.")

    def database_of(self, service: str) -> str:
        """Give the URL of a service's own database."""
        if self.database_url:
            return self.database_url.replace("{service}", service)
        return f"sqlite:///{self.data.resolve() / service}.db"
