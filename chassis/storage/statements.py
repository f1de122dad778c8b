"""Statements: a clause with parameters or rows; each clause is built and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect as Compiler
from sqlalchemy import Float, Table, cast


@dataclass(frozen=True)
class Statement:
    """A clause with its parameters or with many rows.

    Rows hold plain text and numbers under the same names. A clause is built once: its text is
    cached by clause and names.
    """

    clause: Any
    parameters: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None


class Texts:
    """The SQL texts of clauses for one database, each compiled once."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._texts: dict[Any, str] = {}

    def compile(self, clause: Any, names: Iterable[str], change: Callable[[Any], str] = str) -> str:
        """Return the SQL text of a clause for parameters of these names."""
        key = clause, change, *names
        if key not in self._texts:
            compiled = clause.compile(dialect=self._compiler, column_keys=[*names])
            self._texts[key] = change(compiled)
        return self._texts[key]


class Statements:
    """The inserts of one database, and other clauses that are built once."""

    def __init__(self, insert: Callable[[Table], Any]) -> None:
        self._insert = insert
        self._built: dict[Any, Any] = {}

    def build_once(self, key: Any, build: Callable[[], Any]) -> Any:
        """Return the clause cached under a key; build it the first time."""
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]

    def insert_new(self, table: Table) -> Any:
        """Return an insert that leaves an existing row alone."""
        return self.build_once(table, lambda: self._insert(table).on_conflict_do_nothing())

    def insert_or_replace(self, table: Table, key: str, *, keep: Iterable[str] = ()) -> Any:
        """Return an insert that replaces the row with the same key, except the columns to keep."""
        kept = {key, *keep}
        return self._upsert(
            table,
            (key,),
            ("replace", *keep),
            lambda new: {c.name: new[c.name] for c in table.c if c.name not in kept},
        )

    def insert_or_add(self, table: Table, keys: list[str]) -> Any:
        """Return an insert that adds its numbers to those of the row with the same keys."""
        return self._upsert(
            table,
            tuple(keys),
            ("add",),
            lambda new: {c.name: c + new[c.name] for c in table.c if c.name not in keys},
        )

    def insert_or_advance(self, table: Table, key: str, moment: str) -> Any:
        """Return an insert that only advances the moment, stored as text, of the row with the same
        key."""

        def build() -> Any:
            new = (insert := self._insert(table)).excluded[moment]
            later = cast(new, Float) > cast(table.c[moment], Float)
            return insert.on_conflict_do_update(
                index_elements=[key], set_={moment: new}, where=later
            )

        return self.build_once((table, key, moment), build)

    def _upsert(
        self,
        table: Table,
        keys: tuple[str, ...],
        way: tuple[str, ...],
        values: Callable[[Any], dict[str, Any]],
    ) -> Any:
        """Return the insert for a table, its keys and the way of merging rows."""

        def build() -> Any:
            statement = self._insert(table)
            return statement.on_conflict_do_update(
                index_elements=list(keys), set_=values(statement.excluded)
            )

        return self.build_once((table, keys, way), build)
