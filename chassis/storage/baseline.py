"""The tables of the chassis in the first version, and how a baseline creates tables.

The first revision of a service, its baseline, is all that an empty database needs. It runs without
alembic, whose import takes 0.3 s and 8 MB; a later revision runs with it. Either is a function that
takes its operations as an argument.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql

POSITION = Integer().with_variant(postgresql.BIGINT(), "postgresql")
"""A number of 64 bits, also where it is a primary key of SQLite."""


class Operations:
    """The operations that a baseline needs, named as alembic names them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._metadata = MetaData()

    def get_bind(self) -> Connection:
        """Return the connection."""
        return self._connection

    def create_table(self, name: str, *parts: Any, **options: Any) -> None:
        """Create a table of columns, constraints and indexes."""
        Table(name, self._metadata, *parts, **options).create(self._connection, checkfirst=False)

    def create_index(self, name: str, table: str, columns: list[str], **options: Any) -> None:
        """Create an index of a table that a baseline has created."""
        indexed = self._metadata.tables[table].c
        index = Index(name, *(indexed[column] for column in columns), **options)
        index.create(self._connection, checkfirst=False)

    def execute(self, statement: str) -> None:
        """Execute a statement of SQL."""
        self._connection.execute(text(statement))


def where(condition: str) -> dict[str, Any]:
    """Return the options of an index of some rows alone."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def create_chassis_tables(op: Operations) -> None:
    """Create the tables that every service has, as of the first version."""
    op.create_table(
        "attempts",
        Column("id", String(160), primary_key=True),
        Column("count", Integer, nullable=False),
    )
    op.create_table(
        "deployment",
        Column("name", String(32), primary_key=True),
        Column("value", String(64), nullable=False),
    )
    op.create_table(
        "handler_sets",
        Column("number", Integer, primary_key=True, autoincrement=True),
        Column("digest", String(32), nullable=False),
        Column("handlers", Text, nullable=False),
        Index("handler_sets_digest", "digest", unique=True),
    )
    op.create_table(
        "inbox",
        Column("id", String(160), primary_key=True),
        Column("fingerprint", String(16), nullable=False),
        Column("handled_at", Float, nullable=False),
        Column("origin", Integer),
        Column("handler_sets", Integer),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")
    op.create_table(
        "leases",
        Column("name", String(32), primary_key=True),
        Column("owner", String(64)),
        Column("until", Float, nullable=False),
        Column("drained_at", Float),
    )
    op.create_table(
        "outbox",
        Column("seq", POSITION, primary_key=True, autoincrement=True),
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
        Column("written_at", Float, nullable=False),
        Column("sent_at", Float),
        Index("outbox_id", "id", unique=True),
        Index(
            "outbox_unsent",
            "seq",
            **where("sent_at IS NULL"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "parked_actions",
        Column("seq", POSITION, primary_key=True, autoincrement=True),
        Column("at", Float, nullable=False),
        Column("who", String(64), nullable=False),
        Column("action", String(16), nullable=False),
        Column("parked_message", POSITION, nullable=False),
        Column("id", String(64), nullable=False),
        Column("type", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("reason", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "parked_messages",
        Column("seq", POSITION, primary_key=True, autoincrement=True),
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
        Column("state", String(16), nullable=False),
        Column("reason", Text, nullable=False),
        Column("awaits", String(64)),
        Column("attempts", Integer, nullable=False),
        Column("parked_at", Float, nullable=False),
        Column("try_at", Float, nullable=False),
        Column("handler", String(64)),
        Index("parked_messages_awaits", "awaits"),
        Index("parked_messages_due", "state", "try_at"),
        Index("parked_messages_id", "id"),
        Index("parked_messages_stream", "partitionkey", "source", "seq"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "replicas",
        Column("owner", String(64), primary_key=True),
        Column("until", Float, nullable=False),
    )
    op.create_table(
        "resends",
        Column("seq", POSITION, primary_key=True, autoincrement=True),
        Column("receiver", String(32), nullable=False),
        Column("handler", String(64)),
        Column("partition", Integer),
        Column("marker", String(64)),
        Column("since", Float, nullable=False),
        Column("cursor", POSITION, nullable=False),
        Column("last", POSITION, nullable=False),
        Column("sent", Integer, nullable=False),
        Column("asked_at", Float, nullable=False),
        Column("done_at", Float),
    )
    op.create_table(
        "strays",
        Column("id", String(160), primary_key=True),
        Column("marker", String(64), nullable=False),
    )
