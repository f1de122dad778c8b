"""`bihuan person`: what is kept about one person, never in clear; and how it is made unreadable."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chassis.sealing import Seal
from chassis.settings import Settings
from console.databases import answering, opened, settings_of
from console.ends import Mistaken
from services.gateway.clock import Clock, ClockNotSet
from services.gateway.erasing import Erasing, Kept
from services.gateway.people import People, by_identity, by_phone, key_file
from services.gateway.records import moment_of
from services.gateway.service import Gateway

app = typer.Typer(help="People: what is kept of them, and its end.", no_args_is_help=True)
Reference = Annotated[
    str | None, typer.Argument(help="The person's reference, as `show` prints it.")
]
ByIdentity = Annotated[
    bool, typer.Option("--identity", help="Read the identity number from standard input.")
]
ByPhone = Annotated[bool, typer.Option("--phone", help="Read the phone from standard input.")]
Of = Annotated[
    str | None, typer.Option(help="Whom a thing tells of: complaints/ID, medics/ID, claims/ID.")
]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")
]


@app.command()
def show(
    reference: Reference = None,
    identity: ByIdentity = False,
    phone: ByPhone = False,
    of: Of = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, a person a line.")] = False,
    data: DataOption = None,
) -> None:
    """Show what is kept about a person: keys, counts and ids."""
    settings = settings_of(data)
    with _erasing(settings) as erasing:
        persons = _persons(erasing, reference, of, identity=identity, phone=phone)
        found = [erasing.kept(person) for person in persons]
    for kept in found:
        print(json.dumps(_as_json(kept)) if as_json else "\n".join(_lines(kept)))


@app.command()
def destroy(
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit.")],
    reference: Reference = None,
    identity: ByIdentity = False,
    phone: ByPhone = False,
    of: Of = None,
    by: Annotated[str, typer.Option(help="Who says so.", show_default="the login")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
) -> None:
    """Destroy the key of a person: what it has sealed can never be read again, wherever it is.

    That stands in the audit. The things themselves stay, without whom they tell of.
    """
    settings = settings_of(data)
    who = by or getpass.getuser()
    if not reason.strip() or not 1 <= len(who) <= 64:
        raise Mistaken("--reason must not be blank, and --by has 1 to 64 characters.")
    with _erasing(settings) as erasing:
        persons = _persons(erasing, reference, of, identity=identity, phone=phone)
        if len(persons) > 1:
            raise Mistaken(f"That tells of several people: {', '.join(persons)}. Name one.")
        kept = erasing.kept(persons[0])
        if not kept.in_use:
            raise Mistaken(f"There is no key of {kept.person} that could be destroyed.")
        print("\n".join(_lines(kept)))
        if not yes:
            typer.confirm("Destroy the key? Nobody can read any of it then.", abort=True)
        clock = Clock(erasing.people.store, manual=settings.clock == "manual", wake=lambda: None)
        try:
            wiped = erasing.destroy(kept, who, reason, clock.now)
        except ClockNotSet as error:
            raise Mistaken(str(error)) from None
    print(f"The key of {kept.person} is destroyed.")
    if not wiped:
        print("The database's journal is in use: the key leaves it with the next checkpoint.")


@contextmanager
def _erasing(settings: Settings) -> Iterator[Erasing]:
    seal = Seal.from_file(key_file(settings), create=False)
    with opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        yield Erasing(People(stores[Gateway.name], seal))


def _persons(
    erasing: Erasing, reference: str | None, of: str | None, *, identity: bool, phone: bool
) -> list[str]:
    """Find who is meant; raises `Mistaken`."""
    if sum((reference is not None, of is not None, identity, phone)) != 1:
        raise Mistaken("Name the person in one way: a reference, --identity, --phone or --of.")
    seal = erasing.people.seal
    if identity or phone:
        said = _read("Identity number" if identity else "Phone")
        persons = [(by_identity if identity else by_phone)(seal, said)]
    elif of is not None:
        persons = erasing.persons_of(of)
    else:
        persons = [reference or ""]
    if known := [person for person in persons if erasing.knows(person)]:
        return known
    raise Mistaken("Nobody of that name is known here.")


def _read(what: str) -> str:
    """Read what must stand in no history of a shell, nor in a list of processes."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True))
    said = sys.stdin.readline().strip()
    if not said:
        raise Mistaken(f"{what}: nothing came from standard input.")
    return said


def _lines(kept: Kept) -> Iterator[str]:
    yield f"person {kept.person}"
    for key in kept.keys:
        ended = f", destroyed {moment_of(key.destroyed_at)} by {key.destroyed_by}"
        yield f"  key {key.id} of {moment_of(key.created_at)}{ended if key.destroyed_at else ''}"
    for name, ids in kept.things.items():
        yield f"  {name}: {len(ids):,}"
        yield from (f"    {identity}" for identity in ids)


def _as_json(kept: Kept) -> dict[str, object]:
    keys = [
        {
            "id": key.id,
            "created_at": moment_of(key.created_at),
            "destroyed_at": moment_of(key.destroyed_at),
            "destroyed_by": key.destroyed_by,
        }
        for key in kept.keys
    ]
    return {"person": kept.person, "keys": keys, "kept": kept.things}
