"""Every command of `bihuan`, and the demo that replays the Fengze month on a district."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import typer
from sqlalchemy import func, inspect, select

from console.admin.databases import Away, answering, opened, settings_of
from console.cli import accounts, audit, departments, keys, parked, persons, run, webhooks
from console.cli.doctor import doctor
from console.cli.migrate import migrate
from console.cli.rebuild import rebuild
from console.cli.resend import resend
from console.cli.slots import slots
from console.cli.tokens import token
from console.exits import Mistaken
from services.gateway.service import Gateway
from services.gateway.tables import clock, heads

app = typer.Typer(
    name="bihuan",
    help="Bihuan 閉環: a district reopens its businesses and keeps watch over them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(parked.app, name="letters")
app.add_typer(audit.app, name="audit")
app.add_typer(accounts.app, name="account")
app.add_typer(departments.app, name="department")
app.add_typer(keys.app, name="keys")
app.add_typer(persons.app, name="person")
app.add_typer(webhooks.app, name="webhooks")
app.command()(rebuild)


@app.callback()
def bihuan() -> None:
    """Bihuan 閉環: a district reopens its businesses and keeps watch over them."""


for command in (
    run.up,
    run.run,
    run.preflight,
    migrate,
    resend,
    slots,
    token,
    doctor,
):
    app.command()(command)


def refuse_a_live_one(folder: Path) -> None:
    """Play no month to a district that goes by the real clock; raises `Mistaken`."""
    settings, began, by_hand = settings_of(folder), None, None
    with suppress(Away), opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        engine = stores[Gateway.name].engine
        if not inspect(engine).has_table(clock.name):
            return
        with engine.connect() as connection:
            began = connection.scalar(select(func.max(heads.c.position)))
            by_hand = connection.scalar(select(clock.c.at))
    if began and by_hand is None:
        where = "the databases" if settings.database_url else str(folder)
        raise Mistaken(
            f"There is a district in {where} that goes by the real clock: give the demo another "
            "--data, or databases of its own."
        )
