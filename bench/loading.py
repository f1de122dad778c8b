"""Bulk loading of a million lifecycles, with the same rows as the services would write.

The services write one lifecycle: an enterprise registered, and a complaint about it completed.
Every new row is a template. A copy of the templates has other ids, another number and credit code,
the next positions, and its own place in the hash chains; the statistics grow with it. No service
runs meanwhile.

All tables are written at once, some hundred copies to each in turn, so that generating and storing
rows overlap; their indexes are created afterwards.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import sql

from bench.templates import Template, plain, read, tables_of, without_indexes
from chassis.message import encode
from chassis.runtime.green import Pool
from console.demo.synthetic import credit_code
from console.runtime.district import SERVICES
from services.gateway.event_log.chain import CHAINS
from services.gateway.resources import VIEWS

NUMBER = 87_654_321
"""The number of the template's enterprise and papers, by which they are recognised."""
EXPIRING = {"inbox", "outbox", "commands"}
"""Tables whose rows are deleted after some weeks."""
AT_ONCE = 500
"""Copies that are written to each table in turn."""
BUILDERS = 2
"""Tables whose indexes are created in parallel."""
SCATTERED = 0x9E3779B97F
"""Distance between two copies of a derived id: spread over the whole range."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CODE = credit_code(NUMBER, sole_trader=True)
HEAD = 11
"""Characters of an id that differ from copy to copy: a moment, to a quarter of a second."""

Connect = Callable[[str], psycopg.Connection[Any]]
Say = Callable[[str], None]
Said = dict[str, Any]
"""The values for the gaps of a text, for one copy."""


class Templates:
    """Collects the rows that services write between two moments, and copies them."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self._known = {(m.service, m.table): {tuple(r) for r in m.rows} for m in self._all()}
        self._figures = self._counters()
        self.templates: list[Template] = []
        self._stood: dict[tuple[str, str], Template] = {}

    def take(self) -> None:
        """Take the rows written since the beginning as the templates, and record the existing
        ones."""
        for there in self._all():
            known = self._known.get((there.service, there.table), set())
            new = [row for row in there.rows if tuple(row) not in known]
            if new:
                self._stood[there.service, there.table] = there
                self.templates.append(replace(there, rows=new))
        before, self._figures = self._figures, self._counters()
        self._moved = {name: n - before.get(name, 0) for name, n in self._figures.items()}
        self._find_gaps()

    # -- copying

    def load(self, copies: int, say: Say = lambda _: None, *, expiring: int = 0) -> None:
        """Write copies to the tables, oldest first, beside the rows from before the templates; rows
        that expire only for the most recent `expiring` copies."""
        say(f"loading {copies:,} copies, {expiring:,} of them with rows that expire")
        indexes: list[tuple[str, list[str]]] = []
        with ExitStack() as stack:
            writers = [stack.enter_context(self._emptied(m, indexes)) for m in self.templates]
            for first in range(1, copies + 1, AT_ONCE):
                numbers = range(first, min(first + AT_ONCE, copies + 1))
                said = [self._said(number, copies) for number in numbers]
                young = [each for each in said if each["number"] > copies - expiring]
                for writer in writers:
                    writer.write(young if writer.table in EXPIRING else said)
        say("creating the indexes")
        for _ in Pool(BUILDERS).starmap(self._execute, indexes):
            pass
        with self.connect("gateway") as connection:
            for name, moved in self._moved.items():
                grown = "UPDATE counters SET value = %s WHERE name = %s"
                connection.execute(grown, [self._figures[name] + moved * copies, name])
        for kind in SERVICES:
            self._execute(kind.name, ["VACUUM ANALYZE"])

    @contextmanager
    def _emptied(
        self, template: Template, indexes: list[tuple[str, list[str]]]
    ) -> Iterator[_Writer]:
        """Yield a writer of a table without copies, and record how to create its indexes."""
        names = sql.SQL(", ").join(map(sql.Identifier, template.columns))
        table = sql.Identifier(template.table)
        with self.connect(template.service) as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            indexes.append((template.service, without_indexes(connection, template.table)))
            connection.execute(sql.SQL("TRUNCATE {}").format(table))
            # rows of a table that was emptied in the same transaction need no vacuum later
            copy = sql.SQL("COPY {} ({}) FROM STDIN (FREEZE)").format(table, names)
            with connection.cursor() as cursor, cursor.copy(copy) as stream:
                stood = self.stood(template).rows
                stream.write("".join("\t".join(row) + "\n" for row in stood))
                writer = _Writer(self, template, stream)
                yield writer
            writer.end(connection)

    def _execute(self, service: str, statements: list[str]) -> None:
        with self.connect(service) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute("SET maintenance_work_mem = '512MB'")
            for statement in statements:
                connection.execute(statement)

    def stood(self, template: Template) -> Template:
        """Return all rows of a table from before the templates."""
        return self._stood[template.service, template.table]

    def of(self, service: str, table: str) -> Template:
        """Return the template of a table."""
        return next(m for m in self.templates if (m.service, m.table) == (service, table))

    # -- texts with gaps

    def template(self, text: str) -> str:
        """Return a text with gaps, to be filled with the values of `_said`."""
        parts = self._token.split(text)
        return "".join(self._gaps.get(part) or part.replace("%", "%%") for part in parts)

    def _find_gaps(self) -> None:
        """Record the values that differ from copy to copy, and the ids of the heads."""
        old = "\n".join("\t".join(row) for rows in self._known.values() for row in rows)
        new = "\n".join("\t".join(row) for template in self.templates for row in template.rows)
        ids = {*_UUID.findall(new)} - {*_UUID.findall(old)}
        self._heads_of_ids = {f"{each[:HEAD]} {each[14]}" for each in ids}
        self._gaps = {each: f"%({each[:HEAD]} {each[14]})s{each[HEAD:]}" for each in ids}
        self._gaps |= {CODE: "%(code)s", str(NUMBER): "%(number)s"}
        self._token = re.compile(f"({'|'.join(map(re.escape, self._gaps))})")

    def _said(self, number: int, copies: int) -> Said:
        """Return the values for the gaps of a copy: the first one is the oldest."""
        age = copies + 1 - number
        made: Said = {name: earlier(name, age) for name in self._heads_of_ids}
        return made | {"code": credit_code(number, sole_trader=True), "number": number}

    # -- reading

    def _all(self) -> Iterator[Template]:
        """Read every growing table of every service."""
        for kind in SERVICES:
            with self.connect(kind.name) as connection:
                for table in tables_of(connection):
                    yield Template(kind.name, table, *read(connection, table))

    def _counters(self) -> dict[str, int]:
        with self.connect("gateway") as connection:
            return dict(connection.execute("SELECT name, value FROM counters").fetchall())


