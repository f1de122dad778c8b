"""`bihuan person`: shows which data of a person is stored, without its content, and destroys its
keys."""

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

app = typer.Typer(
    help="People: show their stored data, and destroy their keys.", no_args_is_help=True
)
app.command()(move)
Reference = Annotated[
    str | None, typer.Argument(help="The person's reference, as `show` prints it.")
]
ByIdentity = Annotated[
    bool, typer.Option("--identity", help="Read the identity number from standard input.")
]
ByPhone = Annotated[bool, typer.Option("--phone", help="Read the phone from standard input.")]
Of = Annotated[
    str | None, typer.Option(help="The person in a record: complaints/ID, medics/ID, claims/ID.")
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
    """Show the data stored about a person: keys, counts and ids."""
    settings = settings_of(data)
    with _erasing(settings) as erasing:
        persons = _persons(erasing, settings, reference, of, identity=identity, phone=phone)
        people = [erasing.kept(person) for person in persons]
    for kept in people:
        print(json.dumps(_as_json(kept)) if as_json else "\n".join(_lines(kept)))


@app.command()
def destroy(  # noqa: PLR0913, PLR0917  (each is a word of the command line)
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    reference: Reference = None,
    identity: ByIdentity = False,
    phone: ByPhone = False,
    of: Of = None,
    by: Annotated[
        str, typer.Option(help="Who does it, for the record.", show_default="the login")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    names: Annotated[
        int | None,
        typer.Option(min=0, help="Number of different names, to confirm several."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Destroy the keys of a person: the data they have sealed can never be read again, in any copy.

    The audit trail records it. The records themselves stay, without the person. If several
    different names share the keys, they may be different people who gave the same number: then the
    number of names must be confirmed, by --names or at the prompt.
    """
    settings = settings_of(data)
    who = by or getpass.getuser()
    if not reason.strip() or not 1 <= len(who) <= 64:
        raise UsageError("--reason must not be blank, and --by has 1 to 64 characters.")
    with _erasing(settings) as erasing:
        persons = _persons(erasing, settings, reference, of, identity=identity, phone=phone)
        if len(persons) > 1:
            raise UsageError(f"The record has several people: {', '.join(persons)}. Choose one.")
        kept = erasing.kept(persons[0])
        if not kept.in_use:
            raise UsageError(f"{kept.person} has no key to destroy.")
        print("\n".join(_lines(kept)))
        _ask(kept, names, yes=yes)
        clock = Clock(erasing.people.store, manual=settings.clock == "manual", wake=lambda: None)
        try:
            wiped = erasing.destroy(kept, who, reason, clock.now)
        except ClockNotSet as error:
            raise UsageError(str(error)) from None
    print(f"The key of {kept.person} is destroyed.")
    if not wiped:
        print("The database's journal is in use: the next checkpoint removes the key from it.")


def _ask(kept: Kept, names: int | None, *, yes: bool) -> None:
    """Ask for confirmation and, if there are several names, for their number.

    Raises `UsageError` if the number is wrong, or if there is no terminal to ask.
    """
    if names is not None and names != kept.names:
        raise UsageError(f"--names is {names}, but the key has {kept.names} different names.")
    if kept.names > 1 and names is None:
        if yes:
            raise UsageError(f"{_several(kept)} Use --names {kept.names} if all of them are meant.")
        print(_several(kept))
        if typer.prompt("How many names will be destroyed?", type=int) != kept.names:
            raise typer.Abort
    elif not yes:
        typer.confirm("Destroy the key? The data can never be read again.", abort=True)


def _several(kept: Kept) -> str:
    return f"The key has {kept.names} different names, which may be different people."


@contextmanager
def _erasing(settings: Settings) -> Iterator[Erasing]:
    seal = Seal.from_file(key_file(settings), create=False)
    with opened(settings, [Gateway.name]) as stores, answering(Gateway.name):
        try:
            yield Erasing(PersonKeys(stores[Gateway.name], seal))
        except CannotOpen as error:
            raise Misconfigured(f"Not everything can be decrypted: {error}.") from None


def _persons(
    erasing: Erasing,
    settings: Settings,
    reference: str | None,
    of: str | None,
    *,
    identity: bool,
    phone: bool,
) -> list[str]:
    """Return the references of the people meant; raises `UsageError`."""
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
    if owners := erasing.owners(references):
        return owners
    raise UsageError("No such person is known here.")


def _by_identity(seal: Seal, number: str, settings: Settings) -> list[str]:
    """Return the references for an identity number, including those from before its normal form."""
    book = Rulebook.load(Path(settings.rulebook) if settings.rulebook else None)
    references = known_by_identity(seal, number, number_of(number, book) or plain(number))
    return [references.reference, *references.earlier]


def _by_phone(seal: Seal, text: str) -> list[str]:
    """Return the references for a phone number; an invalid one may have been stored too."""
    number = phone_of(text)
    return [*([by_phone(seal, number)] if number else []), once_by_phone(seal, text)]


def _read(what: str) -> str:
    """Read a secret that must not appear in a shell history or a process list."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True))
    line = sys.stdin.readline().strip()
    if not line:
        raise UsageError(f"{what}: standard input is empty.")
    return line


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
