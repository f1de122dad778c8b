"""Migration of persons to the references of their normalized numbers.

A key is joined to the person whose data it sealed, and still opens it. Insurance, which knows
medics by the same references, gets a command for each medic and may reject it; the gateway records
the outcome. The migration may be interrupted and repeated while the district runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import bindparam, insert, update
from sqlalchemy.orm import Session

from chassis.sealing import Seal
from chassis.storage.store import Store
from contracts.insurance.commands import ReidentifyMedic
from contracts.shapes import Key, moment_to_json
from services.gateway.access.callers import Scope
from services.gateway.commands.records import Entry, Records
from services.gateway.person_keys import TOGETHER
from services.gateway.tables import REJECTED, commands, person_keys

_JOIN = (
    update(person_keys)
    .where(person_keys.c.id == bindparam("of"), person_keys.c.destroyed_at.is_(None))
    .values(joined=bindparam("to"))
)
_One = TypeVar("_One")


class Moving:
    """Applies the results of a survey."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self.store = store
        self.seal = seal
        self.records = Records(store)

    def join(self, keys: Mapping[str, str]) -> None:
        """Join keys to the persons whose data they sealed; a key destroyed meanwhile is left."""
        rows = [{"of": key, "to": person} for key, person in sorted(keys.items())]
        for some in _parts(rows):
            with self.store.write() as uow:
                uow.connection().execute(_JOIN, some)

    def reidentify(
        self, medics: Mapping[str, str], by: str, now: Callable[[Session], datetime]
    ) -> dict[str, str]:
        """Send insurance the correct reference of each medic; return the medic of each command."""
        medic_of: dict[str, str] = {}
        for some in _parts(sorted(medics.items())):
            orders = [
                ReidentifyMedic(medic_id=Key(medic), holder_ref=reference, by=by)
                for medic, reference in some
            ]
            entries = [self._entry(one) for one in orders]
            with self.store.write() as uow:
                rows = [entry.columns(uow.clock()) for entry in entries]
                uow.connection().execute(insert(commands), rows)
                moment = moment_to_json(now(uow))
                pairs = zip(entries, orders, strict=True)
                uow.outbox += [entry.message(one, moment) for entry, one in pairs]
            medic_of |= {entry.id: one.medic_id for entry, one in zip(entries, orders, strict=True)}
        return medic_of

    def _entry(self, command: ReidentifyMedic) -> Entry:
        identity, content = self.store.new_id(), f"{command.medic_id} {command.holder_ref}"
        scope, fingerprint = Scope(f"MOVE {content} {identity}"), self.seal.reference(content)
        return Entry(identity, scope, fingerprint, command.type)

    def pending(self, command_ids: Sequence[str]) -> int:
        """Count the unsettled commands."""
        return len(command_ids) - sum(
            len(self.records.settled(some)) for some in _parts(command_ids)
        )

    def refused(self, medic_of: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return the medics whose commands were rejected, and the problem of each."""
        for command, medic in medic_of.items():
            answer = self.records.read(command)
            if answer is not None and answer.state == REJECTED:
                yield medic, answer.outcome


def _parts(rows: Sequence[_One]) -> Iterator[Sequence[_One]]:
    """Return rows in groups of one transaction."""
    for begin in range(0, len(rows), TOGETHER):
        yield rows[begin : begin + TOGETHER]
