"""The baseline: the tables of the first version."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Text

from chassis.storage.baseline import POSITION, Operations, create_chassis_tables, where

revision = "1001"
down_revision = None

_POSTGRESQL = (
    "CREATE INDEX {words}_grams ON {words} USING gin (string_to_array(words, ' '))",
    """
CREATE OR REPLACE FUNCTION threes_of(words text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    before text := '';
    pair text;
    threes text[] := '{{}}';
BEGIN
    FOREACH pair IN ARRAY string_to_array(words, ' ') LOOP
        IF length(before) = 2 AND length(pair) = 2 THEN
            threes := threes || (before || right(pair, 1));
        END IF;
        before := pair;
    END LOOP;
    RETURN threes;
END $$
""",
    "CREATE INDEX {words}_threes ON {words} USING gin (threes_of(words))",
)
_SQLITE = (
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
_OF_PEOPLE = "type IN ('claim-filed', 'complaint-received', 'complaint-revised', 'medic-enrolled')"
_CODE, _DAY = String(64), String(10)
_NAME = String(64).with_variant(String(64, collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Create the tables."""
    create_chassis_tables(op)
    op.create_table(
        "accounts",
        Column("name", String(64), primary_key=True),
        Column("hash", String(200), nullable=False),
        Column("roles", String(400), nullable=False),
        Column("grids", Text, nullable=False),
        Column("enterprises", Text, nullable=False),
        Column("speaks_for_others", Boolean, nullable=False),
        Column("disabled", Boolean, nullable=False),
    )
    op.create_table(
        "audit",
        Column("position", POSITION, primary_key=True, autoincrement=False),
        Column("at", String(40), nullable=False),
        Column("what", String(64), nullable=False),
        Column("who", String(64), nullable=False),
        Column("about", String(64), nullable=False),
        Column("content", Text, nullable=False),
        Column("digest", String(64), nullable=False),
    )
    op.create_table(
        "clock",
        Column("name", String(16), primary_key=True),
        Column("at", String(40), nullable=False),
    )
    op.create_table(
        "commands",
        Column("id", String(64), primary_key=True),
        Column("idempotency", String(400), nullable=False, unique=True),
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
    op.create_table(
        "counters",
        Column("name", String(64), primary_key=True),
        Column("value", POSITION, nullable=False),
    )
    op.create_table(
        "deliveries",
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
        Index(
            "deliveries_waiting",
            "webhook_id",
            "partitionkey",
            "position",
            **where("state = 'waiting'"),
        ),
    )
    op.create_table(
        "events",
        Column("position", POSITION, primary_key=True, autoincrement=False),
        Column("id", String(64), nullable=False, unique=True),
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
        Index("events_of_complaint", "complaint_id", "position"),
        Index("events_of_enterprise", "enterprise_id", "position"),
        Index(
            "events_of_people",
            "partitionkey",
            "position",
            **where(_OF_PEOPLE),
        ),
    )
    op.create_table(
        "export_chunks",
        Column("id", String(64), primary_key=True),
        Column("export_id", String(64), nullable=False),
        Column("number", Integer, nullable=False),
        Column("content", LargeBinary, nullable=False),
        Index("export_chunks_in_order", "export_id", "number", unique=True),
    )
    op.create_table(
        "exports",
        Column("id", String(64), primary_key=True),
        Column("subject", String(64), nullable=False),
        Column("caller", Text, nullable=False),
        Column("list", String(64), nullable=False),
        Column("query", Text, nullable=False),
        Column("format", String(16), nullable=False),
        Column("fingerprint", String(64), nullable=False),
        Column("sameness", String(64), nullable=False, unique=True),
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
    op.create_table(
        "heads",
        Column("chain", String(16), primary_key=True),
        Column("position", POSITION, nullable=False),
        Column("digest", String(64), nullable=False),
    )
    op.create_table(
        "hours",
        Column("hour_id", String(64), primary_key=True),
        Column("service", String(32), primary_key=True),
        Column("cases", Integer, nullable=False),
        Column("settled", Integer, nullable=False),
        Column("last", Integer, nullable=False),
    )
    op.create_table(
        "person_keys",
        Column("id", String(64), primary_key=True),
        Column("person", String(64), nullable=False),
        Column("wrapped", Text),
        Column("wrapped_by", String(16)),
        Column("created_at", Float, nullable=False),
        Column("destroyed_at", Float),
        Column("destroyed_by", String(64)),
        Column("joined", String(64)),
        Index(
            "person_keys_in_use",
            "person",
            unique=True,
            **where("destroyed_at IS NULL AND joined IS NULL"),
        ),
        Index("person_keys_joined", "joined"),
        Index("person_keys_of", "person"),
        Index("person_keys_wrapped_by", "wrapped_by", "id"),
    )
    op.create_table(
        "webhook_secrets",
        Column("id", String(64), primary_key=True),
        Column("webhook_id", String(64), nullable=False),
        Column("secret", Text, nullable=False),
        Column("ends_at", Float),
        Index("webhook_secrets_of", "webhook_id", "id"),
    )
    op.create_table(
        "webhooks",
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
    _create_view(
        op,
        "claims",
        filters="state policy_id medic_id scheme casualty",
        days="occurred_on",
        numbers="amount",
        worklists="occurred_on",
    )
    _create_view(op, "closures", filters="state number enterprise_id grounds", days="ordered_on")
    _create_view(
        op,
        "complaints",
        filters="state track channel enterprise_id outside_number stage clock overdue main_id",
        days="received_on due_on",
        worklists="due_on",
    )
    _create_view(
        op,
        "enterprises",
        filters="state kind size premises grid subdistrict key_project credit_code "
        "registration_number liaison",
        names="name",
        days="registered_on reopened_on",
        numbers="on_duty",
        worklists="reopened_on",
    )
    _create_view(
        op,
        "filings",
        filters="state enterprise_id",
        days="submitted_on reopen_on",
        worklists="submitted_on reopen_on",
    )
    _create_view(
        op,
        "issues",
        filters="state enterprise_id visit_id severity",
        days="found_on",
        worklists="found_on",
    )
    _create_view(op, "medics", filters="state", names="institution", days="enrolled_on")
    _create_view(
        op,
        "notices",
        filters="state number enterprise_id issue_id severity",
        days="due_on issued_on",
        numbers="level",
        worklists="due_on",
    )
    _create_view(op, "patrols", filters="grid", days="day")
    _create_view(op, "plans", filters="grid day")
    _create_view(op, "policies", filters="state scheme holder_id holder_kind", days="covers_until")
    _create_view(op, "rosters", filters="enterprise_id", days="day")
    _create_view(
        op,
        "slips",
        filters="kind number about enterprise_id complaint_id addressee acknowledged",
        days="issued_on due_on",
    )
    _create_view(
        op, "uncovered", filters="state holder_kind reason scheme", days="since", worklists="since"
    )
    _create_view(
        op,
        "visits",
        filters="state purpose enterprise_id patrol_id complaint_id grid urgent",
        days="day",
        worklists="day",
    )
    _create_search_table(op, "complaints_words")
    _create_search_table(op, "enterprises_words")


def _create_view(
    op: Operations,
    name: str,
    filters: str = "",
    names: str = "",
    days: str = "",
    numbers: str = "",
    worklists: str = "",
) -> None:
    """Create the table of a read model, with an index for each column and worklist."""
    kinds = ((filters, _CODE), (names, _NAME), (days, _DAY), (numbers, POSITION))
    columns = {column: kind for listed, kind in kinds for column in listed.split()}
    op.create_table(
        name,
        Column("position", POSITION, primary_key=True, autoincrement=True),
        Column("id", String(64), unique=True, nullable=False),
        *(Column(column, kind) for column, kind in columns.items()),
        Column("doc", Text, nullable=False),
        *(Index(f"{name}_by_{column}", column, "position") for column in columns),
        *(
            Index(f"{name}_by_state_and_{day}", "state", day, "position")
            for day in worklists.split()
        ),
        sqlite_autoincrement=True,
    )


def _create_search_table(op: Operations, name: str) -> None:
    """Create the table of the words of a read model, with the index that its database has."""
    op.create_table(
        name,
        Column("position", POSITION, primary_key=True, autoincrement=False),
        Column("words", Text, nullable=False),
    )
    statements = _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL
    for statement in statements:
        op.execute(statement.format(words=name))
