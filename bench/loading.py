"""A million of everything, by bulk loading that leaves the same rows as the services would.

Services write one lifecycle: an enterprise, registered, and a complaint about it, answered. Every
row of theirs that is new is a mould. A copy of all the moulds has other identities, another number
and credit code, the next positions, and its own place in the chains; the figures grow with it.
Nothing runs meanwhile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from console.district import SERVICES
from console.synthetic import credit_code
from services.gateway.chains import CHAINS, link
from services.gateway.resources import VIEWS

NUMBER = 87_654_321
"""The number of the enterprise and of the papers of the mould, by which they are known again."""
SHARED = {"counters", "heads", "series", "hours", "clock", "officers", "alembic_version"}
SHARED |= {"leases", "replicas", "deployment", "attempts", "resends", "letters", "letter_actions"}
SHARED |= {"person_keys"}  # one person makes all the complaints
"""Tables that do not grow with each lifecycle, or not by rows of its own."""
CARRIAGE = {"inbox", "outbox", "commands"}
"""Tables whose rows go after some weeks: of what is old there are none."""
COUNTED = ("position", "seq")
AT_ONCE = 1000
MOST = 10_000_000
"""More copies than there will be: each is a millisecond younger than the one before."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}

Connect = Callable[[str], psycopg.Connection[Any]]
Say = Callable[[str], None]


@dataclass
class Mould:
    """The new rows of one table, as COPY writes them, in the order of their key."""

    service: str
    table: str
    columns: list[str]
    rows: list[list[str]]

    @property
    def counted(self) -> int | None:
        """Which column is a position, drawn one after the other."""
        return next((n for n, name in enumerate(self.columns) if name in COUNTED), None)

    def positions(self) -> list[int]:
        """Give the positions of the rows."""
        column = self.counted
        return [] if column is None else [int(row[column]) for row in self.rows]


