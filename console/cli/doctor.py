"""`bihuan doctor`: checks settings, files, databases and the broker, and says what to do.

It changes nothing. A check is a function of the settings and the services in question that yields
findings; `CHECKS` lists all checks.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import inspect

from chassis.addresses import networks_of, origins_of
from chassis.rabbitmq.diagnostics import may_publish, missing_at_broker
from chassis.rabbitmq.topology import BROKEN
from chassis.sealing import Seal
from chassis.settings import Misconfigured, Settings
from chassis.storage import migrations
from chassis.storage.clock import FURTHEST
from chassis.storage.leases import served_partitions
from chassis.storage.store import Store
from chassis.storage.tables import deployment
from console.admin.databases import (
    KINDS,
    DatabaseUnavailable,
    answering,
    opened,
    service_named,
    settings_of,
)
from rulebook import Rulebook, RulebookError
from services.gateway.person_keys import LACKING, PersonKeys, key_file
from services.gateway.tables import person_keys
from services.gateway.webhooks.home import Home

SKEW_SECONDS = 1.0
"""A larger difference of clocks makes deadlines, tokens and recorded times unreliable."""
LITTLE, TOO_LITTLE = 2 * 1024**3, 200 * 1024**2
"""Bytes of free disk space that are a warning, and a fault."""
WIDEST = 8
"""Minimum prefix length of a network of proxies."""


class State(StrEnum):
    """The state of a check."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """A finding of a check: the check, its state, the observation, and the remedy."""

    check: str
    state: State
    says: str
    remedy: str = ""


Check = Callable[[Settings, Sequence[str]], Iterator[Finding]]


def _ok(check: str, says: str) -> Finding:
    return Finding(check, State.OK, says)


def _warning(check: str, says: str, remedy: str) -> Finding:
    return Finding(check, State.WARNING, says, remedy)


def _fault(check: str, says: str, remedy: str) -> Finding:
    return Finding(check, State.FAULT, says, remedy)


def databases(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Check whether each database responds, its revision, and its clock."""
    for name in services:
        check = f"database of {name}"
        file = settings.data / f"{name}.db"
        if not settings.database_url and not file.is_file():
            yield _ok(check, f"{file} is created at the first start")
            continue
        try:
            with opened(settings, [name]) as stores, answering(name):
                yield from _database(check, stores[name])
        except DatabaseUnavailable as error:
            yield _fault(check, str(error), "Check the server, and DATABASE_URL.")


def _database(check: str, store: Store) -> Iterator[Finding]:
    current, revisions = migrations.revision(store), migrations.known_to(store)
    if migrations.is_unreleased(current, revisions):
        state = f"was made by an unreleased version, at revision {current}"
        yield _fault(check, state, "Move it away and start with an empty one.")
    elif current is None or current in revisions[:-1]:
        state = "is not set up" if current is None else f"is at {current}, behind {revisions[-1]}"
        yield _fault(check, state, f"Run `bihuan migrate {store.service}`.")
    else:
        yield _ok(check, f"responds, at {current}")
    if store.clock.is_own:
        return
    store.clock.look()
    yield _clock(f"clock of {store.service}", -store.clock.ahead)


def _clock(check: str, ahead: float) -> Finding:
    """Check by how many seconds the clock of a database is ahead of this machine's."""
    state = f"is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
    if abs(ahead) > FURTHEST:
        remedy = "No process starts here: correct the wrong clock."
        return _fault(check, f"{state}, more than {FURTHEST:.0f} s", remedy)
    if abs(ahead) > SKEW_SECONDS:
        return _warning(check, state, "Synchronize both with one time server.")
    return _ok(check, f"differs by {abs(ahead):.3f} s")


