"""Webhooks: who wants to be told of which events, and where; how that is said and changed.

docs/feed.md tells people of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy import Row, and_, func, select, update
from werkzeug.wrappers import Request, Response

from chassis.errors import Conflict, at
from chassis.http.client import Forbidden, Outbound
from chassis.http.responses import Route, answer
from chassis.sealing import Seal
from chassis.storage.store import Store
from chassis.storage.unit_of_work import Work
from contracts.shapes import LONGEST_TEXT, Sealed, moment_of
from services.gateway.access.callers import Caller, caller_of, scope_of
from services.gateway.commands.local import Act, Acts
from services.gateway.event_log.feed import Feed, Scope
from services.gateway.http.bodies import json_body
from services.gateway.http.request import BadRequest, NoSuchThing, idempotency_key, pointers
from services.gateway.tables import (
    ACTIVE,
    DISABLED,
    WAITING,
    deliveries,
    heads,
    webhook_secrets,
    webhooks,
)
from services.gateway.webhooks.deliveries import wait_for
from services.gateway.webhooks.sender import DAY
from services.gateway.webhooks.signing import new_secret
from services.gateway.webhooks.views import WebhookReads

MOST = 100
"""Webhooks that may be active."""
OVERLAP = DAY
"""Seconds for which an earlier secret goes on signing beside a new one."""
_HEAD = select(heads.c.position).where(heads.c.chain == "events")


class TooManyWebhooks(Conflict):
    """As many webhooks are active as may be."""


class NewWebhook(Schema):
    """Which events are wanted, and where they are to be posted."""

    url = fields.String(required=True, validate=validate.Length(max=LONGEST_TEXT))
    types = fields.List(fields.String(), load_default=list, validate=validate.Length(max=100))
    enterprise = fields.String(load_default=None, validate=validate.Length(1, 64))
    grid = fields.String(load_default=None, validate=validate.Length(1, 64))
    after = fields.Integer(strict=True, load_default=None, validate=validate.Range(0, 10**15))


class Nothing(Schema):
    """A body that says nothing."""


class Again(Schema):
    """What is to be delivered again: one of the two."""

    after = fields.Integer(strict=True, validate=validate.Range(0, 10**15))
    event = fields.String(validate=validate.Length(1, 64))


Do = Callable[[Work, Row[Any], dict[str, Any], str], dict[str, Any]]


class Webhooks:
    """Registers webhooks and changes them."""

    def __init__(
        self, store: Store, feed: Feed, acts: Acts, seal: Seal, outbound: Outbound
    ) -> None:
        self.store = store
        self.feed = feed
        self.reads = WebhookReads(store)
        self._acts = acts
        self._seal = seal
        self._outbound = outbound

    # -- registering

    def register(self, request: Request, owner: Caller) -> Response:
        """Register a webhook of somebody; the answer is the only one that holds its secret."""
        body = json_body(request)
        asked = _understood(NewWebhook, body)
        scope = scope_of(owner, "/v1/webhooks", idempotency_key(request.headers))
        act = Act(scope, "register-webhook", owner, body, creates="/v1/webhooks")

        def do(work: Work, command_id: str) -> dict[str, Any]:
            self._make_room(work)
            end = work.scalar(_HEAD) or 0
            row = _row(command_id, owner.known_as, asked, end, work.clock())
            work.execute(webhooks.insert(), [row])
            self._add_secret(work, command_id, command_id)
            return {"id": command_id}

        command_id, result = self._acts.once(act, do, lambda: self._judge(asked))
        made = self.reads.document(result["id"]) | self._secret(command_id)
        return answer(made, 201, Location=f"/v1/webhooks/{result['id']}")

    def _judge(self, asked: Mapping[str, Any]) -> None:
        """Refuse what cannot be wanted, and an address that is not spoken to."""
        said: list[str] = []
        self.feed.wanted((), (), asked["enterprise"], None, said)
        errors = [at("enterprise", one) for one in said]
        unknown = sorted({*asked["types"]} - self.feed.offered.keys())
        if unknown:
            known = ", ".join(sorted(self.feed.offered))
            errors.append(at("types", f"There is no {', '.join(unknown)}; there are {known}."))
        if asked["grid"] is not None and not self.feed.beneath(asked["grid"]):
            errors.append(at("grid", "There is no such grid."))
        try:
            self._outbound.check(asked["url"])
        except Forbidden as error:
            errors.append(at("url", f"The URL {error}."))
        if errors:
            raise BadRequest(errors=errors)

    @staticmethod
    def _make_room(work: Work) -> None:
        query = select(func.count()).select_from(webhooks).where(webhooks.c.state == ACTIVE)
        if (work.scalar(query) or 0) >= MOST:
            raise TooManyWebhooks(f"There are {MOST} active webhooks already.")

    def _add_secret(self, work: Work, identity: str, command_id: str) -> None:
        secret = self._seal.seal(new_secret())
        row = {"id": command_id, "webhook_id": identity, "secret": secret}
        work.execute(webhook_secrets.insert(), [row])

    def _secret(self, command_id: str) -> dict[str, Any]:
        """Give the secret that a command has made: a repeat of it is answered alike."""
        query = select(webhook_secrets.c.secret).where(webhook_secrets.c.id == command_id)
        with self.store.engine.connect() as connection:
            sealed = connection.scalar(query)
        return {"secret": self._seal.open(Sealed(sealed))} if sealed else {}

    # -- changing

    def rotate(self, request: Request, identity: str, by: Caller, scope: Scope) -> Response:
        """Make a new secret; the earlier one signs too for a while."""

        def do(work: Work, hook: Row[Any], _asked: dict[str, Any], command_id: str) -> Any:
            now = work.clock()
            earlier = webhook_secrets.c.webhook_id == hook.id
            work.execute(
                webhook_secrets.delete().where(earlier, webhook_secrets.c.ends_at.is_not(None))
            )
            work.execute(update(webhook_secrets).where(earlier).values(ends_at=now + OVERLAP))
            self._add_secret(work, hook.id, command_id)
            return {"earlier_until": moment_of(now + OVERLAP)}

        command_id, result = self._change(request, identity, "secret", by, scope, Nothing, do)
        return answer(result | self._secret(command_id))

    def disable(self, request: Request, identity: str, by: Caller, scope: Scope) -> Response:
        """Send nothing more, until it is enabled."""

        def do(work: Work, hook: Row[Any], _asked: dict[str, Any], _id: str) -> Any:
            said = {"state": DISABLED, "reason": "It was disabled by request."}
            work.execute(update(webhooks).where(webhooks.c.id == hook.id).values(**said))
            return {}

        self._change(request, identity, "disabling", by, scope, Nothing, do)
        return answer(self.reads.document(identity))

    def enable(self, request: Request, identity: str, by: Caller, scope: Scope) -> Response:
        """Send again, from where it stopped; what waits is tried at once."""

        def do(work: Work, hook: Row[Any], _asked: dict[str, Any], _id: str) -> Any:
            if hook.state != ACTIVE:
                self._make_room(work)
            fresh = {"state": ACTIVE, "reason": None, "failing_since": None, "paused_until": 0.0}
            work.execute(update(webhooks).where(webhooks.c.id == hook.id).values(**fresh))
            waits = and_(deliveries.c.webhook_id == hook.id, deliveries.c.state == WAITING)
            work.execute(update(deliveries).where(waits).values(try_at=work.clock()))
            return {}

        self._change(request, identity, "enabling", by, scope, Nothing, do)
        return answer(self.reads.document(identity))

    def redeliver(self, request: Request, identity: str, by: Caller, scope: Scope) -> Response:
        """Deliver again: one event, or every one after a position."""

        def do(work: Work, hook: Row[Any], asked: dict[str, Any], _id: str) -> Any:
            if len(asked) != 1:
                raise BadRequest("Say either after which position, or which event.")
            if "event" in asked:
                wait_for(work, hook.id, [self._wanted_event(hook, asked["event"])])
                return {"event": asked["event"]}
            cursor = min(hook.cursor, asked["after"])
            work.execute(update(webhooks).where(webhooks.c.id == hook.id).values(cursor=cursor))
            return {"after": cursor}

        result = self._change(request, identity, "redelivery", by, scope, Again, do)[1]
        return answer(result, 202)

    def _wanted_event(self, hook: Row[Any], event_id: str) -> Row[Any]:
        types = tuple(json.loads(hook.types))
        grids = self.feed.wanted(types, (), hook.enterprise_id, hook.grid, [])
        found = self.feed.event(grids, event_id)
        if found is None:
            raise NoSuchThing(f"This webhook wants no event {event_id}.")
        return found

    def _change(
        self,
        request: Request,
        identity: str,
        what: str,
        by: Caller,
        scope: Scope,
        shape: type[Schema],
        do: Do,
    ) -> tuple[str, dict[str, Any]]:
        body = json_body(request)
        asked = _understood(shape, body)
        self.reads.row(identity, scope)
        path = f"/v1/webhooks/{identity}/{what}"
        kept = scope_of(by, path, idempotency_key(request.headers))

        def act(work: Work, command_id: str) -> dict[str, Any]:
            locked = select(webhooks).where(webhooks.c.id == identity).with_for_update()
            return {"id": identity} | do(work, work.execute(locked).one(), asked, command_id)

        return self._acts.once(Act(kept, f"webhook-{what}", by, body), act)

    def routes(self) -> Iterator[Route]:
        """Give the routes; a webhook is there for its owner only."""
        yield Route(
            "POST", "/v1/webhooks", lambda request: self.register(request, caller_of(request))
        )
        yield Route("GET", "/v1/webhooks", _own(self.reads.listing))
        yield Route("GET", "/v1/webhooks/<id>", _own(self.reads.one))
        yield Route("GET", "/v1/webhooks/<id>/deliveries", _own(self.reads.history))
        for what, change in (
            ("secret", self.rotate),
            ("disabling", self.disable),
            ("enabling", self.enable),
            ("redelivery", self.redeliver),
        ):
            yield Route("POST", f"/v1/webhooks/<id>/{what}", _change_of_own(change))


def _scope(request: Request) -> Scope:
    return [webhooks.c.owner == caller_of(request).known_as]


def _own(read: Callable[..., Response]) -> Callable[..., Response]:
    return lambda request, *identity: read(request, *identity, scope=_scope(request))


def _change_of_own(change: Callable[..., Response]) -> Callable[..., Response]:
    return lambda request, identity: change(request, identity, caller_of(request), _scope(request))


def _understood(shape: type[Schema], body: dict[str, Any]) -> dict[str, Any]:
    try:
        asked: dict[str, Any] = shape().load(body)
    except ValidationError as error:
        raise BadRequest(errors=pointers(error.messages)) from None
    return asked


def _row(
    identity: str, owner: str, asked: Mapping[str, Any], end: int, now: float
) -> dict[str, Any]:
    """Write a new webhook as its row; it begins with what comes from now on, unless told."""
    after = asked["after"]
    if after is not None and after > end:
        raise BadRequest(errors=[at("after", f"The last event so far is {end}.")])
    return {
        "id": identity,
        "owner": owner,
        "url": asked["url"],
        "types": json.dumps(sorted({*asked["types"]})),
        "enterprise_id": asked["enterprise"],
        "grid": asked["grid"],
        "state": ACTIVE,
        "cursor": end if after is None else after,
        "made_at": now,
        "paused_until": 0.0,
    }
