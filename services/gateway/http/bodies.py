"""The body of a request: read whole, as UTF-8, as strict JSON, and as text that can be stored."""

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
"""Bytes of a body that is one JSON object."""
MOST_NAMES, MOST_ITEMS, MOST_VALUES, MOST_DEEP = 100, 1000, 10_000, 32
"""Names of an object, items of a list, both together in all that is sent as one JSON object, and
how many of them may stand in each other. No contract needs so many; each that is too many would
be an error of its own."""
_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""What no database takes as text, although JSON can say it."""


class Unreadable(Rejected):
    """The body is not readable."""

    status = 400


class UnsupportedType(Rejected):
    """The media type of the body is not one that this route reads."""

    status = 415


class TooMuch(Invalid):
    """One JSON object holds more than it may."""


class UnfitText(Invalid):
    """Text holds neither the character U+0000 nor half of a surrogate pair."""


def _text_of(request: Request) -> str:
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


def json_body(request: Request, largest: int = LARGEST_OBJECT) -> dict[str, Any]:
    """Read a JSON object of so many bytes; raises `Unreadable`, or 415 where the type is another,
    and what `json_object` does."""
    if request.mimetype != JSON:
        raise UnsupportedType
    most = request.max_content_length or largest + 1
    request.max_content_length = min(most, largest + 1)
    return json_object(_text_of(request))


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object by RFC 8259, which knows no NaN; raises `Unreadable`, `TooMuch` and
    `UnfitText`."""
    try:
        data = json.loads(text, parse_constant=_no_constant)
        if not isinstance(data, dict):
            raise Unreadable("That is not a JSON object.")
        if text.count(",") >= MOST_NAMES or text.count("[") + text.count("{") > MOST_DEEP:
            _bounded(data)
        if "\\u" in text:
            fit(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"That is not JSON: {error}.") from None
    return data


def _bounded(data: dict[str, Any]) -> None:
    """Raise `TooMuch` where there is too much of something, before anything looks at each."""
    values, level = 0, [("#", data)]
    for _ in range(MOST_DEEP):
        inner: list[tuple[str, Any]] = []
        for pointer, one in level:
            most, what = (MOST_NAMES, "names") if isinstance(one, dict) else (MOST_ITEMS, "items")
            if len(one) > most:
                _refuse(pointer, f"holds {len(one):,} {what}; {most:,} are the most")
            values += len(one)
            steps = one.items() if isinstance(one, dict) else enumerate(one)
            inner += [
                (f"{pointer}/{_step(step)}", value)
                for step, value in steps
                if isinstance(value, dict | list)
            ]
            if values > MOST_VALUES:
                _refuse("#", f"holds more than {MOST_VALUES:,} names and items in all")
        if not inner:
            return
        level = inner
    _refuse(level[0][0], f"stands in more than {MOST_DEEP} others")


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise TooMuch(errors=[{"pointer": pointer, "detail": detail}])


def fit(data: Any) -> None:
    """Raise `UnfitText` where a name or a text in the data is one that cannot be stored."""
    if errors := list(islice(_unfit(data, "#"), MOST_TOLD)):
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
                yield from _unfit(item, f"{pointer}/{_step(name)}")


def _step(name: str | int) -> str:
    """Write a name as a step that many pointers share: one that is very long is cut."""
    return escaped(str(name)[:LONGEST_POINTER])


def escaped(name: str) -> str:
    """Write a name as one step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
