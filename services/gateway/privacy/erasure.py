"""Erasure: what is stored about a person, and the destruction of the key that opens it.

Sealed data stays where it has travelled: events, services, queues, backups. None of these contains
the key in clear text, so destroying the key makes all of it unreadable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.orm import Session

from chassis.message import encode
from chassis.sealing import PersonKey, key_of
from contracts.catalogue import sealed_fields
from contracts.shapes import Sealed, moment_to_json
from services.gateway.event_log.chain import AUDIT
from services.gateway.identities import name_of
from services.gateway.person_keys import PersonKeys, belongs_to
from services.gateway.read_models.queries import Reads
from services.gateway.resources import DISCLOSURES
from services.gateway.tables import OF_PEOPLE, events, person_keys

DESTROY = "destroy-person"
NAMES = ("caller", "claimant", "name")
"""The sealed fields with a person's name."""


@dataclass(frozen=True)
class Kept:
    """What is stored about a person: keys, ids of things that mention them, by list, and the number
    of different names sealed by active keys; more than one suggests several persons."""

    person: str
    keys: Sequence[Row[Any]]
    things: dict[str, list[str]]
    names: int

    @property
    def in_use(self) -> bool:
        """Whether there is a key that can be destroyed."""
        return any(key.destroyed_at is None for key in self.keys)


class Erasing:
    """Reports what is stored about persons, and erases it."""

    def __init__(self, people: PersonKeys) -> None:
        self.people = people

    def owners(self, references: Iterable[str]) -> list[str]:
        """Return the current references of persons who have or had a key under these references."""
        wanted = [*references]
        keys = self._keys([or_(person_keys.c.person.in_(wanted), person_keys.c.joined.in_(wanted))])
        return sorted({key.joined or key.person for key in keys})

    def knows(self, person: str) -> bool:
        """Return whether a person has or had a key."""
        return bool(self._keys([belongs_to(person)]))

    def _keys(self, which: Sequence[Any]) -> Sequence[Row[Any]]:
        query = select(person_keys).where(*which).order_by(person_keys.c.created_at)
        with self.people.store.engine.connect() as connection:
            return connection.execute(query).all()

    def kept(self, person: str) -> Kept:
        """Return what is stored about a person; reads the personal events of all persons.

        Raises `CannotOpen` if an active key cannot be opened.
        """
        keys = self._keys([belongs_to(person)])
        opened = {
            key.id: self.people.seal.unwrap(key.id, key.wrapped) for key in keys if key.wrapped
        }
        held = or_(*(events.c.body.contains(f'"{key.id}.') for key in keys))
        things: dict[str, dict[str, None]] = {
            disclosure.view.name: {} for disclosure in DISCLOSURES
        }
        views = {
            kind.type: disclosure.view for disclosure in DISCLOSURES for kind in disclosure.told_by
        }
        names: set[str] = set()
        query = select(events.c.type, events.c.body).where(OF_PEOPLE, held)
        with self.people.store.engine.connect() as connection:
            for row in connection.execute(query.order_by(events.c.position)):
                view, data = views[row.type], json.loads(row.body)
                things[view.name][data[view.id_field]] = None
                names |= {*_names(data, opened)}
        return Kept(person, keys, {name: [*ids] for name, ids in things.items()}, len(names))

    def persons_of(self, thing: str) -> list[str]:
        """Return the persons mentioned by a thing: complaints/ID, medics/ID, claims/ID."""
        name, _, identity = thing.partition("/")
        disclosure = next((each for each in DISCLOSURES if each.view.name == name), None)
        document = disclosure and Reads(self.people.store).look(disclosure.view, identity)
        if not disclosure or not document:
            return []
        query = select(events.c.type, events.c.body).where(
            events.c.partitionkey == document[disclosure.key], OF_PEOPLE
        )
        keys: set[str] = set()
        with self.people.store.engine.connect() as connection:
            for row in connection.execute(query):
                data = json.loads(row.body)
                if data.get(disclosure.view.id_field) == identity:
                    keys |= {key_of(data[f]) for f in sealed_fields(row.type) if data.get(f)}
        rows = self._keys([person_keys.c.id.in_(keys)])
        return sorted({row.joined or row.person for row in rows})

    def destroy(self, kept: Kept, by: str, reason: str, now: Callable[[Session], datetime]) -> bool:
        """Destroy the keys of a person and record it in the audit, in one transaction; return
        whether no trace of them is left in the database."""
        store = self.people.store
        content = {
            "reason": reason,
            "keys": [key.id for key in kept.keys if key.destroyed_at is None],
            "things": {name: len(ids) for name, ids in kept.things.items()},
            "names": kept.names,
        }
        with store.write() as uow:
            store.dialect.secure_delete(uow.connection())
            self.people.destroy(uow, kept.person, by)
            entry = {
                "at": moment_to_json(now(uow)),
                "what": DESTROY,
                "who": by,
                "about": kept.person,
                "content": encode(content),
            }
            AUDIT.append(store, uow, [entry])
        return store.dialect.scrub(person_keys)


def _names(data: dict[str, Any], keys: Mapping[str, PersonKey]) -> Iterator[str]:
    """Open the names in an event sealed by some keys; spellings of one name count once."""
    for name in NAMES:
        box = data.get(name)
        if box and (key := keys.get(key_of(box))):
            yield name_of(key.open(Sealed(box)))
