"""Survey of sealed data: persons stored under another reference than their normalized number's."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select

from chassis.sealing import CannotOpen, KeyMissing, key_of
from contracts.shapes import Sealed
from rulebook.chapters.identities import Identities
from services.gateway.identities import number_of, phone_of
from services.gateway.person_keys import TOGETHER, PersonKeys, by_identity, by_phone
from services.gateway.resources import DISCLOSURES, VIEWS
from services.gateway.tables import OF_PEOPLE, events, person_keys

MEDICS = VIEWS["medics"]
_STAYS = ""
"""The reference under which the person's key is already stored."""
_VIEWS = {kind.type: disclosure.view for disclosure in DISCLOSURES for kind in disclosure.told_by}


@dataclass
class Found:
    """The results of a survey."""

    keys: dict[str, str] = field(default_factory=dict)
    """Keys not stored under the person whose data they seal, with that person."""
    joined: dict[str, int] = field(default_factory=dict)
    """The persons who get several keys, and the number of keys."""
    strangers: list[str] = field(default_factory=list)
    """References that several persons share, or may share: their numbers identify nobody, or more
    than one person. They cannot be separated, since one key sealed all their data."""
    medics: dict[str, str] = field(default_factory=dict)
    """Medics stored under another reference than their number's, with the correct one."""
    twins: list[list[str]] = field(default_factory=list)
    """Medics who are the same person."""
    unknown: list[str] = field(default_factory=list)
    """Medics without a valid number."""
    unread: list[str] = field(default_factory=list)
    """Things that cannot be opened, although their key was not destroyed."""
    destroyed: int = 0
    """The number of fields that cannot be opened because their key was destroyed."""


class _Box(NamedTuple):
    """A sealed field of an event, and the thing of the event."""

    name: str
    sealed: Sealed
    thing: str
    identity: str


class Survey:
    """Reads all sealed data, some hundred events at a time, and changes nothing."""

    def __init__(self, people: PersonKeys, papers: Identities) -> None:
        self._people = people
        self._papers = papers
        self._owners: dict[str, str] = {}
        self._of_several: dict[str, str] = {}
        self._numbers: dict[str, str] = {}
        self._found = Found()

    def size(self) -> int:
        """Return the number of events to read."""
        query = select(func.count()).select_from(events).where(OF_PEOPLE)
        with self._people.store.engine.connect() as connection:
            return connection.scalar(query) or 0

    def run(self, progress: Callable[[int], None]) -> Found:
        """Read all sealed data; raises `KeyMissing` if a key of the district is missing."""
        after = -1
        while rows := self._page(after):
            after = rows[-1].position
            self._take([*_boxes(rows)])
            progress(len(rows))
        moved = {key: person for key, person in self._owners.items() if person != _STAYS}
        self._found.keys = {k: p for k, p in moved.items() if k not in self._of_several}
        self._found.strangers = sorted({*self._of_several.values()})
        self._count_joined()
        self._compare_medics()
        return self._found

    def _page(self, after: int) -> Sequence[Any]:
        query = select(events.c.position, events.c.type, events.c.body)
        query = query.where(OF_PEOPLE, events.c.position > after).order_by(events.c.position)
        with self._people.store.engine.connect() as connection:
            return connection.execute(query.limit(TOGETHER)).all()

    def _take(self, boxes: Sequence[_Box]) -> None:
        wanted = {key_of(box.sealed) for box in boxes}
        query = select(person_keys).where(person_keys.c.id.in_(wanted))
        with self._people.store.engine.connect() as connection:
            keys = {row.id: row for row in connection.execute(query)}
        for box in boxes:
            key = keys.get(key_of(box.sealed))
            if key is not None and key.wrapped is None:
                self._found.destroyed += 1
                continue
            try:
                clear = self._clear(box.sealed, key)
            except KeyMissing:
                raise
            except CannotOpen:
                self._found.unread.append(box.thing)
                continue
            self._note(box, key, self._person(box, clear))

    def _clear(self, sealed: Sealed, key: Any) -> str:
        """Open a value; before person keys existed, the district's key sealed it."""
        seal = self._people.seal
        return (seal.unwrap(key.id, key.wrapped) if key else seal).open(sealed)

    def _person(self, box: _Box, clear: str) -> str | None:
        """Return the person with a number; None for a number that identifies nobody."""
        seal = self._people.seal
        if box.name == "identity":
            number = number_of(clear, self._papers)
            return by_identity(seal, number) if number else None
        phone = phone_of(clear)
        return by_phone(seal, phone) if phone else None

    def _note(self, box: _Box, key: Any, person: str | None) -> None:
        if box.name == "identity":
            if person is None:
                self._found.unknown.append(box.thing)
                return
            self._numbers[box.identity] = person
        if key is None:
            return
        filed = key.joined or key.person
        owner = _STAYS if person == filed else person
        if owner is None or self._owners.setdefault(key.id, owner) != owner:
            self._of_several[key.id] = filed

    def _count_joined(self) -> None:
        """Count the keys of persons with several: the moved ones and their own."""
        counted = Counter(self._found.keys.values())
        persons, c = sorted(counted), person_keys.c
        owner = func.coalesce(c.joined, c.person)
        with self._people.store.engine.connect() as connection:
            for begin in range(0, len(persons), TOGETHER):
                some = persons[begin : begin + TOGETHER]
                own = or_(c.person.in_(some), c.joined.in_(some)), c.destroyed_at.is_(None)
                owners = connection.scalars(select(owner).where(*own))
                counted.update(each for each in owners if each in counted)
        self._found.joined = {person: keys for person, keys in counted.items() if keys > 1}

    def _compare_medics(self) -> None:
        """Compare the medics with their numbers."""
        columns = MEDICS.table.c
        alike: dict[str, list[str]] = defaultdict(list)
        with self._people.store.engine.connect() as connection:
            for row in connection.execute(select(columns.doc).order_by(columns.position)):
                medic = json.loads(row.doc)
                person = self._numbers.get(medic["id"], medic["holder_ref"])
                if person != medic["holder_ref"]:
                    self._found.medics[medic["id"]] = person
                if medic["state"] == "enrolled":
                    alike[person].append(medic["id"])
        self._found.twins = [medics for medics in alike.values() if len(medics) > 1]


def _boxes(rows: Iterable[Any]) -> Iterator[_Box]:
    """Return the identifying fields of some events."""
    for row in rows:
        data, view = json.loads(row.body), _VIEWS[row.type]
        identity = data[view.id_field]
        for name in ("identity", "phone"):
            if data.get(name):
                yield _Box(name, Sealed(data[name]), f"{view.name}/{identity}", identity)
