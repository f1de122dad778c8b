"""Operations: their shared parts, and those declared completely."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from services.gateway.http.media_types import JSON
from services.gateway.openapi.parts import headers, problems
from services.gateway.openapi.schemas import Json, ref
from services.gateway.resources import OPERATIONS
from services.gateway.resources.gateway import PROBES
from services.gateway.resources.operation import Answer, Operation
from services.gateway.resources.roles import Roles
from services.gateway.resources.view import View


class Described(NamedTuple):
    """A route with its operation."""

    method: str
    path: str
    operation: Json


def operation(
    method: str, path: str, name: str, doc: str, roles: Roles | None, answers: Json, **more: Any
) -> Described:
    """Describe an operation; without roles it needs no token."""
    summary, _, _rest = doc.partition(". ")
    made: Json = {
        "operationId": name,
        "summary": summary.rstrip("."),
        "description": doc,
        "tags": path.split("/")[2:3],
    }
    if roles is None:
        made |= {"tags": ["tokens" if path.startswith("/v1/") else "process"], "security": []}
    else:
        made |= {"security": [{"bearer": []}], "x-roles": sorted(roles)}
    return Described(method, path, made | more | {"responses": answers})


def parameters(path: str, *names: str, also: Iterable[Json] = ()) -> Json:
    """List the parameters of an operation: those of its path, its own, and the shared ones."""
    found = ["id"] if "<id>" in path else []
    shared = [ref(name, "parameters") for name in [*found, *names]]
    return {"parameters": [*shared[: len(found)], *also, *shared[len(found) :]]}


def sentence(thing: object) -> str:
    """Return a docstring in one line."""
    return " ".join((inspect.getdoc(thing) or "").split())


def singular(view: View) -> str:
    """Return the name of one document of a view: an enterprise, a policy."""
    stem = view.id_field.removesuffix("_id")
    return stem if view.name.startswith(stem[:4]) else view.name


def title(view: View) -> str:
    """Return the schema name of a view's documents."""
    return singular(view).capitalize()


def body_of(name: str, example: Any) -> Json:
    """Return a JSON request body with a schema and an example."""
    content = {JSON: {"schema": ref(name), "example": example}}
    return {"required": True, "content": content}


def described() -> Iterator[Described]:
    """Describe the gateway's own operations and those of the process."""
    yield from map(_operation, (*OPERATIONS, *PROBES))


def _operation(declared: Operation) -> Described:
    more = {}
    if declared.body:
        more["requestBody"] = body_of(declared.body.__name__, declared.example)
    if declared.parameters or declared.query or "<id>" in declared.path:
        more |= parameters(declared.path, *declared.parameters, also=declared.query)
    answers = {str(status): _answer(answer) for status, answer in declared.answers.items()}
    return operation(
        declared.method,
        declared.path,
        declared.name,
        declared.doc,
        declared.roles if declared.needs_a_token else None,
        answers | problems(*declared.problems),
        **more,
    )


def _answer(answer: Answer) -> Json:
    content = answer.content
    named = {JSON: content} if isinstance(content, str) else content
    shapes = {
        kind: ref(shape) if isinstance(shape, str) else shape for kind, shape in named.items()
    }
    made = {"description": answer.description} | headers(answer.headers)
    if not content:
        return made
    return made | {
        "content": {kind: {"schema": shape} if shape else {} for kind, shape in shapes.items()}
    }


def plain_path(path: str) -> str:
    """Return a path in OpenAPI's notation."""
    return re.sub(r"<(\w+)>", r"{\1}", path)
