"""Endpoints of the event log: a page of events, and a stream of them."""

from __future__ import annotations

from werkzeug.wrappers import Request, Response

from chassis.message import encode
from services.gateway.access.scope import access_of
from services.gateway.event_log.feed import Feed, cloud_event
from services.gateway.event_log.stream import Streams
from services.gateway.http.media_types import CLOUD_EVENTS, JSON
from services.gateway.http.request import PAGES, next_page


def stream(streams: Streams, request: Request) -> Response:
    """Stream events as they are recorded."""
    return streams.answer(request, access_of(request).of_events())


def list_events(feed: Feed, request: Request) -> Response:
    """List events after a position; the response always has the next position, even at the end."""
    wanted, limit, after = feed.parse(request.args, PAGES)
    page = feed.page(wanted, after, limit, access_of(request).of_events())
    items, following = ",".join(map(cloud_event, page.rows)), str(page.following)
    kind = request.accept_mimetypes.best_match([JSON, CLOUD_EVENTS], JSON)
    body = (
        f"[{items}]\n"
        if kind == CLOUD_EVENTS
        else (f'{{"items":[{items}],"next":{encode(following)},"as_of":{encode(page.as_of)}}}\n')
    )
    response = Response(body, mimetype=kind)
    response.vary.add("Accept")
    return next_page(response, request, following)
