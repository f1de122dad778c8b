"""What every request has: query parameters, the idempotency key, pages, and the errors of the
4xx classes.
"""

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
"""What every list knows."""
_LIMIT = re.compile(r"[0-9]{1,3}")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_KEY = re.compile(r"[\x20-\x7e]{1,200}")


def not_found(identity: str, among: str, errors: list[dict[str, str]] | None = None) -> NotFound:
    """Return the error for an id that names nothing that the caller sees."""
    return NotFound(f"There is nothing with the id {identity} among {among}.", errors=errors)


def load(schema: Schema, data: Mapping[str, Any]) -> Any:
    """Load what a body holds by its schema; raises `Invalid` with a pointer for each error."""
    try:
        return schema.load(data)
    except ValidationError as error:
        raise Invalid(errors=pointers(error.messages)) from None


def next_page(response: Response, request: Request, following: str | None) -> Response:
    """Point to the next page in a Link header (RFC 8288), if there is one."""
    if following:
        query = urlencode(sorted((request.args.to_dict() | {"after": following}).items()))
        response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return response


class KeyMissing(Rejected):
    """Every POST needs an Idempotency-Key of 1 to 200 ASCII characters, to be repeatable."""

    status = 400


def pointers_in(errors: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the JSON pointers of errors."""
    return {error["pointer"] for error in errors}


def pointers(messages: Any, prefix: str = "") -> list[dict[str, str]]:
    """Turn marshmallow's messages into a list of JSON pointers with details."""
    if isinstance(messages, Mapping):
        made = []
        for name, inner in messages.items():
            step = "" if name == "_schema" else f"/{escaped(str(name))}"
            made += pointers(inner, f"{prefix}{step}")
        return made
    return [{"pointer": f"#{prefix}", "detail": str(message)} for message in messages]


def idempotency_key(headers: Headers) -> str:
    """Read the Idempotency-Key; raises `KeyMissing`."""
    key = headers.get("Idempotency-Key", "").strip().strip('"')
    if not _KEY.fullmatch(key):
        raise KeyMissing
    return key


class BadRequest(Rejected):
    """The query string is not acceptable."""

    status = 400


def once(given: MultiDict[str, str], known: Sequence[str]) -> dict[str, str]:
    """Read a query string: each name once, and none that is not known; raises `BadRequest`."""
    said = []
    if unknown := sorted(given.keys() - {*known}):
        said.append(f"The list knows no {', '.join(unknown)}; it knows {', '.join(known)}.")
    said += [f"{name} may be given only once." for name, some in given.lists() if len(some) > 1]
    said += [
        f"{name} holds a character that nothing holds."
        for name, value in given.items()
        if "\0" in value
    ]
    if said:
        raise BadRequest(" ".join(said))
    return given.to_dict()


def page_of(asked: Mapping[str, str]) -> tuple[int, int]:
    """Read `limit` and an `after` that is a position; raises `BadRequest`."""
    said: list[str] = []
    limit, after = limit_of(asked, said), asked.get("after") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", after):
        said.append("after must be a cursor from an answer.")
    if said:
        raise BadRequest(" ".join(said))
    return limit, int(after)


def limit_of(asked: Mapping[str, str], said: list[str]) -> int:
    """Read `limit`, and add what is wrong with it."""
    limit = asked.get("limit", "50")
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= LARGEST_PAGE:
        said.append(f"limit must be a number from 1 to {LARGEST_PAGE}.")
        return 1
    return int(limit)
