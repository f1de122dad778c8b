"""Messages as nobody of ours would write them: every attribute of every form, and properties that a
client's library refuses to write."""

from datetime import datetime
from decimal import Decimal

import amqp
from amqp.serialization import dumps

from chassis.ids import new_id
from chassis.message import partition_of

ATTRIBUTES = (
    "id",
    "source",
    "type",
    "time",
    "partitionkey",
    "correlationid",
    "causationid",
    "causationtype",
    "traceparent",
)
OF_NO_FORM = {
    "integer": 7,
    "huge": 2**60,
    "fraction": 0.5,
    "truth": True,
    "list": ["a", 1],
    "table": {"a": {"b": [1]}},
    "octets": b"\xff\xfe",
    "moment": datetime(2020, 2, 10),  # noqa: DTZ001  (AMQP's own have no zone)
    "decimal": Decimal("1.5"),
    "empty": "",
    "too long": "x" * 300,
    "NUL": "a\0b",
    "line": "a\nb",
}
TIMES = (
    "yesterday",
    "2020-02-10",
    "2020-02-30T00:00:00Z",
    "2020-02-10T00:00:00",
    "20200210T000000Z",
    "2020-W07-1T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    "２０２０-02-10T00:00:00Z",
)
NAMES = {"none of ours": "amq.topic", **OF_NO_FORM}


def headers_of(partitions, **attributes):
    """Write the headers of a message as a service would, but for what is told."""
    given = {
        "id": new_id(),
        "source": "inspection",
        "type": "patrol-dispatched",
        "time": "2020-02-10T00:00:00Z",
        "partitionkey": new_id(),
        "correlationid": new_id(),
    } | attributes
    made = {f"cloudEvents_{name}": value for name, value in given.items() if value is not None}
    key = given["partitionkey"]
    partition = partition_of(key, partitions) if isinstance(key, str) else 0
    return made | {"exchange": "inspection.events", "partition": partition}


def misfits(partitions):
    """Give (name, headers) of messages of which one attribute is not fit."""
    for attribute in ATTRIBUTES:
        for form, value in OF_NO_FORM.items():
            yield f"{attribute}: {form}", headers_of(partitions, **{attribute: value})
    for attribute in ATTRIBUTES[:6]:
        yield f"{attribute}: none", headers_of(partitions, **{attribute: None})
    for time in TIMES:
        yield f"time: {time}", headers_of(partitions, time=time)
    for name in ("exchange", "handler"):
        for form, value in NAMES.items():
            if (name, form) != ("handler", "none of ours"):
                yield f"{name}: {form}", headers_of(partitions) | {name: value}


class Raw(amqp.Message):
    """A message whose properties are these octets."""

    def __init__(self, body, octets):
        super().__init__(body)
        self.octets = octets

    def _serialize_properties(self):
        return self.octets


def unreadable(headers):
    """Give (name, message) of messages with properties that py-amqp cannot read, each with the
    headers of one that would be fit."""
    table, persistent = dumps("F", [headers]), b"\2"
    strange = b"\4" + b"\xe9\xe8\xff\xfe"
    yield "correlation id in Latin-1", Raw("{}", b"\x34\0" + table + persistent + strange)
    yield "message id in Latin-1", Raw("{}", b"\x30\x80" + table + persistent + strange)
    yield "type in Latin-1", Raw("{}", b"\x30\x20" + table + persistent + strange)
    yield (
        "a moment of no year",
        Raw("{}", b"\x30\0" + _with(table, b"T" + b"\x7f" * 8) + persistent),
    )
    deep = b"V"
    for _ in range(8000):
        deep = b"F" + (len(deep) + 2).to_bytes(4, "big") + b"\1x" + deep
    yield "tables in tables", Raw("{}", b"\x30\0" + _with(table, deep) + persistent)


def _with(table, value):
    """Add a header of this value, type and all, to a table."""
    inside = table[4:] + b"\1x" + value
    return len(inside).to_bytes(4, "big") + inside
