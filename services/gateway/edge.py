"""The edge: what a request must look like, and the command that it becomes.

Bodies are judged by the command's own schema, less what the path and the gateway supply. Personal
data is sealed here, before anything is stored or sent.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError

from chassis.errors import Invalid, NotFound, Rejected, at
from chassis.ids import new_id
from chassis.sealing import Seal
from contracts.message import Command
from services.gateway.views import Document, View


class UnknownThing(NotFound):
    """There is no such thing."""


class BadRequest(Invalid):
    """Some of what was given is not acceptable."""


class KeyMissing(Rejected):
    """Every POST needs an Idempotency-Key of 1 to 200 characters, so that it may be repeated."""

    status = 400


Look = Callable[[View, str], Document | None]


@dataclass(frozen=True)
class Post:
    """A route that takes a command in.

    `creates` names the field whose id the gateway assigns; `of` the view and field of the thing in
    the path; `refers` the fields of the body that must name an existing thing. `adopts`: the body
    may name an existing thing in the created field instead. `copies` takes fields of the command
    from the documents found. `reference` fills a field with the keyed hash of another.
    """

    path: str
    command: type[Command]
    creates: tuple[str, View] | None = None
    of: tuple[str, View] | None = None
    refers: Mapping[str, View] = field(default_factory=dict)
    adopts: bool = False
    copies: Mapping[str, str] = field(default_factory=dict)
    reference: tuple[str, str] | None = None

    @property
    def supplied(self) -> set[str]:
        """The fields that a body may not hold, since the gateway supplies them."""
        names = {self.creates[0]} if self.creates and not self.adopts else set()
        if self.of:
            names.add(self.of[0])
        if self.reference:
            names.add(self.reference[0])
        return names | (set() if self.adopts else set(self.copies))


class Edge:
    """Turns bodies into commands."""

    def __init__(self, seal: Seal, look: Look) -> None:
        self.seal = seal
        self._look = look

    def command(self, post: Post, body: dict[str, Any], path_id: str | None) -> tuple[Command, str]:
        """Give the command and the id of the thing that it creates or changes.

        Raises `BadRequest` with a pointer for each field that is wrong, `UnknownThing` for an id
        that names nothing.
        """
        given = {name: value for name, value in body.items() if value is not None}
        errors = [at(name, "Unknown field.") for name in sorted(post.supplied & given.keys())]
        data = {name: value for name, value in given.items() if name not in post.supplied}
        found = self._documents(post, data, path_id, errors)
        thing = self._identities(post, data, path_id)
        for target, source in post.copies.items():
            if (value := self._copied(found, source)) is not None:
                data[target] = value
        clear = dict(data)
        self._seal(post, data)
        try:
            command: Command = post.command.schema().load(data)
        except ValidationError as error:
            absent = {name for name, source in post.copies.items() if name not in clear}
            errors += pointers(error.messages, without=absent if errors else set())
        if errors:
            raise BadRequest(errors=errors)
        return command, thing

    def _documents(
        self, post: Post, data: dict[str, Any], path_id: str | None, errors: list[dict[str, str]]
    ) -> list[Document]:
        found = []
        if post.of and path_id is not None:
            document = self._look(post.of[1], path_id)
            if document is None:
                raise UnknownThing(f"There is nothing with the id {path_id} here.")
            found.append(document)
        wanted = dict(post.refers)
        if post.creates and post.adopts:
            wanted[post.creates[0]] = post.creates[1]
        for name, view in wanted.items():
            value = data.get(name)
            if not isinstance(value, str):
                continue  # absent or of a wrong type: the schema says so
            document = self._look(view, value)
            if document is None:
                raise UnknownThing(
                    f"There is nothing with the id {value} among the {view.name}.",
                    errors=[at(name, "names nothing that is known")],
                )
            found.append(document)
        return found

    @staticmethod
    def _identities(post: Post, data: dict[str, Any], path_id: str | None) -> str:
        if post.of:
            data[post.of[0]] = path_id
        if post.creates:
            data.setdefault(post.creates[0], new_id())
            return str(data[post.creates[0]])
        return path_id or ""

    @staticmethod
    def _copied(found: list[Document], source: str) -> Any:
        return next((document[source] for document in found if document.get(source)), None)

    def _seal(self, post: Post, data: dict[str, Any]) -> None:
        if post.reference:
            target, source = post.reference
            data[target] = self.seal.reference(str(data.get(source, "")).strip().upper())
        for name, shape in post.command.describe().items():
            value = data.get(name)
            if shape.get("format") == "sealed" and isinstance(value, str):
                data[name] = self.seal.seal(value)


def pointers(messages: Any, prefix: str = "", *, without: set[str] | None = None) -> list[dict[str, str]]:
    """Turn marshmallow's messages into a list of JSON pointers with details."""
    if isinstance(messages, Mapping):
        made = []
        for name, inner in messages.items():
            if prefix or name not in (without or set()):
                step = str(name).replace("~", "~0").replace("/", "~1")
                made += pointers(inner, f"{prefix}/{step}" if prefix else step)
        return made
    return [at(prefix, str(message)) for message in messages]


def idempotency_key(headers: Mapping[str, str]) -> str:
    """Read the Idempotency-Key; raises `KeyMissing`."""
    key = headers.get("Idempotency-Key", "").strip().strip('"')
    if not 1 <= len(key) <= 200:
        raise KeyMissing
    return key


def ndjson_rows(text: str) -> Iterator[dict[str, Any] | Rejected]:
    """Read one JSON object a line; a line that is none becomes the reason why."""
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _unreadable(f"The row is not JSON: {error}.")
            continue
        yield row if isinstance(row, dict) else _unreadable("The row is not a JSON object.")


def csv_rows(text: str, command: type[Command]) -> Iterator[dict[str, Any] | Rejected]:
    """Read CSV with a header; columns become what the command's fields need, empty ones nothing."""
    shapes = command.describe()
    for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))):
        if None in row:
            yield _unreadable("The row has more columns than the header.")
            continue
        yield {
            name: _typed(value.strip(), shapes.get(name, {}).get("type"))
            for name, value in row.items()
            if value is not None and value.strip()
        }


def _typed(text: str, kind: str | None) -> Any:
    if kind == "integer":
        try:
            return int(text)
        except ValueError:
            return text  # the schema names the column
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return text


def _unreadable(detail: str) -> Rejected:
    made = Rejected(detail)
    made.status = 400
    return made
