"""`bihuan`: the embedded district, and the demo that replays the Fengze month on it."""

import chassis.green  # noqa: F401, I001  (before everything else)

import gc
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chassis import logs
from chassis.green import Event, pause, spawn
from chassis.settings import Misconfigured, Settings
from console import scorecard
from console.child import Child, ChildEnded
from console.client import Client, Refused, Unanswered
from console.district import District
from console.month import Infeasible, plan
from console.replay import Replay
from rulebook import Rulebook, RulebookError

app = typer.Typer(
    name="bihuan",
    help="Bihuan 閉環: a district reopens its businesses and keeps watch over them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
USAGE = 2

PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of the HTTP API, on 127.0.0.1; 0 takes any.")
]


@app.callback()
def bihuan() -> None:
    """Bihuan 閉環: a district reopens its businesses and keeps watch over them."""


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the HTTP API; 0 takes any.", show_default="8000"
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
    manual_clock: Annotated[
        bool, typer.Option("--manual-clock", help="Time moves by POST /v1/clock only.")
    ] = False,
) -> None:
    """Run the embedded district: all five services in this process."""
    given = {"http_port": port, "data": data, "clock": "manual" if manual_clock else None}
    settings = Settings.read(**{name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_level)
    district = District(settings)
    district.start()
    _collect_less()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.ready() or stop.send())
    print(f"Bihuan listens on http://{settings.http_address}:{district.port}", flush=True)
    spawn(_fail_with, district, stop)
    stop.wait()
    district.stop()


def _collect_less() -> None:
    """Look for garbage less often: what is there at the start stays, and a batch makes much that
    its end frees without the collector."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _fail_with(district: District, stop: Any) -> None:
    """End the process when a service ends by an error."""
    try:
        district.wait()
    except Exception as error:
        if not stop.ready():
            stop.send_exception(error)


@app.command()
def demo(
    scale: Annotated[float, typer.Option(help="Part of the month to replay, up to 1.")] = 1.0,
    port: PortOption = 8000,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the district's data; a fresh one unless given.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the scorecard.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the scorecard here as JSON.")] = None,
) -> None:
    """Replay 10 February to 6 March 2020 through the HTTP API, and show the article's figures
    beside the measured ones. With --once the exit code is 0 if every figure is equal, else 1."""
    if not 0 < scale <= 1:
        raise Misconfigured("--scale must be greater than 0 and at most 1.")
    month = plan(scale)
    if report is not None and not report.resolve().parent.is_dir():
        raise Misconfigured(f"--report: there is no folder {report.resolve().parent}.")
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it is asked to end like by Ctrl-C
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bihuan-")))
        child = stack.enter_context(Child(folder, port))
        client = Client(child.base)
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
            console.print(f"The district goes on serving on {child.base}. Ctrl-C ends it.")
            child.wait()
    if once and not equal:
        raise typer.Exit(1)


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


def main() -> None:
    """Run the command line; what the operator can mend is one sentence and exit code 2."""
    try:
        app()
    except (Misconfigured, RulebookError, Infeasible) as error:
        sys.exit(_say(error, USAGE))
    except (Refused, Unanswered, ChildEnded) as error:
        sys.exit(_say(error, 1))


def _say(error: Exception, code: int) -> int:
    print(f"bihuan: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
