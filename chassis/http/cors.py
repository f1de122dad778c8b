"""Cross-origin requests (CORS): which pages of other origins may call."""

from __future__ import annotations

from collections.abc import Iterable

from werkzeug.wrappers import Request, Response

ASKED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Traceparent",
)
"""Headers that a page of another origin may send."""


SHOWN = (
    "Allow",
    "Content-Location",
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
)
"""Headers that it may read, beside those that any page may."""


REMEMBERED = "600"
"""Seconds for which a browser need not ask again what is allowed."""


class Cors:
    """The web pages that may use the API: those of these origins (Fetch, section 3.3)."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self.origins = frozenset(origins)

    def asks_first(self, request: Request) -> bool:
        """Return whether a browser asks what a page of an origin that is known here may do."""
        return (
            request.method == "OPTIONS"
            and request.headers.get("Origin") in self.origins
            and "Access-Control-Request-Method" in request.headers
        )

    @staticmethod
    def allowance(methods: Iterable[str]) -> Response:
        """Answer what such a page may do at this path."""
        made = Response(status=204)
        made.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        made.headers["Access-Control-Allow-Headers"] = ", ".join(ASKED)
        made.headers["Access-Control-Max-Age"] = REMEMBERED
        return made

    def mark(self, request: Request, response: Response) -> None:
        """Say in an answer whether the page that asked may read it."""
        if not self.origins:
            return
        response.vary.add("Origin")
        if (origin := request.headers.get("Origin")) in self.origins:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers["Access-Control-Expose-Headers"] = ", ".join(SHOWN)
