"""Finding documents by words: any part of a name, a code or an address, of two characters or more.

The words of a document are kept as its grams, the pairs of characters that follow each other, in a
row of their own that is written only when the words change: 閉環小館 becomes 閉環 環小 小館. A
part of it is the same grams in the same order. SQLite finds them by FTS5, which knows where each
stands; PostgreSQL by GIN indexes that know which rows hold all of them, and a look at the order.
Pairs are common where numbers are: a word of three characters or more is found by its threes, which
PostgreSQL makes of the grams by itself.
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
"""Characters of the shortest word that is looked for."""
NEAR = 1000
"""Documents that are looked through, before all that have a word are looked for."""
BETWEEN = "x"
"""Stands between two fields: no pair of characters, and so no part of any word."""
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
"""The index, which FTS5 keeps beside the table, and the triggers by which it follows."""


def plain(said: str) -> str:
    """Leave of a text what is looked for: letters, digits and ideographs, in one case and width."""
    folded = unicodedata.normalize("NFKC", said).casefold()
    return "".join(filter(str.isalnum, folded))


def bigrams(said: str) -> str:
    """Write a text as its grams."""
    kept = plain(said)
    return " ".join(kept[at : at + SHORTEST] for at in range(len(kept) - SHORTEST + 1))


def trigrams(word: str) -> list[str]:
    """Give the threes of a word: the characters that follow each other, by three."""
    kept = plain(word)
    return [kept[at : at + 3] for at in range(len(kept) - 2)]


class SearchIndex:
    """The words by which the documents of a view are found: from which fields, and where kept."""

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
                ddl = DDL(statement.format(words=self.name)).execute_if(dialect=dialect)
                event.listen(self.table, "after_create", ddl)

    def no_index(self) -> list[str]:
        """Give what takes the index of SQLite away again."""
        triggers = ("added", "changed", "removed")
        return [
            *(f"DROP TRIGGER {self.name}_{trigger}" for trigger in triggers),
            f"DROP TABLE {self.name}_fts",
        ]

    def of(self, document: dict[str, Any]) -> str:
        """Write the words of a document."""
        written = (bigrams(document.get(name) or "") for name in self.fields)
        return f" {BETWEEN} ".join(filter(None, written))

    def differ(self, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
        """Tell whether a document may have other words than before."""
        return before is None or any(before.get(name) != after.get(name) for name in self.fields)

    def write(self, uow: UnitOfWork, written: Iterable[tuple[str, str]]) -> None:
        """Keep the words of documents that are stored by then, each with its id."""
        rows = [{"id": identity, "words": words} for identity, words in written]
        uow.at_end(self._upsert, rows)

    def found(
        self, wanted: Sequence[str], dialect: str
    ) -> tuple[FromClause, ColumnElement[int], ColumnElement[bool]]:
        """Give where all of these words are found: rows, their position, and the condition.

        FTS5 gives them by position, one at a time. PostgreSQL finds all of them at once: it is not
        left to guess that some are common and to look for them from the first row to the last.
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
        """Return the same among the next few documents only: enough for words that are common.

        FTS5 needs no such help.
        """
        if dialect == "sqlite":
            return None
        position, words = self.table.c.position, self.table.c.words
        some = select(position, words).where(position > after).order_by(position).limit(NEAR)
        few = some.subquery("near")
        return few, few.c.position, and_(*in_order(few.c.words, wanted))


def in_order(words: ColumnElement[str], wanted: Iterable[str]) -> list[ColumnElement[bool]]:
    """Give the conditions that the grams of each word stand one after the other."""
    padded = literal(" ").concat(words).concat(" ")
    return [padded.like(f"% {bigrams(word)} %") for word in wanted]
