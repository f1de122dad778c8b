"""The tables that every service has: outbox, inbox, parked messages, and who of its replicas does
what."""

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
"""What was handled or parked; fed again to one handler, a message's id is `{id} {handler}`.

`origin` stands for the publisher (`origin_of`), and `handler_sets` is the number of the set of
handlers to which it was given. Both are absent where a version that knew neither wrote the row.
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
"""The sets of handlers that processes of this service have had, each as `type handler`, in JSON."""

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
"""What operators did to parked messages: the parked message's number, its message, and how it stood
before."""

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
"""The processes of a service that live, each until its lease ends by the database's clock."""

leases = Table(
    "leases",
    chassis_metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", String(64)),
    Column("until", Float, nullable=False),
    Column("drained_at", Float),
)
"""Which replica does what: `relay`, and `partition 0`, `partition 1` and so on.

`drained_at` is a moment before which everything that a partition's queue was given had been
handled.
"""

deployment = Table(
    "deployment",
    chassis_metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)
"""What all replicas of a service must agree on: the number of partitions, and what is paused."""

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
"""What the relay is to publish again, to one receiver: sent rows from `since` on, up to `last`."""

strays = Table(
    "strays",
    chassis_metadata,
    Column("id", String(160), primary_key=True),
    Column("marker", String(64), nullable=False),
)
"""What was left out while a gap was open, and which marker the gap waited for."""


def origin_of(source: str) -> int:
    """Give the number of a publisher: one of a fixed number, whoever claims to be one."""
    return crc32(source.encode()) & 0x7FFF


def row_of(message: Message) -> dict[str, Any]:
    """Write a message as the columns that outbox and parked messages share."""
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
    """Read a message back from a row of the outbox or of the parked messages."""
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
