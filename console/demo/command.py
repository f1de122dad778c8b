"""`bihuan demo`: replays the month of the article."""

from __future__ import annotations

import signal
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import func, inspect, select

from chassis.runtime.green import pause
from chassis.sealing import Seal
from chassis.settings import Misconfigured, Settings
from console.admin.databases import DatabaseUnavailable, answering, opened, settings_of
from console.admin.tokens import issuer_of, token_of_all
from console.cli.migrate import migrate_all
from console.cli.tokens import show_tokens
from console.client import Client
from console.demo import scorecard
from console.demo.fleet import Fleet
from console.demo.plan import plan
from console.demo.replay import Replay
from console.exits import UsageError
from console.runtime.process import Child
from rulebook import Rulebook
from services.gateway.access.tokens import Issuer
from services.gateway.service import Gateway
from services.gateway.tables import clock, heads

PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="HTTP port on 127.0.0.1; 0 chooses a free one.")
]


def demo(
    scale: Annotated[float, typer.Option(help="Fraction of the month to replay, up to 1.")] = 1.0,
    port: PortOption = 8000,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the district's data; default: a new one.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the scorecard.")] = False,
    report: Annotated[Path | None, typer.Option(help="File for the scorecard, as JSON.")] = None,
    replicas: Annotated[
        int, typer.Option(min=1, help="Processes of each service, where AMQP_URI is set.")
    ] = 1,
) -> None:
    """Replay 10 February to 6 March 2020 through the HTTP API, and show the article's figures
    beside the measured ones. With --once the exit code is 0 if all figures are equal, else 1."""
    if not 0 < scale <= 1:
        raise Misconfigured("--scale must be greater than 0 and at most 1.")
    month = plan(scale)
    if report is not None and not report.resolve().parent.is_dir():
        raise Misconfigured(f"--report: there is no folder {report.resolve().parent}.")
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bihuan-")))
        _refuse_a_live_one(folder)
        child: Any = stack.enter_context(_district(folder, port, replicas))
        issuer = issuer_of(_told(folder))
        client = Client(*child.bases, token=token_of_all(issuer))
        started = time.monotonic()
        _replay(Replay(month, client), console)
        seconds = time.monotonic() - started
        scores = scorecard.measure(client, scale, pause)
        scorecard.show(scores, Rulebook.load(), console)
        equal = all(score.equal for score in scores)
        console.print(
            f"{'Every figure equals the article.' if equal else 'Not every figure is equal.'} "
            f"{seconds:.1f} s; the district took {child.peak_memory_mb():.0f} MB at most."
        )
        if report is not None:
            scorecard.write(scores, report)
        if not once:
            console.print(f"The district keeps running at {child.bases[0]}. Stop it with Ctrl-C.")
            show_tokens(issuer)
            child.wait()
    if once and not equal:
        raise typer.Exit(1)


def _district(folder: Path, port: int, replicas: int) -> Child | Fleet:
    """Return the district of the settings: one process, or several of each service."""
    settings = Settings.read()
    if not settings.amqp_uri:
        if replicas > 1:
            raise Misconfigured("--replicas needs AMQP_URI: an embedded district is one process.")
        return Child(folder, port)
    migrate_all(settings)
    return Fleet(_told(folder), folder, replicas=replicas, port=port)


def _told(folder: Path) -> Settings:
    """Return the settings with the key files that the gateways share, creating them if needed."""
    settings = Settings.read()
    if not settings.amqp_uri:
        return replace(settings, data=folder)
    # kept: with another key repeated writes would not be recognised
    seal = settings.seal_key_file or str(settings.data.resolve() / "seal.key")
    Seal.from_file(Path(seal), create=True)
    own = settings.issuer_key_file or str(settings.data.resolve() / "issuer.key")
    Issuer.from_file(Path(own), settings.token_audience, create=True)
    return replace(settings, seal_key_file=seal, issuer_key_file=own)


def _replay(replay: Replay, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("豐澤一月 The Fengze month", total=replay.total())
        replay.progress = lambda _what, done: bar.advance(task, done)
        replay.run()


def _refuse_a_live_one(folder: Path) -> None:
    """Refuse to replay to a district on the real clock; raises `UsageError`."""
    settings, began, by_hand = settings_of(folder), None, None
    with (
        suppress(DatabaseUnavailable),
        opened(settings, [Gateway.name]) as stores,
        answering(Gateway.name),
    ):
        engine = stores[Gateway.name].engine
        if not inspect(engine).has_table(clock.name):
            return
        with engine.connect() as connection:
            began = connection.scalar(select(func.max(heads.c.position)))
            by_hand = connection.scalar(select(clock.c.at))
    if began and by_hand is None:
        where = "the databases" if settings.database_url else str(folder)
        raise UsageError(
            f"There is a district on the real clock in {where}: choose another --data or other "
            "databases for the demo."
        )
