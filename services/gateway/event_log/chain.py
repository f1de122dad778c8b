"""Hash chains: every entry is hashed with all entries before it, so that a change shows.

There are two: `events`, with all events, and `audit`, with the outcome and the author of each
command. An entry's digest is the SHA-256 of the previous digest, its position and its content.
Positions have no gaps: they are assigned under a lock, last in the transaction that writes the
entries (docs/decisions/0014), so that no lower position appears after a higher one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update

from chassis.message import encode
from chassis.storage.statements import Statement
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.shared import CommandSettled, SweepHour
from services.gateway.tables import audit, events, heads

PAGE = 2000
BEGINNING = "0" * 64
"""The digest before the first entry."""


@dataclass(frozen=True)
class Head:
    """The end of a chain: compared with a copy stored elsewhere it proves that no earlier entry
    changed."""

    chain: str
    position: int
    digest: str

    def __str__(self) -> str:
        """Return the form that an operator copies."""
        return f"{self.chain}:{self.position}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Parse a head; raises `ValueError`."""
        chain, position, digest = text.strip().split(":")
        if chain not in CHAINS or len(digest) != len(BEGINNING) or int(digest, 16) < 0:
            raise ValueError(text)
        return cls(chain, int(position), digest.lower())


@dataclass(frozen=True)
class Break:
    """The first broken position of a chain, and the reason."""

    chain: str
    position: int
    how: str


class HashChain:
    """A hash chain: its table, and the hashed columns."""

    def __init__(self, table: Table, sealed: Sequence[str]) -> None:
        self.table = table
        self.name = table.name
        self.sealed = tuple(sealed)
        self._insert = insert(table)

    def append(self, store: Store, uow: UnitOfWork, rows: list[dict[str, Any]]) -> None:
        """Append entries, as the function `append` does."""
        append(store, uow, {self: rows})

    def seal(self, uow: UnitOfWork, end: Head, rows: list[dict[str, Any]]) -> Head:
        """Hash entries after an end and store them; return the new end."""
        position, digest = end.position, end.digest
        for row in rows:
            position += 1
            digest = link(digest, position, [row[name] for name in self.sealed])
            row |= {"position": position, "digest": digest}
        uow.at_end(self._insert, rows)
        uow.at_end(_MOVE, [{"named": self.name, "at": position, "sealed": digest}])
        return Head(self.name, position, digest)

    def head(self, store: Store) -> Head:
        """Return the end of the chain as stored."""
        with store.engine.connect() as connection:
            row = connection.execute(select(heads).where(heads.c.chain == self.name)).first()
        return Head(self.name, *(row[1:] if row else (0, BEGINNING)))

    def verify(
        self,
        store: Store,
        anchor: Head | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> tuple[Head, Break | None]:
        """Verify the chain from its beginning; return its end, and the first break or None.

        `anchor` is an end stored elsewhere: the chain must contain it.
        """
        stated = self.head(store)
        end = Head(self.name, 0, BEGINNING)
        for row in self._entries(store, stated.position):
            broken = self._broken(row, end)
            if broken or (anchor and row.position == anchor.position != 0
                          and row.digest != anchor.digest):  # fmt: skip
                return end, broken or Break(self.name, row.position, "is not what was anchored")
            end = Head(self.name, row.position, row.digest)
            progress(end.position)
        if end != stated or (anchor and anchor.position > end.position):
            return end, Break(self.name, end.position + 1, "is missing, and all that followed")
        return end, None

    def _broken(self, row: Row[Any], end: Head) -> Break | None:
        if row.position != end.position + 1:
            return Break(self.name, end.position + 1, "is missing")
        content = [row._mapping[name] for name in self.sealed]  # noqa: SLF001  (its public name)
        if row.digest != link(end.digest, row.position, content):
            return Break(self.name, row.position, "has been changed, or what stood before it")
        return None

    def _entries(self, store: Store, until: int) -> Iterator[Row[Any]]:
        """Read the entries up to a position, in order; later ones are not verified."""
        after = -(2**63)  # also negative positions, in case somebody wrote one
        columns = self.table.c
        query = select(self.table).order_by(columns.position).limit(PAGE)
        while True:
            with store.engine.connect() as connection:
                rows = connection.execute(
                    query.where(columns.position > after, columns.position <= until)
                ).all()
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1].position


