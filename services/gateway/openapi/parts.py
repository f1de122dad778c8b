"""Shared parts of operations: parameters, headers, problems and responses."""

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
        "description": "The id of the thing; an invalid id is a 404.",
        "schema": IDENTIFIER,
    },
    "idempotency-key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "Identifies the request. A repeat with the same body gets the same response "
        "and has no further effect; with another body it is a 422.",
        "schema": {"type": "string", "maxLength": 200, "pattern": "^[ -~]*[!#-~][ -~]*$"},
        "example": "2020-02-10-desk-3-0001",
    },
    "prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` or `wait=5`: the seconds that the client waits "
        f"(RFC 7240), at most {LONGEST_WAIT:.0f}. A longer request is answered with 202.",
        "schema": TEXT,
        "examples": {
            "wait": {"value": "wait=5"},
            "at once": {"value": "respond-async"},
        },
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "The trace of the request (W3C Trace Context), propagated to "
        "every message that the request causes.",
        "schema": TEXT,
        "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    "if-none-match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an earlier response: 304 if nothing has changed.",
        "schema": TEXT,
    },
    "if-match": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` of the thing as the client read it: 412 if it has changed.",
        "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]*"(, *"[!#-~]*")*)$'},
    },
    "format": {
        "name": "format",
        "in": "query",
        "description": "Return the whole list as a file, without pages; overrides `Accept`.",
        "schema": {"type": "string", "enum": ["json", "csv", "xlsx"]},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "The maximum number of items in a page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 50},
    },
    "after": {
        "name": "after",
        "in": "query",
        "description": "The `next` of the previous page.",
        "schema": TEXT,
    },
}
UPON_POST = ("idempotency-key", "prefer", "traceparent")
PAGED = ("limit", "after")

HEADERS: Json = {
    "location": {"description": "The address of the resource.", "schema": {"type": "string"}},
    "etag": {"description": "Identifies this state of the document.", "schema": TEXT},
    "link": {
        "description": 'The address of the next page, `rel="next"` (RFC 8288).',
        "schema": TEXT,
    },
    "retry-after": {"description": "Seconds to wait before a retry.", "schema": TEXT},
    "www-authenticate": {"description": "`Bearer`.", "schema": TEXT},
    "allow": {"description": "The methods that the path allows.", "schema": TEXT},
}

_PROBLEMS = {
    400: ("BadRequest", "The query string, the key or the body of the request is malformed."),
    401: ("Unauthenticated", "A valid bearer token is needed."),
    403: ("Forbidden", "The caller has no role in `x-roles`, or the thing is outside its scope."),
    404: ("NotFound", "The thing does not exist, or the caller cannot see it."),
    409: ("Conflict", "The state of the thing does not allow it, or the clock is not set."),
    406: ("NoSuchFormat", "Lists are available as JSON, CSV and XLSX."),
    410: ("Destroyed", "The key of this person's data was destroyed; the data is unreadable."),
    412: ("PreconditionFailed", "The thing has changed since the client read it."),
    413: (
        "TooLarge",
        "The body is longer than 1 MiB (password: 8 KiB; batch or sheet: 16 MiB).",
    ),
    415: ("UnsupportedType", "The media type of the body is not accepted on this route."),
    422: ("Invalid", "Fields are missing or invalid, or a rule is broken; `errors` lists them."),
    429: ("TooOften", "Too many requests or wrong passwords; wait for `Retry-After`."),
    503: ("Unavailable", "The service is starting, or its database is unavailable."),
}
_WITH = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}


def headers(names: Iterable[str]) -> Json:
    """Describe response headers."""
    refs = {name: ref(name.lower(), "headers") for name in names}
    return {"headers": refs} if refs else {}


def _problem(status: int, description: str) -> Json:
    return (
        {"description": description}
        | headers(_WITH.get(status, ()))
        | {"content": {PROBLEM: {"schema": ref("Problem")}}}
    )


RESPONSES: Json = {name: _problem(status, said) for status, (name, said) in _PROBLEMS.items()}


def problems(*statuses: int) -> Json:
    """Describe the problems of an operation."""
    return {str(status): ref(_PROBLEMS[status][0], "responses") for status in sorted(statuses)}


def said(description: str, schema: Json, *names: str, example: Any = None) -> Json:
    """Describe a JSON response: its contents and its headers."""
    shown = {} if example is None else {"example": example}
    return (
        {"description": description}
        | headers(names)
        | {"content": {JSON: {"schema": schema} | shown}}
    )