class _Writer:
    """Writes the copies of one table, from one text with gaps for all rows of a copy."""

    def __init__(self, templates: Templates, template: Template, stream: psycopg.Copy) -> None:
        self._template, self._stream = template, stream
        self.table = template.table
        rows = [[templates.template(cell) for cell in row] for row in template.rows]
        owner = templates.of(template.service, template.owner)
        self._last = max(templates.stood(owner).positions(), default=0)
        self._places = [f"place {n}" for n in range(len(owner.positions()))]
        ranked = sorted(owner.positions())
        for row, position in zip(rows, template.positions(), strict=False):
            row[template.counted or 0] = f"%(place {ranked.index(position)})d"
        self._more: _Chain | _Words | None = None
        if template.table in CHAINS:
            self._more = _Chain(templates, template, rows)
        elif template.table != template.owner:
            self._more = _Words(templates, template, rows)
        self._text = "".join("\t".join(row) + "\n" for row in rows)

    def write(self, copies: list[Said]) -> None:
        """Write some copies."""
        lines = []
        for said in copies:
            said.update(zip(self._places, itertools.count(self._last + 1)))
            self._last += len(self._places)
            if self._more:
                self._more.fill(said)
            lines.append(self._text % said)
        self._stream.write("".join(lines))

    def end(self, connection: psycopg.Connection[Any]) -> None:
        """Record the last position written."""
        template = self._template
        if isinstance(self._more, _Chain):
            change = "UPDATE heads SET position = %s, digest = %s WHERE chain = %s"
            connection.execute(change, [self._last, self._more.before, template.table])
        elif template.counted is not None and self._more is None:
            connection.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
                [template.table, template.columns[template.counted], self._last],
            )


class _Chain:
    """Computes the digests of the entries of a hash chain."""

    def __init__(self, templates: Templates, template: Template, rows: list[list[str]]) -> None:
        sealed = [template.columns.index(name) for name in CHAINS[template.table].sealed]
        digest = template.columns.index("digest")
        self.before = templates.stood(template).rows[-1][digest]
        self._contents = []
        for which, row in enumerate(rows):
            content = [plain(template.rows[which][column]) for column in sealed]
            places = f"place {which}", f"digest {which}", templates.template(encode(content))
            self._contents.append(places)
            row[digest] = f"%(digest {which})s"

    def fill(self, said: Said) -> None:
        """Compute the digests like `event_log.chain.link`, without encoding each content again."""
        for place, digest, content in self._contents:
            text = f"{self.before}\n{said[place]}\n{content % said}"
            said[digest] = self.before = sha256(text.encode()).hexdigest()


class _Words:
    """Writes the search words of the copied documents."""

    def __init__(self, templates: Templates, template: Template, rows: list[list[str]]) -> None:
        documents, column = (
            templates.of(template.service, template.owner),
            template.columns.index("words"),
        )
        at, doc = documents.positions(), documents.columns.index("doc")
        words = VIEWS[template.owner].words
        assert words
        self._words = words
        self._texts = []
        for which, position in enumerate(template.positions()):
            document = json.loads(plain(documents.rows[at.index(position)][doc]) or "{}")
            shown = {name: document.get(name) for name in words.fields}
            self._texts.append((f"words {which}", templates.template(encode(shown))))
            rows[which][column] = f"%(words {which})s"

    def fill(self, said: Said) -> None:
        for name, text in self._texts:
            said[name] = self._words.of(json.loads(text % said))


def earlier(head: str, copies: int) -> str:
    """Return the head of the id that is `copies` copies older.

    One in order of time is a quarter of a second older for each, so that a million lie within three
    days; a derived one may lie anywhere.
    """
    number = int(head[: HEAD - 3] + head[HEAD - 2 : HEAD], 16)
    step = SCATTERED if head.endswith("5") else 1
    text = f"{(number - copies * step) % (1 << 40):010x}"
    return f"{text[:8]}-{text[8:]}"
