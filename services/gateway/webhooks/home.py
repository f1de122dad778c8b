"""The home of a district: the place of the database from which webhooks are sent.

A copy, for example a restored backup, finds the original's place in its data. It sends nothing
until an operator declares it live. docs/decisions/0025 defines a place and its limits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import select, update

from chassis.storage.store import Store
from chassis.storage.tables import deployment
from chassis.storage.unit_of_work import UnitOfWork
from services.gateway.tables import ACTIVE, WAITING, deliveries, webhooks

_HOME, _PLACE, _SINCE, _HELD, _HELD_SINCE = _NAMES = (
    "home", "home place", "home since", "held place", "held since",
)  # fmt: skip
_WIDTH = 64
"""Longest value in the table, in characters."""


@dataclass(frozen=True)
class Place:
    """The place of a database: what distinguishes it from its copies, and its description."""

    print: str
    words: str


@dataclass(frozen=True)
class Known:
    """The stored home: its place and since when (s since 1970), and likewise the place where
    webhooks are held."""

    home: str = ""
    place: str = ""
    since: float = 0.0
    held: str = ""
    held_since: float = 0.0


class Home:
    """Determines whether this database is the home; `name` is the operator's name of the
    deployment."""

    def __init__(self, store: Store, name: str = "") -> None:
        self.store = store
        self._name = name

    def known(self) -> Known:
        """Return the stored home."""
        query = select(deployment).where(deployment.c.name.in_(_NAMES))
        with self.store.engine.connect() as connection:
            values = {row.name: row.value for row in connection.execute(query)}
        return Known(
            values.get(_HOME, ""),
            values.get(_PLACE, ""),
            float(values.get(_SINCE, 0)),
            values.get(_HELD, ""),
            float(values.get(_HELD_SINCE, 0)),
        )

    def look(self) -> Known:
        """Return whether webhooks are held here, and record it; without a stored home, this is the
        home."""
        known, here = self.known(), self._here()
        if known.home in ("", here.print):
            if not known.home:
                self._note({_HOME: here.print, _PLACE: here.words, _SINCE: str(self.store.now())})
            elif known.held:
                with self.store.write() as uow:
                    _forget(uow, _HELD, _HELD_SINCE)
        elif known.held != here.words:
            with self.store.write() as uow:
                _forget(uow, _HELD, _HELD_SINCE)
            self._note({_HELD: here.words, _HELD_SINCE: str(self.store.now())})
        else:
            return known
        return self.known()

    def adopt(self) -> None:
        """Delete the stored home: the gateway that runs here, or starts next, becomes the home and
        sends what is waiting as if nothing had happened."""
        waits = deliveries.c.state == WAITING
        with self.store.write() as uow:
            _forget(uow, *_NAMES)
            uow.execute(select(webhooks.c.id).order_by(webhooks.c.id).with_for_update())
            uow.execute(
                update(webhooks).where(webhooks.c.state == ACTIVE).values(failing_since=None)
            )
            uow.execute(update(deliveries).where(waits).values(try_at=self.store.now()))

    def _note(self, values: dict[str, str]) -> None:
        rows = [{"name": name, "value": value} for name, value in values.items()]
        with self.store.write() as uow:
            uow.at_end(self.store.statements.insert_new(deployment), rows)

    def _here(self) -> Place:
        """Return the place of the database."""
        words, facts = self.store.dialect.identity()
        description = "\n".join([*facts, self._name])
        made = hashlib.sha256(description.encode()).hexdigest()
        name = f"{self._name[:12]}: " if self._name else ""
        return Place(made, f"{name}{words} #{made[:6]}"[-_WIDTH:])


def _forget(uow: UnitOfWork, *names: str) -> None:
    uow.execute(deployment.delete().where(deployment.c.name.in_(names)))