class Moulds:
    """Watches what services write between two moments, and copies it."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self._known = {(m.service, m.table): {tuple(r) for r in m.rows} for m in self._all()}
        self._figures = self._counters()
        self.moulds: list[Mould] = []
        self._ends: dict[str, int] = {}

    def take(self) -> None:
        """Take what is new since the beginning as the moulds."""
        for mould in self._all():
            known = self._known.get((mould.service, mould.table), set())
            mould.rows = [row for row in mould.rows if tuple(row) not in known]
            if mould.rows:
                self.moulds.append(mould)
        old = "\n".join("\t".join(row) for rows in self._known.values() for row in rows)
        new = "\n".join("\t".join(row) for mould in self.moulds for row in mould.rows)
        self._ids = sorted({*_UUID.findall(new)} - {*_UUID.findall(old)})
        self._moved = {
            name: value - self._figures.get(name, 0) for name, value in self._counters().items()
        }

    # -- copying

    def load(
        self,
        copies: int,
        say: Say = lambda _: None,
        *,
        start: int = 1,
        carriage: bool = False,
    ) -> None:
        """Write so many copies, numbered from `start` on; `carriage` with what goes in time."""
        self._start = start
        for mould in self.moulds:
            if mould.table in CARRIAGE and not carriage:
                continue
            say(f"loading {copies * len(mould.rows):,} rows of {mould.service}.{mould.table}")
            with self.connect(mould.service) as connection:
                connection.execute("SET synchronous_commit = off")
                connection.execute("SET statement_timeout = 0")
                self._copy(connection, mould, copies)
        with self.connect("gateway") as connection:
            for name, moved in self._moved.items():
                grown = "UPDATE counters SET value = value + %s WHERE name = %s"
                connection.execute(grown, [moved * copies, name])
        for kind in SERVICES:
            with self.connect(kind.name) as connection:
                connection.execute("SET statement_timeout = 0")
                connection.execute("VACUUM ANALYZE")

    def _copy(self, connection: psycopg.Connection[Any], mould: Mould, copies: int) -> None:
        table, column = mould.table, mould.counted
        first = 0
        if column is not None:
            asked = sql.SQL("SELECT max({}) FROM {}").format(
                sql.Identifier(mould.columns[column]), sql.Identifier(self._owner(table))
            )
            first = self._first(connection, mould, asked)
        names = sql.SQL(", ").join(map(sql.Identifier, mould.columns))
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
        chain = _Chain(connection, mould) if table in CHAINS else None
        with connection.cursor() as cursor, cursor.copy(copy) as stream:
            for lines in _in_parts(self._lines(mould, copies, first, chain)):
                stream.write("".join(lines))
        if chain:
            chain.end(connection)
        if column is not None and table not in CHAINS and not table.endswith("_words"):
            connection.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
                [table, mould.columns[column], first + copies * self._step(mould)],
            )

    @staticmethod
    def _owner(table: str) -> str:
        return table.removesuffix("_words")

    def _first(self, connection: psycopg.Connection[Any], mould: Mould, asked: sql.Composed) -> int:
        """Give the last position before the copies; words stand where their documents do, which
        have been copied before them."""
        if mould.table.endswith("_words"):
            return self._ends[self._owner(mould.table)]
        (last,) = connection.execute(asked).fetchone()  # type: ignore[misc]
        self._ends[mould.table] = int(last)
        return int(last)

    def _step(self, mould: Mould) -> int:
        """Give by how much the positions grow with each copy."""
        owner = self._owner(mould.table)
        return len(self._of(mould.service, owner).rows)

    def _of(self, service: str, table: str) -> Mould:
        return next(m for m in self.moulds if (m.service, m.table) == (service, table))

    def _lines(self, mould: Mould, copies: int, first: int, chain: _Chain | None) -> Iterator[str]:
        """Write the rows of all copies, copy by copy."""
        lines = [self._template(row) for row in mould.rows]
        order = self._order(mould) if mould.counted is not None else []
        step = self._step(mould)
        words = mould.table.endswith("_words") and _Words(self, mould)
        for number in range(copies):
            said = self._said(self._start + number)
            for which, (text, used) in enumerate(lines):
                line = text % tuple(said[token] for token in used)
                if mould.counted is not None:
                    row = line.split("\t")
                    row[mould.counted] = str(first + number * step + order[which] + 1)
                    if chain:
                        chain.seal(row)
                    elif words:
                        words.write(row, which, said)
                    line = "\t".join(row)
                yield line + "\n"

    def _order(self, mould: Mould) -> list[int]:
        """Tell of each row which position it has among those of its copy."""
        owner = self._of(mould.service, self._owner(mould.table))
        all_ = sorted(owner.positions())
        return [all_.index(position) for position in mould.positions()]

    def _template(self, row: list[str]) -> tuple[str, list[str]]:
        """Turn a row into a text with gaps, and name what goes into them."""
        tokens = [*self._ids, credit_code(NUMBER, sole_trader=True), str(NUMBER)]
        parts = re.split("|".join(f"({re.escape(token)})" for token in tokens), "\t".join(row))
        known, used, made = {*tokens}, [], []
        for part in parts:
            if part in known:
                used.append(part)
                made.append("%s")
            elif part:
                made.append(part.replace("%", "%%"))
        return "".join(made), used

    def _said(self, number: int) -> dict[str, str]:
        """Give what stands for what in a copy: the first one is the oldest."""
        made = {each: earlier(each, MOST - number) for each in self._ids}
        made[credit_code(NUMBER, sole_trader=True)] = credit_code(number, sole_trader=True)
        made[str(NUMBER)] = str(number)
        return made

    # -- reading

    def _all(self) -> Iterator[Mould]:
        """Read every table of every service that grows."""
        for kind in SERVICES:
            with self.connect(kind.name) as connection:
                for table in tables_of(connection):
                    yield Mould(kind.name, table, *read(connection, table))

    def _counters(self) -> dict[str, int]:
        with self.connect("gateway") as connection:
            return dict(connection.execute("SELECT name, value FROM counters").fetchall())


class _Chain:
    """Gives the entries of a chain their places and digests."""

    def __init__(self, connection: psycopg.Connection[Any], mould: Mould) -> None:
        self.name = mould.table
        self._columns = [mould.columns.index(name) for name in CHAINS[self.name].sealed]
        self._position = mould.columns.index("position")
        self._digest = mould.columns.index("digest")
        query = "SELECT position, digest FROM heads WHERE chain = %s"
        self._at, self._before = connection.execute(query, [self.name]).fetchone()  # type: ignore[misc]

    def seal(self, row: list[str]) -> None:
        self._at += 1
        content = [plain(row[column]) for column in self._columns]
        self._before = link(self._before, self._at, content)
        row[self._position], row[self._digest] = str(self._at), self._before

    def end(self, connection: psycopg.Connection[Any]) -> None:
        change = "UPDATE heads SET position = %s, digest = %s WHERE chain = %s"
        connection.execute(change, [self._at, self._before, self.name])


class _Words:
    """Writes the words of the copied documents."""

    def __init__(self, moulds: Moulds, mould: Mould) -> None:
        owner = mould.table.removesuffix("_words")
        documents = moulds._of(mould.service, owner)
        at = documents.positions()
        doc = documents.columns.index("doc")
        rows = [documents.rows[at.index(position)][doc] for position in mould.positions()]
        self._texts = [moulds._template([row]) for row in rows]
        self._words = VIEWS[owner].words
        self._column = mould.columns.index("words")

    def write(self, row: list[str], which: int, said: dict[str, str]) -> None:
        text, used = self._texts[which]
        document = json.loads(plain(text % tuple(said[token] for token in used)) or "{}")
        assert self._words
        row[self._column] = self._words.of(document)


def tables_of(connection: psycopg.Connection[Any]) -> list[str]:
    """Name the tables that grow; words after their documents."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    found = [name for (name,) in connection.execute(query) if name not in SHARED]
    return sorted(found, key=lambda name: (name.endswith("_words"), name))


def read(connection: psycopg.Connection[Any], table: str) -> tuple[list[str], list[list[str]]]:
    """Read a table as COPY writes it: the names of its columns, and its rows by the first of them
    or by their position."""
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
    """Read a cell as COPY writes it."""
    if cell == r"\N":
        return None
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), cell)


def earlier(identity: str, milliseconds: int) -> str:
    """Give an identity that is so much older, and otherwise the same."""
    moment = (int(identity[:8] + identity[9:13], 16) - milliseconds) % (1 << 48)
    text = f"{moment:012x}"
    return f"{text[:8]}-{text[8:]}{identity[13:]}"


def _in_parts(lines: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for line in lines:
        part.append(line)
        if len(part) == AT_ONCE:
            yield part
            part = []
    yield part
