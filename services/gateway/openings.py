"""Openings: what is personal of one thing, shown to a role that may see it, each time on record.

Who opened what, in which role, why and when stands in the audit before the answer is given. What is
kept of the request says which event it was opened from, never what that holds in clear.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, fields
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound
from chassis.store import Work
from chassis.web import Route, answer
from contracts.complaints import ComplaintReceived, ComplaintRevised
from contracts.insurance import ClaimFiled, MedicEnrolled
from contracts.message import Event
from contracts.shapes import LONGEST_TEXT, NotBlank, Sealed
from services.gateway.acts import Act, Acts
from services.gateway.bodies import json_body
from services.gateway.callers import scope_of
from services.gateway.edge import BadRequest, idempotency_key, pointers
from services.gateway.model import OF_PEOPLE, events
from services.gateway.people import People
from services.gateway.preconditions import none_here
from services.gateway.reads import NoSuchThing, Reads
from services.gateway.records import sealed_fields
from services.gateway.resources import VIEWS
from services.gateway.views import Document, View

if TYPE_CHECKING:
    from services.gateway.permissions import Sight  # which knows every route


class NothingSealed(NotFound):
    """Nothing personal is known of it."""


class OpeningBody(Schema):
    """Why somebody wants to see what is personal; `by` is who that is, if not the caller."""

    reason = fields.String(required=True, validate=NotBlank(min=1, max=LONGEST_TEXT))
    by = fields.String(validate=NotBlank(min=1, max=64))


@dataclass(frozen=True)
class Opening:
    """A kind of thing of which people are known: by which events, and under which key of them."""

    view: View
    told_by: tuple[type[Event], ...]
    key: str

    @property
    def path(self) -> str:
        """The path of the route."""
        return f"/v1/{self.view.name}/<id>/openings"

    @property
    def shown(self) -> list[str]:
        """The fields that are opened."""
        return sorted({*(name for kind in self.told_by for name in sealed_fields(kind.type))})


OPENINGS = (
    Opening(VIEWS["complaints"], (ComplaintReceived, ComplaintRevised), "id"),
    Opening(VIEWS["medics"], (MedicEnrolled,), "id"),
    Opening(VIEWS["claims"], (ClaimFiled,), "medic_id"),
)


class Openings:
    """Opens what is personal, and records who has seen it."""

    def __init__(self, people: People, acts: Acts, reads: Reads) -> None:
        self.people = people
        self.acts = acts
        self.reads = reads

    def open(self, opening: Opening, request: Request, identity: str, sight: Sight) -> Response:
        """Answer with what is personal of a thing, once that stands in the audit.

        Raises `NoSuchThing` out of the caller's sight, and `Destroyed`. A repeat under the same key
        opens the same again, without another entry.
        """
        none_here(request.headers)
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

    def routes(self, sight: Callable[[Request], Sight]) -> Iterator[Route]:
        """Give the routes."""
        for opening in OPENINGS:
            yield Route("POST", opening.path, self._route(opening, sight))

    def _route(
        self, opening: Opening, sight: Callable[[Request], Sight]
    ) -> Callable[..., Response]:
        return lambda request, identity: self.open(opening, request, identity, sight(request))
