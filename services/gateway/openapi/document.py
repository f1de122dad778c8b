"""The complete OpenAPI document, built once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain

from chassis.message import encode
from services.gateway.openapi import commands, operations, reading
from services.gateway.openapi.answers import FEED, SCHEMAS
from services.gateway.openapi.operations import Described, plain_path, title
from services.gateway.openapi.parts import HEADERS, PARAMETERS, RESPONSES
from services.gateway.openapi.schemas import Json, of_body, of_documents, of_schema
from services.gateway.resources import OPERATIONS, POSTS, VIEWS
from services.gateway.resources.gateway import DisclosureBody

ABOUT = """\
A district reopens its businesses during an epidemic and keeps watch over them.

A change is a command, sent by POST: it needs an `Idempotency-Key` and may be repeated. It is \
answered when it is done or refused, or with 202 and the `Location` of its record. \
Reads come from read models that follow every event. Errors are RFC 9457 problems. \
Each operation lists its roles in `x-roles`."""


@cache
def document() -> Json:
    """Return the OpenAPI document of the gateway."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bihuan 閉環", "version": "1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _tags()],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": RESPONSES,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


@cache
def document_text() -> str:
    """Return the document as `/openapi.json` serves it."""
    return encode(document()) + "\n"


def described() -> Iterator[Described]:
    """Describe every route."""
    return chain(commands.described(), reading.described(), operations.described())


def _paths() -> Json:
    paths: Json = {}
    for method, path, operation in described():
        paths.setdefault(plain_path(path), {})[method.lower()] = operation
    return dict(sorted(paths.items()))


def _tags() -> list[str]:
    found = [tag for one in described() for tag in one.operation["tags"]]
    return list(dict.fromkeys(found))


def _schemas() -> Json:
    bodies = {post.command.__name__: of_body(post) for post in POSTS}
    documents = {title(view): of_documents(view) for view in VIEWS.values()}
    own = {one.body.__name__: of_schema(one.body()) for one in OPERATIONS if one.body}
    disclosure = {"DisclosureBody": of_schema(DisclosureBody())}
    return SCHEMAS | documents | bodies | own | disclosure | FEED
