"""The baseline: the tables of the first version."""

from __future__ import annotations

from sqlalchemy import Column, Date, Integer, String

from chassis.storage.baseline import Operations, create_chassis_tables

revision = "1001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Create the tables."""
    create_chassis_tables(op)
    op.create_table(
        "visits",
        Column("id", String(64), primary_key=True),
        Column("enterprise_id", String(64), nullable=False),
        Column("grid", String(64), nullable=False),
        Column("visited_on", Date, nullable=False),
        Column("officers", Integer, nullable=False),
    )
