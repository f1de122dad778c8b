"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

POSTGRESQL = ("""CREATE INDEX {words}_grams ON {words} USING gin (string_to_array(words, ' '))""",)
SQLITE = (
    """
CREATE VIRTUAL TABLE {words}_fts USING fts5(
    words, content='{words}', content_rowid='position', tokenize='ascii')
""",
    """
CREATE TRIGGER {words}_added AFTER INSERT ON {words} BEGIN
    INSERT INTO {words}_fts (rowid, words) VALUES (new.position, new.words);
END
""",
    """
CREATE TRIGGER {words}_changed AFTER UPDATE ON {words} WHEN old.words <> new.words BEGIN
    INSERT INTO {words}_fts ({words}_fts, rowid, words)
        VALUES ('delete', old.position, old.words);
    INSERT INTO {words}_fts (rowid, words) VALUES (new.position, new.words);
END
""",
    """
CREATE TRIGGER {words}_removed AFTER DELETE ON {words} BEGIN
    INSERT INTO {words}_fts ({words}_fts, rowid, words)
        VALUES ('delete', old.position, old.words);
END
""",
)


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
        "audit",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("about", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_table(
        "claims",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("policy_id", sa.String(length=64), nullable=True),
        sa.Column("medic_id", sa.String(length=64), nullable=True),
        sa.Column("scheme", sa.String(length=64), nullable=True),
        sa.Column("casualty", sa.String(length=64), nullable=True),
        sa.Column("occurred_on", sa.String(length=10), nullable=True),
        sa.Column("amount", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("claims_by_amount", "claims", ["amount", "position"], unique=False)
    op.create_index("claims_by_casualty", "claims", ["casualty", "position"], unique=False)
    op.create_index("claims_by_medic_id", "claims", ["medic_id", "position"], unique=False)
    op.create_index("claims_by_occurred_on", "claims", ["occurred_on", "position"], unique=False)
    op.create_index("claims_by_policy_id", "claims", ["policy_id", "position"], unique=False)
    op.create_index("claims_by_scheme", "claims", ["scheme", "position"], unique=False)
    op.create_index("claims_by_state", "claims", ["state", "position"], unique=False)
    op.create_index(
        "claims_by_state_and_occurred_on",
        "claims",
        ["state", "occurred_on", "position"],
        unique=False,
    )
    op.create_table(
        "clock",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "closures",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("grounds", sa.String(length=64), nullable=True),
        sa.Column("ordered_on", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "closures_by_enterprise_id", "closures", ["enterprise_id", "position"], unique=False
    )
    op.create_index("closures_by_grounds", "closures", ["grounds", "position"], unique=False)
    op.create_index("closures_by_number", "closures", ["number", "position"], unique=False)
    op.create_index("closures_by_ordered_on", "closures", ["ordered_on", "position"], unique=False)
    op.create_index("closures_by_state", "closures", ["state", "position"], unique=False)
    op.create_table(
        "commands",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("idempotency", sa.String(length=400), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Boolean(), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.String(length=64), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("settled_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency"),
    )
    op.create_index("commands_of_batch", "commands", ["batch_id", "row"], unique=False)
    op.create_table(
        "complaints",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("track", sa.String(length=64), nullable=True),
        sa.Column("channel", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("outside_number", sa.String(length=64), nullable=True),
        sa.Column("stage", sa.String(length=64), nullable=True),
        sa.Column("clock", sa.String(length=64), nullable=True),
        sa.Column("overdue", sa.String(length=64), nullable=True),
        sa.Column("main_id", sa.String(length=64), nullable=True),
        sa.Column("received_on", sa.String(length=10), nullable=True),
        sa.Column("due_on", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("complaints_by_channel", "complaints", ["channel", "position"], unique=False)
    op.create_index("complaints_by_clock", "complaints", ["clock", "position"], unique=False)
    op.create_index("complaints_by_due_on", "complaints", ["due_on", "position"], unique=False)
    op.create_index(
        "complaints_by_enterprise_id", "complaints", ["enterprise_id", "position"], unique=False
    )
    op.create_index("complaints_by_main_id", "complaints", ["main_id", "position"], unique=False)
    op.create_index(
        "complaints_by_outside_number", "complaints", ["outside_number", "position"], unique=False
    )
    op.create_index("complaints_by_overdue", "complaints", ["overdue", "position"], unique=False)
    op.create_index(
        "complaints_by_received_on", "complaints", ["received_on", "position"], unique=False
    )
    op.create_index("complaints_by_stage", "complaints", ["stage", "position"], unique=False)
    op.create_index("complaints_by_state", "complaints", ["state", "position"], unique=False)
    op.create_index(
        "complaints_by_state_and_due_on",
        "complaints",
        ["state", "due_on", "position"],
        unique=False,
    )
    op.create_index("complaints_by_track", "complaints", ["track", "position"], unique=False)
    op.create_table(
        "complaints_words",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "enterprises",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=64), nullable=True),
        sa.Column("size", sa.String(length=64), nullable=True),
        sa.Column("premises", sa.String(length=64), nullable=True),
        sa.Column("grid", sa.String(length=64), nullable=True),
        sa.Column("subdistrict", sa.String(length=64), nullable=True),
        sa.Column("key_project", sa.String(length=64), nullable=True),
        sa.Column("credit_code", sa.String(length=64), nullable=True),
        sa.Column("registration_number", sa.String(length=64), nullable=True),
        sa.Column("liaison", sa.String(length=64), nullable=True),
        sa.Column(
            "name",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("registered_on", sa.String(length=10), nullable=True),
        sa.Column("reopened_on", sa.String(length=10), nullable=True),
        sa.Column("on_duty", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "enterprises_by_credit_code", "enterprises", ["credit_code", "position"], unique=False
    )
    op.create_index("enterprises_by_grid", "enterprises", ["grid", "position"], unique=False)
    op.create_index(
        "enterprises_by_key_project", "enterprises", ["key_project", "position"], unique=False
    )
    op.create_index("enterprises_by_kind", "enterprises", ["kind", "position"], unique=False)
    op.create_index("enterprises_by_liaison", "enterprises", ["liaison", "position"], unique=False)
    op.create_index("enterprises_by_name", "enterprises", ["name", "position"], unique=False)
    op.create_index("enterprises_by_on_duty", "enterprises", ["on_duty", "position"], unique=False)
    op.create_index(
        "enterprises_by_premises", "enterprises", ["premises", "position"], unique=False
    )
    op.create_index(
        "enterprises_by_registered_on", "enterprises", ["registered_on", "position"], unique=False
    )
    op.create_index(
        "enterprises_by_registration_number",
        "enterprises",
        ["registration_number", "position"],
        unique=False,
    )
    op.create_index(
        "enterprises_by_reopened_on", "enterprises", ["reopened_on", "position"], unique=False
    )
    op.create_index("enterprises_by_size", "enterprises", ["size", "position"], unique=False)
    op.create_index("enterprises_by_state", "enterprises", ["state", "position"], unique=False)
    op.create_index(
        "enterprises_by_state_and_reopened_on",
        "enterprises",
        ["state", "reopened_on", "position"],
        unique=False,
    )
    op.create_index(
        "enterprises_by_subdistrict", "enterprises", ["subdistrict", "position"], unique=False
    )
    op.create_table(
        "enterprises_words",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_table(
        "events",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("time", sa.String(length=40), nullable=False),
        sa.Column("partitionkey", sa.String(length=64), nullable=False),
        sa.Column("correlationid", sa.String(length=64), nullable=False),
        sa.Column("causationid", sa.String(length=64), nullable=True),
        sa.Column("causationtype", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("complaint_id", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("events_of_complaint", "events", ["complaint_id", "position"], unique=False)
    op.create_index("events_of_enterprise", "events", ["enterprise_id", "position"], unique=False)
    op.create_table(
        "filings",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("submitted_on", sa.String(length=10), nullable=True),
        sa.Column("reopen_on", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "filings_by_enterprise_id", "filings", ["enterprise_id", "position"], unique=False
    )
    op.create_index("filings_by_reopen_on", "filings", ["reopen_on", "position"], unique=False)
    op.create_index("filings_by_state", "filings", ["state", "position"], unique=False)
    op.create_index(
        "filings_by_state_and_reopen_on",
        "filings",
        ["state", "reopen_on", "position"],
        unique=False,
    )
    op.create_index(
        "filings_by_state_and_submitted_on",
        "filings",
        ["state", "submitted_on", "position"],
        unique=False,
    )
    op.create_index(
        "filings_by_submitted_on", "filings", ["submitted_on", "position"], unique=False
    )
    op.create_table(
        "heads",
        sa.Column("chain", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain"),
    )
    op.create_table(
        "hours",
        sa.Column("hour_id", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=32), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hour_id", "service"),
    )
    op.create_table(
        "issues",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("visit_id", sa.String(length=64), nullable=True),
        sa.Column("severity", sa.String(length=64), nullable=True),
        sa.Column("found_on", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "issues_by_enterprise_id", "issues", ["enterprise_id", "position"], unique=False
    )
    op.create_index("issues_by_found_on", "issues", ["found_on", "position"], unique=False)
    op.create_index("issues_by_severity", "issues", ["severity", "position"], unique=False)
    op.create_index("issues_by_state", "issues", ["state", "position"], unique=False)
    op.create_index(
        "issues_by_state_and_found_on", "issues", ["state", "found_on", "position"], unique=False
    )
    op.create_index("issues_by_visit_id", "issues", ["visit_id", "position"], unique=False)
    op.create_table(
        "medics",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column(
            "institution",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("enrolled_on", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("medics_by_enrolled_on", "medics", ["enrolled_on", "position"], unique=False)
    op.create_index("medics_by_institution", "medics", ["institution", "position"], unique=False)
    op.create_index("medics_by_state", "medics", ["state", "position"], unique=False)
    op.create_table(
        "notices",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("issue_id", sa.String(length=64), nullable=True),
        sa.Column("severity", sa.String(length=64), nullable=True),
        sa.Column("due_on", sa.String(length=10), nullable=True),
        sa.Column("issued_on", sa.String(length=10), nullable=True),
        sa.Column("level", sa.Integer().with_variant(sa.BIGINT(), "postgresql"), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("notices_by_due_on", "notices", ["due_on", "position"], unique=False)
    op.create_index(
        "notices_by_enterprise_id", "notices", ["enterprise_id", "position"], unique=False
    )
    op.create_index("notices_by_issue_id", "notices", ["issue_id", "position"], unique=False)
    op.create_index("notices_by_issued_on", "notices", ["issued_on", "position"], unique=False)
    op.create_index("notices_by_level", "notices", ["level", "position"], unique=False)
    op.create_index("notices_by_number", "notices", ["number", "position"], unique=False)
    op.create_index("notices_by_severity", "notices", ["severity", "position"], unique=False)
    op.create_index("notices_by_state", "notices", ["state", "position"], unique=False)
    op.create_index(
        "notices_by_state_and_due_on", "notices", ["state", "due_on", "position"], unique=False
    )
    op.create_table(
        "patrols",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("grid", sa.String(length=64), nullable=True),
        sa.Column("day", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("patrols_by_day", "patrols", ["day", "position"], unique=False)
    op.create_index("patrols_by_grid", "patrols", ["grid", "position"], unique=False)
    op.create_table(
        "plans",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("grid", sa.String(length=64), nullable=True),
        sa.Column("day", sa.String(length=64), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("plans_by_day", "plans", ["day", "position"], unique=False)
    op.create_index("plans_by_grid", "plans", ["grid", "position"], unique=False)
    op.create_table(
        "policies",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("scheme", sa.String(length=64), nullable=True),
        sa.Column("holder_id", sa.String(length=64), nullable=True),
        sa.Column("holder_kind", sa.String(length=64), nullable=True),
        sa.Column("covers_until", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "policies_by_covers_until", "policies", ["covers_until", "position"], unique=False
    )
    op.create_index("policies_by_holder_id", "policies", ["holder_id", "position"], unique=False)
    op.create_index(
        "policies_by_holder_kind", "policies", ["holder_kind", "position"], unique=False
    )
    op.create_index("policies_by_scheme", "policies", ["scheme", "position"], unique=False)
    op.create_index("policies_by_state", "policies", ["state", "position"], unique=False)
    op.create_table(
        "rosters",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("day", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("rosters_by_day", "rosters", ["day", "position"], unique=False)
    op.create_index(
        "rosters_by_enterprise_id", "rosters", ["enterprise_id", "position"], unique=False
    )
    op.create_table(
        "slips",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("about", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("complaint_id", sa.String(length=64), nullable=True),
        sa.Column("addressee", sa.String(length=64), nullable=True),
        sa.Column("acknowledged", sa.String(length=64), nullable=True),
        sa.Column("issued_on", sa.String(length=10), nullable=True),
        sa.Column("due_on", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("slips_by_about", "slips", ["about", "position"], unique=False)
    op.create_index("slips_by_acknowledged", "slips", ["acknowledged", "position"], unique=False)
    op.create_index("slips_by_addressee", "slips", ["addressee", "position"], unique=False)
    op.create_index("slips_by_complaint_id", "slips", ["complaint_id", "position"], unique=False)
    op.create_index("slips_by_due_on", "slips", ["due_on", "position"], unique=False)
    op.create_index("slips_by_enterprise_id", "slips", ["enterprise_id", "position"], unique=False)
    op.create_index("slips_by_issued_on", "slips", ["issued_on", "position"], unique=False)
    op.create_index("slips_by_kind", "slips", ["kind", "position"], unique=False)
    op.create_index("slips_by_number", "slips", ["number", "position"], unique=False)
    op.create_table(
        "uncovered",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("holder_kind", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("scheme", sa.String(length=64), nullable=True),
        sa.Column("since", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uncovered_by_holder_kind", "uncovered", ["holder_kind", "position"], unique=False
    )
    op.create_index("uncovered_by_reason", "uncovered", ["reason", "position"], unique=False)
    op.create_index("uncovered_by_scheme", "uncovered", ["scheme", "position"], unique=False)
    op.create_index("uncovered_by_since", "uncovered", ["since", "position"], unique=False)
    op.create_index("uncovered_by_state", "uncovered", ["state", "position"], unique=False)
    op.create_index(
        "uncovered_by_state_and_since", "uncovered", ["state", "since", "position"], unique=False
    )
    op.create_table(
        "visits",
        sa.Column(
            "position",
            sa.Integer().with_variant(sa.BIGINT(), "postgresql"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("purpose", sa.String(length=64), nullable=True),
        sa.Column("enterprise_id", sa.String(length=64), nullable=True),
        sa.Column("patrol_id", sa.String(length=64), nullable=True),
        sa.Column("complaint_id", sa.String(length=64), nullable=True),
        sa.Column("grid", sa.String(length=64), nullable=True),
        sa.Column("urgent", sa.String(length=64), nullable=True),
        sa.Column("day", sa.String(length=10), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("visits_by_complaint_id", "visits", ["complaint_id", "position"], unique=False)
    op.create_index("visits_by_day", "visits", ["day", "position"], unique=False)
    op.create_index(
        "visits_by_enterprise_id", "visits", ["enterprise_id", "position"], unique=False
    )
    op.create_index("visits_by_grid", "visits", ["grid", "position"], unique=False)
    op.create_index("visits_by_patrol_id", "visits", ["patrol_id", "position"], unique=False)
    op.create_index("visits_by_purpose", "visits", ["purpose", "position"], unique=False)
    op.create_index("visits_by_state", "visits", ["state", "position"], unique=False)
    op.create_index("visits_by_state_and_day", "visits", ["state", "day", "position"], unique=False)
    op.create_index("visits_by_urgent", "visits", ["urgent", "position"], unique=False)
    made = SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL
    for words in ("complaints_words", "enterprises_words"):
        for statement in made:
            op.execute(statement.format(words=words))
