"""Commands to the gateway itself: executed once for each Idempotency-Key, recorded and audited.

No other service takes part, so execution and record share a transaction. A rejected command leaves
no trace, and may be retried under the same key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from chassis.message import encode
from chassis.sealing import Seal
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.shapes import moment_to_json
from services.gateway.access.callers import Caller, Scope
from services.gateway.commands.clock import Now
from services.gateway.commands.records import KEPT, Entry, KeyReused
from services.gateway.event_log.chain import AUDIT
from services.gateway.tables import DONE, commands

Do = Callable[[UnitOfWork, str], dict[str, Any]]
"""Executes the command, given its id; returns the result, whose `id` names the thing."""
Done = tuple[str, dict[str, Any]]
"""The id of the command, and its result."""


@dataclass(frozen=True)
class LocalCommand:
    """A command to the gateway: its scope, caller, kind and body."""

    scope: Scope
    kind: str
    by: Caller
    body: dict[str, Any]
    creates: str = ""
    """The path of the thing that it creates, without the id."""
    signed: str = ""
    """The acting person, if not the caller."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """Additional fields of the audit entry, in clear text."""


class LocalCommands:
    """Executes commands once."""

    def __init__(self, store: Store, seal: Seal, now: Now) -> None:
        self.store = store
        self._seal = seal
        self._now = now

    def once(self, local: LocalCommand, do: Do, judge: Callable[[], None] = lambda: None) -> Done:
        """Return the command's id and its result, executed now or earlier.

        A new command is first validated by `judge`, outside the transaction. Raises `KeyReused` if
        the key was used for something else, and the errors of `judge` and `do`.
        """
        body = json.dumps(local.body, sort_keys=True)
        entry = Entry(
            self.store.new_id(),
            local.scope.of("POST"),
            self._seal.reference(body),
            local.kind,
            created=bool(local.creates),
            caller=local.by.known_as,
        )
        with self.store.read() as session:
            if (before := self._before(session, entry)) is not None:
                return before
        judge()
        with self.store.write() as uow:
            statement = self.store.statements.insert_new(commands).returning(commands.c.id)
            new = uow.scalars(statement, [entry.columns(uow.clock())]).first() is not None
            if not new and (before := self._before(uow, entry)) is not None:
                return before  # a concurrent request had the same key
            result = do(uow, entry.id)
            self._record(uow, local, entry, result)
        return entry.id, result

    @staticmethod
    def _before(session: Session, entry: Entry) -> Done | None:
        row = session.execute(entry.earlier(*KEPT, commands.c.outcome)).first()
        if row is None:
            return None
        if not entry.repeats(row):
            raise KeyReused
        return row.id, json.loads(row.outcome)

    def _record(
        self, uow: UnitOfWork, local: LocalCommand, entry: Entry, result: dict[str, Any]
    ) -> None:
        """Record the result and, last in the transaction, the audit entry."""
        about = str(result["id"])
        location = f"{local.creates}/{about}" if local.creates else None
        values = {"state": DONE, "outcome": encode(result), "settled_at": uow.clock()}
        uow.execute(
            update(commands).where(commands.c.id == entry.id).values(location=location, **values)
        )
        issuer = {"issuer": local.by.issuer} if local.by.issuer else {}
        audited = {
            "at": moment_to_json(self._now(uow)),
            "what": local.kind,
            "who": local.signed or local.by.subject,
            "about": about,
            "content": encode({"command_id": entry.id, "outcome": "done", **issuer, **local.noted}),
        }
        AUDIT.append(self.store, uow, [audited])
