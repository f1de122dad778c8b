"""Schemas of responses, by name."""

from __future__ import annotations

from services.gateway.exports.formats import FORMATS
from services.gateway.http.media_types import JSON
from services.gateway.openapi.schemas import (
    COUNT,
    IDENTIFIER,
    MOMENT,
    TEXT,
    Json,
    array,
    opened,
    or_null,
    ref,
)
from services.gateway.read_models.statistics import STATISTICS
from services.gateway.resources.webhooks import STATES
from services.gateway.tables import DONE, PENDING, REJECTED

_WORDS = opened({"zh": TEXT, "en": TEXT}, ["zh", "en"])
_ENTRY = opened({"code": TEXT, "words": _WORDS, "source": TEXT}, ["code", "words"])
_AS_OF = opened({"position": COUNT, "time": or_null(MOMENT)}, ["position", "time"])
_STATES = {"type": "string", "enum": [PENDING, DONE, REJECTED]}
_LOCATION = or_null({"type": "string"})
_NEXT: Json = {"type": ["string", "null"], "description": "The `after` of the next page."}
_MEASURED = {
    group: opened({name: {"type": "integer"} for name in names}, names)
    for group, names in STATISTICS.items()
}
_ROW = {
    "row": COUNT | {"minimum": 1},
    "state": _STATES,
    "status": COUNT,
    "location": _LOCATION,
    "became": TEXT,
    "problem": ref("Problem"),
}

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
    "state": {"type": "string", "enum": [*STATES]},
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
    "Problem": opened(
        {
            "type": {"type": "string", "description": "A URN for each kind, or `about:blank`."},
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT,
            "errors": array(
                opened(
                    {
                        "pointer": {
                            "type": "string",
                            "description": "The field, as a JSON pointer after `#` (RFC 6901).",
                        },
                        "detail": TEXT,
                    },
                    ["pointer", "detail"],
                )
            ),
        },
        ["type", "title", "status"],
    )
    | {"description": "An RFC 9457 problem; some types have more members."},
    "AsOf": _AS_OF
    | {"description": "The last event known to the gateway; the response includes its effects."},
    "Accepted": opened(
        {"command_id": IDENTIFIER, "state": {"const": PENDING}}, ["command_id", "state"]
    ),
    "CommandRow": opened(_ROW, ["row", "state"]),
    "CommandRecord": opened(
        {
            "id": IDENTIFIER,
            "type": TEXT,
            "state": _STATES,
            "accepted_at": MOMENT,
            "settled_at": or_null(MOMENT),
            "status": COUNT,
            "result": {"type": ["object", "null"]},
            "problem": ref("Problem"),
            "location": TEXT,
            **dict.fromkeys(("rows", "done", "rejected", "pending"), COUNT),
        },
        ["id", "type", "state", "accepted_at", "settled_at"],
    ),
    "CommandRows": opened({"items": array(ref("CommandRow")), "next": _NEXT}, ["items", "next"]),
    "BatchAnswer": opened(
        {
            "command_id": IDENTIFIER,
            **dict.fromkeys(("rows", "done", "rejected"), COUNT),
            "items": array(ref("CommandRow")),
        },
        ["command_id", "rows", "done", "rejected", "items"],
    ),
    "TimelineEntry": opened(
        {
            "position": COUNT,
            "id": IDENTIFIER,
            "type": TEXT,
            "source": TEXT,
            "time": MOMENT,
            "caused_by": opened(
                {"id": {"type": ["string", "null"]}, "type": {"type": ["string", "null"]}},
                ["id", "type"],
            ),
            "data": {"type": "object"},
        },
        ["position", "id", "type", "source", "time", "caused_by", "data"],
    ),
    "Statistics": opened(_MEASURED | {"as_of": ref("AsOf")}, [*_MEASURED, "as_of"]),
    "Officers": opened(
        {
            "items": array(
                opened({"officer": TEXT, "enterprises": COUNT}, ["officer", "enterprises"])
            ),
            "next": {"type": "null"},
        },
        ["items", "next"],
    ),
    "Checklist": opened(
        {
            "version": TEXT,
            "premises": TEXT,
            "words": _WORDS,
            "must_nots": array(_ENTRY),
            "items": array(_ENTRY),
            "rules": array(_ENTRY),
        },
        ["version", "premises", "words", "must_nots", "items", "rules"],
    ),
    "Clock": opened(
        {"at": MOMENT, "hour_id": IDENTIFIER, "swept": {"type": "boolean"}},
        ["at", "hour_id", "swept"],
    ),
    "Token": opened(
        {"access_token": TEXT, "token_type": {"const": "Bearer"}, "expires_in": COUNT},
        ["access_token", "token_type", "expires_in"],
    ),
    "Ready": {"type": "object", "additionalProperties": {"type": "boolean"}},
}
FEED: Json = {
    "CloudEvent": opened(_EVENT, _EVENT),
    "Events": opened(
        {"items": array(ref("CloudEvent")), "next": TEXT, "as_of": ref("AsOf")},
        ["items", "next", "as_of"],
    ),
    "Webhook": opened(_WEBHOOK, _WEBHOOK),
    "Webhooks": opened({"items": array(ref("Webhook")), "next": {"type": "null"}}, ["items"]),
    "Delivery": opened(_DELIVERY, _DELIVERY),
    "Deliveries": opened({"items": array(ref("Delivery")), "next": _LOCATION}, ["items", "next"]),
    "Export": opened(_EXPORT, ["export_id", "state", "list", "format", "rows", "asked_at"]),
}


def listed(name: str) -> Json:
    """Return the schema of a page of a list."""
    return opened(
        {"items": array(ref(name)), "next": _NEXT, "as_of": ref("AsOf")},
        ["items", "next", "as_of"],
    )
