"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "deployment",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("fingerprint", sa.String(length=16), nullable=False),
        sa.Column("handled_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.create_index(
            "inbox_handled_at", "inbox", ["handled_at"], unique=False, postgresql_using="brin"
        )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("drained_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "letter_actions",
        sa.Column(
            "seq",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("letter", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "letters",
        sa.Column(
            "seq",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("time", sa.String(length=40), nullable=False),
        sa.Column("partitionkey", sa.String(length=64), nullable=False),
        sa.Column("correlationid", sa.String(length=64), nullable=False),
        sa.Column("causationid", sa.String(length=64), nullable=True),
        sa.Column("causationtype", sa.String(length=64), nullable=True),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("awaits", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("parked_at", sa.Float(), nullable=False),
        sa.Column("try_at", sa.Float(), nullable=False),
        sa.Column("handler", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("letters_awaits", "letters", ["awaits"], unique=False)
    op.create_index("letters_due", "letters", ["state", "try_at"], unique=False)
    op.create_index("letters_stream", "letters", ["partitionkey", "source", "seq"], unique=False)
    op.create_table(
        "outbox",
        sa.Column(
            "seq",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("time", sa.String(length=40), nullable=False),
        sa.Column("partitionkey", sa.String(length=64), nullable=False),
        sa.Column("correlationid", sa.String(length=64), nullable=False),
        sa.Column("causationid", sa.String(length=64), nullable=True),
        sa.Column("causationtype", sa.String(length=64), nullable=True),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("written_at", sa.Float(), nullable=False),
        sa.Column("sent_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_id", "outbox", ["id"], unique=True)
    op.create_index(
        "outbox_unsent",
        "outbox",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "replicas",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_table(
        "resends",
        sa.Column(
            "seq",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("receiver", sa.String(length=32), nullable=False),
        sa.Column("handler", sa.String(length=64), nullable=True),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("marker", sa.String(length=64), nullable=True),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("cursor", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=False),
        sa.Column("last", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "closures",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("enterprise_id", sa.String(length=64), nullable=False),
        sa.Column("ordered_on", sa.Date(), nullable=False),
        sa.Column("lifted_on", sa.Date(), nullable=True),
        sa.Column("clean_visit_id", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index(op.f("ix_closures_enterprise_id"), "closures", ["enterprise_id"], unique=False)
    op.create_table(
        "issues",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("enterprise_id", sa.String(length=64), nullable=False),
        sa.Column("point", sa.JSON(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_issues_enterprise_id"), "issues", ["enterprise_id"], unique=False)
    op.create_table(
        "notices",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("enterprise_id", sa.String(length=64), nullable=False),
        sa.Column("issue_id", sa.String(length=64), nullable=False),
        sa.Column("point", sa.JSON(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("left", sa.JSON(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("extensions", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.String(length=20), nullable=False),
        sa.Column("counted_from", sa.Date(), nullable=True),
        sa.Column("working_days", sa.Integer(), nullable=True),
        sa.Column("calendar", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("issue_id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index(op.f("ix_notices_enterprise_id"), "notices", ["enterprise_id"], unique=False)
    op.create_index("notices_due", "notices", ["state", "due_at", "id"], unique=False)
    op.create_table(
        "patrol_plans",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("grid", sa.String(length=16), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("officers", sa.JSON(), nullable=False),
        sa.Column("enterprises", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("patrol_plans_of_day", "patrol_plans", ["grid", "day"], unique=False)
    op.create_table(
        "patrols",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("agencies", sa.JSON(), nullable=False),
        sa.Column("officers", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "premises",
        sa.Column("enterprise_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("grid", sa.String(length=16), nullable=False),
        sa.Column("closure_id", sa.String(length=64), nullable=True),
        sa.Column("size", sa.String(length=16), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("staff", sa.Integer(), nullable=False),
        sa.Column("out_of_province", sa.Integer(), nullable=False),
        sa.Column("roster_on", sa.Date(), nullable=True),
        sa.Column("visited_on", sa.Date(), nullable=True),
        sa.Column("visits", sa.JSON(), nullable=False),
        sa.Column("true_complaints", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise_id"),
    )
    op.create_index("premises_of_grid", "premises", ["grid", "is_open"], unique=False)
    op.create_table(
        "series",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "slips",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("about", sa.String(length=64), nullable=False),
        sa.Column("addressee", sa.String(length=32), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("text", sa.JSON(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("complaint_id", sa.String(length=64), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=64), nullable=True),
        sa.Column("acknowledged_at", sa.String(length=20), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index(op.f("ix_slips_about"), "slips", ["about"], unique=False)
    op.create_table(
        "visits",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("enterprise_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("grid", sa.String(length=16), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("joint", sa.Boolean(), nullable=False),
        sa.Column("agencies", sa.JSON(), nullable=False),
        sa.Column("signed", sa.JSON(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("filing_id", sa.String(length=64), nullable=True),
        sa.Column("complaint_id", sa.String(length=64), nullable=True),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("sent", sa.String(length=64), nullable=True),
        sa.Column("recorded", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("visits_due", "visits", ["grid", "state", "day"], unique=False)
    op.create_index("visits_of_complaint", "visits", ["complaint_id"], unique=False)
    op.create_index("visits_of_day", "visits", ["enterprise_id", "day"], unique=False)
