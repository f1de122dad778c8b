"""Declarations of the endpoints that take commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.catalogue import sealed_fields
from contracts.message import Command, Event
from services.gateway.resources.view import View


class Reference(NamedTuple):
    """How a command says of whom it is: two fields that are filled from another, whose paper it is.

    The one gets the person's reference, the other those by which the person may be known from
    before.
    """

    target: str
    earlier: str
    source: str


@dataclass(frozen=True)
class Post:
    """A route that takes a command in.

    `creates` names the field whose id the gateway assigns; `of` the view and field of the thing in
    the path; `refers` the fields of the body that must name an existing thing. `adopts`: the body
    may name an existing thing in the created field instead. `copies` takes fields of the command
    from the documents found. `reference` fills fields with the keyed hash of another. `derives`
    names fields from which the created id follows where the body gives them all: what has them
    alike has one identity, and so one partition key.
    """

    path: str
    command: type[Command]
    creates: tuple[str, View] | None = None
    of: tuple[str, View] | None = None
    refers: Mapping[str, View] = field(default_factory=dict)
    adopts: bool = False
    copies: Mapping[str, str] = field(default_factory=dict)
    reference: Reference | None = None
    derives: tuple[str, ...] = ()
    takes_batches: bool = False

    @property
    def supplied(self) -> set[str]:
        """The fields that a body may not hold, since the gateway supplies them."""
        names = {self.creates[0]} if self.creates and not self.adopts else set()
        if self.of:
            names.add(self.of[0])
        if self.reference:
            names |= {self.reference.target, self.reference.earlier}
        return names | (set() if self.adopts else set(self.copies))


@dataclass(frozen=True)
class Sheet:
    """A route that takes a sheet for the thing in its path."""

    path: str
    command: type[Command]
    of: View


@dataclass(frozen=True)
class Opening:
    """A kind of thing of which people are known: by which events, and under which key of them."""

    view: View
    told_by: tuple[type[Event], ...]
    key: str

    @property
    def path(self) -> str:
        """The path of the route."""
        return f"/v1/{self.view.name}/<id>/openings"

    @property
    def shown(self) -> list[str]:
        """The fields that are opened."""
        return sorted({*(name for kind in self.told_by for name in sealed_fields(kind.type))})
