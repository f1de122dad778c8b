"""The body of a request: read whole, as UTF-8, as strict JSON, and as text that can be stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request

from chassis.errors import Invalid, Rejected

LARGEST_OBJECT = 1024 * 1024
"""Bytes of a body that is one JSON object."""
_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""What no database takes as text, although JSON can say it."""


class Unreadable(Rejected):
    """The body is not readable."""

    status = 400


class UnsupportedType(Rejected):
    """The media type of the body is not one that this route reads."""

    status = 415


class UnfitText(Invalid):
    """Text holds neither the character U+0000 nor half of a surrogate pair."""


def body_of(request: Request) -> str:
    """Read the body as UTF-8 text, with or without a mark in front; raises `Unreadable`."""
    try:
        data = request.get_data()
        if len(data) == request.max_content_length:  # which is one more than a body may have
            raise RequestEntityTooLarge
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"The body is not UTF-8: {error.reason}.") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"The body did not arrive whole: {error}.") from None


def json_body(request: Request) -> dict[str, Any]:
    """Read a JSON object; raises `Unreadable`, or 415 where the type is another."""
    if request.mimetype != "application/json":
        raise UnsupportedType
    most = request.max_content_length or LARGEST_OBJECT + 1
    request.max_content_length = min(most, LARGEST_OBJECT + 1)
    return json_object(body_of(request))


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object by RFC 8259, which knows no NaN; raises `Unreadable` and `UnfitText`."""
    try:
        data = json.loads(text, parse_constant=_no_constant)
        if not isinstance(data, dict):
            raise Unreadable("That is not a JSON object.")
        if "\\u" in text:
            fit(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"That is not JSON: {error}.") from None
    return data


def fit(data: Any) -> None:
    """Raise `UnfitText` where a name or a text in the data is one that cannot be stored."""
    if errors := list(_unfit(data, "#")):
        raise UnfitText(errors=errors)


def _unfit(value: Any, pointer: str) -> Iterator[dict[str, str]]:
    if isinstance(value, str) and _UNFIT.search(value):
        yield {"pointer": pointer, "detail": "holds a character that cannot be stored"}
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unfit(item, f"{pointer}/{number}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if _UNFIT.search(name):
                yield {"pointer": pointer, "detail": "holds a name that cannot be stored"}
            else:
                yield from _unfit(item, f"{pointer}/{escaped(name)}")


def escaped(name: str) -> str:
    """Write a name as one step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
