"""Responses: JSON, problems by RFC 9457, and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from chassis.logs import log
from chassis.message import encode

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The content policy of what no browser should show as a page (CSP 3)."""


@dataclass(frozen=True)
class Route:
    """One route: its method, its path in werkzeug's syntax, and the function that answers it.

    One that is `public` may be asked by anyone, and one that is `always` open answers also before
    the database of the service is there, and however often. `content_policy` is what a page may
    load, where the answer is one.
    """

    method: str
    path: str
    answer: Callable[..., Response]
    always: bool = False
    public: bool = False
    content_policy: str = NOTHING


def answer(data: Any, status: int = 200, **headers: str) -> Response:
    """Answer with JSON; `Content_Location="…"` becomes the header Content-Location."""
    made = Response(encode(data) + "\n", status, mimetype="application/json")
    for name, value in headers.items():
        made.headers[name.replace("_", "-")] = value
    return made


def problem(status: int, title: str, detail: str = "", **more: Any) -> Response:
    """Answer with an RFC 9457 problem."""
    body = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return problem_response(body | more)


def unavailable(detail: str) -> Response:
    """Answer that the request was not dealt with, and may be repeated soon."""
    made = problem(503, "Service Unavailable", detail)
    made.headers["Retry-After"] = "3"
    return made


def streamed(request: Request, parts: Iterable[str], kind: str) -> Response:
    """Answer with text that is sent part by part, each at once, until there are no more."""
    request.environ["eventlet.minimum_write_chunk_size"] = 1
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(parts, headers=headers, content_type=f"{kind}; charset=utf-8")


def in_pieces(pieces: Iterator[Any], kind: str) -> Response:
    """Answer with what is made piece by piece as it is sent, and so never held as a whole.

    The first piece is made here, so that what fails at once is a problem and no broken answer.
    """
    return Response(_watched(next(pieces), pieces), mimetype=kind)


def _watched(first: Any, pieces: Iterator[Any]) -> Iterator[Any]:
    """Note in the log what ends an answer too soon; the connection is cut, and the client knows."""
    try:
        yield first
        yield from pieces
    except Exception as error:
        log("web").error("answer broke off", error=str(error))
        raise


def problem_response(body: dict[str, Any]) -> Response:
    """Return a problem (RFC 9457)."""
    return Response(encode(body) + "\n", body["status"], mimetype="application/problem+json")


def rejected(problem_of: dict[str, Any]) -> Response:
    """Answer with a problem that a service has stated."""
    return problem_response(problem_of)
