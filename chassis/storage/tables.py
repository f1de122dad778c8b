"""The tables of every service: outbox, inbox, parked messages, replicas and their leases."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql

from chassis.message import Message
from contracts.message import Envelope

chassis_metadata = MetaData()
_SEQ = Integer().with_variant(postgresql.BIGINT(), "postgresql")


def _envelope_columns() -> list[Column[Any]]:
    return [
        Column("id", String(64), nullable=False),
        Column("exchange", String(64), nullable=False),
        Column("source", String(32), nullable=False),
        Column("type", String(64), nullable=False),
        Column("time", String(40), nullable=False),
        Column("partitionkey", String(64), nullable=False),
        Column("correlationid", String(64), nullable=False),
        Column("causationid", String(64)),
        Column("causationtype", String(64)),
        Column("traceparent", String(64)),
        Column("body", Text, nullable=False),
    ]


outbox = Table(
    "outbox",
    chassis_metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    *_envelope_columns(),
    Column("written_at", Float, nullable=False),
    Column("sent_at", Float),
    Index("outbox_id", "id", unique=True),
    sqlite_autoincrement=True,
)
Index(
    "outbox_unsent",
    outbox.c.seq,
    sqlite_where=outbox.c.sent_at.is_(None),
    postgresql_where=outbox.c.sent_at.is_(None),
)

inbox = Table(
    "inbox",
    chassis_metadata,
    Column("id", String(160), primary_key=True),
    Column("fingerprint", String(16), nullable=False),
    Column("handled_at", Float, nullable=False),
    Column("origin", Integer),
    Column("handler_sets", Integer),
)
"""The messages handled or parked; for a resend to one handler the id is `{id} {handler}`.

`origin` is the number of the publisher (`origin_of`), and `handler_sets` that of the set of
handlers that received it. Both are null in rows of versions without them.
"""
Index(
    "inbox_handled_at",
    inbox.c.handled_at,
    postgresql_using="brin",
    info={"dialect": "postgresql"},
).ddl_if(dialect="postgresql")

handler_sets = Table(
    "handler_sets",
    chassis_metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("digest", String(32), nullable=False),
    Column("handlers", Text, nullable=False),
    Index("handler_sets_digest", "digest", unique=True),
)
"""The sets of handlers of this service's processes, each a JSON list of `type handler`."""

parked_messages = Table(
    "parked_messages",
    chassis_metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    *_envelope_columns(),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("awaits", String(64)),
    Column("attempts", Integer, nullable=False),
    Column("parked_at", Float, nullable=False),
    Column("try_at", Float, nullable=False),
    Column("handler", String(64)),
    Index("parked_messages_id", "id"),
    Index("parked_messages_stream", "partitionkey", "source", "seq"),
    Index("parked_messages_awaits", "awaits"),
    Index("parked_messages_due", "state", "try_at"),
    sqlite_autoincrement=True,
)

parked_actions = Table(
    "parked_actions",
    chassis_metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("who", String(64), nullable=False),
    Column("action", String(16), nullable=False),
    Column("parked_message", _SEQ, nullable=False),
    Column("id", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""The actions of operators on parked messages: the number of the parked message, its message, and
its state before."""

attempts = Table(
    "attempts",
    chassis_metadata,
    Column("id", String(160), primary_key=True),
    Column("count", Integer, nullable=False),
)

replicas = Table(
    "replicas",
    chassis_metadata,
    Column("owner", String(64), primary_key=True),
    Column("until", Float, nullable=False),
)
"""The live processes of a service, each until its lease expires by the database's clock."""

leases = Table(
    "leases",
    chassis_metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", String(64)),
    Column("until", Float, nullable=False),
    Column("drained_at", Float),
)
"""The leases and their owners: `relay`, `partition 0`, `partition 1` and so on.

`drained_at` is a moment before which all messages of the partition's queue were handled.
"""

deployment = Table(
    "deployment",
    chassis_metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)
"""The state that all replicas of a service share: the number of partitions, what is paused, and so
on."""

resends = Table(
    "resends",
    chassis_metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("receiver", String(32), nullable=False),
    Column("handler", String(64)),
    Column("partition", Integer),
    Column("marker", String(64)),
    Column("since", Float, nullable=False),
    Column("cursor", _SEQ, nullable=False),
    Column("last", _SEQ, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("done_at", Float),
)
"""The resend requests, each to one receiver: sent rows from `since` up to `last`."""

strays = Table(
    "strays",
    chassis_metadata,
    Column("id", String(160), primary_key=True),
    Column("marker", String(64), nullable=False),
)
"""The messages skipped during a recovery, each with the marker that the recovery waited for."""


def origin_of(source: str) -> int:
    """Return the number of a publisher, in a fixed range for any name."""
    return crc32(source.encode()) & 0x7FFF


def row_of(message: Message) -> dict[str, Any]:
    """Return a message as the columns shared by outbox and parked messages."""
    envelope = message.envelope
    return {
        "id": envelope.id,
        "exchange": message.exchange,
        "source": envelope.source,
        "type": envelope.type,
        "time": envelope.time,
        "partitionkey": envelope.partitionkey,
        "correlationid": envelope.correlationid,
        "causationid": envelope.causationid,
        "causationtype": envelope.causationtype,
        "traceparent": envelope.traceparent,
        "body": message.body,
    }


def message_of(row: Any) -> Message:
    """Return the message in a row of the outbox or of the parked messages."""
    return Message(
        Envelope(
            row.id,
            row.source,
            row.type,
            row.time,
            row.partitionkey,
            row.correlationid,
            row.causationid,
            row.causationtype,
            row.traceparent,
        ),
        row.body,
        row.exchange,
        seq=row.seq,
        handler=getattr(row, "handler", None),
        written_at=getattr(row, "written_at", None),
    )
