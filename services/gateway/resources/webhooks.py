"""The endpoints of webhooks; docs/feed.md tells people of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from contracts.shapes import LONGEST_TEXT
from services.gateway.http.media_types import JSON
from services.gateway.resources.operation import (
    READS,
    TAKES_A_BODY,
    Answer,
    Operation,
    parameter,
)
from services.gateway.resources.roles import SUBSCRIBERS
from services.gateway.tables import DELIVERED, GIVEN_UP, WAITING

STATES = (WAITING, DELIVERED, GIVEN_UP)


class NewWebhook(Schema):
    """Which events are wanted, and where they are to be posted."""

    url = fields.String(required=True, validate=validate.Length(max=LONGEST_TEXT))
    types = fields.List(fields.String(), load_default=list, validate=validate.Length(max=100))
    enterprise = fields.String(load_default=None, validate=validate.Length(1, 64))
    grid = fields.String(load_default=None, validate=validate.Length(1, 64))
    after = fields.Integer(strict=True, load_default=None, validate=validate.Range(0, 10**15))


class Nothing(Schema):
    """A body that says nothing."""


class Again(Schema):
    """What is to be delivered again: one of the two."""

    after = fields.Integer(strict=True, validate=validate.Range(0, 10**15))
    event = fields.String(validate=validate.Length(1, 64))


def _read(path: str, name: str, doc: str, answer: Answer, **more: Any) -> Operation:
    return Operation("GET", path, name, doc, SUBSCRIBERS, {200: answer}, **more)


def _change(
    what: str,
    name: str,
    doc: str,
    answers: Mapping[int, Answer],
    body: type[Schema] = Nothing,
    example: Any = None,
) -> Operation:
    return Operation(
        "POST",
        f"/v1/webhooks/<id>/{what}",
        name,
        doc,
        SUBSCRIBERS,
        answers,
        (*TAKES_A_BODY, 404),
        ("idempotency-key",),
        body=body,
        example=example or {},
    )


_ONE = Answer("The webhook, without its secret.", "Webhook")
_SECRET = {
    "type": "object",
    "properties": {
        "secret": {"type": "string"},
        "earlier_until": {"type": "string", "format": "date-time"},
    },
    "required": ["earlier_until", "secret"],
}

OPERATIONS = (
    Operation(
        "POST",
        "/v1/webhooks",
        "registerWebhook",
        "Have an address called for each event.",
        SUBSCRIBERS,
        {
            201: Answer(
                "Registered; `secret` is told here and never again.", "Webhook", ("Location",)
            )
        },
        TAKES_A_BODY,
        ("idempotency-key",),
        body=NewWebhook,
        example={
            "url": "https://tax.example/hear",
            "types": ["enterprise-reopened"],
            "enterprise": None,
            "grid": None,
        },
    ),
    _read(
        "/v1/webhooks",
        "listWebhooks",
        "List the caller's own webhooks.",
        Answer("All of them.", "Webhooks"),
    ),
    _read(
        "/v1/webhooks/<id>",
        "getWebhook",
        "Read one of the caller's own webhooks.",
        _ONE,
        problems=(*READS, 404),
    ),
    _read(
        "/v1/webhooks/<id>/deliveries",
        "listDeliveries",
        "List what was sent, what waits, and what was given up.",
        Answer("The latest first.", "Deliveries", ("Link",)),
        problems=(*READS, 404),
        parameters=("limit", "after"),
        query=(parameter("state", "Only those.", schema={"type": "string", "enum": [*STATES]}),),
    ),
    _change(
        "secret",
        "rotateSecret",
        "Make a new secret. The earlier one signs too for a day.",
        {200: Answer("The new secret.", {JSON: _SECRET})},
    ),
    _change("disabling", "disableWebhook", "Send nothing more, until it is enabled.", {200: _ONE}),
    _change("enabling", "enableWebhook", "Send again, from where it stopped.", {200: _ONE}),
    _change(
        "redelivery",
        "redeliver",
        "Deliver again, one event or all after a position.",
        {202: Answer("It will be sent.", {JSON: {"type": "object"}})},
        Again,
        {"after": 0},
    ),
)
