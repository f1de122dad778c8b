"""`bihuan webhooks`: chooses the deployment that sends webhooks, after a move or a restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.admin.databases import answering, opened, settings_of
from contracts.shapes import moment_of
from services.gateway.service import Gateway
from services.gateway.webhooks.home import Home

app = typer.Typer(help="Webhooks: choose this deployment to send them.", no_args_is_help=True)


@app.callback()
def webhooks() -> None:
    """Webhooks: choose this deployment to send them."""


@app.command()
def adopt(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
) -> None:
    """Make this deployment of the district the live one: it sends webhooks, pending ones at once.

    The other one must send none any more, or receivers get webhooks from both.
    """
    with opened(settings_of(data), [Gateway.name]) as stores, answering(Gateway.name):
        home = Home(stores[Gateway.name])
        status = home.known()
        if not status.home:
            print("This database has sent no webhooks yet: the next gateway to start may.")
            return
        print(f"Webhooks have been sent from {status.place} since {moment_of(status.since)}.")
        if status.held:
            print(f"They are held at {status.held} since {moment_of(status.held_since)}.")
        if not yes:
            typer.confirm("Has that one stopped sending, and is this the live one?", abort=True)
        home.adopt()
    print("The gateway that runs on this database, or starts next, sends the pending webhooks.")
