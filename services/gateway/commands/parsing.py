"""The command parser: validates request bodies and turns them into commands.

A body is validated by the command's schema, without the fields of the path and the gateway.
Personal data is taken out here, so that no command contains it in clear text, and sealed by the
intake.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from marshmallow import ValidationError
from sqlalchemy import ColumnElement

from chassis.errors import Invalid, at
from chassis.ids import derived_id, new_id
from chassis.sealing import Seal
from contracts.catalogue import sealed_fields
from contracts.message import Command
from services.gateway.http.bodies import escaped
from services.gateway.http.request import IDENTIFIER, UNKNOWN, not_found, pointers, pointers_in
from services.gateway.identities import number_of
from services.gateway.person_keys import HIDDEN, Known, Personal, known_by_identity, reference_of
from services.gateway.resources.post import Post
from services.gateway.resources.view import Document, View

if TYPE_CHECKING:
    from rulebook.chapters.identities import Identities
    from services.gateway.access.scope import AccessScope  # scope imports every route

LONGEST_SEALED = 80
"""Longest name, phone or identity number in characters; the sealed form fits its column."""
NOT_SEALED = f"Must be 1 to {LONGEST_SEALED} characters, not all blank."


Look = Callable[[View, str, Sequence[ColumnElement[bool]]], Document | None]


class Understood(NamedTuple):
    """A parsed body: the command, the thing that it creates or changes, whether it creates it, and
    its personal data in clear text."""

    command: Command
    thing: str
    creates: bool
    personal: Personal | None


class CommandParser:
    """Parses bodies into commands."""

    def __init__(self, seal: Seal, look: Look, papers: Callable[[], Identities]) -> None:
        self.seal = seal
        self.look = look
        self.papers = papers

    def command(
        self, post: Post, body: dict[str, Any], path_id: str | None, access: AccessScope
    ) -> Understood:
        """Parse a body within a scope.

        Raises `Invalid` with a pointer for each invalid field, `NotFound` for an id that the caller
        cannot see, `Forbidden` for a command outside the caller's scope.
        """
        errors = [at(escaped(name), UNKNOWN) for name in sorted(post.supplied & body.keys())]
        data = {name: value for name, value in body.items() if name not in post.supplied}
        documents = self._documents(post, data, path_id, access)
        data["by"] = access.principal.signs(data.get("by"))
        access.judge(post.command, data, new=not documents)
        thing, creates = self._identities(post, data, path_id)
        for target, source in post.copies.items():
            if (value := self._copied(documents, source)) is not None:
                data[target] = value
        personal, wrong = self._take_out(post, data)
        errors += wrong
        try:
            command: Command = post.command.schema().load(data)
        except ValidationError as error:
            invalid = pointers(error.messages)
            own = [e for e in invalid if e["pointer"].removeprefix("#/") not in post.supplied]
            raise Invalid(errors=errors + own or invalid) from None
        if errors:
            raise Invalid(errors=errors)
        return Understood(command, thing, creates, personal)

    def _documents(
        self, post: Post, data: dict[str, Any], path_id: str | None, access: AccessScope
    ) -> list[Document]:
        """Return the documents of the things that the path and the body name, within the scope."""
        documents = []
        if post.of and path_id is not None:
            document = self.look(post.of, path_id, access.of(post.of))
            if document is None:
                raise not_found(path_id, f"the {post.of.name}")
            documents.append(document)
        wanted = dict(post.refers)
        if post.creates and post.adopts:
            wanted[post.creates.id_field] = post.creates
        for name, view in wanted.items():
            value = data.get(name)
            if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
                continue  # absent or invalid: the schema reports it
            document = self.look(view, value, access.of(view))
            if document is None:
                errors = [at(name, "is unknown")]
                raise not_found(value, f"the {view.name}", errors)
            documents.append(document)
        return documents

    @staticmethod
    def _identities(post: Post, data: dict[str, Any], path_id: str | None) -> tuple[str, bool]:
        """Add the ids that the gateway supplies; return the thing's, and whether it is new."""
        if post.of:
            data[post.of.id_field] = path_id
        if not post.creates:
            return path_id or "", False
        name = post.creates.id_field
        adopted = data.get(name) is not None
        if not adopted:
            data[name] = _derived(post, data) or new_id()
        return str(data[name]), not adopted

    @staticmethod
    def _copied(documents: list[Document], source: str) -> Any:
        return next((document[source] for document in documents if document.get(source)), None)

    def _take_out(
        self, post: Post, data: dict[str, Any]
    ) -> tuple[Personal | None, list[dict[str, str]]]:
        """Take personal data out and return it with its errors: the schema never sees it."""
        errors, clear = [], {}
        for name in sorted(sealed_fields(post.command.type) & data.keys()):
            value = data[name]
            if not isinstance(value, str):
                continue  # of a wrong type: the schema reports it
            data[name] = HIDDEN
            if can_be_sealed(value):
                clear[name] = value
            else:  # it is not validated further, however long it is
                errors.append(at(name, NOT_SEALED))
        if post.reference:
            known, wrong = self._known(post.reference.source, clear)
            data[post.reference.target], data[post.reference.earlier] = known
            errors += [error for error in wrong if error["pointer"] not in pointers_in(errors)]
            person = known.reference
        else:
            person = reference_of(self.seal, clear)
        return (Personal(person, clear) if clear else None), errors

    def _known(self, source: str, clear: Mapping[str, str]) -> tuple[Known, list[dict[str, str]]]:
        """Return the references of a paper's holder, and the error of an invalid number."""
        if source not in clear:
            return _NOBODY, []  # the schema reports it
        papers = self.papers()
        number = number_of(clear[source], papers)
        if number is None:
            return _NOBODY, [at(source, papers.accepted_papers)]
        return known_by_identity(self.seal, clear[source], number), []


_NOBODY = Known("-", [])
"""Placeholder in a rejected command."""


def can_be_sealed(text: str) -> bool:
    """Return whether a text can be sealed."""
    return bool(text.strip()) and len(text) <= LONGEST_SEALED


def _derived(post: Post, data: dict[str, Any]) -> str | None:
    """Return the id derived from the fields of a thing, or None if one is missing."""
    values = [data.get(name) for name in post.derives]
    if not values or not all(isinstance(value, str) and value for value in values):
        return None
    what = post.creates.id_field.removesuffix("_id") if post.creates else post.command.type
    return derived_id(what, json.dumps(values))
