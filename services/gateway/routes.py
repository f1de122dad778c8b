"""The routes of the HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from chassis.message import encode
from chassis.web import Route, answer
from contracts import asyncapi
from services.gateway import pages
from services.gateway.accounts import Accounts
from services.gateway.checklists import checklist
from services.gateway.edge import Edge, Post
from services.gateway.exports import Exports
from services.gateway.feed import cloud_event
from services.gateway.lists import PAGES, once, page_of
from services.gateway.model import events
from services.gateway.preconditions import tag_of
from services.gateway.reads import NoSuchThing, Reads, next_page
from services.gateway.resources import BATCHES, POSTS, SHEETS, VIEWS
from services.gateway.resources.filing import OFFICERS
from services.gateway.sheets import Sheet, Sheets
from services.gateway.taking import Taking
from services.gateway.views import View

if TYPE_CHECKING:
    from services.gateway.service import Gateway

BATCH = "application/cloudevents-batch+json"
"""The media type of events alone, one after the other, by CloudEvents 1.0."""


def routes_of(gateway: Gateway, reads: Reads, edge: Edge) -> Iterator[Route]:
    """Give every route of the gateway."""
    taking = Taking(gateway, edge, reads)
    for post in POSTS:
        yield Route("POST", post.path, _single(taking, post))
    for post in BATCHES:
        yield Route("POST", f"{post.path}/batch", _batch(taking, post))
    sheets, exports = Sheets(taking, edge), Exports(gateway.exporting)
    for sheet in SHEETS:
        yield Route("POST", sheet.path, _sheet(sheets, sheet))
    for view in VIEWS.values():
        yield Route("GET", f"/v1/{view.name}", _listing(gateway, exports, view))
        yield Route("GET", f"/v1/{view.name}/<id>", _document(gateway, reads, view))
    for name, column in (
        ("enterprises", events.c.enterprise_id),
        ("complaints", events.c.complaint_id),
    ):
        path = f"/v1/{name}/<id>/timeline"
        yield Route("GET", path, _timeline(gateway, reads, VIEWS[name], column))
    yield Route("GET", "/v1/enterprises/<id>/rosters", _rosters(gateway, reads, exports))
    yield Route("GET", "/asyncapi.json", _described(), always=True)
    yield Route("GET", "/v1/officers", lambda request: _officers(reads, request))
    yield Route("GET", "/v1/checklists", _checklist(gateway))
    yield Route("GET", "/v1/statistics", lambda _request: answer(reads.statistics()))
    yield Route("GET", "/v1/exports/<id>", exports.read)
    yield Route("GET", "/v1/exports/<id>/file", exports.file)
    yield Route("GET", "/v1/events", lambda request: _events(gateway, request))
    yield Route("GET", "/v1/events/stream", _stream(gateway))
    yield Route("GET", "/v1/commands/<id>", taking.read)
    yield Route("GET", "/v1/commands/<id>/rows", taking.read_rows)
    yield Route("POST", "/v1/clock", taking.set_clock)
    yield Route("POST", "/v1/token", Accounts(gateway.store, gateway.issuer).token, public=True)
    yield from pages.routes()


def _listing(gateway: Gateway, exports: Exports, view: View) -> Callable[..., Response]:
    def listing(request: Request) -> Response:
        return exports.listing(view, request, request.args, gateway.sight(request).of(view))

    return listing


def _described() -> Callable[..., Response]:
    """Give the description of the public events, which is the same as long as the process runs."""
    text = encode(asyncapi.document()) + "\n"

    def described(request: Request) -> Response:
        response = Response(text, mimetype="application/json")
        response.add_etag()
        return response.make_conditional(request)

    return described


def _rosters(gateway: Gateway, reads: Reads, exports: Exports) -> Callable[..., Response]:
    """List the rosters of an enterprise, a day each, in the order in which they were reported."""
    rosters, enterprises = VIEWS["rosters"], VIEWS["enterprises"]

    def listing(request: Request, identity: str) -> Response:
        sight = gateway.sight(request)
        if reads.document(enterprises, identity, sight.of(enterprises)) is None:
            raise NoSuchThing(f"There is nothing with the id {identity} among the enterprises.")
        given = MultiDict(request.args)
        given.setlist("enterprise_id", [identity])
        return exports.listing(rosters, request, given, sight.of(rosters))

    return listing


def _officers(reads: Reads, request: Request) -> Response:
    """List the liaison officers who have enterprises, by staff number, and how many."""
    once(request.args, [])
    counted = reads.counted(OFFICERS)
    items = [{"officer": name, "enterprises": count} for name, count in counted.items()]
    return answer({"items": items, "next": None})


def _document(gateway: Gateway, reads: Reads, view: View) -> Callable[..., Response]:
    def document(request: Request, identity: str) -> Response:
        text = reads.document(view, identity, gateway.sight(request).of(view))
        if text is None:
            raise NoSuchThing(f"There is nothing with the id {identity} among the {view.name}.")
        response = Response(text + "\n", mimetype="application/json")
        response.set_etag(tag_of(text))
        return response.make_conditional(request)

    return document


def _timeline(gateway: Gateway, reads: Reads, view: View, column: Any) -> Callable[..., Response]:
    def timeline(request: Request, identity: str) -> Response:
        limit, after = page_of(once(request.args, PAGES))
        sight = gateway.sight(request)
        seen = reads.document(view, identity, sight.of(view)) is not None
        page, following = reads.timeline(column == identity, limit, after, sight.of_events())
        if not seen or (not page["items"] and not after):
            raise NoSuchThing(f"There is nothing with the id {identity} among the {view.name}.")
        return next_page(answer(page), request, following)

    return timeline


def _stream(gateway: Gateway) -> Callable[..., Response]:
    def stream(request: Request) -> Response:
        return gateway.streams.answer(request, gateway.sight(request).of_events())

    return stream


def _events(gateway: Gateway, request: Request) -> Response:
    """List events after a position; where to go on is always told, at the end too."""
    wanted, limit, after = gateway.feed.asked(request.args, PAGES)
    page = gateway.feed.page(wanted, after, limit, gateway.sight(request).of_events())
    items, following = ",".join(map(cloud_event, page.rows)), str(page.following)
    kind = request.accept_mimetypes.best_match(["application/json", BATCH], "application/json")
    body = (
        f"[{items}]\n"
        if kind == BATCH
        else (f'{{"items":[{items}],"next":{encode(following)},"as_of":{encode(page.as_of)}}}\n')
    )
    response = Response(body, mimetype=kind)
    response.vary.add("Accept")
    return next_page(response, request, following)


def _checklist(gateway: Gateway) -> Callable[..., Response]:
    def asked(request: Request) -> Response:
        today = gateway.clock.today()
        return answer(checklist(gateway.rulebook, request.args, today))

    return asked


def _single(taking: Taking, post: Post) -> Callable[..., Response]:
    def single(request: Request, identity: str | None = None) -> Response:
        return taking.single(post, request, identity)

    return single


def _sheet(sheets: Sheets, sheet: Sheet) -> Callable[..., Response]:
    def take(request: Request, identity: str) -> Response:
        return sheets.take(sheet, request, identity)

    return take


def _batch(taking: Taking, post: Post) -> Callable[..., Response]:
    def batch(request: Request) -> Response:
        return taking.batch(post, request)

    return batch
