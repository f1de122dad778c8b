"""Declarations of the endpoints that are neither a command nor a read model of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from marshmallow import Schema
from sqlalchemy import Column

from chassis.http.responses import NOTHING
from services.gateway.resources.roles import Roles
from services.gateway.resources.view import View

Json = dict[str, Any]

TAKES_A_BODY = (400, 401, 403, 409, 413, 415, 422, 429, 503)
"""The problems with which every endpoint that takes a body may answer."""
READS = (400, 401, 403, 429, 503)
"""The problems with which an endpoint that reads a query string may answer."""


class Answer(NamedTuple):
    """What an operation answers: in words, its content by media type, and its headers.

    A shape is a JSON schema or the name of one; content that is a shape alone is JSON.
    """

    description: str
    content: str | Mapping[str, str | Json] = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """An endpoint of its own: its route, its words, who may use it, and what it takes and answers.

    One that is `public` needs no token, and one that is `always` open answers also before the
    database is there. One that is not `scoped` answers alike whoever asks. `problems` are the
    statuses by which it may refuse, `parameters` the shared ones that it takes, `query` its own.
    """

    method: str
    path: str
    name: str
    doc: str
    roles: Roles
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = READS
    parameters: tuple[str, ...] = ()
    query: tuple[Json, ...] = ()
    body: type[Schema] | None = None
    example: Any = None
    scoped: bool = True
    public: bool = False
    always: bool = False
    content_policy: str = NOTHING

    @property
    def needs_a_token(self) -> bool:
        """Whether only callers with a token and one of the roles may use it."""
        return not (self.public or self.always)


@dataclass(frozen=True)
class Timeline:
    """The endpoint of what happened to a thing: its read model, and the column that names it."""

    view: View
    column: Column[Any]
    roles: Roles

    @property
    def path(self) -> str:
        """The path of the endpoint."""
        return f"{self.view.document_path}/timeline"


@dataclass(frozen=True)
class Sublist:
    """The endpoint of a list of what belongs to one thing."""

    of: View
    view: View
    doc: str
    roles: Roles

    @property
    def path(self) -> str:
        """The path of the endpoint."""
        return f"{self.of.document_path}/{self.view.name}"


def parameter(
    name: str,
    description: str = "",
    *,
    place: str = "query",
    required: bool = False,
    schema: Json | None = None,
    example: str = "",
) -> Json:
    """Describe a parameter of an operation, a text unless its schema is given."""
    made: Json = {"name": name, "in": place}
    if description:
        made["description"] = description
    if required:
        made["required"] = True
    made["schema"] = schema or {"type": "string"}
    return made | ({"example": example} if example else {})
