"""Endpoints of the read models: documents, timelines, officers and checklists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from werkzeug.wrappers import Request, Response

from chassis.http.responses import answer
from rulebook import Rulebook
from services.gateway.access.scope import sight_of
from services.gateway.http.etags import tag_of
from services.gateway.http.request import PAGES, NoSuchThing, next_page, once, page_of
from services.gateway.read_models.checklists import checklist
from services.gateway.read_models.queries import Reads
from services.gateway.resources.filing import OFFICERS
from services.gateway.resources.view import View


def officers(reads: Reads, request: Request) -> Response:
    """List the liaison officers who have enterprises, by staff number, and how many."""
    once(request.args, [])
    counted = reads.counted(OFFICERS)
    items = [{"officer": name, "enterprises": count} for name, count in counted.items()]
    return answer({"items": items, "next": None})


def document(reads: Reads, view: View, request: Request, identity: str) -> Response:
    """Return a document; raises `NoSuchThing`."""
    text = reads.document(view, identity, sight_of(request).of(view))
    if text is None:
        raise NoSuchThing(f"There is nothing with the id {identity} among the {view.name}.")
    response = Response(text + "\n", mimetype="application/json")
    response.set_etag(tag_of(text))
    return response.make_conditional(request)


def timeline(reads: Reads, view: View, column: Any, request: Request, identity: str) -> Response:
    """List the events that concern a thing, causes first; raises `NoSuchThing`."""
    limit, after = page_of(once(request.args, PAGES))
    sight = sight_of(request)
    seen = reads.document(view, identity, sight.of(view)) is not None
    page, following = reads.timeline(column == identity, limit, after, sight.of_events())
    if not seen or (not page["items"] and not after):
        raise NoSuchThing(f"There is nothing with the id {identity} among the {view.name}.")
    return next_page(answer(page), request, following)


def rules(book: Rulebook, today: Callable[[], date], request: Request) -> Response:
    """Return the checklist of a day."""
    return answer(checklist(book, request.args, today()))


def statistics(reads: Reads, _request: Request) -> Response:
    """Return the figures of the district."""
    return answer(reads.statistics())
