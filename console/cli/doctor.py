"""`bihuan doctor`: looks at settings, files, databases and the broker, and says what to do.

Nothing is changed. A check is a function of the settings and the services that are asked about; it
gives what it has found, and `CHECKS` is all of them.
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
"""Clocks that differ by more make deadlines, tokens and the times in the record doubtful."""
LITTLE, TOO_LITTLE = 2 * 1024**3, 200 * 1024**2
"""Bytes of free disk that are few, and too few."""
WIDEST = 8
"""Bits of a network's prefix; a network with fewer is no network of proxies."""


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """What a check has found: of what, how it is, what was seen, and what to do about it."""

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
    """Look whether each database answers, at which revision it is, and what its clock says."""
    for name in services:
        check = f"database of {name}"
        file = settings.data / f"{name}.db"
        if not settings.database_url and not file.is_file():
            yield _ok(check, f"{file} is not there yet: the first start makes it")
            continue
        try:
            with opened(settings, [name]) as stores, answering(name):
                yield from _database(check, stores[name])
        except DatabaseUnavailable as error:
            yield _fault(check, str(error), "See that the server runs and DATABASE_URL names it.")


def _database(check: str, store: Store) -> Iterator[Finding]:
    found, known = migrations.revision(store), migrations.known_to(store)
    if migrations.is_unreleased(found, known):
        said = f"was made by an unreleased version, at revision {found}"
        yield _fault(check, said, "Move it away and start with an empty one.")
    elif found is None or found in known[:-1]:
        said = "is not set up" if found is None else f"is at {found}, behind {known[-1]}"
        yield _fault(check, said, f"Run `bihuan migrate {store.service}`.")
    else:
        yield _ok(check, f"answers, at {found}")
    if store.clock.is_own:
        return
    store.clock.look()
    yield _clock(f"clock of {store.service}", -store.clock.ahead)


def _clock(check: str, ahead: float) -> Finding:
    """Judge by how many seconds the clock of a database is ahead of this machine's."""
    said = f"is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
    if abs(ahead) > FURTHEST:
        remedy = "No process starts here: set right the one that is wrong."
        return _fault(check, f"{said}, more than {FURTHEST:.0f} s", remedy)
    if abs(ahead) > SKEW_SECONDS:
        return _warning(check, said, "Let both follow one time server.")
    return _ok(check, f"differs by {abs(ahead):.3f} s")


