"""The baseline: the tables of the first version."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Date, Index, Integer, String, Text

from chassis.storage.baseline import Operations, create_chassis_tables

revision = "1001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Create the tables."""
    create_chassis_tables(op)
    op.create_table(
        "complaints",
        Column("id", String(64), primary_key=True),
        Column("state", String(16), nullable=False),
        Column("channel", String(64), nullable=False),
        Column("content", Text, nullable=False),
        Column("reopen_until", Date),
        Column("reopenings", Integer, nullable=False),
        Column("is_rated", Boolean, nullable=False),
        Column("outside_number", String(64)),
        Column("revision", Integer, nullable=False),
        Column("against", Text, nullable=False),
        Column("matchings", Integer, nullable=False),
        Column("main_id", String(64)),
        Column("is_named", Boolean, nullable=False),
        Column("track", String(16), nullable=False),
        Column("enterprise_id", String(64)),
        Column("received_on", Date, nullable=False),
        Column("stage", String(16), nullable=False),
        Column("counted_from", Date, nullable=False),
        Column("unit", String(16), nullable=False),
        Column("days", Integer, nullable=False),
        Column("extension_days", Integer, nullable=False),
        Column("extendable_by", Integer, nullable=False),
        Column("pauses", JSON, nullable=False),
        Column("paused_on", Date),
        Column("due_on", Date),
        Column("rings_on", Date),
        Column("level", Integer, nullable=False),
        Column("setting", Integer, nullable=False),
        Column("calendar", String(64), nullable=False),
        Column("calendar_from", Date),
        Column("rules", String(64), nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index("complaints_by_calendar", "calendar_from", "due_on", "id"),
        Index("complaints_of_main", "main_id"),
        Index("complaints_ringing", "rings_on", "id"),
    )
