"""Parts of every request: query parameters, idempotency key, paging, and the 4xx errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from marshmallow import Schema, ValidationError
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.wrappers import Request, Response

from chassis.errors import Invalid, NotFound, Rejected
from services.gateway.http.bodies import escaped

UNKNOWN = "Unknown field."
LARGEST_PAGE = 100
PAGES = ("limit", "after")
"""The query parameters of every list."""
_LIMIT = re.compile(r"[0-9]{1,3}")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_KEY = re.compile(r"[\x20-\x7e]{1,200}")


def not_found(identity: str, among: str, errors: list[dict[str, str]] | None = None) -> NotFound:
    """Return the error for an id that the caller cannot see."""
    return NotFound(f"Not found: {identity} among {among}.", errors=errors)


def load(schema: Schema, data: Mapping[str, Any]) -> Any:
    """Validate a body by its schema; raises `Invalid` with a pointer for each error."""
    try:
        return schema.load(data)
    except ValidationError as error:
        raise Invalid(errors=pointers(error.messages)) from None


def next_page(response: Response, request: Request, following: str | None) -> Response:
    """Add the next page as a Link header (RFC 8288), if there is one."""
    if following:
        query = urlencode(sorted((request.args.to_dict() | {"after": following}).items()))
        response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return response


class KeyMissing(Rejected):
    """Every POST needs an Idempotency-Key of 1 to 200 ASCII characters."""

    status = 400


def pointers_in(errors: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the JSON pointers of some errors."""
    return {error["pointer"] for error in errors}


def pointers(messages: Any, prefix: str = "") -> list[dict[str, str]]:
    """Convert marshmallow's messages to JSON pointers with details."""
    if isinstance(messages, Mapping):
        made = []
        for name, inner in messages.items():
            step = "" if name == "_schema" else f"/{escaped(str(name))}"
            made += pointers(inner, f"{prefix}{step}")
        return made
    return [{"pointer": f"#{prefix}", "detail": str(message)} for message in messages]


def idempotency_key(headers: Headers) -> str:
    """Return the Idempotency-Key; raises `KeyMissing`."""
    key = headers.get("Idempotency-Key", "").strip().strip('"')
    if not _KEY.fullmatch(key):
        raise KeyMissing
    return key


class BadRequest(Rejected):
    """The query string is invalid."""

    status = 400


def once(parameters: MultiDict[str, str], allowed: Sequence[str]) -> dict[str, str]:
    """Parse the query string; reject unknown and repeated parameters with `BadRequest`."""
    errors = []
    if unknown := sorted(parameters.keys() - {*allowed}):
        errors.append(f"Unknown parameter {', '.join(unknown)}. Allowed: {', '.join(allowed)}.")
    errors += [
        f"{name} must not be repeated." for name, some in parameters.lists() if len(some) > 1
    ]
    errors += [
        f"{name} contains a character that cannot be stored."
        for name, value in parameters.items()
        if "\0" in value
    ]
    if errors:
        raise BadRequest(" ".join(errors))
    return parameters.to_dict()


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """Parse `limit`, and `after` as a position; raises `BadRequest`."""
    errors: list[str] = []
    limit, after = limit_of(query, errors), query.get("after") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", after):
        errors.append("after must be a cursor from a response.")
    if errors:
        raise BadRequest(" ".join(errors))
    return limit, int(after)


def limit_of(query: Mapping[str, str], errors: list[str]) -> int:
    """Parse `limit`; append an error sentence if it is invalid."""
    limit = query.get("limit", "50")
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= LARGEST_PAGE:
        errors.append(f"limit must be a number from 1 to {LARGEST_PAGE}.")
        return 1
    return int(limit)
