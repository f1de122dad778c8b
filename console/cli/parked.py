"""`bihuan parked`: lists and manages parked messages."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chassis.messaging.parked import DEAD, EXHAUSTED, HOLDS
from console.admin.databases import KINDS, opened, service_named, settings_of
from console.admin.parked_messages import (
    Context,
    Filter,
    ParkedMessage,
    ParkedMessages,
    Result,
    body_of,
    is_number,
)
from console.exits import UsageError

app = typer.Typer(help="Parked messages: list, show, retry and drop them.", no_args_is_help=True)
STATES = (*HOLDS, DEAD)
SHOWN = 100
"""Default number of parked messages in a table."""
WIDE = 220
"""Width of a table that is not shown on a terminal."""
NARROW = 160
"""Width of a terminal below which a table would be unreadable."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Names = Annotated[
    list[str] | None, typer.Argument(help="[SERVICE] and numbers of its parked messages; or ids.")
]
Service = Annotated[str | None, typer.Option(help="Only this service's parked messages.")]
State = Annotated[list[str] | None, typer.Option(help="retrying, exhausted or dead; repeatable.")]
Type = Annotated[str | None, typer.Option("--type", help="Only messages of this type.")]
Source = Annotated[str | None, typer.Option(help="Only messages from this service.")]
Key = Annotated[str | None, typer.Option(help="Only this partition key, such as an enterprise.")]
Older = Annotated[
    str | None,
    typer.Option("--older-than", help="Only messages parked for longer than 90s, 15m, 2h, 3d."),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one parked message a line.")]
All = Annotated[bool, typer.Option("--all", help="All that match the filters, instead of names.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
By = Annotated[
    str | None, typer.Option(help="Who does it, for the record.", show_default="login name")
]


@app.command("list")
def list_(
    service: Service = None,
    state: State = None,
    kind: Type = None,
    source: Source = None,
    key: Key = None,
    older_than: Older = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number to show.", show_default="100")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List parked messages, oldest first; with --json all of them, without their bodies."""
    filters = _wanted(state or (), kind, source, key, older_than)
    most = limit or (None if as_json else SHOWN)
    with _desk(data, service) as parked_store:
        messages = parked_store.find(filters, most and most + 1)
        if as_json:
            _print_json(parked_message.facts() for parked_message in messages[:most])
            return
        if not messages:
            print(
                "No parked messages match."
                if filters != Filter()
                else "There are no parked messages."
            )
            return
        console = _console()
        console.print(
            _table(messages[:most]) if console.width >= NARROW else _blocks(messages[:most])
        )
        if most and len(messages) > most:
            print(f"There are more than {most}; --limit shows more.")


@app.command()
def show(
    name: Annotated[list[str], typer.Argument(help="SERVICE NUMBER, or the id.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show all details of a parked message.

    Its envelope, its body, in which personal data is sealed, its handlers, the messages before and
    behind it in its stream, and the actions of operators.
    """
    service, names = _names(name)
    if not names:
        raise UsageError("Name one parked message: its service and number, or its id.")
    with _desk(data, service) as parked_store:
        for parked_message in parked_store.named(names):
            context = parked_store.context(parked_message)
            if as_json:
                details = parked_message.facts() | {"body": body_of(parked_message)} | vars(context)
                _print_json([details])
            else:
                _show(parked_message, context)


@app.command()
def retry(
    name: Names = None,
    service: Service = None,
    state: State = None,
    kind: Type = None,
    source: Source = None,
    key: Key = None,
    older_than: Older = None,
    every: All = False,
    even_dead: Annotated[
        bool,
        typer.Option(
            "--even-dead",
            help="Retry dead messages too. They blocked no others, so later messages with their"
            " key have been handled: they are handled out of order.",
        ),
    ] = False,
    by: By = None,
    yes: Yes = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Retry parked messages at once.

    The running district, or the next one to start, retries them: those named by number or id, or
    with --all those that match the filters, by default only exhausted ones. Earlier parked messages
    of a stream still go first.
    """
    service, names = _names(name or (), service)
    filters = _wanted(state or ((EXHAUSTED,) if every else ()), kind, source, key, older_than)
    if every and DEAD in filters.states and not even_dead:
        raise UsageError("Dead messages are retried only with --even-dead.")
    with _desk(data, service, by) as parked_store:
        messages = _chosen(parked_store, names, filters, every=every)
        _ask("Try", "again", messages, yes=yes)
        _tell(parked_store.retry(messages, even_dead=even_dead), as_json=as_json)


@app.command()
def drop(
    reason: Annotated[str, typer.Option(help="Why they are dropped, for the record.")],
    name: Names = None,
    service: Service = None,
    state: State = None,
    kind: Type = None,
    source: Source = None,
    key: Key = None,
    older_than: Older = None,
    every: All = False,
    by: By = None,
    yes: Yes = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Drop parked messages for good.

    Those named by number or id, or with --all those that match the filters. Their effects are lost,
    since a repeat counts as a duplicate. Messages behind them continue at once. A command without
    an outcome is settled as rejected.
    """
    service, names = _names(name or (), service)
    filters = _wanted(state or (), kind, source, key, older_than)
    if not reason.strip():
        raise UsageError("--reason must not be empty.")
    if every and filters == Filter() and service is None:
        raise UsageError("--all needs a filter.")
    with _desk(data, service, by) as parked_store:
        messages = _chosen(parked_store, names, filters, every=every)
        _ask("Drop", "for good", messages, yes=yes)
        _tell(parked_store.drop(messages, reason), as_json=as_json)


# -- selection


@contextmanager
def _desk(
    data: Path | None, service: str | None, by: str | None = None
) -> Iterator[ParkedMessages]:
    names = KINDS if service is None else [service_named(service)]
    with opened(settings_of(data), names) as stores:
        yield ParkedMessages(stores, by or _login())


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _names(words: Sequence[str], service: str | None = None) -> tuple[str | None, list[str]]:
    """Read `SERVICE NUMBER…` or ids."""
    names = list(words)
    if names and (names[0] in KINDS or re.fullmatch(r"[a-z]+", names[0])):
        service = service_named(names.pop(0))
    if service is None and any(is_number(name) for name in names):
        raise UsageError("A number needs its service: SERVICE NUMBER.")
    return service, names


def _wanted(
    states: Sequence[str],
    kind: str | None,
    source: str | None,
    key: str | None,
    older_than: str | None,
) -> Filter:
    for state in states:
        if state not in STATES:
            raise UsageError(f"--state must be one of {', '.join(STATES)}, not {state}.")
    return Filter(tuple(states), kind, source, key, seconds_of(older_than))


def seconds_of(text: str | None) -> float | None:
    """Read a duration such as 90s, 15m, 2h or 3d; raises `UsageError`."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise UsageError(f"An age must be like 90s, 15m, 2h or 3d, not {text}.")
    return int(match[1]) * _UNITS[match[2]]


def _chosen(
    parked_store: ParkedMessages, names: Sequence[str], filters: Filter, *, every: bool
) -> list[ParkedMessage]:
    if every == bool(names):
        raise UsageError(
            "Name parked messages by service and number, by id, or by filters with --all."
        )
    if names and filters != Filter():
        raise UsageError("Filters need --all, and exclude names.")
    return parked_store.find(filters) if every else parked_store.named(names)


def _ask(action: str, how: str, messages: Sequence[ParkedMessage], *, yes: bool) -> None:
    if len(messages) > 1 and not yes:
        for parked_message in messages[:SHOWN]:
            print(parked_message.title, file=sys.stderr)
        typer.confirm(
            f"{action} these {len(messages)} parked messages {how}?", abort=True, err=True
        )


# -- output


def _tell(results: Iterable[Result], *, as_json: bool) -> None:
    count = 0
    for count, result in enumerate(results, 1):  # noqa: B007
        if as_json:
            _print_json([result.facts()])
        else:
            print(f"{result.parked_message.title} {result.says}.")
    if not count and not as_json:
        print("No parked messages match.")


def _print_json(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _table(messages: Sequence[ParkedMessage]) -> Table:
    table = Table(box=box.SIMPLE_HEAVY)
    for name in ("service", "number", "state", "type", "source", "key", "handlers"):
        table.add_column(name, overflow="fold", justify="right" if name == "number" else "left")
    table.add_column("attempts", justify="right")
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("awaits", overflow="fold")
    table.add_column("reason", overflow="fold")
    for parked_message in messages:
        row = parked_message.row
        table.add_row(
            *(parked_message.service, str(parked_message.number), row.state, row.type, row.source),
            *(Text(row.partitionkey), ", ".join(parked_message.handlers) or "—", str(row.attempts)),
            *(age_of(parked_message.age), Text(row.awaits or ""), Text(row.reason)),
        )
    return table


def _blocks(messages: Sequence[ParkedMessage]) -> Text:
    text = Text()
    for parked_message in messages:
        row = parked_message.row
        text.append(f"{parked_message.title} from {row.source}", style="bold")
        text.append(f"\n  {row.state} for {age_of(parked_message.age)}, attempts: {row.attempts}")
        text.append(
            f"\n  key {row.partitionkey}, handlers: {', '.join(parked_message.handlers) or '—'}"
        )
        text.append(f"\n  {row.reason}\n" + (f"  awaits {row.awaits}\n" if row.awaits else ""))
    text.rstrip()
    return text


def age_of(seconds: float) -> str:
    """Write an age in its two largest units: 3d 4h, 5m 2s."""
    parts: list[str] = []
    left = int(seconds)
    for unit in "dhms":
        count, left = divmod(left, _UNITS[unit])
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _show(parked_message: ParkedMessage, context: Context) -> None:
    print(f"{parked_message.title}, {parked_message.row.state} for {age_of(parked_message.age)}\n")
    for name, value in parked_message.facts().items():
        if value not in (None, [], ""):
            print(f"{name:>14}  {', '.join(value) if isinstance(value, list) else value}")
    body = body_of(parked_message)
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2)
    print(f"\nBody\n{text}")
    for title, others in (("Before it", context.before), ("Behind it", context.behind)):
        print(f"\n{title} in its stream: {len(others) or 'nothing'}")
        for other in others[:SHOWN]:
            print(
                f"  {parked_message.service} {other['number']} ({other['type']}), {other['state']}"
            )
    print(f"\nActions of operators: {len(context.actions) or 'none'}")
    for done in context.actions:
        why = f": {done['reason']}" if done["reason"] else ""
        print(f"  {done['at']} {done['who']} {done['action']} ({done['state']}){why}")
