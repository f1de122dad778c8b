"""Webhook endpoints: registration and changes.

docs/feed.md documents them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from marshmallow import Schema
from sqlalchemy import Row, and_, func, select, update
from werkzeug.wrappers import Request, Response

from chassis.errors import Conflict, Invalid, NotFound, at
from chassis.http.client import Forbidden, HttpClient
from chassis.http.responses import answer
from chassis.sealing import Seal
from chassis.storage.store import Store
from chassis.storage.unit_of_work import UnitOfWork
from contracts.shapes import Sealed, moment_of
from services.gateway.access.callers import caller_of, scope_of
from services.gateway.commands.local import LocalCommand, LocalCommands
from services.gateway.event_log.chain import END
from services.gateway.event_log.feed import Feed
from services.gateway.http.bodies import json_body
from services.gateway.http.request import idempotency_key, load
from services.gateway.resources.webhooks import Again, NewWebhook, Nothing
from services.gateway.tables import (
    ACTIVE,
    DISABLED,
    WAITING,
    deliveries,
    webhook_secrets,
    webhooks,
)
from services.gateway.webhooks.deliveries import wait_for
from services.gateway.webhooks.dispatcher import DAY
from services.gateway.webhooks.signing import new_secret
from services.gateway.webhooks.views import WebhookReads, own

MOST = 100
"""Maximum number of active webhooks."""
OVERLAP = DAY
"""Seconds for which an earlier secret also signs after a rotation."""


class TooManyWebhooks(Conflict):
    """The maximum number of active webhooks is reached."""


Hook = Row[Any]
Body = dict[str, Any]
Do = Callable[[UnitOfWork, Hook, Body, str], dict[str, Any]]


class Webhooks:
    """Registers and changes webhooks."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        local_commands: LocalCommands,
        seal: Seal,
        http_client: HttpClient,
    ) -> None:
        self.store = store
        self.feed = feed
        self.reads = WebhookReads(store)
        self._local_commands = local_commands
        self._seal = seal
        self._http_client = http_client

    # -- registering

    def register(self, request: Request) -> Response:
        """Register a webhook of the caller; only this response contains the secret."""
        owner, body = caller_of(request), json_body(request)
        webhook = load(NewWebhook(), body)
        scope = scope_of(owner, "/v1/webhooks", idempotency_key(request.headers))
        act = LocalCommand(scope, "register-webhook", owner, body, creates="/v1/webhooks")

        def do(uow: UnitOfWork, command_id: str) -> dict[str, Any]:
            self._make_room(uow)
            end = uow.scalar(END) or 0
            row = _row(command_id, owner.known_as, webhook, end, uow.clock())
            uow.execute(webhooks.insert(), [row])
            self._add_secret(uow, command_id, command_id)
            return {"id": command_id}

        command_id, result = self._local_commands.once(act, do, lambda: self._judge(webhook))
        made = self.reads.document(result["id"]) | self._secret(command_id)
        return answer(made, 201, Location=f"/v1/webhooks/{result['id']}")

    def _judge(self, webhook: Mapping[str, Any]) -> None:
        """Reject an invalid filter and an address that is not allowed."""
        grid_errors: list[str] = []
        self.feed.wanted((), (), webhook["enterprise"], None, grid_errors)
        errors = [at("enterprise", one) for one in grid_errors]
        unknown = sorted({*webhook["types"]} - self.feed.offered.keys())
        if unknown:
            allowed = ", ".join(sorted(self.feed.offered))
            errors.append(
                at("types", f"Unknown event type {', '.join(unknown)}. Allowed: {allowed}.")
            )
        if webhook["grid"] is not None and not self.feed.beneath(webhook["grid"]):
            errors.append(at("grid", "Unknown grid."))
        try:
            self._http_client.check(webhook["url"])
        except Forbidden as error:
            errors.append(at("url", f"The URL {error}."))
        if errors:
            raise Invalid(errors=errors)

    @staticmethod
    def _make_room(uow: UnitOfWork) -> None:
        query = select(func.count()).select_from(webhooks).where(webhooks.c.state == ACTIVE)
        if (uow.scalar(query) or 0) >= MOST:
            raise TooManyWebhooks(f"There are {MOST} active webhooks already.")

    def _add_secret(self, uow: UnitOfWork, identity: str, command_id: str) -> None:
        secret = self._seal.seal(new_secret())
        row = {"id": command_id, "webhook_id": identity, "secret": secret}
        uow.execute(webhook_secrets.insert(), [row])

    def _secret(self, command_id: str) -> dict[str, Any]:
        """Return the secret that a command created: a repeat of the command gets the same
        response."""
        query = select(webhook_secrets.c.secret).where(webhook_secrets.c.id == command_id)
        with self.store.engine.connect() as connection:
            sealed = connection.scalar(query)
        return {"secret": self._seal.open(Sealed(sealed))} if sealed else {}

    # -- changing

    def rotate(self, request: Request, identity: str) -> Response:
        """Create a new secret; the earlier one also signs for a while."""
        command_id, result = self._change(request, identity, "secret", Nothing, self._rotate)
        return answer(result | self._secret(command_id))

    def disable(self, request: Request, identity: str) -> Response:
        """Stop deliveries until the webhook is enabled."""
        self._change(request, identity, "disabling", Nothing, self._disable)
        return answer(self.reads.document(identity))

    def enable(self, request: Request, identity: str) -> Response:
        """Resume deliveries; waiting ones are tried immediately."""
        self._change(request, identity, "enabling", Nothing, self._enable)
        return answer(self.reads.document(identity))

    def redeliver(self, request: Request, identity: str) -> Response:
        """Deliver one event again, or all after a position."""
        _, result = self._change(request, identity, "redelivery", Again, self._redeliver)
        return answer(result, 202)

    def _change(
        self, request: Request, identity: str, what: str, shape: type[Schema], do: Do
    ) -> tuple[str, dict[str, Any]]:
        """Change a webhook of the caller once; raises `Invalid` and `NotFound`."""
        body, by = json_body(request), caller_of(request)
        data = load(shape(), body)
        self.reads.row(identity, own(by))
        path = f"/v1/webhooks/{identity}/{what}"
        kept = scope_of(by, path, idempotency_key(request.headers))
        return self._local_commands.once(
            LocalCommand(kept, f"webhook-{what}", by, body), partial(_locked, identity, data, do)
        )

    def _rotate(self, uow: UnitOfWork, hook: Hook, _asked: Body, command_id: str) -> dict[str, Any]:
        ends_at = uow.clock() + OVERLAP
        earlier = webhook_secrets.c.webhook_id == hook.id
        ending = webhook_secrets.c.ends_at.is_not(None)
        uow.execute(webhook_secrets.delete().where(earlier, ending))
        uow.execute(update(webhook_secrets).where(earlier).values(ends_at=ends_at))
        self._add_secret(uow, hook.id, command_id)
        return {"earlier_until": moment_of(ends_at)}

    def _disable(self, uow: UnitOfWork, hook: Hook, _asked: Body, _id: str) -> dict[str, Any]:
        _set(uow, hook, state=DISABLED, reason="It was disabled by request.")
        return {}

    def _enable(self, uow: UnitOfWork, hook: Hook, _asked: Body, _id: str) -> dict[str, Any]:
        if hook.state != ACTIVE:
            self._make_room(uow)
        _set(uow, hook, state=ACTIVE, reason=None, failing_since=None, paused_until=0.0)
        waits = and_(deliveries.c.webhook_id == hook.id, deliveries.c.state == WAITING)
        uow.execute(update(deliveries).where(waits).values(try_at=uow.clock()))
        return {}

    def _redeliver(self, uow: UnitOfWork, hook: Hook, body: Body, _id: str) -> dict[str, Any]:
        if len(body) != 1:
            raise Invalid("Exactly one of after and event is needed.")
        if "event" in body:
            wait_for(uow, hook.id, [self._wanted_event(hook, body["event"])])
            return {"event": body["event"]}
        cursor = min(hook.cursor, body["after"])
        _set(uow, hook, cursor=cursor)
        return {"after": cursor}

    def _wanted_event(self, hook: Hook, event_id: str) -> Row[Any]:
        types = tuple(json.loads(hook.types))
        grids = self.feed.wanted(types, (), hook.enterprise_id, hook.grid, [])
        event = self.feed.event(grids, event_id)
        if event is None:
            raise NotFound(f"This webhook wants no event {event_id}.")
        return event


def _locked(identity: str, body: Body, do: Do, uow: UnitOfWork, command_id: str) -> dict[str, Any]:
    """Call `do` on a locked webhook."""
    locked = select(webhooks).where(webhooks.c.id == identity).with_for_update()
    return {"id": identity} | do(uow, uow.execute(locked).one(), body, command_id)


def _set(uow: UnitOfWork, hook: Hook, **values: Any) -> None:
    uow.execute(update(webhooks).where(webhooks.c.id == hook.id).values(**values))


def _row(
    identity: str, owner: str, webhook: Mapping[str, Any], end: int, now: float
) -> dict[str, Any]:
    """Return the row of a new webhook; it starts with future events unless `after` is given."""
    after = webhook["after"]
    if after is not None and after > end:
        raise Invalid(errors=[at("after", f"The last event so far is {end}.")])
    return {
        "id": identity,
        "owner": owner,
        "url": webhook["url"],
        "types": json.dumps(sorted({*webhook["types"]})),
        "enterprise_id": webhook["enterprise"],
        "grid": webhook["grid"],
        "state": ACTIVE,
        "cursor": end if after is None else after,
        "made_at": now,
        "paused_until": 0.0,
    }
