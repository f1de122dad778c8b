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
        "closures",
        Column("id", String(64), primary_key=True),
        Column("enterprise_id", String(64), nullable=False),
        Column("ordered_on", Date, nullable=False),
        Column("lifted_on", Date),
        Column("clean_visit_id", String(64)),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Column("number", String(64), unique=True),
        Index("ix_closures_enterprise_id", "enterprise_id"),
    )
    op.create_table(
        "issues",
        Column("id", String(64), primary_key=True),
        Column("enterprise_id", String(64), nullable=False),
        Column("point", JSON, nullable=False),
        Column("severity", String(16), nullable=False),
        Column("state", String(16), nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index("ix_issues_enterprise_id", "enterprise_id"),
    )
    op.create_table(
        "notices",
        Column("id", String(64), primary_key=True),
        Column("enterprise_id", String(64), nullable=False),
        Column("issue_id", String(64), nullable=False, unique=True),
        Column("point", JSON, nullable=False),
        Column("severity", String(16), nullable=False),
        Column("state", String(16), nullable=False),
        Column("left", JSON, nullable=False),
        Column("level", Integer, nullable=False),
        Column("extensions", Integer, nullable=False),
        Column("due_at", String(20), nullable=False),
        Column("counted_from", Date),
        Column("working_days", Integer),
        Column("calendar", String(64)),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Column("number", String(64), unique=True),
        Index("ix_notices_enterprise_id", "enterprise_id"),
        Index("notices_due", "state", "due_at", "id"),
    )
    op.create_table(
        "patrol_plans",
        Column("id", String(64), primary_key=True),
        Column("grid", String(16), nullable=False),
        Column("day", Date, nullable=False),
        Column("officers", JSON, nullable=False),
        Column("enterprises", JSON, nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index("patrol_plans_of_day", "grid", "day"),
    )
    op.create_table(
        "patrols",
        Column("id", String(64), primary_key=True),
        Column("day", Date, nullable=False),
        Column("agencies", JSON, nullable=False),
        Column("officers", JSON, nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
    )
    op.create_table(
        "premises",
        Column("enterprise_id", String(64), primary_key=True),
        Column("name", Text, nullable=False),
        Column("kind", String(32), nullable=False),
        Column("grid", String(16), nullable=False),
        Column("closure_id", String(64)),
        Column("size", String(16), nullable=False),
        Column("is_open", Boolean, nullable=False),
        Column("staff", Integer, nullable=False),
        Column("out_of_province", Integer, nullable=False),
        Column("roster_on", Date),
        Column("visited_on", Date),
        Column("visits", JSON, nullable=False),
        Column("true_complaints", JSON, nullable=False),
        Index("premises_of_grid", "grid", "is_open"),
    )
    op.create_table(
        "series",
        Column("name", String(64), primary_key=True),
        Column("last", Integer, nullable=False),
    )
    op.create_table(
        "slips",
        Column("id", String(64), primary_key=True),
        Column("kind", String(32), nullable=False),
        Column("about", String(64), nullable=False),
        Column("addressee", String(32), nullable=False),
        Column("points", JSON, nullable=False),
        Column("text", JSON, nullable=False),
        Column("issued_on", Date, nullable=False),
        Column("due_on", Date),
        Column("enterprise_id", String(64)),
        Column("complaint_id", String(64)),
        Column("acknowledged_by", String(64)),
        Column("acknowledged_at", String(20)),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Column("number", String(64), unique=True),
        Index("ix_slips_about", "about"),
    )
    op.create_table(
        "visits",
        Column("id", String(64), primary_key=True),
        Column("enterprise_id", String(64), nullable=False),
        Column("purpose", String(16), nullable=False),
        Column("grid", String(16), nullable=False),
        Column("day", Date, nullable=False),
        Column("state", String(16), nullable=False),
        Column("urgent", Boolean, nullable=False),
        Column("joint", Boolean, nullable=False),
        Column("agencies", JSON, nullable=False),
        Column("signed", JSON, nullable=False),
        Column("parts", JSON, nullable=False),
        Column("filing_id", String(64)),
        Column("complaint_id", String(64)),
        Column("found", JSON, nullable=False),
        Column("sent", String(64)),
        Column("recorded", JSON(none_as_null=True)),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index("visits_due", "grid", "state", "day"),
        Index("visits_of_complaint", "complaint_id"),
        Index("visits_of_day", "enterprise_id", "day"),
    )
