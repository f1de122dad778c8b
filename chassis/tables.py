"""The tables that every service has: its outbox, its inbox, its letters, and counted attempts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql

from chassis.message import Message
from contracts.message import Envelope

carriage = MetaData()
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
    carriage,
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
    carriage,
    Column("id", String(64), primary_key=True),
    Column("fingerprint", String(16), nullable=False),
    Column("handled_at", Float, nullable=False),
)

letters = Table(
    "letters",
    carriage,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    *_envelope_columns(),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("awaits", String(64)),
    Column("attempts", Integer, nullable=False),
    Column("parked_at", Float, nullable=False),
    Column("try_at", Float, nullable=False),
    Index("letters_stream", "source", "partitionkey", "seq"),
    Index("letters_awaits", "awaits"),
    Index("letters_due", "state", "try_at"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    carriage,
    Column("id", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
)


def row_of(message: Message) -> dict[str, Any]:
    """Write a message as the columns that outbox and letters share."""
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
    """Read a message back from a row of the outbox or of the letters."""
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
    )
