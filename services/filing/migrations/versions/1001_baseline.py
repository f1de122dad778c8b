"""The baseline: the tables of the first version."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Index, Integer, String, Text

from chassis.storage.baseline import Operations, create_chassis_tables

revision = "1001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Create the tables."""
    create_chassis_tables(op)
    op.create_table(
        "enterprises",
        Column("id", String(64), primary_key=True),
        Column("credit_code", String(18), unique=True),
        Column("registration_number", String(15), unique=True),
        Column("name", Text, nullable=False),
        Column("kind", String(16), nullable=False),
        Column("size", String(8), nullable=False),
        Column("size_by", String(8), nullable=False),
        Column("branch", String(64)),
        Column("staff", Integer),
        Column("revenue", BigInteger),
        Column("assets", BigInteger),
        Column("industry", String(5), nullable=False),
        Column("premises", String(64), nullable=False),
        Column("grid", String(16), nullable=False),
        Column("address", Text, nullable=False),
        Column("key_project", Boolean, nullable=False),
        Column("rules", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("live_filing_id", String(64)),
        Column("last_filing_id", String(64)),
        Column("closure_id", String(64)),
        Column("lifted_on", Date),
        Column("liaison", String(32)),
        Column("roster_day", Date),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
    )
    op.create_table(
        "filings",
        Column("id", String(64), primary_key=True),
        Column("enterprise_id", String(64), nullable=False),
        Column("reopen_on", Date, nullable=False),
        Column("headcount", Integer, nullable=False),
        Column("out_of_province", Integer, nullable=False),
        Column("measures", JSON, nullable=False),
        Column("stock", JSON, nullable=False),
        Column("pledge", Boolean, nullable=False),
        Column("state", String(16), nullable=False),
        Column("seen_on_site", Boolean, nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index("filings_due", "state", "reopen_on", "id"),
        Index("ix_filings_enterprise_id", "enterprise_id"),
    )
    op.create_table(
        "officers",
        Column("officer", String(32), primary_key=True),
        Column("load", Integer, nullable=False),
    )
