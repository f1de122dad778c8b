"""`bihuan account`: the district's own accounts, with which people get their tokens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import delete, select, update

from chassis.settings import Settings
from chassis.storage.store import Store
from console.admin.databases import answering, opened, settings_of
from console.cli.tokens import Data, Enterprises, Grids, Roles, SpeaksForOthers, caller_of
from console.exits import UsageError
from services.gateway.access.accounts import LONGEST, SHORTEST, row_of
from services.gateway.service import Gateway
from services.gateway.tables import accounts

app = typer.Typer(help="Accounts: add, list, disable and enable them.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The account's name.")]


@app.command()
def add(
    name: Name,
    role: Roles = None,
    grid: Grids = None,
    enterprise: Enterprises = None,
    speaks_for_others: SpeaksForOthers = False,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; prompted for by default.")
    ] = None,
    data: Data = None,
) -> None:
    """Add an account, or change the password, roles and places of an existing one."""
    settings = settings_of(data)
    caller = caller_of(settings, name, role or [], grid, enterprise,
                       speaks_for_others=speaks_for_others)  # fmt: skip
    row = row_of(caller, _password(password_file))
    with _database(settings) as store, store.write() as uow:
        existed = uow.execute(delete(accounts).where(accounts.c.name == name)).rowcount  # type: ignore[attr-defined]
        uow.execute(accounts.insert().values(row))
    print(f"{name} was {'changed' if existed else 'added'}: {', '.join(sorted(caller.roles))}.")


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, an account a line.")] = False,
    data: Data = None,
) -> None:
    """List the accounts, by name."""
    columns = [column for column in accounts.columns if column.name != "hash"]
    with _database(settings_of(data)) as store, store.engine.connect() as connection:
        rows = connection.execute(select(*columns).order_by(accounts.c.name)).all()
    for row in rows:
        entry = row._asdict() | {
            part: json.loads(getattr(row, part)) for part in ("roles", "grids", "enterprises")
        }
        if as_json:
            print(json.dumps(entry, ensure_ascii=False))
            continue
        places = " ".join([*entry["grids"], *entry["enterprises"]])
        state = "disabled" if row.disabled else ""
        print(f"{row.name:<24} {' '.join(entry['roles'])} {places} {state}".rstrip())


@app.command()
def disable(name: Name, data: Data = None) -> None:
    """Disable an account: it gets no more tokens; those it has expire within an hour."""
    _set(name, data, disabled=True)


@app.command()
def enable(name: Name, data: Data = None) -> None:
    """Enable a disabled account: it may get tokens again."""
    _set(name, data, disabled=False)


def _set(name: str, data: Path | None, *, disabled: bool) -> None:
    with _database(settings_of(data)) as store, store.write() as uow:
        change = update(accounts).where(accounts.c.name == name).values(disabled=disabled)
        if not uow.execute(change).rowcount:  # type: ignore[attr-defined]
            raise UsageError(f"Unknown account {name}.")
    print(f"{name} is {'disabled' if disabled else 'enabled'}.")


@contextmanager
def _database(settings: Settings) -> Iterator[Store]:
    with opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        yield stores[Gateway.name]


def _password(file: Path | None) -> str:
    """Read a password, never from the command line, which others can see; raises `UsageError`."""
    if file is not None:
        try:
            password = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--password-file cannot be read: {error}.") from None
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"A password must have {SHORTEST} to {LONGEST} characters.")
    return password