def broker(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Look whether the broker answers, holds what it must, and lets us publish."""
    if not settings.amqp_uri:
        yield _ok("broker", "none is needed: the bus is in memory")
        return
    for name in services:
        check = f"broker for {name}"
        try:
            lacks = missing_at_broker(settings, name, _partitions(settings, name))
            if lacks:
                said = f"lacks {', '.join(lacks)}"
                yield _fault(check, said, "Start the service, or run `bihuan preflight`.")
            elif not may_publish(settings, name):
                said = f"does not let this account publish for {name}, or to relay"
                yield _warning(check, said, "Only the account of the service, or an operator, may.")
            else:
                yield _ok(check, "holds its exchanges and queues, and lets us publish")
        except (*BROKEN, Misconfigured) as error:
            said = str(error).strip() or type(error).__name__
            yield _fault(check, said, "See that the broker runs and AMQP_URI names it.")


def _partitions(settings: Settings, name: str) -> int:
    """Tell how many partitions the replicas have agreed on, where their database says so."""
    try:
        with opened(settings, [name]) as stores, answering(name):
            return served_partitions(stores[name], settings.partitions)[0]
    except DatabaseUnavailable:
        return settings.partitions


def files(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Look at the data folder, and at who may read the keys."""
    if not settings.amqp_uri:
        if not settings.data.exists():
            yield _ok("data folder", f"{settings.data} is not there yet: the first start makes it")
        elif not settings.data.is_dir():
            yield _fault("data folder", f"{settings.data} is no folder", "Name another in DATA.")
        else:
            yield _ok("data folder", f"{settings.data} is there")
    if "gateway" in services:
        yield from _key(settings, "seal key", settings.seal_key_file, "seal.key")
        if settings.issuer_key_file or not settings.amqp_uri:
            yield from _key(settings, "issuer key", settings.issuer_key_file, "issuer.key")


def _key(settings: Settings, check: str, named: str, own: str) -> Iterator[Finding]:
    file = Path(named) if named else settings.data / own
    if not named and settings.amqp_uri:
        remedy = "Name the file that all gateways share."
        yield _fault(check, f"{check.upper().replace(' ', '_')}_FILE is missing", remedy)
        return
    if not file.exists():
        if named or (settings.data / "gateway.db").exists():
            yield _fault(check, f"{file} is missing", "Put it back from the backup.")
        else:
            yield _ok(check, f"{file} is not there yet: the first start makes it")
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        said = f"{file} can be read by others (mode {mode:04o})"
        made = _warning if named else _fault  # containers are given theirs so, in a folder apart
        yield made(check, said, f"Say `chmod 600 {file}`, unless its folder keeps others out.")
    else:
        yield _ok(check, f"{file} is readable by its owner only")
    if own == "seal.key":
        try:
            Seal.from_file(file, create=False)
        except Misconfigured as error:
            yield _fault(check, str(error), "Put it back from the backup.")


def disk(settings: Settings, _services: Sequence[str]) -> Iterator[Finding]:
    """Look how much room is left where the data are."""
    if settings.database_url:
        return
    folder = settings.data.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    said = f"{free / 1024**3:.1f} GiB are free at {folder}"
    if free < LITTLE:
        made = _fault if free < TOO_LITTLE else _warning
        yield made("disk", said, "Make room, or move DATA: a full disk stops the district.")
    else:
        yield _ok("disk", said)


def exposure(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Look which settings are dangerous together: who can reach the gateway, and what they may."""
    if "gateway" not in services:
        return
    found = [*_trust(settings), *(_in_the_open(settings) if _is_reachable(settings) else ())]
    yield from found or [_ok("exposure", f"the gateway listens on {settings.http_address}")]


def _is_reachable(settings: Settings) -> bool:
    """Tell whether other machines can reach the gateway."""
    try:
        addresses = {each[4][0] for each in socket.getaddrinfo(settings.http_address, None)}
    except OSError:
        return True
    return not all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _in_the_open(settings: Settings) -> Iterator[Finding]:
    where = f"the gateway listens on {settings.http_address}"
    if not settings.rate_limit:
        yield _warning("exposure", f"{where} without a rate", "Set RATE_LIMIT, 50 say.")
    if not settings.trusted_proxies:
        said = f"{where}, and no proxy is trusted: tokens may travel in clear"
        yield _warning("exposure", said, "Put TLS in front, and name it in TRUSTED_PROXIES.")
    if settings.clock == "manual":
        said = f"{where} with a manual clock"
        yield _fault("exposure", said, "Say CLOCK=real, but for a rehearsal.")


def _trust(settings: Settings) -> Iterator[Finding]:
    for network in networks_of(settings.trusted_proxies):
        if network.prefixlen < WIDEST:
            said = f"TRUSTED_PROXIES takes the word of all of {network}"
            yield _fault("exposure", said, "Name the proxies' own addresses.")
    for origin in sorted(origins_of(settings.cors_origins)):
        plain = origin.startswith("http://")
        if plain and not origin.startswith(("http://localhost", "http://127.")):
            said = f"pages of {origin} may use the API, and anyone on the way can change them"
            yield _warning("exposure", said, "Take https:// into CORS_ORIGINS instead.")


def rules(settings: Settings, _services: Sequence[str]) -> Iterator[Finding]:
    """Look whether the rulebook can be read."""
    try:
        Rulebook.load(Path(settings.rulebook) if settings.rulebook else None)
    except RulebookError as error:
        yield _fault("rulebook", str(error), "Mend the rulebook, or name another in RULEBOOK.")
    else:
        yield _ok("rulebook", f"{settings.rulebook or 'of Fengze'} can be read")


def keys(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Look whether the key file holds every key that the keys of people need."""
    if "gateway" not in services:
        return
    with suppress(Misconfigured, DatabaseUnavailable), opened(settings, ["gateway"]) as stores:
        people = PersonKeys(stores["gateway"], Seal.from_file(key_file(settings), create=False))
        with answering("gateway"):
            if not inspect(people.store.engine).has_table(person_keys.name):
                return
            lacking = people.lacking()
        if lacking:
            yield _fault("keys of people", LACKING.format(lacking), "Put it back from the backup.")
        else:
            yield _ok("keys of people", "can be opened with the key file")


def home(settings: Settings, services: Sequence[str]) -> Iterator[Finding]:
    """Look whether webhooks are held, since this is a copy of a district that is elsewhere."""
    if "gateway" not in services:
        return
    with (
        suppress(DatabaseUnavailable),
        opened(settings, ["gateway"]) as stores,
        answering("gateway"),
    ):
        if not inspect(stores["gateway"].engine).has_table(deployment.name):
            return
        known = Home(stores["gateway"]).known()
        if known.held:
            said = f"are held: they were sent from {known.place}, and this is {known.held}"
            yield _warning("webhooks", said, "`bihuan webhooks adopt` makes this the live one.")
        else:
            yield _ok("webhooks", f"are sent from {known.place or 'where the gateway next starts'}")


CHECKS: tuple[Check, ...] = (rules, files, disk, databases, keys, home, broker, exposure)


def examine(data: Path | None, services: Sequence[str]) -> Iterator[Finding]:
    """Make every check, but only the first where the settings themselves are wrong."""
    try:
        settings = settings_of(data)
        settings.need_databases_of(len(services))
    except Misconfigured as error:
        yield _fault("settings", str(error), "Mend the setting: docs/operating.md lists them.")
        return
    yield _ok("settings", "can be read")
    for check in CHECKS:
        yield from check(settings, services)


def doctor(
    service: Annotated[
        str | None, typer.Argument(help="The one service whose settings these are; all by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """Look whether this district can run and is safe: settings, files, databases, broker.

    A line for each check, with what to do. The exit code is 1 if there is a fault."""
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
