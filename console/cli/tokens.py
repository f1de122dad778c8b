"""`bihuan token`: issues tokens with the key of the district's own issuer."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from chassis.settings import Settings
from console.admin.databases import settings_of
from console.admin.tokens import A_DAY, issuer_of, token_of_all
from console.exits import UsageError
from rulebook import Rulebook
from services.gateway.access.callers import Caller
from services.gateway.access.tokens import Issuer
from services.gateway.resources.roles import Role, ScopeLevel

LONGEST = 24.0 * 366

Roles = Annotated[list[str] | None, typer.Option("--role", help="A role; repeatable.")]
Grids = Annotated[
    list[str] | None,
    typer.Option("--grid", help="A grid node, with all nodes below it; repeatable."),
]
Enterprises = Annotated[
    list[str] | None,
    typer.Option("--enterprise", help="An id, credit code or registration number; repeatable."),
]
SpeaksForOthers = Annotated[
    bool, typer.Option("--speaks-for-others", help="May name the acting person in `by`.")
]
Data = Annotated[Path | None, typer.Option(help="Folder of the data.", show_default="bihuan-data")]


def token(
    role: Roles = None,
    grid: Grids = None,
    enterprise: Enterprises = None,
    subject: Annotated[
        str | None,
        typer.Option("--as", help="The subject of the token.", show_default="login name"),
    ] = None,
    speaks_for_others: SpeaksForOthers = False,
    hours: Annotated[float, typer.Option(help="Lifetime of the token in hours.")] = A_DAY,
    data: Data = None,
) -> None:
    """Print a bearer token for the gateway."""
    if not 0 < hours <= LONGEST:
        raise UsageError(f"--hours must be greater than 0 and at most {LONGEST:.0f}.")
    settings = settings_of(data)
    caller = caller_of(settings, subject or getpass.getuser(), role or [], grid, enterprise,
                       speaks_for_others=speaks_for_others)  # fmt: skip
    print(issuer_of(settings).issue(caller, hours * 3600))


def caller_of(
    settings: Settings,
    subject: str,
    roles: list[str],
    grids: list[str] | None,
    enterprises: list[str] | None,
    *,
    speaks_for_others: bool,
) -> Caller:
    """Return the caller with these roles and scopes; raises `UsageError`."""
    by_name = {role.value: role for role in Role}
    if unknown := [name for name in roles if name not in by_name]:
        raise UsageError(f"Unknown role {unknown[0]}. Roles: {', '.join(by_name)}.")
    if not roles:
        raise UsageError(f"--role is missing: one or more of {', '.join(by_name)}.")
    granted = {by_name[name] for name in roles}
    book = Rulebook.load(Path(settings.rulebook) if settings.rulebook else None)
    for code in grids or ():
        if code != book.district.code and code not in book.grids:
            raise UsageError(f"Unknown grid {code} in {book.district.point.words.en}.")
    level = {role.level for role in granted}
    if ScopeLevel.GRID in level and not grids:
        raise UsageError(f"--grid is missing: {book.district.code} is the whole district.")
    if ScopeLevel.OWN in level and not enterprises:
        raise UsageError("--enterprise is missing: the enterprise that the token is for.")
    if not 1 <= len(subject) <= 64 or subject.isspace():
        raise UsageError("A name must have 1 to 64 characters.")
    return Caller(
        subject,
        frozenset(granted),
        frozenset(grids or ()),
        frozenset(enterprises or ()),
        speaks_for_others,
    )


def show_tokens(issuer: Issuer) -> None:
    """Print a token for each role of a demo, as lines for a shell."""
    book = Rulebook.load()
    print("# every request needs a bearer token; TOKEN has all roles:")
    print(f"export TOKEN={token_of_all(issuer)}")
    for role in Role:
        if role.level is ScopeLevel.OWN:
            continue  # it needs an enterprise: bihuan token
        grids = (
            frozenset({book.district.code}) if role.level is ScopeLevel.GRID else frozenset[str]()
        )
        name = role.upper().replace("-", "_")
        print(f"export {name}={issuer.issue(Caller(role, frozenset({role}), grids), A_DAY * 3600)}")
