"""The configuration, read in one place; a wrong value is one clear sentence at start-up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from chassis.addresses import networks_of, origins_of

_POSITIVE = (
    "batch",
    "partitions",
    "wait",
    "stop_within",
    "keep_outbox",
    "database_pool",
    "streams",
    "rate_burst",
    "headers_within",
    "body_within",
    "connections",
    "connections_each",
)
LEVELS = ("debug", "info", "warning", "error", "critical")


class Misconfigured(Exception):
    """A setting is wrong; the message is one sentence for the operator."""


@dataclass(frozen=True)
class Settings:
    """What a process is told. Each field may be set by the environment variable of its name, or by
    a file, for secrets, that the variable of its name and `_FILE` names.

    `database_url` holds `{service}` where the service's name goes. `clock` is `real` or `manual`.
    `wait` is how long a request waits for its outcome (s), `batch` how many messages a consumer
    takes at once, `partitions` a constant of the deployment. `keep_outbox` and `keep_inbox` are
    days: who remembers what was handled must do so for longer than it may be sent again. `jwks` is
    the file or the URL of the keys by which `token_issuer` signs who calls, and `issuer_key_file`
    holds the key of an issuer of our own; `token_roles` is the claim of the roles, with a dot for
    each step into another. `database_pool` is how many connections a service has at the most, per
    process. `rate_limit` is how many requests a second a client may make for good, 0 for any
    number, and `rate_burst` how many at once; `headers_within` and `body_within` are how long (s)
    it may take to send them, `connections` how many there may be at once and `connections_each` how
    many from one address. `trusted_proxies` are addresses and networks, `cors_origins` origins of
    web pages, with commas between. `broker_admin_uri` is of the broker's management API, which only
    an operator's commands use. `streams` is how many streams of events may be open in a process,
    `webhooks_to` whether webhooks go to `public` addresses only or to `private` ones too.
    `deployment` tells this place of a district from one that has a copy of its databases.
    """

    data: Path = Path("bihuan-data")
    database_url: str = ""
    database_pool: int = 12
    amqp_uri: str = ""
    broker_admin_uri: str = ""
    clock: str = "real"
    http_address: str = "127.0.0.1"
    http_port: int = 8000
    wait: float = 10.0
    rate_limit: float = 0.0
    rate_burst: int = 500
    headers_within: float = 10.0
    body_within: float = 20.0
    connections: int = 800
    connections_each: int = 400
    trusted_proxies: str = ""
    cors_origins: str = ""
    batch: int = 400
    partitions: int = 8
    seal_key_file: str = ""
    jwks: str = ""
    issuer_key_file: str = ""
    token_issuer: str = ""
    token_audience: str = "bihuan"  # noqa: S105  (no secret: for whom tokens are)
    token_roles: str = "roles"  # noqa: S105  (nor is this: a claim's name)
    rulebook: str = ""
    log_level: str = "info"
    stop_within: float = 20.0
    keep_outbox: float = 14.0
    keep_inbox: float = 30.0
    streams: int = 200
    webhooks_to: str = "public"
    deployment: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Read the environment; what is `given` goes before it."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = environ.get(field.name.upper()) or _content_of(environ, field.name.upper())
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
        if self.amqp_uri and not self.database_url.startswith("postgresql"):
            raise Misconfigured("AMQP_URI needs a DATABASE_URL of PostgreSQL.")
        if self.log_level not in LEVELS:
            raise Misconfigured(f"LOG_LEVEL must be one of {', '.join(LEVELS)}.")
        if self.webhooks_to not in ("public", "private"):
            raise Misconfigured(f"WEBHOOKS_TO must be public or private, not {self.webhooks_to!r}.")
        if self.keep_inbox <= self.keep_outbox:
            raise Misconfigured("KEEP_INBOX must be more days than KEEP_OUTBOX.")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise Misconfigured(f"{name.upper()} must be greater than 0.")
        if not 0 <= self.http_port <= 65535:
            raise Misconfigured("HTTP_PORT must be between 0 and 65535.")
        if self.rate_limit < 0:
            raise Misconfigured("RATE_LIMIT must be 0, for no limit, or greater.")
        self._read_lists()

    def _read_lists(self) -> None:
        for name, read in (("trusted_proxies", networks_of), ("cors_origins", origins_of)):
            try:
                read(getattr(self, name))
            except ValueError as error:
                raise Misconfigured(f"{name.upper()} cannot be read: {error}.") from None

    def need_databases_of(self, services: int) -> None:
        """Make sure that several services would have several databases."""
        if services > 1 and self.database_url and "{service}" not in self.database_url:
            raise Misconfigured("DATABASE_URL must hold {service} where the service's name goes.")

    def database_of(self, service: str) -> str:
        """Return the URL of a service's own database."""
        if self.database_url:
            return self.database_url.replace("{service}", service)
        return f"sqlite:///{self.data.resolve() / service}.db"


def _content_of(environ: Mapping[str, str], name: str) -> str:
    """Read the file that holds a setting, if the environment names one."""
    file = environ.get(f"{name}_FILE")
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}_FILE cannot be read: {error}.") from None
