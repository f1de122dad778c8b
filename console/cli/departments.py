"""`bihuan department`: which other departments receive which events."""

from __future__ import annotations

import difflib
import json
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from chassis.settings import Misconfigured, Settings
from console.admin.department_accounts import MAX_LENGTH, Accounts, Department, queue_of
from console.admin.rabbitmq_api import Management
from console.exits import UsageError
from contracts.catalogue import contracts, public_events
from contracts.message import Command

app = typer.Typer(
    help="Other departments' accounts on the broker: add, list, show and remove them.",
    no_args_is_help=True,
)
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED = ("dead",)  # suffix of the queue of dead letters

Name = Annotated[str, typer.Argument(help="The department, for example tax.")]
Events = Annotated[
    list[str], typer.Option(help="All event types it receives, separated by commas.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command()
def add(
    name: Name,
    events: Events,
    password_file: Annotated[
        Path | None,
        typer.Option(help="File of the password: read, or written with a random one (mode 0600)."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000_000,
            help="Events that its queue holds before the oldest are dropped.",
            show_default=f"{MAX_LENGTH}, or unchanged",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a user and a queue for a department, or change its events; the rest stays as it is. A
    new password without a file is printed once."""
    _refuse_bad_name(name)
    exchanges = exchanges_of(events)
    accounts = _accounts()
    password, shown = None, None
    if password_file is not None:
        password = _password_in(password_file)
    elif not accounts.has_user(name):
        password = shown = secrets.token_urlsafe(32)
    did = accounts.add(name, exchanges, max_length, password)
    if as_json:
        department = accounts.all()[name].facts() | {"did": did}
        print(json.dumps(department | ({"password": shown} if shown else {})))
        return
    for each in did or ["nothing to change"]:
        print(f"{name}: {each}.")
    if shown:
        print(f"password: {shown}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the departments, their events, and the messages in their queues."""
    departments = _accounts().all().values()
    if as_json:
        for department in departments:
            print(json.dumps(department.facts()))
        return
    if not departments:
        print("There are no departments.")
        return
    table = Table(box=box.SIMPLE)
    for title in ("department", "events", "waiting", "at most", "dead", "consumers"):
        table.add_column(title)
    for each in departments:
        counts = each.messages, each.max_length, each.dead, each.consumers
        table.add_row(each.name, ", ".join(each.events), *map(_count, counts))
    Console().print(table)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a department's account."""
    department = _named(_accounts(), name)
    if as_json:
        print(json.dumps(department.facts()))
        return
    print(f"user:      {department.user or 'none'}")
    print(f"queue:     {queue_of(name)}")
    print(f"waiting:   {_count(department.messages)} of {_count(department.max_length)}")
    print(f"dead:      {_count(department.dead)}")
    print(f"consumers: {_count(department.consumers)}")
    for kind in department.events:
        print(f"hears:     {kind}")


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a department's account, and with it the events in its queue."""
    accounts = _accounts()
    department = _named(accounts, name)
    if not yes:
        waiting = _count(department.messages)
        typer.confirm(
            f"Remove {name} and its queue, where {waiting} events wait?", abort=True, err=True
        )
    accounts.remove(name)
    print(json.dumps({"name": name, "removed": True}) if as_json else f"{name} was removed.")


def exchanges_of(lists: Iterable[str]) -> dict[str, str]:
    """Return the exchange of each requested event type; raises `UsageError` for an unknown one."""
    public = public_events()
    requested = [kind.strip() for words in lists for kind in words.split(",") if kind.strip()]
    if not requested:
        raise UsageError("--events must name at least one event.")
    for kind in requested:
        if kind not in public:
            raise UsageError(_not_public(kind, list(public)))
    return {kind: f"{public[kind].service}.events" for kind in requested}


def _not_public(kind: str, public: list[str]) -> str:
    contract = contracts().get(kind)
    if contract is not None and issubclass(contract, Command):
        return f"{kind} is a command; departments may only receive events."
    if contract is not None:
        return f"{kind} is an internal event of the services, which may change."
    near = difflib.get_close_matches(kind, public, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; docs/events.md lists all events."
    return f"Unknown event {kind}{hint}"


def _refuse_bad_name(name: str) -> None:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise UsageError(
            f"{name!r} cannot be a department's name: small letters, digits and -, at most 32, "
            f"a letter first, and not {' or '.join(RESERVED)}."
        )


def _accounts() -> Accounts:
    uri = Settings.read().broker_admin_uri
    if not uri:
        raise Misconfigured("BROKER_ADMIN_URI must name RabbitMQ's management API.")
    return Accounts(Management(uri))


def _named(accounts: Accounts, name: str) -> Department:
    departments = accounts.all()
    if name not in departments:
        existing = f"Departments: {', '.join(departments)}" if departments else "There are none"
        raise UsageError(f"Unknown department {name}. {existing}.")
    return departments[name]


def _password_in(file: Path) -> str:
    """Return the password in a file; a missing file is created with a random one, readable by its
    owner only."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(file)
    except OSError as error:
        raise UsageError(f"--password-file: {file} cannot be written: {error.strerror}.") from None
    password = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(f"{password}\n")
    return password


def _read(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--password-file: {file} cannot be read: {error}.") from None
    if not password:
        raise UsageError(f"--password-file: {file} is empty.")
    return password


def _count(number: Any) -> str:
    return "?" if number is None else f"{number:,}"
