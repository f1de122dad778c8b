"""Request bodies: read completely, as UTF-8, as strict JSON, and as text that can be stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request

from chassis.errors import LONGEST_POINTER, MOST_TOLD, Invalid, Rejected
from services.gateway.http.media_types import JSON

LARGEST_OBJECT = 1024 * 1024
"""Largest body with one JSON object, in bytes."""
MOST_NAMES, MOST_ITEMS, MOST_VALUES, MOST_DEEP = 100, 1000, 10_000, 32
"""Limits of a JSON object: names of one object, items of one list, both together, and nesting
depth. Contracts stay far below them; without them each surplus name would be a separate error."""
_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""Characters that JSON allows and databases do not store."""


class Unreadable(Rejected):
    """The body cannot be read."""

    status = 400


class UnsupportedType(Rejected):
    """The media type of the body is not accepted on this route."""

    status = 415


class TooMuch(Invalid):
    """The JSON object exceeds a limit."""


class UnfitText(Invalid):
    """Text must not contain U+0000 or an unpaired surrogate."""


def _text_of(request: Request) -> str:
    """Read the body as UTF-8 text, with or without a byte order mark; raises `Unreadable`."""
    try:
        data = request.get_data()
        if len(data) == request.max_content_length:  # one byte more than allowed
            raise RequestEntityTooLarge
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"The body is not UTF-8: {error.reason}.") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"The body did not arrive whole: {error}.") from None


def json_body(request: Request, largest: int = LARGEST_OBJECT) -> dict[str, Any]:
    """Read a JSON object of at most `largest` bytes; raises `Unreadable`, `UnsupportedType` and the
    errors of `json_object`."""
    if request.mimetype != JSON:
        raise UnsupportedType
    most = request.max_content_length or largest + 1
    request.max_content_length = min(most, largest + 1)
    return json_object(_text_of(request))


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object by RFC 8259, without NaN; raises `Unreadable`, `TooMuch` and
    `UnfitText`."""
    try:
        data = json.loads(text, parse_constant=_no_constant)
        if not isinstance(data, dict):
            raise Unreadable("The body is not a JSON object.")
        if text.count(",") >= MOST_NAMES or text.count("[") + text.count("{") > MOST_DEEP:
            _bounded(data)
        if "\\u" in text:
            fit(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"The body is not JSON: {error}.") from None
    return data


def _bounded(data: dict[str, Any]) -> None:
    """Raise `TooMuch` if the data exceeds a limit, before its parts are validated."""
    values, level = 0, [("#", data)]
    for _ in range(MOST_DEEP):
        inner: list[tuple[str, Any]] = []
        for pointer, one in level:
            most, what = (MOST_NAMES, "names") if isinstance(one, dict) else (MOST_ITEMS, "items")
            if len(one) > most:
                _refuse(pointer, f"has {len(one):,} {what}; at most {most:,} are allowed")
            values += len(one)
            steps = one.items() if isinstance(one, dict) else enumerate(one)
            inner += [
                (f"{pointer}/{_step(step)}", value)
                for step, value in steps
                if isinstance(value, dict | list)
            ]
            if values > MOST_VALUES:
                _refuse("#", f"has more than {MOST_VALUES:,} names and items in total")
        if not inner:
            return
        level = inner
    _refuse(level[0][0], f"is nested more than {MOST_DEEP} levels deep")


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise TooMuch(errors=[{"pointer": pointer, "detail": detail}])


def fit(data: Any) -> None:
    """Raise `UnfitText` if a name or a text cannot be stored."""
    if errors := list(islice(_unfit(data, "#"), MOST_TOLD)):
        raise UnfitText(errors=errors)


def _unfit(value: Any, pointer: str) -> Iterator[dict[str, str]]:
    if isinstance(value, str) and _UNFIT.search(value):
        yield {"pointer": pointer, "detail": "contains a character that cannot be stored"}
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unfit(item, f"{pointer}/{number}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if _UNFIT.search(name):
                yield {"pointer": pointer, "detail": "contains a name that cannot be stored"}
            else:
                yield from _unfit(item, f"{pointer}/{_step(name)}")


def _step(name: str | int) -> str:
    """Return a name as a pointer step; a very long name is shortened."""
    return escaped(str(name)[:LONGEST_POINTER])


def escaped(name: str) -> str:
    """Escape a name as one step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
