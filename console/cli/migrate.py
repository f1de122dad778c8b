"""`bihuan migrate`: brings the databases up to this version.

An embedded district migrates itself when it starts, a distributed one never does.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from sqlalchemy.exc import OperationalError

from chassis.runtime.green import pause
from chassis.settings import Misconfigured, Settings
from chassis.storage import migrations
from chassis.storage.store import Store
from console.cli.run import Unreachable
from console.runtime.district import SERVICES

LOOK_EVERY = 0.5
"""Seconds between attempts to reach a database."""

_services = {service.name: service for service in SERVICES}


def _known(name: str | None) -> str | None:
    if name is not None and name not in _services:
        raise typer.BadParameter(f"unknown service {name!r}; services: {', '.join(_services)}.")
    return name


def migrate(
    service: Annotated[
        str | None, typer.Argument(callback=_known, help="One service; default: all five.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if a database is behind.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a database that does not respond.")
    ] = 30.0,
) -> None:
    """Migrate the databases to this version, or with --check report which of them are behind."""
    settings = Settings.read()
    names = [service] if service else list(_services)
    settings.need_databases_of(len(names))
    until = time.monotonic() + wait
    if check:
        behind = [name for name in names if not _patiently(_is_ready, settings, name, until)]
        raise typer.Exit(1 if behind else 0)
    with _alone(settings):
        for name in names:
            _patiently(_bring_up, settings, name, until)


def migrate_all(settings: Settings, wait: float = 30.0) -> None:
    """Migrate every database to this version, without output; raises `Unanswered`."""
    for name in _services:
        _patiently(migrations.apply, settings, name, time.monotonic() + wait)


def _bring_up(store: Store) -> None:
    before, after = migrations.apply(store)
    if before is None:
        print(f"{store.service}: set up at {after}", flush=True)
    elif before != after:
        print(f"{store.service}: from {before} to {after}", flush=True)
    else:
        print(f"{store.service}: at {after} already", flush=True)


def _is_ready(store: Store) -> bool:
    if not store.dialect.exists():
        print(f"{store.service}: not set up")
        return False
    try:
        migrations.check(store)
    except Misconfigured as error:
        print(f"{store.service}: {error}")
        return False
    print(f"{store.service}: at {migrations.revision(store)}")
    return True


def _patiently(act: Callable[[Store], Any], settings: Settings, name: str, until: float) -> Any:
    """Retry an action on a database until it succeeds; raises `Unreachable`."""
    store = Store(name, settings.database_of(name), _services[name].metadata)
    try:
        while True:
            try:
                return act(store)
            except OperationalError as error:  # rolled back as a whole: the next try starts over
                if time.monotonic() >= until:
                    reason = str(error.orig).strip().splitlines()[0]
                    raise Unreachable(f"The database of {name} cannot be used: {reason}") from None
            pause(LOOK_EVERY)
    finally:
        store.close()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Lock the data folder against districts; raises `Misconfigured` if one runs on it."""
    if settings.database_url:
        yield
        return
    settings.data.mkdir(parents=True, exist_ok=True)
    file = settings.data / "district.lock"
    file.touch(0o600)
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"A district is running on {settings.data}, and was migrated when it started."
            ) from None
        yield
