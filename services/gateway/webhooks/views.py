"""Read access to webhooks and their deliveries."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row, Select, select
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound
from chassis.http.responses import answer
from chassis.storage.store import Store
from contracts.shapes import moment_of
from services.gateway.access.callers import Caller, caller_of
from services.gateway.event_log.feed import Scope
from services.gateway.http.request import PAGES, BadRequest, next_page, once, page_of
from services.gateway.resources.webhooks import STATES
from services.gateway.tables import WAITING, webhooks
from services.gateway.webhooks.deliveries import Deliveries
from services.gateway.webhooks.home import Home


class WebhookReads:
    """Shows webhooks, without their secrets."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._home = Home(store)

    def listing(self, request: Request) -> Response:
        """List the caller's webhooks, in order of creation."""
        once(request.args, [])
        with self.store.engine.connect() as connection:
            scope = own(caller_of(request))
            rows = connection.execute(_shown(scope).order_by(webhooks.c.id)).all()
        return answer({"items": [self._written(row) for row in rows], "next": None})

    def one(self, request: Request, identity: str) -> Response:
        """Return a webhook of the caller, without its secret."""
        return answer(self._written(self.row(identity, own(caller_of(request)))))

    def history(self, request: Request, identity: str) -> Response:
        """List the deliveries of a webhook with their attempts, the latest event first."""
        parameters = once(request.args, [*PAGES, "state"])
        limit, before = page_of(parameters)
        if parameters.get("state", WAITING) not in STATES:
            raise BadRequest(f"state must be one of {', '.join(STATES)}.")
        self.row(identity, own(caller_of(request)))
        rows = Deliveries(self.store).latest(identity, parameters.get("state"), before, limit + 1)
        following = str(rows[limit - 1].position) if len(rows) > limit else None
        items = [_delivery(row) for row in rows[:limit]]
        return next_page(answer({"items": items, "next": following}), request, following)

    def row(self, identity: str, scope: Scope) -> Row[Any]:
        """Return a webhook; raises `NotFound`."""
        with self.store.engine.connect() as connection:
            row = connection.execute(_shown(scope).where(webhooks.c.id == identity)).first()
        if row is None:
            raise NotFound(f"There is no webhook {identity}.")
        return row

    def document(self, identity: str) -> dict[str, Any]:
        """Return the JSON form of a webhook."""
        return self._written(self.row(identity, ()))

    def _written(self, row: Row[Any]) -> dict[str, Any]:
        return _written(row, self.store.now()) | {"held": bool(self._home.known().held)}


def own(caller: Caller) -> Scope:
    """Return the condition that the caller owns a webhook."""
    return [webhooks.c.owner == caller.known_as]


def _shown(scope: Scope) -> Select[Any]:
    return select(webhooks).where(*scope)


def _written(row: Row[Any], now: float) -> dict[str, Any]:
    paused = row.paused_until if row.paused_until > now else None
    return {
        "id": row.id,
        "owner": row.owner,
        "url": row.url,
        "types": json.loads(row.types),
        "enterprise": row.enterprise_id,
        "grid": row.grid,
        "state": row.state,
        "reason": row.reason,
        "reached": row.cursor,
        "made_at": moment_of(row.made_at),
        "failing_since": moment_of(row.failing_since),
        "paused_until": moment_of(paused),
    }


def _delivery(row: Row[Any]) -> dict[str, Any]:
    tried = row.state == WAITING and row.attempts > 0
    return {
        "position": row.position,
        "event": row.event_id,
        "type": row.type,
        "partitionkey": row.partitionkey,
        "state": row.state,
        "attempts": row.attempts,
        "next_try": moment_of(row.try_at) if tried else None,
        "history": [entry | {"at": moment_of(entry["at"])} for entry in json.loads(row.history)],
    }
