"""Operations of the read models, from their declarations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.gateway.exports.formats import FORMATS
from services.gateway.openapi.answers import listed
from services.gateway.openapi.operations import Described, operation, parameters, title
from services.gateway.openapi.parts import PAGED, problems, said
from services.gateway.openapi.schemas import Json, ref
from services.gateway.read_models.list_query import LONGEST_QUESTION
from services.gateway.resources import SUBLISTS, TIMELINES, VIEWS
from services.gateway.resources.columns import Kind
from services.gateway.resources.operation import READS, Sublist, Timeline
from services.gateway.resources.search import SHORTEST
from services.gateway.resources.view import View

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NUMBER = "-?[0-9]{1,15}"


def described() -> Iterator[Described]:
    """Describe every endpoint of the read models."""
    for view in VIEWS.values():
        yield _listing(view)
        yield _document(view)
    yield from map(_timeline, TIMELINES)
    yield from map(_sublist, SUBLISTS)


def _listing(view: View) -> Described:
    page = said("A page of the list, or the whole list as a file.", listed(title(view)), "Link")
    page["content"] |= {each.mimetype: {} for each in FORMATS.values()}
    long = said("The file is long and is being written.", ref("Export"), "Location")
    return operation(
        "GET",
        view.path,
        f"list{view.name.capitalize()}",
        f"List {view.name}. For filters, ranges, order, search and pages see docs/reading.md.",
        view.readers,
        {"200": page, "202": long} | problems(*READS, 406),
        **parameters(view.path, *PAGED, "format", also=query_parameters(view)),
    )


def _document(view: View) -> Described:
    answers = {
        "200": said("The document.", ref(title(view)), "ETag"),
        "304": {"description": "Nothing has changed."},
    }
    return operation(
        "GET",
        view.document_path,
        f"get{title(view)}",
        f"Read one of the {view.name}.",
        view.readers,
        answers | problems(401, 403, 404, 503),
        **parameters(view.document_path, "if-none-match"),
    )


def _timeline(timeline: Timeline) -> Described:
    view = timeline.view
    return operation(
        "GET",
        timeline.path,
        f"get{title(view)}Timeline",
        f"Read the timeline of one of the {view.name}, each entry with its cause.",
        timeline.roles,
        {"200": said("A page of events.", listed("TimelineEntry"), "Link")} | problems(*READS, 404),
        **parameters(timeline.path, *PAGED),
    )


def _sublist(sublist: Sublist) -> Described:
    of, view = sublist.of, sublist.view
    return operation(
        "GET",
        sublist.path,
        f"list{title(of)}{view.name.capitalize()}",
        sublist.doc,
        sublist.roles,
        {"200": said("A page of the list.", listed(title(view)), "Link")} | problems(*READS, 404),
        **parameters(sublist.path, *PAGED, also=query_parameters(view, [of.id_field])),
    )


def query_parameters(view: View, without: Iterable[str] = ()) -> list[Json]:
    """Describe the query parameters of a view, except those of paging."""
    made: list[Json] = [
        {"name": name, "in": "query"} | _filter(kind)
        for name, kind in view.columns.items()
        if name not in {*without}
    ]
    if view.words:
        words: Json = {"type": "string", "minLength": SHORTEST, "maxLength": LONGEST_QUESTION}
        what = "Search terms, each part of a name, a code or a text of the document."
        made.append({"name": "q", "in": "query", "description": what, "schema": words})
    if view.sorts:
        order = [sign + name for name in view.sorts for sign in ("", "-")]
        what = "The sort order; by default that of arrival. `-` in front reverses it."
        sort = {"type": "string", "enum": order}
        made.append({"name": "sort", "in": "query", "description": what, "schema": sort})
    return made


def _filter(kind: Kind) -> Json:
    if not kind.ranges:
        what = "Exactly this value" + ("; several separated by commas." if kind.several else ".")
        return {"description": what, "schema": {"type": "string", "pattern": "^[^\\u0000]*$"}}
    one = _DAY if "day" in kind.example else _NUMBER
    pattern = rf"^({one}(,{one})*|{one}\.\.({one})?|\.\.{one})$"
    what = f"It is {kind.example}, several separated by commas, or a range (`a..b`, `a..`, `..b`)."
    return {"description": what, "schema": {"type": "string", "pattern": pattern}}
