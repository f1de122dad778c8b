"""The baseline: the tables of the first version."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)

from chassis.storage.baseline import Operations, create_chassis_tables, where

revision = "1001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Create the tables."""
    create_chassis_tables(op)
    op.create_table(
        "claims",
        Column("id", String(64), primary_key=True),
        Column("policy_id", String(64), nullable=False),
        Column("medic_id", String(64), nullable=False),
        Column("person", String(64), nullable=False),
        Column("scheme", String(64), nullable=False),
        Column("casualty", String(64), nullable=False),
        Column("amount", Integer, nullable=False),
        Column("state", String(16), nullable=False),
        Column("checkers", JSON, nullable=False),
        Column("reference", String(64), unique=True),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index(
            "claims_once_for_a_casualty",
            "person",
            "scheme",
            "casualty",
            unique=True,
            **where("state != 'rejected'"),
        ),
        Index(
            "claims_one_under_way",
            "person",
            "scheme",
            unique=True,
            **where("state != 'rejected' AND state != 'paid'"),
        ),
    )
    op.create_table(
        "holders",
        Column("id", String(64), primary_key=True),
        Column("kind", String(16), nullable=False),
        Column("size", String(16)),
        Column("institution", Text),
        Column("since", Date, nullable=False),
        Column("scheme", String(64)),
        Column("covered_until", Date),
        Column("gap", String(16)),
        Column("withdrawn", Boolean, nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index(
            "holders_uncovered",
            "since",
            "id",
            **where("covered_until IS NULL"),
        ),
    )
    op.create_table(
        "medics",
        Column("id", String(64), primary_key=True),
        Column("holder_ref", String(64), nullable=False),
        Column("name", String(512), nullable=False),
        Column("identity", String(512), nullable=False),
        Column("institution", Text, nullable=False),
        Column("withdrawn_on", Date),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        Index("ix_medics_holder_ref", "holder_ref"),
        Index(
            "medics_once_per_person",
            "holder_ref",
            unique=True,
            **where("withdrawn_on IS NULL"),
        ),
    )
    op.create_table(
        "policies",
        Column("id", String(64), primary_key=True),
        Column("scheme", String(64), nullable=False),
        Column("holder_id", String(64), nullable=False),
        Column("edition", String(64), nullable=False),
        Column("covers_from", Date, nullable=False),
        Column("covers_until", Date, nullable=False),
        Column("sum_insured", Integer),
        Column("benefits", JSON, nullable=False),
        Column("report_days", Integer, nullable=False),
        Column("state", String(16), nullable=False),
        Column("version", Integer, nullable=False),
        Column("last_change", JSON(none_as_null=True)),
        UniqueConstraint("scheme", "holder_id"),
        Index("ix_policies_holder_id", "holder_id"),
        Index(
            "policies_to_expire",
            "covers_until",
            "id",
            **where("state = 'active'"),
        ),
    )
