"""The gateway's tables: commands and outcomes, events, audit, counters, hours, the clock, exports,
webhooks with their secrets and deliveries, and person keys."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    text,
)
from sqlalchemy.dialects import postgresql

metadata = MetaData()
OF_PEOPLE = text(
    "type IN ('claim-filed', 'complaint-received', 'complaint-revised', 'medic-enrolled')"
)
"""The events with personal data, as the index condition states them."""
POSITION = Integer().with_variant(postgresql.BIGINT(), "postgresql")
"""An increasing number: the position of a row."""

PENDING, DONE, REJECTED, FAILED = "pending", "done", "rejected", "failed"

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
    Column("caller", String(64)),
    Index("commands_of_batch", "batch_id", "row"),
)

events = Table(
    "events",
    metadata,
    Column("position", POSITION, primary_key=True, autoincrement=False),
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
    Column("digest", String(64), nullable=False),
    Index("events_of_enterprise", "enterprise_id", "position"),
    Index("events_of_complaint", "complaint_id", "position"),
    Index(
        "events_of_people",
        "partitionkey",
        "position",
        sqlite_where=OF_PEOPLE,
        postgresql_where=OF_PEOPLE,
    ),
)

audit = Table(
    "audit",
    metadata,
    Column("position", POSITION, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("what", String(64), nullable=False),
    Column("who", String(64), nullable=False),
    Column("about", String(64), nullable=False),
    Column("content", Text, nullable=False),
    Column("digest", String(64), nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("hash", String(200), nullable=False),
    Column("roles", String(400), nullable=False),
    Column("grids", Text, nullable=False),
    Column("enterprises", Text, nullable=False),
    Column("speaks_for_others", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
)

heads = Table(
    "heads",
    metadata,
    Column("chain", String(16), primary_key=True),
    Column("position", POSITION, nullable=False),
    Column("digest", String(64), nullable=False),
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

exports = Table(
    "exports",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("caller", Text, nullable=False),
    Column("list", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("format", String(16), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("sameness", String(64), unique=True, nullable=False),
    Column("state", String(16), nullable=False),
    Column("rows", POSITION, nullable=False),
    Column("size", POSITION, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("as_of", Text),
    Column("problem", Text),
    Column("attempts", Integer, nullable=False),
    Column("worker", String(64)),
    Column("until", Float, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("ended_at", Float),
    Index("exports_alike", "fingerprint", "asked_at"),
    Index("exports_by_state", "state", "until"),
)
"""Long exports: the query, the caller, the progress, and the lease of the gateway that writes it.

`sameness` identifies identical requests.
"""

export_chunks = Table(
    "export_chunks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("export_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("export_chunks_in_order", "export_id", "number", unique=True),
)
"""The file of an export, in chunks."""

ACTIVE, DISABLED = "active", "disabled"

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("enterprise_id", String(64)),
    Column("grid", String(64)),
    Column("state", String(16), nullable=False),
    Column("reason", String(200)),
    Column("cursor", POSITION, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("failing_since", Float),
    Column("paused_until", Float, nullable=False),
)
"""Every wanted event up to `cursor` has a row in the deliveries."""

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("webhook_id", String(64), nullable=False),
    Column("secret", Text, nullable=False),
    Column("ends_at", Float),
    Index("webhook_secrets_of", "webhook_id", "id"),
)
"""Sealed secrets; the id is that of the command that made it. Every unexpired secret signs."""

WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "given_up"

deliveries = Table(
    "deliveries",
    metadata,
    Column("webhook_id", String(64), primary_key=True),
    Column("position", POSITION, primary_key=True, autoincrement=False),
    Column("event_id", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("partitionkey", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("try_at", Float, nullable=False),
    Column("settled_at", Float),
    Column("history", Text, nullable=False),
    Index("deliveries_settled", "settled_at"),
)
Index(
    "deliveries_waiting",
    deliveries.c.webhook_id,
    deliveries.c.partitionkey,
    deliveries.c.position,
    sqlite_where=deliveries.c.state == WAITING,
    postgresql_where=deliveries.c.state == WAITING,
)

person_keys = Table(
    "person_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("person", String(64), nullable=False),
    Column("wrapped", Text),
    Column("wrapped_by", String(16)),
    Column("created_at", Float, nullable=False),
    Column("destroyed_at", Float),
    Column("destroyed_by", String(64)),
    Column("joined", String(64)),
    Index("person_keys_of", "person"),
    Index("person_keys_joined", "joined"),
    Index("person_keys_wrapped_by", "wrapped_by", "id"),
)
"""Person keys, by a keyed hash that identifies the person. The row of a destroyed key has its time
and author, and no longer the key. `joined` is the person's current hash if the key was made under
another one."""
_IN_USE = and_(person_keys.c.destroyed_at.is_(None), person_keys.c.joined.is_(None))
Index(
    "person_keys_in_use",
    person_keys.c.person,
    unique=True,
    sqlite_where=_IN_USE,
    postgresql_where=_IN_USE,
)
