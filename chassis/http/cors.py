"""Cross-origin requests (CORS): which web origins may use the API."""

from __future__ import annotations

from collections.abc import Iterable

from werkzeug.wrappers import Request, Response

ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Traceparent",
)
"""Request headers allowed to pages of other origins."""


EXPOSED_HEADERS = (
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
"""Response headers exposed to them, beside the CORS-safelisted ones."""


MAX_AGE = "600"
"""Seconds for which a browser may cache a preflight response."""


class Cors:
    """The web origins that may use the API (Fetch, section 3.3)."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self.origins = frozenset(origins)

    def asks_first(self, request: Request) -> bool:
        """Return whether a request is a preflight from an allowed origin."""
        return (
            request.method == "OPTIONS"
            and request.headers.get("Origin") in self.origins
            and "Access-Control-Request-Method" in request.headers
        )

    @staticmethod
    def allowance(methods: Iterable[str]) -> Response:
        """Return the preflight response with the methods of a path."""
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        response.headers["Access-Control-Allow-Headers"] = ", ".join(ALLOWED_HEADERS)
        response.headers["Access-Control-Max-Age"] = MAX_AGE
        return response

    def mark(self, request: Request, response: Response) -> None:
        """Add to a response whether the requesting page may read it."""
        if not self.origins:
            return
        response.vary.add("Origin")
        if (origin := request.headers.get("Origin")) in self.origins:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