def broker(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Check whether the broker responds, has its exchanges and queues, and permits publishing."""
    if not settings.amqp_uri:
        yield _ok("broker", "not needed: the bus is in memory")
        return
    for name in services:
        check = f"broker for {name}"
        try:
            lacks = missing_at_broker(settings, name, _partitions(settings, name))
            if lacks:
                state = f"lacks {', '.join(lacks)}"
                yield _fault(check, state, "Start the service, or run `bihuan preflight`.")
            elif not may_publish(settings, name):
                state = f"does not permit this account to publish for {name}, or to relay"
                yield _warning(check, state, "Only the service's account, or an operator's, may.")
            else:
                yield _ok(check, "has its exchanges and queues, and permits publishing")
        except (*BROKEN, Misconfigured) as error:
            state = str(error).strip() or type(error).__name__
            yield _fault(check, state, "Check the broker, and AMQP_URI.")


def _partitions(settings: Settings, name: str) -> int:
    """Return the number of partitions that the replicas agree on, if their database has it."""
    try:
        with opened(settings, [name]) as stores, answering(name):
            return served_partitions(stores[name], settings.partitions)[0]
    except DatabaseUnavailable:
        return settings.partitions


def files(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Check the data folder, and who may read the keys."""
    if not settings.amqp_uri:
        if not settings.data.exists():
            yield _ok("data folder", f"{settings.data} is created at the first start")
        elif not settings.data.is_dir():
            yield _fault("data folder", f"{settings.data} is not a folder", "Change DATA.")
        else:
            yield _ok("data folder", f"{settings.data} exists")
    if "gateway" in services:
        yield from _key(settings, "seal key", settings.seal_key_file, "seal.key")
        if settings.issuer_key_file or not settings.amqp_uri:
            yield from _key(settings, "issuer key", settings.issuer_key_file, "issuer.key")


def _key(settings: Settings, check: str, named: str, own: str) -> Iterator[Finding]:
    file = Path(named) if named else settings.data / own
    if not named and settings.amqp_uri:
        remedy = "Set it to the file that all gateways share."
        yield _fault(check, f"{check.upper().replace(' ', '_')}_FILE is missing", remedy)
        return
    if not file.exists():
        if named or (settings.data / "gateway.db").exists():
            yield _fault(check, f"{file} is missing", "Restore it from the backup.")
        else:
            yield _ok(check, f"{file} is created at the first start")
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        state = f"{file} can be read by others (mode {mode:04o})"
        finding = _warning if named else _fault  # container secrets are world-readable
        yield finding(check, state, f"Run `chmod 600 {file}`, unless its folder keeps others out.")
    else:
        yield _ok(check, f"{file} is readable by its owner only")
    if own == "seal.key":
        try:
            Seal.from_file(file, create=False)
        except Misconfigured as error:
            yield _fault(check, str(error), "Restore it from the backup.")


def disk(settings: Settings, _services: Sequence[str]) -> Iterator[Finding]:
    """Check the free disk space of the data folder."""
    if settings.database_url:
        return
    folder = settings.data.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    state = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < LITTLE:
        finding = _fault if free < TOO_LITTLE else _warning
        yield finding(
            "disk", state, "Free some space, or move DATA: a full disk stops the district."
        )
    else:
        yield _ok("disk", state)


def exposure(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Check for dangerous combinations of settings: who can reach the gateway, and what they may
    do."""
    if "gateway" not in services:
        return
    findings = [*_trust(settings), *(_in_the_open(settings) if _is_reachable(settings) else ())]
    yield from findings or [_ok("exposure", f"the gateway listens on {settings.http_address}")]


def _is_reachable(settings: Settings) -> bool:
    """Return whether other machines can reach the gateway."""
    try:
        addresses = {each[4][0] for each in socket.getaddrinfo(settings.http_address, None)}
    except OSError:
        return True
    return not all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _in_the_open(settings: Settings) -> Iterator[Finding]:
    where = f"the gateway listens on {settings.http_address}"
    if not settings.rate_limit:
        yield _warning("exposure", f"{where} without a rate limit", "Set RATE_LIMIT, such as 50.")
    if not settings.trusted_proxies:
        state = f"{where}, and no proxy is trusted: tokens may travel unencrypted"
        yield _warning(
            "exposure", state, "Put a TLS proxy in front, and set TRUSTED_PROXIES to it."
        )
    if settings.clock == "manual":
        state = f"{where} with a manual clock"
        yield _fault("exposure", state, "Set CLOCK=real, except for a rehearsal.")


def _trust(settings: Settings) -> Iterator[Finding]:
    for network in networks_of(settings.trusted_proxies):
        if network.prefixlen < WIDEST:
            state = f"TRUSTED_PROXIES trusts all of {network}"
            yield _fault("exposure", state, "Set it to the addresses of the proxies only.")
    for origin in sorted(origins_of(settings.cors_origins)):
        plain = origin.startswith("http://")
        if plain and not origin.startswith(("http://localhost", "http://127.")):
            state = f"pages of {origin} may use the API, and the network can change them"
            yield _warning("exposure", state, "Use https:// in CORS_ORIGINS instead.")


def rules(settings: Settings, _services: Sequence[str]) -> Iterator[Finding]:
    """Check whether the rulebook can be read."""
    try:
        Rulebook.load(Path(settings.rulebook) if settings.rulebook else None)
    except RulebookError as error:
        yield _fault("rulebook", str(error), "Correct the rulebook, or set RULEBOOK to another.")
    else:
        yield _ok("rulebook", f"{settings.rulebook or 'of Fengze'} can be read")


def keys(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Check whether the key file has every key that the keys of people need."""
    if "gateway" not in services:
        return
    with suppress(Misconfigured, DatabaseUnavailable), opened(settings, ["gateway"]) as stores:
        people = PersonKeys(stores["gateway"], Seal.from_file(key_file(settings), create=False))
        with answering("gateway"):
            if not inspect(people.store.engine).has_table(person_keys.name):
                return
            lacking = people.lacking()
        if lacking:
            yield _fault("keys of people", LACKING.format(lacking), "Restore it from the backup.")
        else:
            yield _ok("keys of people", "can be opened with the key file")


def home(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Check whether webhooks are held, since this is a copy of another deployment."""
    if "gateway" not in services:
        return
    with (
        suppress(DatabaseUnavailable),
        opened(settings, ["gateway"]) as stores,
        answering("gateway"),
    ):
        if not inspect(stores["gateway"].engine).has_table(deployment.name):
            return
        status = Home(stores["gateway"]).known()
        if status.held:
            state = f"are held: they were sent from {status.place}, and this is {status.held}"
            yield _warning("webhooks", state, "`bihuan webhooks adopt` makes this the live one.")
        else:
            yield _ok(
                "webhooks", f"are sent from {status.place or 'where the gateway next starts'}"
            )


CHECKS: tuple[Check, ...] = (rules, files, disk, databases, keys, home, broker, exposure)


def examine(data: Path | None, services: Sequence[str]) -> Iterator[Finding]:
    """Run every check, or only the first if the settings themselves are invalid."""
    try:
        settings = settings_of(data)
        settings.need_databases_of(len(services))
    except Misconfigured as error:
        yield _fault("settings", str(error), "Correct the setting: docs/operating.md lists them.")
        return
    yield _ok("settings", "can be read")
    for check in CHECKS:
        yield from check(settings, services)


def doctor(
    service: Annotated[str | None, typer.Argument(help="Only this service; default: all.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one check a line.")] = False,
) -> None:
    """Check whether this district can run and is secure: settings, files, databases, broker.

    Prints a line for each check, with what to do. The exit code is 1 if there is a fault."""
    services = [service_named(service)] if service else [*KINDS]
    faults = 0
    for finding in examine(data, services):
        faults += finding.state is State.FAULT
        if as_json:
            print(json.dumps(asdict(finding), ensure_ascii=False), flush=True)
        else:
            remedy = f" {finding.remedy}" if finding.remedy else ""
            end = "." if remedy and not finding.says.endswith(".") else ""
            print(f"{finding.state:7}  {finding.check}: {finding.says}{end}{remedy}", flush=True)
    if faults:
        raise typer.Exit(1)
