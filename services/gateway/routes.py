"""The table of routes: which function answers which path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from werkzeug.wrappers import Request, Response

from chassis.http.responses import Route
from chassis.message import encode
from contracts import asyncapi
from services.gateway import pages
from services.gateway.access.accounts import Accounts
from services.gateway.commands.endpoints import Taking
from services.gateway.commands.rosters import Sheets
from services.gateway.components import Components
from services.gateway.event_log import endpoints as event_log
from services.gateway.exports.endpoints import Exports
from services.gateway.privacy.disclosure import Openings
from services.gateway.read_models import endpoints as read_models
from services.gateway.resources import BATCHES, POSTS, SHEETS, VIEWS
from services.gateway.tables import events
from services.gateway.webhooks.endpoints import Webhooks


def routes_of(parts: Components) -> Iterator[Route]:
    """Return every route of the gateway."""
    reads = parts.reads
    taking = Taking(parts.door, parts.clock, parts.edge, reads, wait=parts.settings.wait)
    sheets, exports = Sheets(taking), Exports(parts.exporting)
    accounts = Accounts(parts.store, parts.issuer)
    for post in POSTS:
        yield Route("POST", post.path, partial(taking.single, post))
    for post in BATCHES:
        yield Route("POST", f"{post.path}/batch", partial(taking.batch, post))
    for sheet in SHEETS:
        yield Route("POST", sheet.path, partial(sheets.take, sheet))
    for view in VIEWS.values():
        yield Route("GET", f"/v1/{view.name}", partial(exports.of_view, view))
        yield Route("GET", f"/v1/{view.name}/<id>", partial(read_models.document, reads, view))
    for name, column in (
        ("enterprises", events.c.enterprise_id),
        ("complaints", events.c.complaint_id),
    ):
        timeline = partial(read_models.timeline, reads, VIEWS[name], column)
        yield Route("GET", f"/v1/{name}/<id>/timeline", timeline)
    yield Route("GET", "/v1/enterprises/<id>/rosters", exports.of_rosters)
    yield Route("GET", "/asyncapi.json", _described(), always=True)
    yield Route("GET", "/v1/officers", partial(read_models.officers, reads))
    yield Route(
        "GET", "/v1/checklists", partial(read_models.rules, parts.rulebook, parts.clock.today)
    )
    yield Route("GET", "/v1/statistics", partial(read_models.statistics, reads))
    yield Route("GET", "/v1/exports/<id>", exports.read)
    yield Route("GET", "/v1/exports/<id>/file", exports.file)
    yield Route("GET", "/v1/events", partial(event_log.list_events, parts.feed))
    yield Route("GET", "/v1/events/stream", partial(event_log.stream, parts.streams))
    yield Route("GET", "/v1/commands/<id>", taking.read)
    yield Route("GET", "/v1/commands/<id>/rows", taking.read_rows)
    yield Route("POST", "/v1/clock", taking.set_clock)
    yield Route("POST", "/v1/token", accounts.token, public=True)
    yield from pages.routes()
    yield from Openings(parts.people, parts.acts, reads).routes()
    yield from Webhooks(
        parts.store, parts.feed, parts.acts, parts.seal, parts.sender.outbound
    ).routes()


def _described() -> Callable[..., Response]:
    """Return the description of the public events, the same as long as the process runs."""
    text = encode(asyncapi.document()) + "\n"

    def described(request: Request) -> Response:
        response = Response(text, mimetype="application/json")
        response.add_etag()
        return response.make_conditional(request)

    return described
