"""People: each has a key of their own, with which all that is personal of them is sealed.

A person is known by a keyed hash of the identity number, else of the phone, in its normal form; who
gives neither is somebody else with each command. A key that is destroyed leaves its row without the
key, and later data of the same person is sealed with a new one. Keys of before there was a normal
form may be joined to a person: they open what they have sealed, and end with the person's own.
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
"""Stands in a command for what is personal, until it is sealed."""
LACKING = "The key file lacks the key {}, with which keys of people are sealed"
TOGETHER = 500
"""Keys that are asked for, or wrapped anew, at once."""


class Destroyed(Rejected):
    """The key of this person's data has been destroyed: nobody can read it any more."""

    status = 410


@dataclass(frozen=True)
class Personal:
    """What is personal of one person in a command, in clear: it is never stored or sent so."""

    person: str
    clear: Mapping[str, str] = field(repr=False)

    def sealed(self, command: Contract, key: PersonKey) -> Contract:
        """Give the command with all of it sealed."""
        boxes: dict[str, Any] = {name: key.seal(text) for name, text in self.clear.items()}
        return dataclasses.replace(command, **boxes)


def key_file(settings: Settings) -> Path:
    """Tell where the district's keys stand; raises `Misconfigured`."""
    if settings.amqp_uri and not settings.seal_key_file:
        raise Misconfigured("SEAL_KEY_FILE must name the key file that all gateways share.")
    return Path(settings.seal_key_file or settings.data / "seal.key")


class Known(NamedTuple):
    """The reference of a person, and those by which the same one may be known from before there was
    a normal form."""

    reference: str
    earlier: list[str]


def reference_of(seal: Seal, given: Mapping[str, Any]) -> str:
    """Give the reference of whoever gives a phone; without one it is somebody else each time."""
    phone = phone_of(str(given.get("phone") or ""))
    return by_phone(seal, phone) if phone else secrets.token_hex(20)


def by_identity(seal: Seal, number: str) -> str:
    """Give the reference of the person with an identity number in normal form."""
    return seal.reference(number)


def by_phone(seal: Seal, phone: str) -> str:
    """Give the reference of the person with a phone in normal form."""
    return seal.reference(f"phone {phone}")


def known_by_identity(seal: Seal, said: str, number: str) -> Known:
    """Give the references of the person who has given a number, by what was said and its normal
    form: there is no telling what other spellings were said before."""
    reference = by_identity(seal, number)
    forms = {said.strip().upper(), plain(said), shorter(number) or number}
    return Known(reference, sorted({seal.reference(form) for form in forms} - {reference}))


def once_by_phone(seal: Seal, phone: str) -> str:
    """Give the reference that a phone had before there was a normal form, be it one or not."""
    digits = "".join(each for each in phone if each.isdecimal())
    abroad = len(digits) == 13 and digits.startswith("86")
    return seal.reference(f"phone {digits[2 * abroad :] or phone.strip()}")


def belongs_to(person: str) -> ColumnElement[bool]:
    """Say in SQL that a key is a person's: made for that person, or joined since."""
    made_for = and_(person_keys.c.person == person, person_keys.c.joined.is_(None))
    return or_(made_for, person_keys.c.joined == person)


class PersonKeys:
    """Makes and finds the keys of people, opens what they have sealed, and destroys them."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self.store = store
        self.seal = seal

    def keys(self, uow: UnitOfWork, persons: Iterable[str]) -> dict[str, PersonKey]:
        """Give the key of each person, which is made if there is none.

        Another gateway may make one at the same moment: then that one holds, for both.
        """
        found: dict[str, PersonKey] = {}
        wanted = sorted({*persons})
        while missing := [person for person in wanted if person not in found]:
            for begin in range(0, len(missing), TOGETHER):
                found |= self._known(uow, missing[begin : begin + TOGETHER])
            made = [self._row(person) for person in missing if person not in found]
            if made:
                uow.connection().execute(self.store.statements.insert_new(person_keys), made)
        return found

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
        """Open what is sealed; raises `Destroyed`, and `CannotOpen`."""
        keys = {key_of(sealed) for sealed in boxes.values()} - {*self.seal.key_ids}
        rows = session.execute(select(person_keys).where(person_keys.c.id.in_(keys))).all()
        if any(row.wrapped is None for row in rows):
            raise Destroyed
        known = {row.id: self.seal.unwrap(row.id, row.wrapped) for row in rows}
        if lacking := keys - known.keys():
            raise KeyMissing(min(lacking))
        return {
            name: known.get(key_of(sealed), self.seal).open(sealed)
            for name, sealed in boxes.items()
        }

    def destroy(self, uow: UnitOfWork, person: str, by: str) -> int:
        """Destroy the keys of a person; tells how many there were."""
        live = belongs_to(person), person_keys.c.destroyed_at.is_(None)
        gone = {"wrapped": None, "wrapped_by": None, "destroyed_at": uow.clock()}
        done = uow.execute(update(person_keys).where(*live).values(destroyed_by=by, **gone))
        return done.rowcount  # type: ignore[attr-defined, no-any-return]

    def check(self) -> None:
        """Refuse a key file that lacks a key which this database needs; raises `Misconfigured`."""
        if lacking := self.lacking():
            raise Misconfigured(f"{LACKING.format(lacking)}: put it back from the backup.")

    def lacking(self) -> str | None:
        """Name a key of the district that is needed here and not in the key file."""
        column = person_keys.c.wrapped_by
        ids = sorted(self.seal.key_ids)
        # range by range, which an index answers at once however many keys of people there are
        ranges = [(column > low) & (column < high) for low, high in pairwise(ids)]
        with self.store.engine.connect() as connection:
            for unknown in (column < ids[0], *ranges, column > ids[-1]):
                query = select(column).where(unknown).order_by(column).limit(1)
                if found := connection.scalar(query):
                    return str(found)
        return None
