"""Full-text search: any part of a name, a code or an address, of two characters or more.

The search text of a document is its bigrams, pairs of adjacent characters, in a row of its own that
is written only when the text changes: 閉環小館 becomes 閉環 環小 小館. A substring has the same
bigrams in order. SQLite finds them by FTS5, which stores positions; PostgreSQL by GIN indexes that
find the rows with all bigrams, and by a check of the order. Pairs of digits are frequent, so a term
of three characters or more uses trigrams, which PostgreSQL derives from the bigrams.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    DDL,
    Column,
    ColumnElement,
    FromClause,
    Table,
    Text,
    and_,
    cast,
    column,
    event,
    func,
    literal,
    select,
    table,
    text,
    true,
)
from sqlalchemy.dialects import postgresql

from chassis.storage.unit_of_work import UnitOfWork
from services.gateway.tables import POSITION, metadata

SHORTEST = 2
"""Length of the shortest search term, in characters."""
NEAR = 1000
"""Documents to scan before the index is used."""
BETWEEN = "x"
"""Separates two fields: it is in no bigram, so no term matches across fields."""
POSTGRESQL = (
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
"""The FTS5 index, and the triggers that update it."""


def plain(text: str) -> str:
    """Normalize a text for search: letters, digits and ideographs, in one case and width."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded))


def bigrams(text: str) -> str:
    """Return the bigrams of a text, separated by spaces."""
    kept = plain(text)
    return " ".join(kept[at : at + SHORTEST] for at in range(len(kept) - SHORTEST + 1))


def trigrams(word: str) -> list[str]:
    """Return the trigrams of a term."""
    kept = plain(word)
    return [kept[at : at + 3] for at in range(len(kept) - 2)]


class SearchIndex:
    """The search index of a view: its fields and its table."""

    def __init__(self, view: str, documents: Table, fields: Iterable[str]) -> None:
        self.fields = tuple(fields)
        self.documents = documents
        self.name = f"{view}_words"
        self.table = Table(
            self.name,
            metadata,
            Column("position", POSITION, primary_key=True, autoincrement=False),
            Column("words", Text, nullable=False),
        )
        self._upsert = text(
            f"INSERT INTO {self.name} (position, words) "  # noqa: S608  (the names are ours)
            f"SELECT {view}.position, :words FROM {view} WHERE {view}.id = :id "
            "ON CONFLICT (position) DO UPDATE SET words = excluded.words"
        )
        self._grams = func.string_to_array(self.table.c.words, " ")
        self._threes = func.threes_of(self.table.c.words)
        self._fts = table(f"{self.name}_fts", column("rowid"), column(f"{self.name}_fts"))
        for dialect, statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
            for statement in statements:
                made = DDL(statement.format(words=self.name))  # type: ignore[no-untyped-call]
                ddl = made.execute_if(dialect=dialect)
                event.listen(self.table, "after_create", ddl)

    def no_index(self) -> list[str]:
        """Return the statements that drop the index of SQLite."""
        triggers = ("added", "changed", "removed")
        return [
            *(f"DROP TRIGGER {self.name}_{trigger}" for trigger in triggers),
            f"DROP TABLE {self.name}_fts",
        ]

    def of(self, document: dict[str, Any]) -> str:
        """Return the search text of a document."""
        written = (bigrams(document.get(name) or "") for name in self.fields)
        return f" {BETWEEN} ".join(filter(None, written))

    def differ(self, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
        """Return whether the search text of a document may have changed."""
        return before is None or any(before.get(name) != after.get(name) for name in self.fields)

    def write(self, uow: UnitOfWork, written: Iterable[tuple[str, str]]) -> None:
        """Store the search texts of documents that are already stored, each with its id."""
        rows = [{"id": identity, "words": words} for identity, words in written]
        uow.at_end(self._upsert, rows)

    def found(
        self, wanted: Sequence[str], dialect: str
    ) -> tuple[FromClause, ColumnElement[int], ColumnElement[bool]]:
        """Return rows, their position and the condition that they contain all terms.

        FTS5 returns rows by position. PostgreSQL computes all of them in a subquery, so that the
        planner does not scan the whole table for a frequent term.
        """
        if dialect == "sqlite":
            match = " AND ".join(f'"{bigrams(word)}"' for word in wanted)
            return self._fts, self._fts.c.rowid, self._fts.c[f"{self.name}_fts"].op("MATCH")(match)
        pairs = {bigrams(word) for word in wanted if not trigrams(word)}
        longer = {three for word in wanted for three in trigrams(word)}
        every = [
            kept.op("@>")(cast(sorted(parts), postgresql.ARRAY(Text)))
            for kept, parts in ((self._grams, pairs), (self._threes, longer))
            if parts
        ]
        position, words = self.table.c.position, self.table.c.words
        found = select(position).where(*every, *in_order(words, wanted))
        hits = found.offset(0).subquery("hits")  # OFFSET is a fence: it is planned by itself
        return hits, hits.c.position, true()

    def near(
        self, wanted: Sequence[str], after: int, dialect: str
    ) -> tuple[FromClause, ColumnElement[int], ColumnElement[bool]] | None:
        """Return the same for the next few documents only, which suffices for frequent terms.

        None for SQLite, whose FTS5 is fast without it.
        """
        if dialect == "sqlite":
            return None
        position, words = self.table.c.position, self.table.c.words
        some = select(position, words).where(position > after).order_by(position).limit(NEAR)
        few = some.subquery("near")
        return few, few.c.position, and_(*in_order(few.c.words, wanted))


def in_order(words: ColumnElement[str], wanted: Iterable[str]) -> list[ColumnElement[bool]]:
    """Return the conditions that the bigrams of each term are adjacent and in order."""
    padded = literal(" ").concat(words).concat(" ")
    return [padded.like(f"% {bigrams(word)} %") for word in wanted]