def append(
    store: Store, uow: UnitOfWork, entries: Mapping[HashChain, list[dict[str, Any]]]
) -> None:
    """Append entries to chains. It must be the last step of a transaction: until its commit every
    other transaction with entries waits."""
    ends: dict[str, Head] = uow.info.setdefault("ends of chains", {})
    grows = {chain.name: chain for chain, rows in entries.items() if rows}
    if unknown := sorted(grows.keys() - ends.keys()):
        ends |= _locked(store, uow, unknown)
    for name, chain in grows.items():
        ends[name] = chain.seal(uow, ends[name], entries[chain])


def _ends(store: Store) -> Any:
    """Return the query for the ends of some chains; a constant object, so it is compiled once."""
    return store.statements.build_once(
        "ends of chains",
        lambda: (
            select(heads.c.chain, heads.c.position, heads.c.digest)
            .where(store.dialect.in_array(heads.c.chain, "names"))
            .order_by(heads.c.chain)
            .with_for_update()
        ),
    )


def _locked(store: Store, uow: UnitOfWork, names: list[str]) -> dict[str, Head]:
    """Lock the ends of chains, in a fixed order; create missing ends."""
    statement = Statement(_ends(store), {"names": store.dialect.array(names)})
    (found,) = store.execute_many(uow, statement)
    if missing := {*names}.difference(name for name, *_ in found):
        first = [{"chain": n, "position": 0, "digest": BEGINNING} for n in sorted(missing)]
        store.write_rows(uow, store.statements.insert_new(heads), first)
        (found,) = store.execute_many(uow, statement)
    return {name: Head(name, position, digest) for name, position, digest in found}


def link(before: str, position: int, content: Sequence[Any]) -> str:
    """Return the digest of an entry and its predecessors, in hexadecimal."""
    return sha256(f"{before}\n{position}\n{encode(list(content))}".encode()).hexdigest()


_MOVE = (
    update(heads)
    .where(heads.c.chain == bindparam("named"))
    .values(position=bindparam("at"), digest=bindparam("sealed"))
)
EVENTS = HashChain(
    events,
    (
        "id", "source", "type", "time", "partitionkey", "correlationid", "causationid",
        "causationtype", "body",
    ),
)  # fmt: skip
AUDIT = HashChain(audit, ("at", "what", "who", "about", "content"))
CHAINS = {chain.name: chain for chain in (EVENTS, AUDIT)}


def ended(outcomes: Iterable[tuple[CommandSettled, str]]) -> list[dict[str, Any]]:
    """Return audit entries of command outcomes and request times.

    Steps that services take by themselves are no act of a person, and are omitted.
    """
    return [
        {
            "at": time,
            "what": event.command,
            "who": event.by,
            "about": event.subject_key,
            "content": encode(
                {
                    "command_id": event.command_id,
                    "outcome": event.outcome,
                    **({"problem": event.problem.get("type")} if event.problem else {}),
                }
            ),
        }
        for event, time in outcomes
        if event.command != SweepHour.type
    ]


def last_event(connection: Connection) -> dict[str, Any]:
    """Return the last known event: reads after it include all its effects."""
    last = connection.execute(_LAST).first()
    return {"position": last.position if last else 0, "time": last.time if last else None}


_LAST = select(events.c.position, events.c.time).order_by(events.c.position.desc()).limit(1)
END = select(heads.c.position).where(heads.c.chain == "events")
"""The query for the position of the last event in the chain."""
