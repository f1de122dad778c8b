"""Key rotation: data sealed with earlier keys of the district is sealed with the first key, in
steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, func, or_, select, update

from chassis.sealing import Seal
from chassis.storage.store import Store
from contracts.shapes import Sealed
from services.gateway.person_keys import TOGETHER
from services.gateway.tables import OF_PEOPLE, events, person_keys, webhook_secrets

PEOPLE, SECRETS, EVENTS = "keys of people", "secrets of webhooks", "events"
_NEWLY = {
    PEOPLE: update(person_keys)
    .where(person_keys.c.id == bindparam("of"), person_keys.c.wrapped == bindparam("old"))
    .values(wrapped=bindparam("new"), wrapped_by=bindparam("by")),
    SECRETS: update(webhook_secrets)
    .where(webhook_secrets.c.id == bindparam("of"), webhook_secrets.c.secret == bindparam("old"))
    .values(secret=bindparam("new")),
}


class Rotating:
    """Reseals everything with the first key, while gateways run."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self.store = store
        self.seal = seal

    def hanging(self) -> dict[str, int]:
        """Count what still depends on an earlier key, by kind.

        This includes events sealed before person keys existed: the hash chain is not rewritten, so
        their key is needed for as long as they are to be readable.
        """
        queries: dict[str, tuple[Table, ColumnElement[bool]]] = {
            PEOPLE: (person_keys, self._of_people()),
            SECRETS: (webhook_secrets, self._of_secrets()),
        }
        with self.store.engine.connect() as connection:
            counted = {
                what: connection.scalar(select(func.count()).select_from(table).where(which)) or 0
                for what, (table, which) in queries.items()
            }
            if earlier := self.seal.key_ids[1:]:
                within = or_(*(events.c.body.contains(f'"{each}.') for each in earlier))
                query = select(func.count()).select_from(events).where(OF_PEOPLE, within)
                counted[EVENTS] = connection.scalar(query) or 0
        return counted

    def used(self) -> dict[str, int]:
        """Count the person keys by the district's key that wraps them."""
        column = person_keys.c.wrapped_by
        query = select(column, func.count().label("number")).group_by(column)
        with self.store.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query.where(column.is_not(None)))}

    def run(self, progress: Callable[[str, int], None]) -> None:
        """Reseal everything that can be, some hundred rows in a transaction."""
        for what in (PEOPLE, SECRETS):
            after = ""
            while rows := self._step(what, after):
                after = rows[-1]
                progress(what, len(rows))

    def _step(self, what: str, after: str) -> list[str]:
        """Reseal the next rows; a row that was changed or destroyed meanwhile is left."""
        with self.store.write() as uow:
            if what == PEOPLE:
                c = person_keys.c
                query = select(c.id, c.wrapped.label("old")).where(self._of_people(), c.id > after)
            else:
                c = webhook_secrets.c
                query = select(c.id, c.secret.label("old")).where(self._of_secrets(), c.id > after)
            rows = uow.execute(query.order_by(c.id).limit(TOGETHER)).all()
            made = [{"of": row.id, "old": row.old, **self._anew(what, row)} for row in rows]
            if made:
                uow.connection().execute(_NEWLY[what], made)
        return [row.id for row in rows]

    def _anew(self, what: str, row: Any) -> dict[str, str]:
        if what == SECRETS:
            return {"new": self.seal.seal(self.seal.open(Sealed(row.old)))}
        wrapped = self.seal.wrap(self.seal.unwrap(row.id, row.old))
        return {"new": wrapped, "by": self.seal.key_id}

    def _of_people(self) -> ColumnElement[bool]:
        column = person_keys.c.wrapped_by
        return or_(column < self.seal.key_id, column > self.seal.key_id)

    def _of_secrets(self) -> ColumnElement[bool]:
        return ~webhook_secrets.c.secret.startswith(f"{self.seal.key_id}.")
