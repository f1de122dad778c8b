"""Responses: JSON, problems by RFC 9457, and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from chassis.logs import log
from chassis.message import encode

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The content security policy of responses that are not pages (CSP 3)."""


@dataclass(frozen=True)
class Route:
    """One route: its method, its path in werkzeug's syntax, and its handler function.

    A `public` route needs no token. A route that is `always` open also responds before the database
    of the service is available, and has no rate limit. `content_policy` is the content security
    policy of a page.
    """

    method: str
    path: str
    answer: Callable[..., Response]
    always: bool = False
    public: bool = False
    content_policy: str = NOTHING


def answer(data: Any, status: int = 200, **headers: str) -> Response:
    """Return a JSON response; `Content_Location="…"` becomes the header Content-Location."""
    response = Response(encode(data) + "\n", status, mimetype="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def problem(status: int, title: str, detail: str = "", **more: Any) -> Response:
    """Return a response with an RFC 9457 problem."""
    body = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return problem_response(body | more)


def unavailable(detail: str) -> Response:
    """Return a 503: the request was not handled, and may be repeated soon."""
    response = problem(503, "Service Unavailable", detail)
    response.headers["Retry-After"] = "3"
    return response


def streamed(request: Request, parts: Iterable[str], kind: str) -> Response:
    """Return a text response that sends each part at once."""
    request.environ["eventlet.minimum_write_chunk_size"] = 1
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(parts, headers=headers, content_type=f"{kind}; charset=utf-8")


def in_pieces(pieces: Iterator[Any], kind: str) -> Response:
    """Return a response that is generated piece by piece and never held as a whole.

    The first piece is generated here, so that an early failure is a problem and not a broken
    response.
    """
    return Response(_watched(next(pieces), pieces), mimetype=kind)


def _watched(first: Any, pieces: Iterator[Any]) -> Iterator[Any]:
    """Log the error that ends a response early; the connection is cut, so the client notices."""
    try:
        yield first
        yield from pieces
    except Exception as error:
        log("web").error("response broke off", error=str(error))
        raise


def problem_response(body: dict[str, Any]) -> Response:
    """Return a response with the body of a problem (RFC 9457)."""
    return Response(encode(body) + "\n", body["status"], mimetype="application/problem+json")


def rejected(problem_of: dict[str, Any]) -> Response:
    """Return a response with a problem that a service has raised."""
    return problem_response(problem_of)
