"""Fills tables with many rows, by SQL alone: few are in the states that are looked for."""

from sqlalchemy import JSON, Boolean, Date, Float, Integer, LargeBinary, String, Text, text

ROWS = 100_000
SEVERAL = ROWS // 20
"""How many enterprises and the like there are: each has twenty of whatever it has many of."""

SMALL = {"attempts", "parked_actions", "replicas", "leases", "deployment", "resends", "counters"}
SMALL |= {
    "hours",
    "clock",
    "heads",
    "alembic_version",
    "webhooks",
    "webhook_secrets",
    "handler_sets",
}
"""Tables that stay small: a scan of them is the right plan."""

ENDED = {
    "parked_messages": ("retrying", "dead"),
    "filings": ("approved", "reopened"),
    "notices": ("open", "satisfied"),
    "complaints": ("received", "answered"),
    "commands": ("pending", "done"),
    "claims": ("filed", "rejected"),
    "enterprises": ("registered", "open"),
    "visits": ("planned", "recorded"),
    "issues": ("open", "rectified"),
    "closures": ("standing", "lifted"),
    "exports": ("pending", "done"),
    "deliveries": ("waiting", "delivered"),
}
"""The state in which one row of a hundred is, and that in which the others have ended."""

MOMENT = "to_char(DATE '2020-01-01' + n % 300, 'YYYY-MM-DD\"T00:00:00Z\"')"
NAMES = "'xy yx x 小館 館' || (n % 90 + 10) / 10 || ' ' || n % 90 + 10"
"""The grams of «xyx» and of 小館10, 小館11, and so on to 小館99."""
SPECIAL = {
    ("enterprises", "registration_number"): "lpad(n::text, 15, '0')",
    ("outbox", "sent_at"): "CASE WHEN n > {rows} - 50 THEN NULL ELSE n END",
    ("outbox", "written_at"): "n",
    ("inbox", "handled_at"): "n",
    ("parked_messages", "source"): "'filing'",
    ("parked_messages", "partitionkey"): "'enterprise_id-' || n % {several}",
    (
        "parked_messages",
        "awaits",
    ): "CASE WHEN n % 1000 = 0 THEN 'enterprise_id-' || n % {several} END",
    ("notices", "due_at"): MOMENT,
    ("slips", "acknowledged_at"): MOMENT,
    ("complaints", "rings_on"): "CASE WHEN n % 50 = 0 THEN DATE '2020-01-01' + n % 300 END",
    ("complaints", "calendar_from"): "CASE WHEN n % 50 = 0 THEN DATE '2020-01-26' END",
    ("commands", "batch_id"): "'batch_id-' || n % {several}",
    ("commands", "row"): "n / {several}",
    ("policies", "holder_id"): "'medic_id-' || n",
    ("claims", "policy_id"): "'policy_id-' || n",
    ("enterprises_words", "words"): NAMES,
    ("complaints_words", "words"): NAMES,
    ("claims", "person"): "'holder_ref-' || n",
    ("policies", "state"): "CASE WHEN n % 100 = 0 THEN 'active' ELSE 'expired' END",
    ("holders", "covered_until"): "CASE WHEN n % 100 > 0 THEN DATE '2021-01-01' + n % 300 END",
    ("exports", "fingerprint"): "'fingerprint-' || n",
    ("export_chunks", "export_id"): "'id-' || n",
    ("export_chunks", "number"): "0",
    ("medics", "holder_ref"): "'holder_ref-' || n",
    ("deliveries", "webhook_id"): "'webhook_id-' || n / 1000",
    ("deliveries", "settled_at"): "CASE WHEN n % 100 > 0 THEN n END",
}


INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = ANY (CAST(:tables AS regclass[]))
AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""
"""How to drop and to make again what is no key: rows come in sooner where it is not there yet."""


def fill(connection, metadata):
    """Fill every table that grows with use; the autovacuum's work is done at once."""
    tables = [table for table in metadata.sorted_tables if table.name not in SMALL]
    names = {"tables": [table.name for table in tables]}
    indexes = connection.execute(text(INDEXES), names).all()
    connection.execute(text("SET LOCAL maintenance_work_mem = '128MB'"))
    for name, _ in indexes:
        connection.execute(text(f"DROP INDEX {name}"))
    _fill(connection, tables)
    for _, made in indexes:
        connection.exec_driver_sql(made)


def _fill(connection, tables):
    for table in tables:
        counted = table.autoincrement_column
        columns = [column for column in table.columns if column is not counted]
        names = ", ".join(f'"{column.name}"' for column in columns)
        values = ", ".join(_value(table, column) for column in columns)
        query = f"SELECT {values} FROM generate_series(1, {ROWS}) AS n"
        connection.execute(text(f"INSERT INTO {table.name} ({names}) {query}"))


def _value(table, column):
    if (table.name, column.name) in SPECIAL:
        return SPECIAL[table.name, column.name].format(rows=ROWS, several=SEVERAL)
    if column.name == "position":
        return "n"
    if column.name == "state" and table.name in ENDED:
        few, most = ENDED[table.name]
        return f"CASE WHEN n % 100 = 0 THEN '{few}' ELSE '{most}' END"
    if column.primary_key and isinstance(column.type, Integer):
        return "n"
    if column.name == "id" or column.unique or column.primary_key:
        return (
            f"'{column.name}-' || n" if column.name != "credit_code" else "lpad(n::text, 18, '0')"
        )
    if column.name.endswith(("_id", "id", "partitionkey")) or column.name == "about":
        return f"'{column.name}-' || n % {SEVERAL}"
    return _plain(column)


def _plain(column):
    kinds = {
        JSON: "'[]'",
        Boolean: "n % 2 = 0",
        Date: "DATE '2020-01-01' + n % 300",
        Float: "n",
        Integer: "n % 100",
        LargeBinary: "'\\x00'::bytea",
        Text: "'{\"words\" : \"' || repeat('文', 60) || '\"}'",
    }
    for kind, value in kinds.items():
        if isinstance(column.type, kind):
            return value
    assert isinstance(column.type, String)
    if column.type.length == len("2020-02-10"):
        return "(DATE '2020-01-01' + n % 300)::text"
    return f"left('{column.name}-' || n % 20, {column.type.length})"
