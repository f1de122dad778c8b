"""The gateway's own endpoints: exports, events, commands, the clock, tokens and documents."""

from __future__ import annotations

from datetime import UTC, datetime

from marshmallow import Schema, fields, validate

from contracts.shapes import LONGEST_TEXT, NotBlank
from services.gateway.http.media_types import CLOUD_EVENTS, CSV, EVENT_STREAM, JSON, XLSX
from services.gateway.resources.operation import (
    READS,
    TAKES_A_BODY,
    Answer,
    Operation,
    parameter,
)
from services.gateway.resources.roles import (
    ANY,
    AUDITOR,
    DEPARTMENT,
    OFFICE,
    OPERATOR,
    READERS,
)

LONGEST_PASSWORD = 200
"""Characters."""
PAGE_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
"""Swagger UI needs inline styles and data icons; everything else is our own files."""
_NOT_MODIFIED = Answer("Nothing has changed.")
_PAGED = ("limit", "after")


class ClockBody(Schema):
    """A moment with its offset, to which the clock moves."""

    at = fields.AwareDateTime(
        required=True,
        validate=validate.Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
    )


class Credentials(Schema):
    """A token request."""

    account = fields.String(required=True, validate=validate.Length(1, 64))
    password = fields.String(required=True, validate=validate.Length(1, LONGEST_PASSWORD))


class DisclosureBody(Schema):
    """The reason for a disclosure; `by` is the person, if not the caller."""

    reason = fields.String(required=True, validate=NotBlank(min=1, max=LONGEST_TEXT))
    by = fields.String(validate=NotBlank(min=1, max=64))


