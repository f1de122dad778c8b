"""The endpoints of webhooks; docs/feed.md documents them."""

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
    """A subscription: the events and the URL."""

    url = fields.String(required=True, validate=validate.Length(max=LONGEST_TEXT))
    types = fields.List(fields.String(), load_default=list, validate=validate.Length(max=100))
    enterprise = fields.String(load_default=None, validate=validate.Length(1, 64))
    grid = fields.String(load_default=None, validate=validate.Length(1, 64))
    after = fields.Integer(strict=True, load_default=None, validate=validate.Range(0, 10**15))


class Nothing(Schema):
    """An empty body."""


class Again(Schema):
    """The events to deliver again: one of the two fields."""

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
        "Register an address for events.",
        SUBSCRIBERS,
        {201: Answer("Registered; `secret` is returned only here.", "Webhook", ("Location",))},
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
        Answer("The webhooks.", "Webhooks"),
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
        "List the deliveries: sent, waiting and given up.",
        Answer("The latest first.", "Deliveries", ("Link",)),
        problems=(*READS, 404),
        parameters=("limit", "after"),
        query=(
            parameter(
                "state",
                "The state of the deliveries.",
                schema={"type": "string", "enum": [*STATES]},
            ),
        ),
    ),
    _change(
        "secret",
        "rotateSecret",
        "Create a new secret. The earlier one also signs for a day.",
        {200: Answer("The new secret.", {JSON: _SECRET})},
    ),
    _change("disabling", "disableWebhook", "Stop deliveries until it is enabled.", {200: _ONE}),
    _change("enabling", "enableWebhook", "Resume deliveries.", {200: _ONE}),
    _change(
        "redelivery",
        "redeliver",
        "Deliver one event again, or all after a position.",
        {202: Answer("It will be sent.", {JSON: {"type": "object"}})},
        Again,
        {"after": 0},
    ),
)
