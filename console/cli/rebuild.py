"""`bihuan rebuild`: rebuilds the gateway's read models from the event log."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from chassis.storage.store import Store
from console.admin.databases import DatabaseUnavailable, answering, opened, settings_of
from console.exits import UsageError
from services.gateway.read_models.rebuild import Found, NotProjectable, Rebuilding
from services.gateway.resources import VIEWS
from services.gateway.service import Gateway
from services.gateway.tables import metadata

NAMED = 5
"""Maximum ids of differing documents that are printed for each read model."""


def rebuild(
    view: Annotated[
        list[str] | None, typer.Argument(help="Read models to rebuild; default: all.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if anything differs.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
) -> None:
    """Rebuild the gateway's read models from the event log.

    The events are projected beside the live documents, into a temporary file. Differing documents
    and counters are then corrected; positions, which cursors of lists and the event feed use, stay.
    Gateways may run and project meanwhile.
    """
    views = view or list(VIEWS)
    for name in views:
        if name not in VIEWS:
            raise UsageError(f"Unknown read model {name}. Read models: {', '.join(VIEWS)}.")
    started = time.monotonic()
    with (
        opened(settings_of(data), [Gateway.name]) as stores,
        tempfile.TemporaryDirectory(prefix="bihuan-rebuild-") as folder,
    ):
        beside = Store(Gateway.name, f"sqlite:///{folder}/beside.db", metadata)
        try:
            found = _run(Rebuilding(stores[Gateway.name], beside, views, repair=not check))
        except NotProjectable as error:
            raise DatabaseUnavailable(str(error)) from error
        finally:
            beside.close()
    _report(found, check=check)
    print(
        f"{found.events:,} events in {time.monotonic() - started:.1f} s; "
        f"gateways waited {found.longest_lock * 1000:.0f} ms at most."
    )
    if check and not found.equal:
        raise typer.Exit(1)


def _run(rebuilding: Rebuilding) -> Found:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with (
        answering(Gateway.name),
        Progress(*columns, console=console, transient=True, disable=quiet) as bar,
    ):
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        return rebuilding.run(progress)


def _report(found: Found, *, check: bool) -> None:
    for name, total in found.documents.items():
        differing = found.differing[name]
        print(f"{name:<12} {total:>12,} documents, {len(differing) or 'none'} differed")
        for identity, how in list(differing.items())[:NAMED]:
            print(f"  {identity} {how}")
        if len(differing) > NAMED:
            print(f"  and {len(differing) - NAMED:,} more")
    for name, (was, right) in found.counters.items():
        print(f"counter {name} was {was:,}, and should be {right:,}")
    if found.equal:
        print("The read models match the events.")
    elif check:
        print("The read models do not match the events; nothing was changed.")
    else:
        print("The differences have been corrected.")