EXPORTS = (
    Operation(
        "GET",
        "/v1/exports/<id>",
        "getExport",
        "Read the status of a long export. It is kept for its caller, for a day.",
        READERS,
        {200: Answer("The status.", "Export")},
        (*READS, 404),
    ),
    Operation(
        "GET",
        "/v1/exports/<id>/file",
        "getExportFile",
        "Read the file of a long export. The response is 409 until it is written.",
        READERS,
        {200: Answer("The file.", {CSV: {}, XLSX: {}})},
        (*READS, 404, 409),
    ),
)
_FILTERS = (
    parameter("type", "Types of events, separated by commas."),
    parameter("source", "Publishing services, separated by commas."),
    parameter("enterprise", "The id of an enterprise."),
    parameter("grid", "A node of the grid, with all nodes below."),
)
EVENTS = (
    Operation(
        "GET",
        "/v1/events",
        "listEvents",
        "List events in one order without gaps. See docs/feed.md.",
        READERS | {DEPARTMENT},
        {
            200: Answer(
                "A page of events.",
                {
                    JSON: "Events",
                    CLOUD_EVENTS: {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/CloudEvent"},
                    },
                },
                ("Link",),
            )
        },
        parameters=_PAGED,
        query=_FILTERS,
    ),
    Operation(
        "GET",
        "/v1/events/stream",
        "streamEvents",
        "Stream events as they are recorded. See docs/feed.md.",
        READERS | {DEPARTMENT},
        {200: Answer("Server-sent events, in an endless stream.", {EVENT_STREAM: {}})},
        parameters=("after",),
        query=(
            *_FILTERS,
            parameter(
                "Last-Event-ID",
                "The position after which to resume; overrides `after`.",
                place="header",
            ),
        ),
    ),
)
_READ_WHOLE = (
    Operation(
        "GET",
        "/v1/officers",
        "listOfficers",
        "List the liaison officers with their numbers of enterprises.",
        {OFFICE, AUDITOR},
        {200: Answer("The officers.", "Officers")},
    ),
    Operation(
        "GET",
        "/v1/checklists",
        "getChecklist",
        "Read the checklist for a kind of premises. As of a day, or under a version.",
        ANY,
        {200: Answer("The checklist.", "Checklist")},
        (*READS, 404, 409),
        query=(
            parameter("premises", required=True, example="shop"),
            parameter("on", "By default today.", schema={"type": "string", "format": "date"}),
            parameter("version", "Instead of a day."),
        ),
        scoped=False,
    ),
    Operation(
        "GET",
        "/v1/statistics",
        "getStatistics",
        "Read the statistics of the district.",
        ANY,
        {200: Answer("The statistics.", "Statistics")},
        (401, 403, 503),
        scoped=False,
    ),
)
_COMMANDS = (
    Operation(
        "GET",
        "/v1/commands/<id>",
        "getCommand",
        "Read the record of a command: its caller, an operator or an auditor can.",
        ANY,
        {200: Answer("The record.", "CommandRecord")},
        (401, 403, 404, 503),
        scoped=False,
    ),
    Operation(
        "GET",
        "/v1/commands/<id>/rows",
        "listCommandRows",
        "List the outcome of each row of a batch.",
        ANY,
        {200: Answer("A page of rows.", "CommandRows", ("Link",))},
        (*READS, 404),
        _PAGED,
        scoped=False,
    ),
)
_CLOCK = Operation(
    "POST",
    "/v1/clock",
    "setClock",
    "Move the manual clock forward, by whole hours. The response comes when all due work is done.",
    {OFFICE, OPERATOR},
    {
        200: Answer("Every service has handled the hour.", "Clock"),
        202: Answer("Some services are still handling the hour.", "Clock"),
    },
    TAKES_A_BODY,
    ("idempotency-key", "prefer"),
    body=ClockBody,
    example={"at": "2020-02-10T01:00:00+08:00"},
)
_TOKEN = Operation(
    "POST",
    "/v1/token",
    "getToken",
    "Get a token for an account's password.",
    ANY,
    {200: Answer("The token.", "Token")},
    (400, 401, 404, 413, 415, 422, 429, 503),
    body=Credentials,
    example={"account": "desk-3", "password": "correct horse battery"},
    public=True,
)
_DOCUMENTS = (
    Operation(
        "GET",
        "/openapi.json",
        "getOpenapi",
        "Read this document.",
        ANY,
        {
            200: Answer(
                "OpenAPI 3.1.",
                {
                    JSON: {
                        "type": "object",
                        "properties": {"openapi": {"type": "string"}, "paths": {"type": "object"}},
                        "required": ["openapi", "paths"],
                    }
                },
                ("ETag",),
            ),
            304: _NOT_MODIFIED,
        },
        (),
        ("if-none-match",),
        always=True,
    ),
    Operation(
        "GET",
        "/asyncapi.json",
        "getAsyncapi",
        "Read the description of the events on the bus.",
        ANY,
        {200: Answer("AsyncAPI 3.0.", {JSON: {"type": "object"}}, ("ETag",)), 304: _NOT_MODIFIED},
        (),
        ("if-none-match",),
        always=True,
    ),
    Operation(
        "GET",
        "/docs",
        "getDocs",
        "Read and try the API in a browser.",
        ANY,
        {
            200: Answer("A page for the browser.", {"text/html": {"type": "string"}}, ("ETag",)),
            304: _NOT_MODIFIED,
        },
        (),
        ("if-none-match",),
        always=True,
        content_policy=PAGE_POLICY,
    ),
    Operation(
        "GET",
        "/docs/<file>",
        "getDocsFile",
        "Read a file of the page.",
        ANY,
        {200: Answer("The file.", {"*/*": {}}), 304: _NOT_MODIFIED},
        (404,),
        ("if-none-match",),
        (parameter("file", required=True, example="start.js", place="path"),),
        always=True,
        content_policy=PAGE_POLICY,
    ),
)


OPERATIONS = (*_READ_WHOLE, *_COMMANDS, _CLOCK, _TOKEN, *_DOCUMENTS)
PROBES = (
    Operation(
        "GET",
        "/livez",
        "isAlive",
        "Check whether the process is alive.",
        ANY,
        {
            200: Answer(
                "The process is alive.",
                {
                    JSON: {
                        "type": "object",
                        "properties": {"alive": {"const": True}},
                        "required": ["alive"],
                    }
                },
            )
        },
        (),
        always=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "isReady",
        "Check whether the process is ready.",
        ANY,
        {
            200: Answer("All parts are ready.", "Ready"),
            503: Answer("The parts with false are not ready.", "Ready"),
        },
        (),
        always=True,
    ),
    Operation(
        "GET",
        "/metrics",
        "getMetrics",
        "Read the metrics of the process.",
        ANY,
        {200: Answer("In the text format of Prometheus.", {"text/plain": {"type": "string"}})},
        (),
        always=True,
    ),
)
"""The endpoints that the chassis serves in every process."""
