"""The gateway's own tables: commands and outcomes, every event, counters, hours, the clock."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql

metadata = MetaData()
POSITION = Integer().with_variant(postgresql.BIGINT(), "postgresql")
"""A number that only grows: where a row stands."""

PENDING, DONE, REJECTED = "pending", "done", "rejected"

commands = Table(
    "commands",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("idempotency", String(400), unique=True, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Boolean, nullable=False),
    Column("location", String(200)),
    Column("status", Integer),
    Column("outcome", Text),
    Column("batch_id", String(64)),
    Column("row", Integer),
    Column("rows", Integer),
    Column("accepted_at", Float, nullable=False),
    Column("settled_at", Float),
    Index("commands_of_batch", "batch_id", "row"),
)

events = Table(
    "events",
    metadata,
    Column("position", POSITION, primary_key=True, autoincrement=True),
    Column("id", String(64), unique=True, nullable=False),
    Column("source", String(32), nullable=False),
    Column("type", String(64), nullable=False),
    Column("time", String(40), nullable=False),
    Column("partitionkey", String(64), nullable=False),
    Column("correlationid", String(64), nullable=False),
    Column("causationid", String(64)),
    Column("causationtype", String(64)),
    Column("enterprise_id", String(64)),
    Column("complaint_id", String(64)),
    Column("body", Text, nullable=False),
    Index("events_of_enterprise", "enterprise_id", "position"),
    Index("events_of_complaint", "complaint_id", "position"),
    sqlite_autoincrement=True,
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", POSITION, nullable=False),
)

hours = Table(
    "hours",
    metadata,
    Column("hour_id", String(64), primary_key=True),
    Column("service", String(32), primary_key=True),
    Column("cases", Integer, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("last", Integer, nullable=False),
)

clock = Table(
    "clock",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("at", String(40), nullable=False),
)
