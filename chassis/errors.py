"""The errors of a handler: `NotYet`, and `Rejected` with its three families.

A handler returns when it is done. It raises `NotYet` when an event has not arrived, and a subclass
of `Rejected` when the message must never be tried again, each before its first write.
"""

from __future__ import annotations

import re
from typing import Any

MOST_TOLD = 20
"""Maximum number of errors that a problem lists; of the rest it gives the count."""
LONGEST_POINTER, LONGEST_DETAIL = 300, 2000
"""Maximum characters of a pointer and of a detail; text quoted from a request is cut there."""


class NotYet(Exception):
    """An event has not arrived; `what` is the key of the awaited thing."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not known yet")
        self.what = what


class Rejected(Exception):
    """The request cannot be carried out. A subclass's docstring is the sentence that people read.

    `errors` names fields, each `{"pointer": "#/field", "detail": "…"}` (RFC 9457 with RFC 6901).
    """

    status = 422

    def __init__(
        self,
        detail: str = "",
        *,
        errors: list[dict[str, str]] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail or (self.__doc__ or "").split("\n")[0])
        self.detail = str(self)
        self.errors = errors or []
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """Return the error as an RFC 9457 problem."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()
        body: dict[str, Any] = {
            "type": f"urn:bihuan:problem:{name}",
            "title": (self.__doc__ or name).split("\n")[0],
            "status": self.status,
            "detail": _cut(self.detail, LONGEST_DETAIL),
        }
        if self.errors:
            body["errors"] = told(self.errors)
        return body | self.extra


class NotFound(Rejected):
    """There is no such thing."""

    status = 404


class Conflict(Rejected):
    """The state of the thing does not allow it."""

    status = 409


class Invalid(Rejected):
    """Some of what was given is not acceptable."""

    status = 422


def at(field: str, detail: str) -> dict[str, str]:
    """Return an error of one field of the request: its JSON pointer and a sentence."""
    return {"pointer": f"#/{field}", "detail": detail}


def told(errors: list[dict[str, str]], most: int = MOST_TOLD) -> list[dict[str, str]]:
    """Return at most `most` errors, each shortened, and how many more there are."""
    shown = [
        {
            "pointer": _cut(error["pointer"], LONGEST_POINTER),
            "detail": _cut(error["detail"], LONGEST_DETAIL),
        }
        for error in errors[:most]
    ]
    more = len(errors) - most
    if more > 0:
        shown.append({"pointer": "#", "detail": f"At least {more} more are wrong."})
    return shown


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
