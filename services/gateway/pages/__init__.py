"""The page on which the API is read and tried, and all that it needs: nothing comes from outside.

Swagger UI is the npm package swagger-ui-dist 5.35.0 (github.com/swagger-api/swagger-ui), as it was
published by SmartBear Software under the Apache License 2.0; its licences lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound
from chassis.http.responses import Route

FOLDER = Path(__file__).parent
PAGE = "index.html"
KINDS = {
    PAGE: "text/html",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "icon.png": "image/png",
}
"""The files that are served, and what they are."""
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
"""Swagger UI sets styles and draws icons itself; else nothing but our own files is loaded."""


class NoSuchFile(NotFound):
    """The page has no such file."""


def routes() -> Iterator[Route]:
    """Give the routes of the document and of its page, which anyone may ask for."""
    yield Route("GET", "/openapi.json", _document, always=True)
    for path, read in (("/docs", lambda request: _file(request, PAGE)), ("/docs/<file>", _file)):
        yield Route("GET", path, read, always=True, content_policy=POLICY)


def _document(request: Request) -> Response:
    from services.gateway.openapi import document_text  # few ever ask for it

    return _kept(Response(document_text(), mimetype="application/json"), request)


def _file(request: Request, name: str) -> Response:
    if name not in KINDS:
        raise NoSuchFile
    response = Response(_read(name), mimetype=KINDS[name])
    return _kept(response, request)


def _kept(response: Response, request: Request) -> Response:
    """Let a browser keep an answer, and ask whether it still holds."""
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    return response.make_conditional(request)


@cache
def _read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()
