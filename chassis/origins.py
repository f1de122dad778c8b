"""Where a request comes from: past the proxies that are trusted, and by which web page."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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


def networks_of(text: str) -> tuple[Network, ...]:
    """Read addresses and networks with commas between them; raises `ValueError`."""
    return tuple(ipaddress.ip_network(one) for one in _parts(text))


def origins_of(text: str) -> frozenset[str]:
    """Read the origins of web pages, as browsers name them; raises `ValueError`."""
    for one in _parts(text):
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or one != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"{one!r} is no origin, such as https://pages.example.org")
    return frozenset(_parts(text))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


class Proxies:
    """The proxies whose word is taken for whom they speak; of anyone else it is ignored."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self.trusted = trusted

    def trusts(self, address: str) -> bool:
        """Tell whether an address is that of a proxy."""
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self.trusted)

    def client_of(self, environ: dict[str, Any]) -> str:
        """Give the address of the client: the last one that no trusted proxy has."""
        address: str = environ.get("REMOTE_ADDR", "")
        for said in reversed(_parts(environ.get("HTTP_X_FORWARDED_FOR", ""))):
            if not self.trusts(address):
                break
            address = said
        return address

    def is_encrypted(self, environ: dict[str, Any]) -> bool:
        """Tell whether the client speaks TLS, by the word of a trusted proxy."""
        return environ.get("HTTP_X_FORWARDED_PROTO") == "https" and self.trusts(
            environ.get("REMOTE_ADDR", "")
        )


class Cors:
    """The web pages that may use the API: those of these origins (Fetch, section 3.3)."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self.origins = frozenset(origins)

    def asks_first(self, request: Request) -> bool:
        """Tell whether a browser asks what a page of an origin that is known here may do."""
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
