"""`bihuan audit`: checks that the gateway's event log and audit trail are unchanged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import Row, Select, select

from chassis.storage.store import Store
from console.admin.databases import answering, opened, settings_of
from console.exits import UsageError
from services.gateway.event_log.chain import CHAINS, Break, HashChain, Head
from services.gateway.service import Gateway
from services.gateway.tables import audit

app = typer.Typer(no_args_is_help=True, help="Verify the event log and the audit trail.")
DataOption = Annotated[
    Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
]


@app.command()
def head(data: DataOption = None) -> None:
    """Print the head of each hash chain, to be kept elsewhere for `verify --head`."""
    with opened(settings_of(data), [Gateway.name]) as stores, answering(Gateway.name):
        for chain in CHAINS.values():
            print(chain.head(stores[Gateway.name]))


@app.command()
def verify(
    heads: Annotated[
        list[str] | None,
        typer.Option("--head", help="A head kept from before, as `head` printed it."),
    ] = None,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify both hash chains from their beginning, and report the first break: an event or an
    audit entry that was changed, deleted, added or moved. Exits with 1 then."""
    anchors = {anchor.chain: anchor for anchor in map(_parse, heads or [])}
    results: list[tuple[Head, Break | None]] = []
    with opened(settings_of(data), [Gateway.name]) as stores, answering(Gateway.name):
        for name, chain in CHAINS.items():
            results.append(_follow(stores[Gateway.name], chain, anchors.get(name)))
    breaks = [broken for _, broken in results if broken]
    if as_json:
        print(json.dumps([_as_json(end, broken) for end, broken in results]))
    for end, broken in results if not as_json else ():
        if broken:
            print(f"{end.chain}: entry {broken.position:,} {broken.how}.")
        else:
            print(f"{end.chain}: {end.position:,} entries, unbroken; its head is {end}")
    if breaks:
        raise typer.Exit(1)


@app.command("list")
def list_(
    who: Annotated[str | None, typer.Option(help="Only actions of this caller.")] = None,
    what: Annotated[
        str | None, typer.Option(help="Only commands of this type: open-complaint, …")
    ] = None,
    about: Annotated[
        str | None, typer.Option(help="Only actions on the thing with this id.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="Maximum number of entries.")] = 50,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one entry a line.")] = False,
) -> None:
    """Print the latest audit entries, oldest first: who did what, and when."""
    sought = {"who": who, "what": what, "about": about}
    wanted = [audit.c[name] == value for name, value in sought.items() if value is not None]
    query = select(audit).where(*wanted).order_by(audit.c.position.desc()).limit(last)
    with opened(settings_of(data), [Gateway.name]) as stores, answering(Gateway.name):
        rows = _read(stores[Gateway.name], query)
    for row in rows:
        entry = {**row._asdict(), "content": json.loads(row.content)}
        if as_json:
            print(json.dumps(entry, ensure_ascii=False))
        else:
            content = json.dumps(entry["content"], ensure_ascii=False)
            print(f"{row.position}  {row.at}  {row.who}  {row.what}  {row.about}  {content}")


def _read(store: Store, query: Select[Any]) -> Sequence[Row[Any]]:
    with store.engine.connect() as connection:
        return connection.execute(query).all()[::-1]


def _follow(store: Store, chain: HashChain, anchor: Head | None) -> tuple[Head, Break | None]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(chain.name, total=chain.head(store).position)
        return chain.verify(store, anchor, lambda done: bar.update(task, completed=done))


def _parse(text: str) -> Head:
    try:
        return Head.parse(text)
    except ValueError:
        raise UsageError(f"--head: {text!r} is not what `bihuan audit head` prints.") from None


def _as_json(end: Head, broken: Break | None) -> dict[str, object]:
    result: dict[str, object] = {"chain": end.chain, "entries": end.position, "digest": end.digest}
    return result | {"broken": {"position": broken.position, "how": broken.how} if broken else None}
