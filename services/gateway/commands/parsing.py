"""The edge: what a request must look like, and the command that it becomes.

Bodies are judged by the command's own schema, less what the path and the gateway supply. Personal
data is taken out here, so that no command holds it in clear, and sealed at the door.
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
    from services.gateway.access.scope import AccessScope  # which knows every route

LONGEST_SEALED = 80
"""Characters of a name, a phone or an identity number; sealed, they fit where they are stored."""
NOT_SEALED = f"Must be 1 to {LONGEST_SEALED} characters, not all blank."


Look = Callable[[View, str, Sequence[ColumnElement[bool]]], Document | None]


class Understood(NamedTuple):
    """A body as a command, the thing that it makes or changes, and whether it makes it; and what
    is personal in it, in clear."""

    command: Command
    thing: str
    creates: bool
    personal: Personal | None


class CommandParser:
    """Turns bodies into commands."""

    def __init__(self, seal: Seal, look: Look, papers: Callable[[], Identities]) -> None:
        self.seal = seal
        self.look = look
        self.papers = papers

    def command(
        self, post: Post, body: dict[str, Any], path_id: str | None, access: AccessScope
    ) -> Understood:
        """Understand a body, as one who sees so much.

        Raises `Invalid` with a pointer for each field that is wrong, `NotFound` for an id
        that names nothing that the caller sees, `Forbidden` for what it may not ask for.
        """
        errors = [at(escaped(name), UNKNOWN) for name in sorted(post.supplied & body.keys())]
        data = {name: value for name, value in body.items() if name not in post.supplied}
        found = self._documents(post, data, path_id, access)
        data["by"] = access.principal.signs(data.get("by"))
        access.judge(post.command, data, new=not found)
        thing, creates = self._identities(post, data, path_id)
        for target, source in post.copies.items():
            if (value := self._copied(found, source)) is not None:
                data[target] = value
        personal, wrong = self._take_out(post, data)
        errors += wrong
        try:
            command: Command = post.command.schema().load(data)
        except ValidationError as error:
            said = pointers(error.messages)
            own = [e for e in said if e["pointer"].removeprefix("#/") not in post.supplied]
            raise Invalid(errors=errors + own or said) from None
        if errors:
            raise Invalid(errors=errors)
        return Understood(command, thing, creates, personal)

    def _documents(
        self, post: Post, data: dict[str, Any], path_id: str | None, access: AccessScope
    ) -> list[Document]:
        """Find the things that the path and the body name, among what the caller sees."""
        found = []
        if post.of and path_id is not None:
            document = self.look(post.of, path_id, access.of(post.of))
            if document is None:
                raise not_found(path_id, f"the {post.of.name}")
            found.append(document)
        wanted = dict(post.refers)
        if post.creates and post.adopts:
            wanted[post.creates.id_field] = post.creates
        for name, view in wanted.items():
            value = data.get(name)
            if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
                continue  # absent, or no identifier: the schema says so
            document = self.look(view, value, access.of(view))
            if document is None:
                errors = [at(name, "names nothing that is known")]
                raise not_found(value, f"the {view.name}", errors)
            found.append(document)
        return found

    @staticmethod
    def _identities(post: Post, data: dict[str, Any], path_id: str | None) -> tuple[str, bool]:
        """Fill in the ids that the gateway supplies; give the thing's, and whether it is new."""
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
    def _copied(found: list[Document], source: str) -> Any:
        return next((document[source] for document in found if document.get(source)), None)

    def _take_out(
        self, post: Post, data: dict[str, Any]
    ) -> tuple[Personal | None, list[dict[str, str]]]:
        """Take personal data out, and say which of it is not acceptable: no schema sees it."""
        errors, clear = [], {}
        for name in sorted(sealed_fields(post.command.type) & data.keys()):
            value = data[name]
            if not isinstance(value, str):
                continue  # of a wrong type: the schema says so
            data[name] = HIDDEN
            if can_be_sealed(value):
                clear[name] = value
            else:  # and nobody looks at it any more, however long it is
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
        """Tell who shows a paper, and whether it is one."""
        if source not in clear:
            return _NOBODY, []  # the schema says so
        papers = self.papers()
        number = number_of(clear[source], papers)
        if number is None:
            return _NOBODY, [at(source, papers.accepted_papers)]
        return known_by_identity(self.seal, clear[source], number), []


_NOBODY = Known("-", [])
"""Stands in a command that is refused."""


def can_be_sealed(text: str) -> bool:
    """Tell whether a text is one that stands for a person."""
    return bool(text.strip()) and len(text) <= LONGEST_SEALED


def _derived(post: Post, data: dict[str, Any]) -> str | None:
    """Make the id of what is known elsewhere by its fields, where all of them are given."""
    given = [data.get(name) for name in post.derives]
    if not given or not all(isinstance(value, str) and value for value in given):
        return None
    what = post.creates.id_field.removesuffix("_id") if post.creates else post.command.type
    return derived_id(what, json.dumps(given))
