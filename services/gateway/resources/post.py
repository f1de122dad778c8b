"""Declarations of command endpoints and of endpoints that disclose personal data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from contracts.catalogue import sealed_fields
from contracts.message import Command, Event
from services.gateway.resources.roles import Roles
from services.gateway.resources.view import View

TODAY = "2020-02-10"
"""The day of the examples, which tests execute; the ids in them are made up."""
ENTERPRISE_ID = "0170ad1c-9d40-7c3e-8f21-5b8e4d1a6c02"
POLICY_ID = "0170ad1c-9d3f-7a11-b0c4-2f6d9e8a7b01"
COMPLAINT_ID = "0170ad1c-9d3e-7d02-9a37-81c5e6b4f903"


class Reference(NamedTuple):
    """How a command refers to a person: two fields filled from a field with the person's number.

    The first gets the person's reference, the second the references under which earlier versions
    may know the person.
    """

    target: str
    earlier: str
    source: str


@dataclass(frozen=True)
class Post:
    """A command endpoint, with its roles and an example of a body.

    `creates` names the read model of the new thing, whose id the gateway assigns; `of` that of the
    thing in the path; `refers` the fields of the body that must name an existing thing. `adopts`:
    the body may name an existing thing instead of creating one. `copies` takes fields of the
    command from the documents found. `reference` fills fields with the keyed hash of another.
    `derives` names fields that determine the created id if all are given: equal fields mean one id,
    and so one partition key.
    """

    path: str
    command: type[Command]
    roles: Roles = field(kw_only=True)
    example: Mapping[str, Any] = field(kw_only=True)
    creates: View | None = None
    of: View | None = None
    refers: Mapping[str, View] = field(default_factory=dict)
    adopts: bool = False
    copies: Mapping[str, str] = field(default_factory=dict)
    reference: Reference | None = None
    derives: tuple[str, ...] = ()
    takes_batches: bool = False

    @property
    def batch_path(self) -> str:
        """The path of the batch endpoint."""
        return f"{self.path}/batch"

    @property
    def supplied(self) -> set[str]:
        """The fields that the gateway supplies and a body must not contain."""
        names = {self.creates.id_field} if self.creates and not self.adopts else set()
        if self.of:
            names.add(self.of.id_field)
        if self.reference:
            names |= {self.reference.target, self.reference.earlier}
        return names | (set() if self.adopts else set(self.copies))


@dataclass(frozen=True)
class Sheet:
    """An endpoint that accepts a sheet for the thing in its path, with an example of its rows."""

    path: str
    command: type[Command]
    of: View
    roles: Roles
    example: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Disclosure:
    """An endpoint that discloses the persons known of a thing: their events, and the events' key.

    `example` is the disclosed data of one person.
    """

    view: View
    told_by: tuple[type[Event], ...]
    key: str
    roles: Roles
    example: Mapping[str, str]

    @property
    def path(self) -> str:
        """The path of the endpoint."""
        return f"{self.view.path}/<id>/openings"

    @property
    def shown(self) -> list[str]:
        """The fields to open."""
        return sorted({*(name for kind in self.told_by for name in sealed_fields(kind.type))})
