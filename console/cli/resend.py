"""`bihuan resend`: resends messages from a service's outbox to one other service."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import select

from chassis.messaging import replay
from chassis.runtime.green import pause
from chassis.service import OUTBOX, handlers_of
from chassis.storage.retention import let_go_until, remembered_since
from chassis.storage.store import Store
from chassis.storage.tables import outbox, resends
from console.admin.databases import KINDS, answering, opened, service_named, settings_of
from console.cli.parked import seconds_of
from console.exits import UsageError

STANDS_STILL = 10.0
"""Seconds without progress after which it reports that no process of the service may be running."""


def resend(
    sender: Annotated[str, typer.Option("--from", help="The service that resends.")],
    receiver: Annotated[str, typer.Option("--to", help="The receiving service.")],
    since: Annotated[
        str,
        typer.Option(help="A time such as 2026-11-20T08:00:00+08:00, or an age such as 2h, 3d."),
    ],
    handler: Annotated[
        str | None,
        typer.Option(help="Only for this handler, although the others have handled them."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until all of it is published.")
    ] = True,
) -> None:
    """Resend messages that a service has sent to another since a moment.

    The receiver drops those it has handled, by its inbox; a moment before the inbox begins is
    refused. With --handler they go only to that handler, which gets those that it has not handled
    itself."""
    settings = settings_of(data)
    names = [service_named(sender), service_named(receiver)]
    start = _moment_or_age(since)
    with opened(settings, dict.fromkeys(names)) as stores:
        store = stores[sender]
        with answering(sender):
            moment = _moment(start, store)
        with answering(receiver):
            _refuse_what_is_forgotten(stores[receiver], receiver, sender, moment)
        if handler is not None:
            _refuse_unknown(receiver, handler)
        with answering(sender):
            _refuse_what_is_gone(store, sender, moment)
            with store.write() as uow:
                number = replay.ask(uow, receiver, moment, handler=handler)
            store.dialect.notify(OUTBOX)
            print(f"{sender} resends its messages to {receiver} since {_iso(moment)}.")
            if wait:
                _watch(store, sender, number)


def _moment_or_age(text_: str) -> datetime | float:
    """Read a time with its offset, or an age in seconds; raises `UsageError`."""
    try:
        moment = datetime.fromisoformat(text_)
    except ValueError:
        return seconds_of(text_) or 0.0
    if moment.tzinfo is None:
        raise UsageError(f"--since {text_}: the offset from UTC is missing, such as +08:00.")
    return moment


def _moment(start: datetime | float, store: Store) -> float:
    """Return the moment, by the clock that has dated the sent messages."""
    return start.timestamp() if isinstance(start, datetime) else store.now() - start


def _refuse_what_is_forgotten(store: Store, receiver: str, sender: str, moment: float) -> None:
    """Refuse messages older than the receiver's inbox: it would park them, or handle them twice."""
    since = remembered_since(store, sender)
    if moment < since:
        raise UsageError(
            f"The inbox of {receiver} holds messages of {sender} only since {_iso(since)}: "
            "older ones might be handled twice."
        )


def _refuse_unknown(receiver: str, handler: str) -> None:
    names = {h.__name__ for handlers in handlers_of(KINDS[receiver]()).values() for h in handlers}
    if handler not in names:
        raise UsageError(
            f"{receiver} has no handler {handler!r}; it has {', '.join(sorted(names))}."
        )


def _refuse_what_is_gone(store: Store, sender: str, moment: float) -> None:
    """Refuse messages that the outbox no longer holds."""
    with store.engine.connect() as connection:
        oldest = connection.execute(
            select(outbox.c.seq, outbox.c.written_at).order_by(outbox.c.seq).limit(1)
        ).first()
        kept_since = let_go_until(connection)
    if oldest is not None and oldest.seq > 1:
        kept_since = max(kept_since, oldest.written_at)
    if moment < kept_since:
        raise UsageError(f"The outbox of {sender} holds messages only since {_iso(kept_since)}.")


def _watch(store: Store, sender: str, number: int) -> None:
    """Show the progress until all messages are published."""
    query = select(resends).where(resends.c.seq == number)
    moved, before = time.monotonic(), None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("resending", total=None)
        while True:
            with store.engine.connect() as connection:
                row: Any = connection.execute(query).one()
            bar.update(task, completed=row.cursor, total=row.last)
            if row.done_at is not None:
                break
            if row.cursor != before:
                moved, before = time.monotonic(), row.cursor
            elif time.monotonic() - moved > STANDS_STILL:
                print(f"No progress: {sender} and the bus must be running.")
                return
            pause(0.1)
    print(f"{row.sent} messages were resent.")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
