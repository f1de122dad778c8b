"""What many operations have in common: parameters, headers, problems, and how an answer is said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.gateway.commands.endpoints import LONGEST_WAIT
from services.gateway.http.media_types import JSON, PROBLEM
from services.gateway.http.request import LARGEST_PAGE
from services.gateway.openapi.schemas import IDENTIFIER, TEXT, Json, ref

PARAMETERS: Json = {
    "id": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The identity of the thing; what is no identifier is a 404.",
        "schema": IDENTIFIER,
    },
    "idempotency-key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "Names the request. Sent again with the same body it has the same answer, "
        "and nothing happens twice; with another body it is a 422.",
        "schema": {"type": "string", "maxLength": 200, "pattern": "^[ -~]*[!#-~][ -~]*$"},
        "example": "2020-02-10-desk-3-0001",
    },
    "prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` or `wait=5`: how many seconds the caller is ready to wait "
        f"(RFC 7240), {LONGEST_WAIT:.0f} at the most. What takes longer is answered by 202.",
        "schema": TEXT,
        "examples": {
            "wait": {"value": "wait=5"},
            "at once": {"value": "respond-async"},
        },
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "The trace that the request belongs to (W3C Trace Context): it goes with "
        "all that the request causes.",
        "schema": TEXT,
        "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    "if-none-match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an earlier answer: 304 if nothing has changed.",
        "schema": TEXT,
    },
    "if-match": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` of the thing as the caller saw it: 412 if it is another by now.",
        "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]*"(, *"[!#-~]*")*)$'},
    },
    "format": {
        "name": "format",
        "in": "query",
        "description": "A file of the whole list, without pages; goes before `Accept`.",
        "schema": {"type": "string", "enum": ["json", "csv", "xlsx"]},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "How many items a page has at the most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 50},
    },
    "after": {
        "name": "after",
        "in": "query",
        "description": "The `next` of the page before.",
        "schema": TEXT,
    },
}
UPON_POST = ("idempotency-key", "prefer", "traceparent")
PAGED = ("limit", "after")

HEADERS: Json = {
    "location": {"description": "Where to read it.", "schema": {"type": "string"}},
    "etag": {"description": "Stands for this state of the document.", "schema": TEXT},
    "link": {
        "description": 'The address of the next page, `rel="next"` (RFC 8288).',
        "schema": TEXT,
    },
    "retry-after": {"description": "Seconds after which to try again.", "schema": TEXT},
    "www-authenticate": {"description": "`Bearer`.", "schema": TEXT},
    "allow": {"description": "The methods that the path knows.", "schema": TEXT},
}

_PROBLEMS = {
    400: ("BadRequest", "The request cannot be understood: its query string, its key or its body."),
    401: ("Unauthenticated", "A bearer token that is valid here is needed."),
    403: ("Forbidden", "The caller has none of the roles in `x-roles`, or it is not its thing."),
    404: ("NotFound", "There is no such thing, or none that the caller sees."),
    409: ("Conflict", "The state of the thing does not allow it, or the clock is not set."),
    406: ("NoSuchFormat", "The list is there as JSON, CSV and XLSX."),
    410: ("Destroyed", "The key of this person's data was destroyed: nobody can read it any more."),
    412: ("PreconditionFailed", "The thing has changed since the caller saw it."),
    413: (
        "TooLarge",
        "The body is longer than 1 MiB (a password's: 8 KiB), or of a batch or a sheet 16 MiB.",
    ),
    415: ("UnsupportedType", "The body is of a media type that this route does not read."),
    422: ("Invalid", "Fields are missing or wrong, or a rule is broken: `errors` names all."),
    429: ("TooOften", "Too many requests, or wrong passwords; `Retry-After` tells how long."),
    503: ("Unavailable", "Nothing was done: the service starts, or its database is away."),
}
_WITH = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}


def headers(names: Iterable[str]) -> Json:
    """Describe headers of an answer."""
    found = {name: ref(name.lower(), "headers") for name in names}
    return {"headers": found} if found else {}


def _problem(status: int, description: str) -> Json:
    return (
        {"description": description}
        | headers(_WITH.get(status, ()))
        | {"content": {PROBLEM: {"schema": ref("Problem")}}}
    )


RESPONSES: Json = {name: _problem(status, said) for status, (name, said) in _PROBLEMS.items()}


def problems(*statuses: int) -> Json:
    """Describe the ways in which an operation may be refused."""
    return {str(status): ref(_PROBLEMS[status][0], "responses") for status in sorted(statuses)}


def said(description: str, schema: Json, *names: str, example: Any = None) -> Json:
    """Describe an answer in JSON: what it holds, and which headers it has."""
    shown = {} if example is None else {"example": example}
    return (
        {"description": description}
        | headers(names)
        | {"content": {JSON: {"schema": schema} | shown}}
    )
