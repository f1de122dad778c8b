"""The rows that services have written, in COPY format; and the indexes of their tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

SHARED = {"counters", "heads", "series", "hours", "clock", "officers", "alembic_version"}
SHARED |= {
    "leases",
    "replicas",
    "deployment",
    "attempts",
    "resends",
    "parked_messages",
    "parked_actions",
}
SHARED |= {"person_keys"}  # one person makes all the complaints
"""Tables that do not grow with each lifecycle, or not by rows of its own."""
COUNTED = ("position", "seq")
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}


@dataclass
class Template:
    """The new rows of one table, in COPY format, in the order of their key."""

    service: str
    table: str
    columns: list[str]
    rows: list[list[str]]

    @property
    def counted(self) -> int | None:
        """The index of the column with a position from a sequence, or None."""
        return next((n for n, name in enumerate(self.columns) if name in COUNTED), None)

    @property
    def owner(self) -> str:
        """The table that the positions belong to: that of the documents, for search words."""
        return self.table.removesuffix("_words")

    def positions(self) -> list[int]:
        """Return the positions of the rows."""
        column = self.counted
        return [] if column is None else [int(row[column]) for row in self.rows]


def without_indexes(connection: psycopg.Connection[Any], table: str) -> list[str]:
    """Drop the indexes of a table, and return the statements that create them again."""
    constraints = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
        [table],
    ).fetchall()
    for name, _ in constraints:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = %s",
        [table],
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    made = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}" for name, what in constraints]
    return made + [what for _, what in indexes]


def tables_of(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the growing tables; search words after their documents."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    found = [name for (name,) in connection.execute(query) if name not in SHARED]
    return sorted(found, key=lambda name: (name.endswith("_words"), name))


def read(connection: psycopg.Connection[Any], table: str) -> tuple[list[str], list[list[str]]]:
    """Read a table in COPY format: the names of its columns, and its rows ordered by the first of
    them or by position."""
    query = (
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_name = %s AND table_schema = 'public' ORDER BY ordinal_position"
    )
    columns = [name for (name,) in connection.execute(query, [table])]
    by = next((name for name in columns if name in COUNTED), columns[0])
    asked = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT").format(
        sql.Identifier(table), sql.Identifier(by)
    )
    with connection.cursor() as cursor, cursor.copy(asked) as stream:
        lines = b"".join(bytes(part) for part in stream).decode().splitlines()
    return columns, [line.split("\t") for line in lines]


def plain(cell: str) -> str | None:
    """Return the value of a cell in COPY format."""
    if cell == r"\N":
        return None
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), cell)
