"""Declarations of endpoints that belong to no command and no read model."""

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
"""The problems of every endpoint with a body."""
READS = (400, 401, 403, 429, 503)
"""The problems of an endpoint with a query string."""


class Answer(NamedTuple):
    """A response: its description, its content by media type, and its headers.

    A shape is a JSON schema or the name of one; content given as a shape is JSON.
    """

    description: str
    content: str | Mapping[str, str | Json] = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """An endpoint: its route, its description, its roles, its request and its responses.

    A `public` endpoint needs no token; one that is `always` open answers before the database is
    ready. One that is not `scoped` answers every caller alike. `problems` are the statuses of its
    errors, `parameters` the shared parameters that it has, `query` its own.
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
    """The endpoint of a timeline: the read model of the thing, and the column with its id."""

    view: View
    column: Column[Any]
    roles: Roles

    @property
    def path(self) -> str:
        """The path of the endpoint."""
        return f"{self.view.document_path}/timeline"


@dataclass(frozen=True)
class Sublist:
    """The endpoint of a list that belongs to one thing."""

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
    """Describe a parameter of an operation, a text unless a schema is given."""
    made: Json = {"name": name, "in": place}
    if description:
        made["description"] = description
    if required:
        made["required"] = True
    made["schema"] = schema or {"type": "string"}
    return made | ({"example": example} if example else {})
