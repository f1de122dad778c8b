"""Access of operators' commands to the services' databases, without the services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chassis.service import Service
from chassis.settings import Misconfigured, Settings
from chassis.storage.store import Store
from console.exits import Ended, UsageError
from console.runtime.district import SERVICES

KINDS: dict[str, type[Service]] = {kind.name: kind for kind in SERVICES}


class DatabaseUnavailable(Ended):
    """A database cannot be used; the message is one sentence."""


def settings_of(data: Path | None) -> Settings:
    """Read the settings; `--data` takes precedence over `DATA`."""
    return Settings.read() if data is None else Settings.read(data=data)


def service_named(name: str) -> str:
    """Return a service's name if it exists; raises `UsageError`."""
    if name not in KINDS:
        raise UsageError(f"Unknown service {name}. Services: {', '.join(KINDS)}.")
    return name


@contextmanager
def opened(settings: Settings, names: Iterable[str] = KINDS) -> Iterator[dict[str, Store]]:
    """Open existing databases of services; creates none; raises `DatabaseUnavailable`."""
    with ExitStack() as stack:
        stores = {}
        for name in names:
            if not settings.database_url and not (settings.data / f"{name}.db").is_file():
                raise DatabaseUnavailable(f"There is no database {name}.db in {settings.data}.")
            stores[name] = _open(name, settings.database_of(name))
            stack.callback(stores[name].close)
        yield stores


def _open(name: str, url: str) -> Store:
    try:
        return Store(name, url, KINDS[name].metadata)
    except (ArgumentError, NoSuchModuleError) as error:
        raise Misconfigured(f"DATABASE_URL cannot be used: {_line(error)}.") from None


@contextmanager
def answering(service: str) -> Iterator[None]:
    """Convert errors of a service's database to one sentence: raises `DatabaseUnavailable`."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        why = _line(getattr(error, "orig", None) or error)
        raise DatabaseUnavailable(f"The database of {service} cannot be used: {why}.") from None


def _line(error: object) -> str:
    return str(error).strip().partition("\n")[0].strip().rstrip(".")
