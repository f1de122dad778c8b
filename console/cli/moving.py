"""`bihuan person move`: files people under the normal form of their identity numbers."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from chassis.runtime.green import pause
from chassis.sealing import CannotOpen, Seal
from chassis.service import OUTBOX
from chassis.settings import Misconfigured, Settings
from chassis.storage.store import Store
from console.admin.databases import answering, opened, settings_of
from console.exits import UsageError
from rulebook import Rulebook
from services.gateway.commands.clock import Clock, ClockNotSet
from services.gateway.person_keys import PersonKeys, key_file
from services.gateway.privacy.moving import Moving
from services.gateway.privacy.survey import Found, Survey
from services.gateway.service import Gateway

STANDS_STILL = 10.0
"""Seconds without a response after which it reports that insurance may not be running."""


def move(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; exit with 1 if a record would move.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who does it.", show_default="the login")] = "",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
    ] = None,
) -> None:
    """Refile all people under the normal form of their identity number, so that each person has one
    file for any spelling; the district may run.

    It can be interrupted and run again. It lists the ids that could not be merged, and the exit
    code is 1 as long as some remain.
    """
    settings = settings_of(data)
    who = by or getpass.getuser()
    if not 1 <= len(who) <= 64:
        raise UsageError("--by must have 1 to 64 characters.")
    seal = Seal.from_file(key_file(settings), create=False)
    with opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        store = stores[Gateway.name]
        clock = Clock(store, manual=settings.clock == "manual", wake=lambda: None)
        try:
            found = _look(store, seal, _rules(settings).on(clock.today()))
            open_ends = _print_plan(found) if dry_run else _moved(store, seal, found, who, clock)
        except ClockNotSet as error:
            raise UsageError(str(error)) from None
    if open_ends:
        raise typer.Exit(1)


def _rules(settings: Settings) -> Rulebook:
    return Rulebook.load(Path(settings.rulebook) if settings.rulebook else None)


def _look(store: Store, seal: Seal, papers: Rulebook) -> Found:
    survey = Survey(PersonKeys(store, seal), papers)
    with _progress() as bar:
        task = bar.add_task("looking", total=survey.size())
        try:
            return survey.run(lambda done: bar.advance(task, done))
        except CannotOpen as error:
            raise Misconfigured(f"Not everything can be decrypted: {error}.") from None


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


# -- dry run


def _print_plan(found: Found) -> bool:
    """Print what would move; return whether anything would, or cannot."""
    print(f"keys of people: {len(found.keys):,} would move, to {_people(found)}")
    print(f"medics: {len(found.medics):,} would move")
    for first, *others in found.twins:
        for other in others:
            print(f"  medics/{other} is the same person as medics/{first}: withdraw one of them")
    _print_rest(found)
    return bool(found.keys or found.medics or found.twins or found.unread)


def _people(found: Found) -> str:
    people = len({*found.keys.values()})
    return f"{people:,} {'person' if people == 1 else 'people'}"


def _print_rest(found: Found) -> None:
    for thing in found.unknown:
        print(f"  {thing} has an invalid identity number: withdraw it, and enrol again")
    for thing in found.unread:
        print(f"  {thing} cannot be decrypted: the ciphertext has been changed")
    if found.strangers:
        print(f"strangers: {len(found.strangers):,} that are several people, or may be, and stay")
        for person in found.strangers:
            print(f"  {person}: `bihuan person show {person}` counts the names")
    if found.destroyed:
        print(f"destroyed: {found.destroyed:,} numbers cannot be read any more, and stay")


# -- move


def _moved(store: Store, seal: Seal, found: Found, who: str, clock: Clock) -> bool:
    """Move and print everything that can be moved; return whether something is left to do."""
    moving = Moving(store, seal)
    moving.join(found.keys)
    print(f"keys of people: {len(found.keys):,} moved, to {_people(found)}")
    for person, keys in found.joined.items():
        print(f"  {person} has {keys} keys now, which are destroyed together")
    commands = moving.reidentify(found.medics, who, clock.now)
    if commands:
        store.dialect.notify(OUTBOX)
    pending = _wait(moving, [*commands])
    refused = dict(moving.refused(commands))
    done = len(commands) - len(refused) - pending
    print(f"medics: {done:,} moved, {len(refused):,} could not be moved, {pending:,} pending")
    for line in _reasons(refused):
        print(line)
    if pending:
        print("No progress: insurance must be running. Run the command again to see the result.")
    _print_rest(found)
    return bool(refused or pending or found.unread)


def _wait(moving: Moving, commands: list[str]) -> int:
    """Wait for the responses of insurance; return how many are missing when no more come."""
    left, since = len(commands), time.monotonic()
    with _progress() as bar:
        task = bar.add_task("medics", total=left)
        while left and time.monotonic() - since < STANDS_STILL:
            pause(0.1)
            if (now := moving.pending(commands)) != left:
                bar.advance(task, left - now)
                left, since = now, time.monotonic()
    return left


def _reasons(refused: dict[str, dict[str, Any]]) -> Iterator[str]:
    for medic, problem in sorted(refused.items()):
        if other := problem.get("medic_id"):
            why = f"is the same person as medics/{other}: withdraw one of them"
        elif claim := problem.get("claim_id"):
            why = f"is the same person as that of claims/{claim}, and has a claim beside it"
        else:
            why = str(problem.get("detail", "was refused"))
        yield f"  medics/{medic} {why}"
