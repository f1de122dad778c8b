"""Disclosures: personal data of one thing, shown to an authorized role and recorded.

The audit entry, with caller, role, reason and time, is committed before the response. The stored
request refers to the opened event and contains none of its data in clear text.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound
from chassis.http.responses import answer
from chassis.storage.unit_of_work import UnitOfWork
from contracts.shapes import Sealed
from services.gateway.access.callers import scope_of
from services.gateway.access.scope import access_of
from services.gateway.commands.local import LocalCommand, LocalCommands
from services.gateway.http.bodies import json_body
from services.gateway.http.etags import refuse_if_match
from services.gateway.http.request import idempotency_key, load
from services.gateway.person_keys import PersonKeys
from services.gateway.read_models.queries import Reads
from services.gateway.resources.gateway import DisclosureBody
from services.gateway.resources.post import Disclosure
from services.gateway.resources.view import Document
from services.gateway.tables import OF_PEOPLE, events


class NothingSealed(NotFound):
    """No personal data of it is known."""


class Disclosures:
    """Opens personal data and records each access."""

    def __init__(self, people: PersonKeys, local_commands: LocalCommands, reads: Reads) -> None:
        self.people = people
        self.local_commands = local_commands
        self.reads = reads

    def open(self, disclosure: Disclosure, request: Request, identity: str) -> Response:
        """Return the personal data of a thing, after recording the access in the audit.

        Raises `NotFound` outside the caller's scope, and `Destroyed`. A repeat under the same key
        opens the same data without another entry.
        """
        refuse_if_match(request.headers)
        access = access_of(request)
        caller, body = access.principal.caller, json_body(request)
        path = disclosure.path.replace("<id>", identity)
        scope = scope_of(caller, path, idempotency_key(request.headers))
        asked, by = load(DisclosureBody(), body), access.principal.signs(body.get("by"))
        view = disclosure.view
        thing = json.loads(self.reads.require(view, identity, access.of(view)))
        kind = f"open-{disclosure.view.id_field.removesuffix('_id')}"
        noted = {
            "caller": caller.subject,
            "roles": sorted(access.principal.roles),
            "reason": asked["reason"],
            "shown": disclosure.shown,
        }
        local = LocalCommand(scope, kind, caller, body, signed=by, noted=noted)

        def do(uow: UnitOfWork, _command_id: str) -> dict[str, Any]:
            event_id = self._told(uow, disclosure, thing)
            self._boxes(uow, disclosure, event_id)
            return {"id": identity, "event": event_id}

        opening_id, result = self.local_commands.once(local, do)
        with self.people.store.read() as session:
            clear = self._boxes(session, disclosure, result["event"])
        shown = {disclosure.view.id_field: identity, **clear, "opening_id": opening_id}
        return answer(shown, 201, Cache_Control="no-store")

    @staticmethod
    def _told(session: Session, disclosure: Disclosure, thing: Document) -> str:
        """Return the id of the latest event with persons: most things have only one."""
        kinds = [kind.type for kind in disclosure.told_by]
        query = (
            select(events.c.id, events.c.body)
            .where(events.c.partitionkey == thing[disclosure.key], OF_PEOPLE)
            .where(events.c.type.in_(kinds))
            .order_by(events.c.position.desc())
        )
        for row in session.execute(query):
            data = json.loads(row.body)
            if data[disclosure.view.id_field] == thing["id"] and any(
                map(data.get, disclosure.shown)
            ):
                found: str = row.id
                return found
        raise NothingSealed

    def _boxes(
        self, session: Session, disclosure: Disclosure, event_id: str
    ) -> dict[str, str | None]:
        """Open the sealed fields of an event; raises `Destroyed`, and `CannotOpen`."""
        text = session.scalar(select(events.c.body).where(events.c.id == event_id))
        data = json.loads(text or "{}")
        boxes = {name: Sealed(data[name]) for name in disclosure.shown if data.get(name)}
        return dict.fromkeys(disclosure.shown) | self.people.open(session, boxes)
