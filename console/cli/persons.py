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

from chassis.sealing import CannotOpen, Seal
from chassis.settings import Misconfigured, Settings
from console.admin.databases import answering, opened, settings_of
from console.cli.moving import move
from console.exits import UsageError
from contracts.shapes import moment_of
from rulebook import Rulebook
from services.gateway.commands.clock import Clock, ClockNotSet
from services.gateway.identities import number_of, phone_of, plain
from services.gateway.person_keys import (
    PersonKeys,
    by_phone,
    key_file,
    known_by_identity,
    once_by_phone,
)
from services.gateway.privacy.erasure import Erasing, Kept
from services.gateway.service import Gateway

app = typer.Typer(help="People: what is kept of them, and its end.", no_args_is_help=True)
app.command()(move)
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
        persons = _persons(erasing, settings, reference, of, identity=identity, phone=phone)
        found = [erasing.kept(person) for person in persons]
    for kept in found:
        print(json.dumps(_as_json(kept)) if as_json else "\n".join(_lines(kept)))


@app.command()
def destroy(  # noqa: PLR0913, PLR0917  (each is a word of the command line)
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit.")],
    reference: Reference = None,
    identity: ByIdentity = False,
    phone: ByPhone = False,
    of: Of = None,
    by: Annotated[str, typer.Option(help="Who says so.", show_default="the login")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    names: Annotated[
        int | None,
        typer.Option(min=0, help="How many different names it is to be: needed for several."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Destroy the keys of a person: what they have sealed can never be read again, wherever it is.

    That stands in the audit. The things themselves stay, without whom they tell of. Where several
    different names hang on them, these may be strangers, who gave the same: then their number has
    to be given, by --names or when it is asked for.
    """
    settings = settings_of(data)
    who = by or getpass.getuser()
    if not reason.strip() or not 1 <= len(who) <= 64:
        raise UsageError("--reason must not be blank, and --by has 1 to 64 characters.")
    with _erasing(settings) as erasing:
        persons = _persons(erasing, settings, reference, of, identity=identity, phone=phone)
        if len(persons) > 1:
            raise UsageError(f"That tells of several people: {', '.join(persons)}. Name one.")
        kept = erasing.kept(persons[0])
        if not kept.in_use:
            raise UsageError(f"There is no key of {kept.person} that could be destroyed.")
        print("\n".join(_lines(kept)))
        _ask(kept, names, yes=yes)
        clock = Clock(erasing.people.store, manual=settings.clock == "manual", wake=lambda: None)
        try:
            wiped = erasing.destroy(kept, who, reason, clock.now)
        except ClockNotSet as error:
            raise UsageError(str(error)) from None
    print(f"The key of {kept.person} is destroyed.")
    if not wiped:
        print("The database's journal is in use: the key leaves it with the next checkpoint.")


def _ask(kept: Kept, names: int | None, *, yes: bool) -> None:
    """Ask whether it is meant, and how many names it is to be, where there are several.

    Raises `UsageError` where they are not so many, and where nobody is to be asked who must be.
    """
    if names is not None and names != kept.names:
        raise UsageError(f"--names says {names}, and {kept.names} different names hang on the key.")
    if kept.names > 1 and names is None:
        if yes:
            raise UsageError(f"{_several(kept)} Say --names {kept.names} if all of them are meant.")
        print(_several(kept))
        if typer.prompt("How many names are to be lost?", type=int) != kept.names:
            raise typer.Abort
    elif not yes:
        typer.confirm("Destroy the key? Nobody can read any of it then.", abort=True)


def _several(kept: Kept) -> str:
    return f"{kept.names} different names hang on the key: they may be as many people."


@contextmanager
def _erasing(settings: Settings) -> Iterator[Erasing]:
    seal = Seal.from_file(key_file(settings), create=False)
    with opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        try:
            yield Erasing(PersonKeys(stores[Gateway.name], seal))
        except CannotOpen as error:
            raise Misconfigured(f"Not everything can be opened: {error}.") from None


def _persons(
    erasing: Erasing,
    settings: Settings,
    reference: str | None,
    of: str | None,
    *,
    identity: bool,
    phone: bool,
) -> list[str]:
    """Find who is meant; raises `UsageError`."""
    if sum((reference is not None, of is not None, identity, phone)) != 1:
        raise UsageError("Name the person in one way: a reference, --identity, --phone or --of.")
    seal = erasing.people.seal
    if identity:
        references = _by_identity(seal, _read("Identity number"), settings)
    elif phone:
        references = _by_phone(seal, _read("Phone"))
    elif of is not None:
        references = erasing.persons_of(of)
    else:
        references = [reference or ""]
    if not (identity or phone) and all(map(erasing.knows, references)) and references:
        return references
    if known := erasing.owners(references):
        return known
    raise UsageError("Nobody of that name is known here.")


def _by_identity(seal: Seal, said: str, settings: Settings) -> list[str]:
    """Give the references of whoever has a number, and those of before there was a normal form."""
    book = Rulebook.load(Path(settings.rulebook) if settings.rulebook else None)
    known = known_by_identity(seal, said, number_of(said, book) or plain(said))
    return [known.reference, *known.earlier]


def _by_phone(seal: Seal, said: str) -> list[str]:
    """Give the same of a phone; what is none may have been taken for one."""
    number = phone_of(said)
    return [*([by_phone(seal, number)] if number else []), once_by_phone(seal, said)]


def _read(what: str) -> str:
    """Read what must stand in no history of a shell, nor in a list of processes."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True))
    said = sys.stdin.readline().strip()
    if not said:
        raise UsageError(f"{what}: nothing came from standard input.")
    return said


def _lines(kept: Kept) -> Iterator[str]:
    yield f"person {kept.person}"
    for key in kept.keys:
        ended = f", destroyed {moment_of(key.destroyed_at)} by {key.destroyed_by}"
        yield f"  key {key.id} of {moment_of(key.created_at)}{ended if key.destroyed_at else ''}"
    yield f"  different names: {kept.names:,}"
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
    return {"person": kept.person, "keys": keys, "names": kept.names, "kept": kept.things}
