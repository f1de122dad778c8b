"""The public events as an AsyncAPI 3.0 document, for the tools of other departments."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from contracts.catalogue import public_events
from contracts.examples import example
from contracts.message import PREFIX, Contract, Event

Json = dict[str, Any]

VERSION = "1.0.0"
"""The version of the description: the second number increases when events or fields are added. The
first stays, since nothing is renamed or removed."""
BINDING = "0.3.0"
"""Version of AsyncAPI's AMQP bindings."""

ATTRIBUTES = {
    "specversion": ({"const": "1.0"}, "The version of CloudEvents."),
    "id": ({}, "The event's id, which identifies a repeat."),
    "source": ({}, "The publishing service."),
    "type": ({}, "The type, as in the routing key."),
    "time": (
        {"format": "date-time"},
        "RFC 3339, UTC: the time of the request or the hour that caused it.",
    ),
    "partitionkey": ({}, "The key within which order is kept, usually an enterprise."),
    "subject": ({}, "The same as the partition key."),
    "correlationid": ({}, "The request, or the hour, that began the chain."),
    "causationid": ({}, "The message that caused this one."),
    "causationtype": ({}, "The type of the message that caused this one."),
    "traceparent": ({}, "W3C trace context."),
}
"""The CloudEvents 1.0 attributes as headers, with their descriptions."""
SOMETIMES = ("causationid", "causationtype", "traceparent")
"""Optional attributes."""

INFO = """\
The events of the district's services, for subscribing departments. Each service
publishes to its own durable topic exchange; the routing key is the event's type. The body is
the event's data, and the CloudEvents 1.0 attributes are AMQP headers. An event is published
after its transaction was committed, at least once, and in order for one key from one service:
recognize a repeat by `cloudEvents_id`. Types may get new fields: ignore unknown ones. A value of
the format `sealed` is encrypted personal data, whose key stays inside the district."""
SEALED = "Encrypted personal data: a key id, a dot and the ciphertext. The key stays inside."


def document() -> Json:
    """Return the public events as an AsyncAPI 3.0 document."""
    events = public_events()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bihuan 閉環: events of the district",
            "version": VERSION,
            "description": INFO.replace("\n", " "),
            "license": {"name": "MIT"},
            "tags": [{"name": name} for name in sorted({str(e.service) for e in events.values()})],
        },
        "servers": {"broker": _BROKER},
        "defaultContentType": "application/json",
        "channels": {name: _channel(kind) for name, kind in events.items()},
        "operations": {f"state-{name}": _operation(kind) for name, kind in events.items()},
        "components": {
            "messages": {name: _message(kind) for name, kind in events.items()},
            "schemas": {
                "cloud-event": _attributes(),
                **{name: _schema(kind) for name, kind in events.items()},
            },
            "securitySchemes": {
                "account": {
                    "type": "userPassword",
                    "description": "The department's account, created by the operator.",
                }
            },
        },
    }


_BROKER: Json = {
    "host": "{host}",
    "pathname": "/%2F",
    "protocol": "amqp",
    "protocolVersion": "0.9.1",
    "description": "The district's RabbitMQ. Events arrive in the queue `department.<name>`.",
    "variables": {"host": {"description": "Host and port, from the operator."}},
    "security": [{"$ref": "#/components/securitySchemes/account"}],
}


def _channel(kind: type[Event]) -> Json:
    """Return the channel of an event: its exchange and routing key."""
    return {
        "address": kind.type,
        "title": kind.type,
        "summary": _summary(kind),
        "messages": {kind.type: {"$ref": f"#/components/messages/{kind.type}"}},
        "tags": [{"name": kind.service}],
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": f"{kind.service}.events",
                    "type": "topic",
                    "durable": True,
                    "autoDelete": False,
                    "vhost": "/",
                },
                "bindingVersion": BINDING,
            }
        },
    }


def _operation(kind: type[Event]) -> Json:
    """Return the operation by which the district sends an event."""
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{kind.type}"},
        "summary": _summary(kind),
        "messages": [{"$ref": f"#/channels/{kind.type}/messages/{kind.type}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "timestamp": True, "bindingVersion": BINDING}},
    }


def _message(kind: type[Event]) -> Json:
    made = example(kind)
    return {
        "name": kind.type,
        "title": kind.type,
        "summary": _summary(kind),
        "description": _words(kind),
        "contentType": "application/json",
        "headers": {
            "allOf": [
                {"$ref": "#/components/schemas/cloud-event"},
                {
                    "type": "object",
                    "properties": {
                        f"{PREFIX}source": {"const": kind.service},
                        f"{PREFIX}type": {"const": kind.type},
                    },
                },
            ]
        },
        "payload": {"$ref": f"#/components/schemas/{kind.type}"},
        "correlationId": {"location": f"$message.header#/{PREFIX}correlationid"},
        "tags": [{"name": kind.service}],
        "bindings": {
            "amqp": {
                "contentEncoding": "utf-8",
                "messageType": kind.type,
                "bindingVersion": BINDING,
            }
        },
        "examples": [{"headers": made["headers"], "payload": made["body"]}],
    }


# -- schemas


def _attributes() -> Json:
    """Return the schema of the attributes that every event has as headers; others may be
    present."""
    return {
        "type": "object",
        "description": "The CloudEvents 1.0 attributes, in the AMQP headers.",
        "required": [f"{PREFIX}{name}" for name in ATTRIBUTES if name not in SOMETIMES],
        "properties": {
            f"{PREFIX}{name}": {"type": "string", **more, "description": words}
            for name, (more, words) in ATTRIBUTES.items()
        },
    }


def _schema(kind: type[Contract]) -> Json:
    """Return the JSON Schema of an event's data, which allows unknown fields."""
    made = _object(kind.describe())
    made["description"] = _words(kind)
    key = made["properties"][kind.key_name()]
    key["description"] = "The key: events with one key from one service arrive in order."
    return made


def _object(fields: Json) -> Json:
    return {
        "type": "object",
        "required": [name for name, shape in fields.items() if not shape.get("optional")],
        "properties": {name: dict(_keywords(shape)) for name, shape in fields.items()},
    }


def _keywords(shape: Json) -> Iterator[tuple[str, Any]]:
    """Return one field's shape as JSON Schema keywords."""
    nullable = shape.get("nullable")
    if "properties" in shape:
        yield from _object(shape["properties"]).items()
    else:
        yield from ((name, shape[name]) for name in _ALIKE if name in shape)
    yield "type", [shape["type"], "null"] if nullable else shape["type"]
    if "enum" in shape:
        yield "enum", [*shape["enum"], None] if nullable else shape["enum"]
    if "items" in shape:
        yield "items", dict(_keywords(shape["items"]))
    if shape.get("format") == "sealed":
        yield "description", SEALED
        yield "x-sealed", True


_ALIKE = (
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
)


def _words(kind: type[Contract]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _summary(kind: type[Contract]) -> str:
    """Return the first sentence of an event's docstring."""
    return _words(kind).partition(". ")[0].rstrip(".") + "."
