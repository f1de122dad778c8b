"""Every command of `bihuan`."""

from __future__ import annotations

import typer

from console.cli import accounts, audit, departments, keys, parked, persons, run, webhooks
from console.cli.doctor import doctor
from console.cli.migrate import migrate
from console.cli.partitions import partitions
from console.cli.rebuild import rebuild
from console.cli.resend import resend
from console.cli.tokens import token
from console.demo.command import demo

app = typer.Typer(
    name="bihuan",
    help="Bihuan 閉環: a district reopens its businesses and keeps watch over them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(parked.app, name="parked")
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
    demo,
    run.up,
    run.run,
    run.preflight,
    migrate,
    resend,
    partitions,
    token,
    doctor,
):
    app.command()(command)
