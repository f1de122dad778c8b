"""`bihuan keys`: the keys of the district, which seal the keys of people and other secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from chassis.sealing import CannotOpen, KeyFile, Seal
from chassis.settings import Misconfigured, Settings
from console.admin.databases import DatabaseUnavailable, answering, opened, settings_of
from services.gateway.person_keys import key_file
from services.gateway.privacy.key_rotation import EVENTS, Rotating
from services.gateway.service import Gateway

app = typer.Typer(help="Keys of the district: list, add and rotate them.", no_args_is_help=True)
DataOption = Annotated[
    Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
]


@app.command("list")
def list_(data: DataOption = None) -> None:
    """List the keys by id, the sealing key first, with the number of keys of people that each has
    sealed."""
    settings = settings_of(data)
    ids = KeyFile.read(key_file(settings)).ids()
    try:
        with _rotating(settings) as rotating:
            used = rotating.used()
    except DatabaseUnavailable:
        used = {}
    for number, each in enumerate(ids):
        does = "opens" if number else "seals"
        print(f"{each}  {does}  {used.pop(each, 0):>12,} keys of people")
    for each, count in sorted(used.items()):
        print(f"{each}  is not in the key file, and {count:,} keys of people need it")


@app.command()
def add(data: DataOption = None) -> None:
    """Add a new first key to the key file: it seals from now on; the others still open.

    Running gateways with the same file load it by themselves.
    """
    file = key_file(settings_of(data))
    keys = KeyFile.read(file).with_new()
    try:
        keys.write(file)
    except OSError as error:
        raise Misconfigured(f"{file} cannot be written: {error.strerror}.") from None
    print(f"{keys.ids()[0]} is the first of {len(keys.keys)} keys in {file}.")
    print("Back up the file; then `bihuan keys rotate` reseals the data of the other keys with it.")


@app.command()
def rotate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit with 1 if something would be resealed."),
    ] = False,
    data: DataOption = None,
) -> None:
    """Reseal the data of earlier keys with the first key; gateways may run. It can be interrupted
    and run again. The exit code is 1 if some data still needs an earlier key."""
    with _rotating(settings_of(data)) as rotating:
        before = rotating.hanging()
        if not check:
            _run(rotating, before)
        after = before if check else rotating.hanging()
    for what, count in after.items():
        moved = f"{before[what] - count:,} resealed,  " if not check else ""
        print(f"{what}: {moved}{count:,} on an earlier key")
    if after.get(EVENTS):
        print("Events stay as they are: keep the key as long as they must be readable.")
    if any(after.values()):
        raise typer.Exit(1)


def _run(rotating: Rotating, hanging: dict[str, int]) -> None:
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        tasks = {what: bar.add_task(what, total=count) for what, count in hanging.items()}
        try:
            rotating.run(lambda what, done: bar.advance(tasks[what], done))
        except CannotOpen as error:
            raise Misconfigured(f"Not everything can be decrypted: {error}.") from None


@contextmanager
def _rotating(settings: Settings) -> Iterator[Rotating]:
    seal = Seal.from_file(key_file(settings), create=False)
    with opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        yield Rotating(stores[Gateway.name], seal)
