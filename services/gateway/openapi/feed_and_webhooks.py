"""Operations by which the district is heard outside: files, the feed, its stream, webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from services.gateway.exports.formats import FORMATS
from services.gateway.openapi.operations import (
    READS,
    TAKES_A_BODY,
    Described,
    operation,
    parameters,
)
from services.gateway.openapi.parts import JSON, PAGED, problems, said
from services.gateway.openapi.schemas import (
    COUNT,
    IDENTIFIER,
    MOMENT,
    TEXT,
    Json,
    array,
    of_schema,
    opened,
    or_null,
    ref,
)
from services.gateway.webhooks.endpoints import Again, NewWebhook, Nothing

BATCH = "application/cloudevents-batch+json"
_NEXT = or_null({"type": "string"})
_WEBHOOK = {
    "id": IDENTIFIER,
    "owner": TEXT,
    "url": TEXT,
    "types": array(TEXT),
    "enterprise": or_null(IDENTIFIER),
    "grid": or_null(TEXT),
    "state": {"type": "string", "enum": ["active", "disabled"]},
    "reason": or_null(TEXT),
    "reached": COUNT,
    "made_at": MOMENT,
    "failing_since": or_null(MOMENT),
    "paused_until": or_null(MOMENT),
    "held": {"type": "boolean", "description": "Nothing is sent: this is a copy of a district."},
}
_DELIVERY = {
    "position": COUNT,
    "event": IDENTIFIER,
    "type": TEXT,
    "partitionkey": TEXT,
    "state": {"type": "string", "enum": ["waiting", "delivered", "given_up"]},
    "attempts": COUNT,
    "next_try": or_null(MOMENT),
    "history": array({"type": "object"}),
}
_EVENT = {
    "specversion": {"const": "1.0"},
    **dict.fromkeys(("id", "source", "type", "subject", "partitionkey", "correlationid"), TEXT),
    "time": MOMENT,
    "datacontenttype": {"const": JSON},
    "position": COUNT,
    "data": {"type": "object"},
}
_EXPORT = {
    "export_id": IDENTIFIER,
    "state": {"type": "string", "enum": ["pending", "done", "failed"]},
    "list": TEXT,
    "format": {"type": "string", "enum": [*FORMATS]},
    "rows": COUNT,
    "asked_at": MOMENT,
    "as_of": ref("AsOf"),
    "size": COUNT,
    "file": TEXT,
    "problem": ref("Problem"),
}
SCHEMAS: Json = {
    "CloudEvent": opened(_EVENT, _EVENT),
    "Events": opened(
        {"items": array(ref("CloudEvent")), "next": TEXT, "as_of": ref("AsOf")},
        ["items", "next", "as_of"],
    ),
    "Webhook": opened(_WEBHOOK, _WEBHOOK),
    "Webhooks": opened({"items": array(ref("Webhook")), "next": {"type": "null"}}, ["items"]),
    "Delivery": opened(_DELIVERY, _DELIVERY),
    "Deliveries": opened({"items": array(ref("Delivery")), "next": _NEXT}, ["items", "next"]),
    "Export": opened(_EXPORT, ["export_id", "state", "list", "format", "rows", "asked_at"]),
    "NewWebhook": of_schema(NewWebhook()),
    "Again": of_schema(Again()),
    "Nothing": of_schema(Nothing()),
}


def described() -> Iterator[Described]:
    """Describe every route of this kind."""
    yield from _exports()
    yield _events()
    yield _stream()
    yield from _webhooks()


def _exports() -> Iterator[Described]:
    path = "/v1/exports/<id>"
    yield operation(
        "GET",
        path,
        "getExport",
        "Read how a long export stands. It is there for who asked for it, for a day.",
        {"200": said("How it stands.", ref("Export"))} | problems(*READS, 404),
        **parameters(path),
    )
    file = {
        "description": "The file.",
        "content": {each.mimetype: {} for each in FORMATS.values()},
    }
    yield operation(
        "GET",
        f"{path}/file",
        "getExportFile",
        "Read the file of a long export. It is a 409 as long as it is being written.",
        {"200": file} | problems(*READS, 404, 409),
        **parameters(path),
    )


def _filters() -> list[Json]:
    asked = {
        "type": "Types of events, with commas between.",
        "source": "Services that say them, with commas between.",
        "enterprise": "The id of an enterprise.",
        "grid": "A node of the grid, with all below it.",
    }
    return [
        {"name": name, "in": "query", "description": what, "schema": TEXT}
        for name, what in asked.items()
    ]


def _events() -> Described:
    page = said("A page of events.", ref("Events"), "Link")
    page["content"][BATCH] = {"schema": array(ref("CloudEvent"))}
    return operation(
        "GET",
        "/v1/events",
        "listEvents",
        "Read what has happened, in one order without a gap. See docs/feed.md.",
        {"200": page} | problems(*READS),
        **parameters("", *PAGED, also=_filters()),
    )


def _stream() -> Described:
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The position after which to go on; goes before `after`.",
        "schema": TEXT,
    }
    events = {
        "description": "Server-sent events, without end.",
        "content": {"text/event-stream": {}},
    }
    return operation(
        "GET",
        "/v1/events/stream",
        "streamEvents",
        "Hear what happens, as it happens. See docs/feed.md.",
        {"200": events} | problems(*READS),
        **parameters("", "after", also=[*_filters(), last]),
    )


def _webhooks() -> Iterator[Described]:
    path = "/v1/webhooks/<id>"
    registering = {
        "url": "https://tax.example/hear",
        "types": ["enterprise-reopened"],
        "enterprise": None,
        "grid": None,
    }
    made = said("Registered; `secret` is told here and never again.", ref("Webhook"), "Location")
    yield _asked("/v1/webhooks", "registerWebhook", "Have an address called for each event.",
                 "NewWebhook", registering, {"201": made})  # fmt: skip
    all_of_mine = {"200": said("All of them.", ref("Webhooks"))}
    yield operation("GET", "/v1/webhooks", "listWebhooks", "List the caller's own webhooks.",
                    all_of_mine | problems(*READS))  # fmt: skip
    one = {"200": said("The webhook, without its secret.", ref("Webhook"))}
    yield operation("GET", path, "getWebhook", "Read one of the caller's own webhooks.",
                    one | problems(*READS, 404), **parameters(path))  # fmt: skip
    state = {
        "name": "state",
        "in": "query",
        "schema": _DELIVERY["state"],
        "description": "Only those.",
    }
    history = {"200": said("The latest first.", ref("Deliveries"), "Link")}
    yield operation("GET", f"{path}/deliveries", "listDeliveries",
                    "List what was sent, what waits, and what was given up.",
                    history | problems(*READS, 404),
                    **parameters(path, *PAGED, also=[state]))  # fmt: skip
    secret = opened({"secret": TEXT, "earlier_until": MOMENT}, ["secret", "earlier_until"])
    for what, name, doc, answers in (
        ("secret", "rotateSecret", "Make a new secret. The earlier one signs too for a day.",
         {"200": said("The new secret.", secret)}),
        ("disabling", "disableWebhook", "Send nothing more, until it is enabled.", one),
        ("enabling", "enableWebhook", "Send again, from where it stopped.", one),
    ):  # fmt: skip
        yield _asked(f"{path}/{what}", name, doc, "Nothing", {}, answers, (404,))
    again = {"202": said("It will be sent.", {"type": "object"})}
    yield _asked(f"{path}/redelivery", "redeliver",
                 "Deliver again, one event or all after a position.",
                 "Again", {"after": 0}, again, (404,))  # fmt: skip


def _asked(
    path: str,
    name: str,
    doc: str,
    body: str,
    example: Any,
    answers: Json,
    more: Iterable[int] = (),
) -> Described:
    content = {JSON: {"schema": ref(body), "example": example}}
    return operation(
        "POST",
        path,
        name,
        doc,
        answers | problems(*TAKES_A_BODY, *more),
        requestBody={"required": True, "content": content},
        **parameters(path, "idempotency-key"),
    )
