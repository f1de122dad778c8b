"""`bihuan webhooks`: from where webhooks are sent, when a district has moved or was restored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.admin.databases import answering, opened, settings_of
from contracts.shapes import moment_of
from services.gateway.service import Gateway
from services.gateway.webhooks.home import Home

app = typer.Typer(help="Webhooks: have this copy of a district send them.", no_args_is_help=True)


@app.callback()
def webhooks() -> None:
    """Webhooks: have this copy of a district send them."""


@app.command()
def adopt(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
) -> None:
    """Make this copy of the district the live one: it sends webhooks, those that wait at once.

    The other one must send none any more, or its receivers are called by both.
    """
    with opened(settings_of(data), [Gateway.name]) as stores, answering(Gateway.name):
        home = Home(stores[Gateway.name])
        known = home.known()
        if not known.home:
            print("Nobody has sent from this database yet: the gateway that starts next may.")
            return
        print(f"Webhooks have been sent from {known.place} since {moment_of(known.since)}.")
        if known.held:
            print(f"They are held at {known.held} since {moment_of(known.held_since)}.")
        if not yes:
            typer.confirm("Does that one send nothing more, and is this the live one?", abort=True)
        home.adopt()
    print("The gateway that runs on this database, or starts next, sends what waits.")
