"""Openings: what is personal of one thing, shown to a role that may see it, each time on record.

Who opened what, in which role, why and when stands in the audit before the answer is given. What is
kept of the request says which event it was opened from, never what that holds in clear.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from marshmallow import Schema, ValidationError, fields
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound
from chassis.http.responses import Route, answer
from chassis.storage.unit_of_work import Work
from contracts.shapes import LONGEST_TEXT, NotBlank, Sealed
from services.gateway.access.callers import scope_of
from services.gateway.access.scope import sight_of
from services.gateway.commands.local import Act, Acts
from services.gateway.http.bodies import json_body
from services.gateway.http.etags import none_here
from services.gateway.http.request import BadRequest, NoSuchThing, idempotency_key, pointers
from services.gateway.person_keys import People
from services.gateway.read_models.queries import Reads
from services.gateway.resources import OPENINGS
from services.gateway.resources.post import Opening
from services.gateway.resources.view import Document
from services.gateway.tables import OF_PEOPLE, events


class NothingSealed(NotFound):
    """Nothing personal is known of it."""


class OpeningBody(Schema):
    """Why somebody wants to see what is personal; `by` is who that is, if not the caller."""

    reason = fields.String(required=True, validate=NotBlank(min=1, max=LONGEST_TEXT))
    by = fields.String(validate=NotBlank(min=1, max=64))


class Openings:
    """Opens what is personal, and records who has seen it."""

    def __init__(self, people: People, acts: Acts, reads: Reads) -> None:
        self.people = people
        self.acts = acts
        self.reads = reads

    def open(self, opening: Opening, request: Request, identity: str) -> Response:
        """Answer with what is personal of a thing, once that stands in the audit.

        Raises `NoSuchThing` out of the caller's sight, and `Destroyed`. A repeat under the same key
        opens the same again, without another entry.
        """
        none_here(request.headers)
        sight = sight_of(request)
        caller, body = sight.acting.caller, json_body(request)
        path = opening.path.replace("<id>", identity)
        scope = scope_of(caller, path, idempotency_key(request.headers))
        asked, by = self._understood(body), sight.acting.signs(body.get("by"))
        thing = self.reads.look(opening.view, identity, sight.of(opening.view))
        if thing is None:
            raise NoSuchThing(
                f"There is nothing with the id {identity} among the {opening.view.name}."
            )
        kind = f"open-{opening.view.id_field.removesuffix('_id')}"
        noted = {
            "caller": caller.subject,
            "roles": sorted(sight.acting.roles),
            "reason": asked["reason"],
            "shown": opening.shown,
        }
        act = Act(scope, kind, caller, body, signed=by, noted=noted)

        def do(work: Work, _command_id: str) -> dict[str, Any]:
            event_id = self._told(work, opening, thing)
            self._boxes(work, opening, event_id)
            return {"id": identity, "event": event_id}

        opening_id, result = self.acts.once(act, do)
        with self.people.store.read() as session:
            clear = self._boxes(session, opening, result["event"])
        shown = {opening.view.id_field: identity, **clear, "opening_id": opening_id}
        return answer(shown, 201, Cache_Control="no-store")

    @staticmethod
    def _understood(body: dict[str, Any]) -> dict[str, Any]:
        try:
            asked: dict[str, Any] = OpeningBody().load(body)
        except ValidationError as error:
            raise BadRequest(errors=pointers(error.messages)) from None
        return asked

    @staticmethod
    def _told(session: Session, opening: Opening, thing: Document) -> str:
        """Find the latest event that tells of people: for most things there is but one."""
        kinds = [kind.type for kind in opening.told_by]
        query = (
            select(events.c.id, events.c.body)
            .where(events.c.partitionkey == thing[opening.key], OF_PEOPLE)
            .where(events.c.type.in_(kinds))
            .order_by(events.c.position.desc())
        )
        for row in session.execute(query):
            data = json.loads(row.body)
            if data[opening.view.id_field] == thing["id"] and any(map(data.get, opening.shown)):
                found: str = row.id
                return found
        raise NothingSealed

    def _boxes(self, session: Session, opening: Opening, event_id: str) -> dict[str, str | None]:
        """Open what an event holds; raises `Destroyed`, and `CannotOpen`."""
        text = session.scalar(select(events.c.body).where(events.c.id == event_id))
        data = json.loads(text or "{}")
        boxes = {name: Sealed(data[name]) for name in opening.shown if data.get(name)}
        return dict.fromkeys(opening.shown) | self.people.open(session, boxes)

    def routes(self) -> Iterator[Route]:
        """Return the routes."""
        for opening in OPENINGS:
            yield Route("POST", opening.path, partial(self.open, opening))
