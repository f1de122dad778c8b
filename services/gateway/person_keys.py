"""Person keys: each person has a key that seals all of their personal data.

A person is identified by a keyed hash of the normalized identity number, else of the phone; without
either, each command creates a new person. A destroyed key leaves its row without the key, and later
data of the same person gets a new key. Keys from before numbers were normalized may be joined to a
person: they open what they sealed, and are destroyed with the person's own.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from chassis.errors import Rejected
from chassis.sealing import KeyMissing, PersonKey, Seal, key_of
from chassis.settings import Misconfigured, Settings
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.message import Contract
from contracts.shapes import Sealed
from services.gateway.identities import phone_of, plain, shorter
from services.gateway.tables import person_keys

HIDDEN = Sealed("-")
"""Placeholder for personal data in a command until it is sealed."""
LACKING = "The key file lacks the key {}, which seals person keys"
TOGETHER = 500
"""Keys to read or rewrap at once."""


class Destroyed(Rejected):
    """The key of this person's data was destroyed; the data is unreadable."""

    status = 410


@dataclass(frozen=True)
class Personal:
    """Personal data of one person in a command, in clear text; never stored or sent."""

    person: str
    clear: Mapping[str, str] = field(repr=False)

    def sealed(self, command: Contract, key: PersonKey) -> Contract:
        """Return the command with its personal data sealed."""
        boxes: dict[str, Any] = {name: key.seal(text) for name, text in self.clear.items()}
        return dataclasses.replace(command, **boxes)


def key_file(settings: Settings) -> Path:
    """Return the path of the district's keys; raises `Misconfigured`."""
    if settings.amqp_uri and not settings.seal_key_file:
        raise Misconfigured("SEAL_KEY_FILE must name the key file that all gateways share.")
    return Path(settings.seal_key_file or settings.data / "seal.key")


class Known(NamedTuple):
    """The reference of a person, and the references under which earlier versions may know them."""

    reference: str
    earlier: list[str]


def reference_of(seal: Seal, fields: Mapping[str, Any]) -> str:
    """Return the reference of a person with a phone; without one, a new reference each time."""
    phone = phone_of(str(fields.get("phone") or ""))
    return by_phone(seal, phone) if phone else secrets.token_hex(20)


def by_identity(seal: Seal, number: str) -> str:
    """Return the reference of a person with a normalized identity number."""
    return seal.reference(number)


def by_phone(seal: Seal, phone: str) -> str:
    """Return the reference of a person with a normalized phone."""
    return seal.reference(f"phone {phone}")


def known_by_identity(seal: Seal, spelling: str, number: str) -> Known:
    """Return the references of a person by identity number: the normalized one, and the spelling as
    given. Other spellings that were used earlier are unknown."""
    reference = by_identity(seal, number)
    forms = {spelling.strip().upper(), plain(spelling), shorter(number) or number}
    return Known(reference, sorted({seal.reference(form) for form in forms} - {reference}))


def once_by_phone(seal: Seal, phone: str) -> str:
    """Return the reference of a phone before phones were normalized."""
    digits = "".join(each for each in phone if each.isdecimal())
    abroad = len(digits) == 13 and digits.startswith("86")
    return seal.reference(f"phone {digits[2 * abroad :] or phone.strip()}")


def belongs_to(person: str) -> ColumnElement[bool]:
    """Return the SQL condition that a key belongs to a person: made for them, or joined later."""
    made_for = and_(person_keys.c.person == person, person_keys.c.joined.is_(None))
    return or_(made_for, person_keys.c.joined == person)


class PersonKeys:
    """Creates, finds and destroys person keys, and opens data sealed with them."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self.store = store
        self.seal = seal

    def keys(self, uow: UnitOfWork, persons: Iterable[str]) -> dict[str, PersonKey]:
        """Return the key of each person; creates missing keys.

        If another gateway creates one at the same time, that one is used by both.
        """
        ready: dict[str, PersonKey] = {}
        wanted = sorted({*persons})
        while missing := [person for person in wanted if person not in ready]:
            for begin in range(0, len(missing), TOGETHER):
                ready |= self._known(uow, missing[begin : begin + TOGETHER])
            made = [self._row(person) for person in missing if person not in ready]
            if made:
                uow.connection().execute(self.store.statements.insert_new(person_keys), made)
        return ready

    def _known(self, uow: UnitOfWork, persons: Sequence[str]) -> dict[str, PersonKey]:
        columns = person_keys.c.person, person_keys.c.id, person_keys.c.wrapped
        in_use = person_keys.c.joined.is_(None), person_keys.c.destroyed_at.is_(None)
        rows = uow.execute(select(*columns).where(person_keys.c.person.in_(persons), *in_use))
        return {row.person: self.seal.unwrap(row.id, row.wrapped) for row in rows}

    def _row(self, person: str) -> dict[str, Any]:
        key = PersonKey()
        return {
            "id": key.id,
            "person": person,
            "wrapped": self.seal.wrap(key),
            "wrapped_by": self.seal.key_id,
            "created_at": self.store.now(),
        }

    def open(self, session: Session, boxes: Mapping[str, Sealed]) -> dict[str, str]:
        """Open sealed values; raises `Destroyed`, and `CannotOpen`."""
        keys = {key_of(sealed) for sealed in boxes.values()} - {*self.seal.key_ids}
        rows = session.execute(select(person_keys).where(person_keys.c.id.in_(keys))).all()
        if any(row.wrapped is None for row in rows):
            raise Destroyed
        unwrapped = {row.id: self.seal.unwrap(row.id, row.wrapped) for row in rows}
        if lacking := keys - unwrapped.keys():
            raise KeyMissing(min(lacking))
        return {
            name: unwrapped.get(key_of(sealed), self.seal).open(sealed)
            for name, sealed in boxes.items()
        }

    def destroy(self, uow: UnitOfWork, person: str, by: str) -> int:
        """Destroy the keys of a person; return their number."""
        live = belongs_to(person), person_keys.c.destroyed_at.is_(None)
        gone = {"wrapped": None, "wrapped_by": None, "destroyed_at": uow.clock()}
        done = uow.execute(update(person_keys).where(*live).values(destroyed_by=by, **gone))
        return done.rowcount  # type: ignore[attr-defined, no-any-return]

    def check(self) -> None:
        """Reject a key file without a key that the database needs; raises `Misconfigured`."""
        if lacking := self.lacking():
            raise Misconfigured(f"{LACKING.format(lacking)}: put it back from the backup.")

    def lacking(self) -> str | None:
        """Return the name of a needed key that the key file lacks, or None."""
        column = person_keys.c.wrapped_by
        ids = sorted(self.seal.key_ids)
        # range by range: an index answers each at once, however many person keys there are
        ranges = [(column > low) & (column < high) for low, high in pairwise(ids)]
        with self.store.engine.connect() as connection:
            for unknown in (column < ids[0], *ranges, column > ids[-1]):
                query = select(column).where(unknown).order_by(column).limit(1)
                if found := connection.scalar(query):
                    return str(found)
        return None
