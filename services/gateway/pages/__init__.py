"""The page for reading and trying the API, with all its files: nothing is loaded from outside.

Swagger UI is the npm package swagger-ui-dist 5.35.0 (github.com/swagger-api/swagger-ui), published
by SmartBear Software under the Apache License 2.0; its licences are beside it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound
from chassis.message import encode
from contracts import asyncapi
from services.gateway.http.media_types import JSON

FOLDER = Path(__file__).parent
PAGE = "index.html"
KINDS = {
    PAGE: "text/html",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "icon.png": "image/png",
}
"""The served files and their media types."""


class NoSuchFile(NotFound):
    """The page has no such file."""


def openapi_document(request: Request) -> Response:
    """Return the description of the API."""
    from services.gateway.openapi import document_text  # few processes need it

    return _kept(Response(document_text(), mimetype=JSON), request)


def asyncapi_document(request: Request) -> Response:
    """Return the description of the public events."""
    response = Response(_asyncapi(), mimetype=JSON)
    response.add_etag()
    return response.make_conditional(request)


def file(request: Request, name: str = PAGE) -> Response:
    """Return a file of the page, or the page itself; raises `NoSuchFile`."""
    if name not in KINDS:
        raise NoSuchFile
    response = Response(_read(name), mimetype=KINDS[name])
    return _kept(response, request)


def _kept(response: Response, request: Request) -> Response:
    """Allow a browser to cache an answer, with revalidation."""
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    return response.make_conditional(request)


@cache
def _asyncapi() -> str:
    return encode(asyncapi.document()) + "\n"


@cache
def _read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()
