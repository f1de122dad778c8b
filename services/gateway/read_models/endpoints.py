"""Endpoints of the read models: documents, timelines, officers and checklists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from werkzeug.wrappers import Request, Response

from chassis.http.responses import answer
from rulebook import Rulebook
from services.gateway.access.scope import access_of
from services.gateway.http.etags import tag_of
from services.gateway.http.media_types import JSON
from services.gateway.http.request import PAGES, next_page, not_found, once, page_of
from services.gateway.read_models.checklists import checklist
from services.gateway.read_models.queries import Reads
from services.gateway.resources.filing import OFFICERS
from services.gateway.resources.operation import Timeline
from services.gateway.resources.view import View


def officers(reads: Reads, request: Request) -> Response:
    """List the liaison officers who have enterprises, by staff number, with the count."""
    once(request.args, [])
    counted = reads.counted(OFFICERS)
    items = [{"officer": name, "enterprises": count} for name, count in counted.items()]
    return answer({"items": items, "next": None})


def document(reads: Reads, view: View, request: Request, identity: str) -> Response:
    """Return a document; raises `NotFound`."""
    text = reads.require(view, identity, access_of(request).of(view))
    response = Response(text + "\n", mimetype=JSON)
    response.set_etag(tag_of(text))
    return response.make_conditional(request)


def timeline(reads: Reads, declared: Timeline, request: Request, identity: str) -> Response:
    """List the events of a thing, causes first; raises `NotFound`."""
    limit, after = page_of(once(request.args, PAGES))
    access, view = access_of(request), declared.view
    reads.require(view, identity, access.of(view))
    about = declared.column == identity
    page, following = reads.timeline(about, limit, after, access.of_events())
    if not page["items"] and not after:
        raise not_found(identity, f"the {view.name}")
    return next_page(answer(page), request, following)


def rules(book: Rulebook, today: Callable[[], date], request: Request) -> Response:
    """Return the checklist of a day or a version."""
    return answer(checklist(book, request.args, today()))


def statistics(reads: Reads, _request: Request) -> Response:
    """Return the district's statistics."""
    return answer(reads.statistics())
