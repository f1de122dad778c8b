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
        "claims",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("policy_id", sa.String(length=64), nullable=False),
        sa.Column("medic_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("scheme", sa.String(length=64), nullable=False),
        sa.Column("casualty", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("checkers", sa.JSON(), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
    )
    op.create_index(
        "claims_once_for_a_casualty",
        "claims",
        ["person", "scheme", "casualty"],
        unique=True,
        sqlite_where=sa.text("state != 'rejected'"),
        postgresql_where=sa.text("state != 'rejected'"),
    )
    op.create_index(
        "claims_one_under_way",
        "claims",
        ["person", "scheme"],
        unique=True,
        sqlite_where=sa.text("state != 'rejected' AND state != 'paid'"),
        postgresql_where=sa.text("state != 'rejected' AND state != 'paid'"),
    )
    op.create_table(
        "holders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("size", sa.String(length=16), nullable=True),
        sa.Column("institution", sa.Text(), nullable=True),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("scheme", sa.String(length=64), nullable=True),
        sa.Column("covered_until", sa.Date(), nullable=True),
        sa.Column("gap", sa.String(length=16), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "holders_uncovered",
        "holders",
        ["since", "id"],
        unique=False,
        sqlite_where=sa.text("covered_until IS NULL"),
        postgresql_where=sa.text("covered_until IS NULL"),
    )
    op.create_table(
        "medics",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("holder_ref", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("identity", sa.String(length=512), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("withdrawn_on", sa.Date(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_medics_holder_ref", "medics", ["holder_ref"], unique=False)
    op.create_index(
        "medics_once_per_person",
        "medics",
        ["holder_ref"],
        unique=True,
        sqlite_where=sa.text("withdrawn_on IS NULL"),
        postgresql_where=sa.text("withdrawn_on IS NULL"),
    )
    op.create_table(
        "policies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("scheme", sa.String(length=64), nullable=False),
        sa.Column("holder_id", sa.String(length=64), nullable=False),
        sa.Column("edition", sa.String(length=64), nullable=False),
        sa.Column("covers_from", sa.Date(), nullable=False),
        sa.Column("covers_until", sa.Date(), nullable=False),
        sa.Column("sum_insured", sa.Integer(), nullable=True),
        sa.Column("benefits", sa.JSON(), nullable=False),
        sa.Column("report_days", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_change", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("scheme", "holder_id"),
    )
    op.create_index(op.f("ix_policies_holder_id"), "policies", ["holder_id"], unique=False)
    op.create_index(
        "policies_to_expire",
        "policies",
        ["covers_until", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
