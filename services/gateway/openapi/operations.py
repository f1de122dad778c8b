"""Operations from the declarations: of each POST, batch, sheet and view."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from services.gateway.access.permissions import allowed
from services.gateway.commands.rosters import COLUMNS
from services.gateway.commands.rows import LARGEST_BATCH, LONGEST_ROW
from services.gateway.exports.formats import FORMATS
from services.gateway.openapi.examples import BODIES, BY_COMMAND, SHEET, as_csv, as_ndjson
from services.gateway.openapi.parts import JSON, PAGED, UPON_POST, listed, problems, said
from services.gateway.openapi.schemas import IDENTIFIER, Json, of_field, opened, ref
from services.gateway.read_models.list_query import LONGEST_QUESTION
from services.gateway.resources import BATCHES, POSTS, SHEETS, VIEWS
from services.gateway.resources.columns import Kind
from services.gateway.resources.post import Post, Sheet
from services.gateway.resources.search import SHORTEST
from services.gateway.resources.view import View

CSV, NDJSON = "text/csv", "application/x-ndjson"
TAKES_A_BODY = (400, 401, 403, 409, 413, 415, 422, 429, 503)
READS = (400, 401, 403, 429, 503)
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NUMBER = "-?[0-9]{1,15}"


class Described(NamedTuple):
    """A route with its operation."""

    method: str
    path: str
    operation: Json


def operation(method: str, path: str, name: str, doc: str, answers: Json, **more: Any) -> Described:
    """Describe an operation, which takes a token with one of the roles that may use its route."""
    summary, _, _rest = doc.partition(". ")
    made = {
        "operationId": name,
        "summary": summary.rstrip("."),
        "description": doc,
        "tags": path.split("/")[2:3],
    }
    roles = {"security": [{"bearer": []}], "x-roles": sorted(allowed(method, path))}
    return Described(method, path, made | roles | more | {"responses": answers})


def parameters(path: str, *names: str, also: Iterable[Json] = ()) -> Json:
    """Name the parameters of an operation: of its path, of its own, and of all the like."""
    found = ["id"] if "<id>" in path else []
    shared = [ref(name, "parameters") for name in [*found, *names]]
    return {"parameters": [*shared[: len(found)], *also, *shared[len(found) :]]}


def described() -> Iterator[Described]:
    """Describe every route that a declaration makes."""
    yield from map(_post, POSTS)
    yield from map(_batch, BATCHES)
    yield from map(_sheet, SHEETS)
    for view in VIEWS.values():
        yield _listing(view)
        yield _document(view)


def sentence(thing: object) -> str:
    """Give what a docstring says, in one line."""
    return " ".join((inspect.getdoc(thing) or "").split())


def singular(view: View) -> str:
    """Name one document of a view: an enterprise, a policy."""
    stem = view.id_field.removesuffix("_id")
    return stem if view.name.startswith(stem[:4]) else view.name


def title(view: View) -> str:
    """Name the schema of a view's documents."""
    return singular(view).capitalize()


# -- what is asked for


def _post(post: Post) -> Described:
    name = post.command.__name__
    found = (404,) if post.of or post.refers or post.adopts else ()
    answers: Json = {}
    if post.creates:
        answers["201"] = said("Done, and it is new.", _result(post), "Location")
    if not post.creates or post.adopts or post.derives:
        there = ["Location"] if post.creates else []
        answers["200"] = said("Done.", _result(post), *there)
    body = {
        "required": True,
        "content": {JSON: {"schema": ref(name), "example": BODIES[post.path]}},
    }
    seen, changed = (("if-match",), (412,)) if post.of else ((), ())
    return operation(
        "POST",
        post.path,
        _camel(name),
        sentence(post.command),
        answers | _accepted() | problems(*TAKES_A_BODY, *found, *changed),
        requestBody=body,
        **parameters(post.path, *UPON_POST, *seen),
    )


def _result(post: Post) -> Json:
    name, _ = post.creates or post.of or ("", None)
    return opened({name: IDENTIFIER}, [name])


def _accepted() -> Json:
    what = "Taken in, and not yet done: `Location` tells what becomes of it."
    return {"202": said(what, ref("Accepted"), "Location")}


def _batch(post: Post) -> Described:
    name, path = post.command.__name__, f"{post.path}/batch"
    rows = [BY_COMMAND[name]]
    doc = (
        f"{sentence(post.command).partition('. ')[0].rstrip('.')}, many at once. "
        f"1 to {LARGEST_BATCH:,} rows of {LONGEST_ROW // 1024} KiB at the most; a bad row is "
        "told why, and the others go on."
    )
    text = {NDJSON: as_ndjson(rows), CSV: as_csv(rows)}
    done = said("Every row is done or refused.", ref("BatchAnswer"))
    return operation(
        "POST",
        path,
        f"{_camel(name)}Batch",
        doc,
        {"200": done} | _accepted() | problems(*TAKES_A_BODY),
        requestBody=_rows(text),
        **parameters(path, *UPON_POST),
    )


def _sheet(sheet: Sheet) -> Described:
    name = sheet.command.__name__
    field = sheet.command.schema().fields["day"]
    day = {
        "name": "day",
        "in": "query",
        "required": field.required,
        "description": "The day that the sheet is of.",
        "schema": of_field(field),
        "example": "2020-02-10",
    }
    doc = f"{sentence(sheet.command)} The columns are {', '.join(COLUMNS)}."
    of = sheet.of.id_field
    done = said("Done; `rows` says what became of each.", opened({of: IDENTIFIER}, [of]))
    return operation(
        "POST",
        sheet.path,
        _camel(name),
        doc,
        {"200": done} | _accepted() | problems(*TAKES_A_BODY, 404),
        requestBody=_rows({NDJSON: as_ndjson(SHEET), CSV: as_csv(SHEET)}),
        **parameters(sheet.path, *UPON_POST, also=[day]),
    )


def _rows(text: Mapping[str, str]) -> Json:
    content = {
        kind: {"schema": {"type": "string"}, "example": example} for kind, example in text.items()
    }
    return {"required": True, "content": content}


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]


# -- what is read


def _listing(view: View) -> Described:
    path = f"/v1/{view.name}"
    page = said("A page of the list; or all of it, as a file.", listed(title(view)), "Link")
    page["content"] |= {each.mimetype: {} for each in FORMATS.values()}
    long = said("The file is long, and is being written.", ref("Export"), "Location")
    return operation(
        "GET",
        path,
        f"list{view.name.capitalize()}",
        f"List {view.name}. Filters, ranges, an order, words and pages: see docs/reading.md.",
        {"200": page, "202": long} | problems(*READS, 406),
        **parameters(path, *PAGED, "format", also=asked_of(view)),
    )


def _document(view: View) -> Described:
    path = f"/v1/{view.name}/<id>"
    answers = {
        "200": said("The document.", ref(title(view)), "ETag"),
        "304": {"description": "Nothing has changed."},
    }
    return operation(
        "GET",
        path,
        f"get{title(view)}",
        f"Read one of the {view.name}.",
        answers | problems(401, 403, 404, 503),
        **parameters(path, "if-none-match"),
    )


def asked_of(view: View, without: Iterable[str] = ()) -> list[Json]:
    """Describe what a view may be asked for, beside its pages."""
    made = [
        {"name": name, "in": "query"} | _filter(kind)
        for name, kind in view.columns.items()
        if name not in {*without}
    ]
    if view.words:
        words: Json = {"type": "string", "minLength": SHORTEST, "maxLength": LONGEST_QUESTION}
        what = "Words, each of which stands in a name, a code or a text of the document."
        made.append({"name": "q", "in": "query", "description": what, "schema": words})
    if view.sorts:
        order = [sign + name for name in view.sorts for sign in ("", "-")]
        what = "The order; as they arrived unless given. With `-` in front the reverse."
        sort = {"type": "string", "enum": order}
        made.append({"name": "sort", "in": "query", "description": what, "schema": sort})
    return made


def _filter(kind: Kind) -> Json:
    if not kind.ranges:
        what = "Exactly this value" + ("; several with commas between." if kind.several else ".")
        return {"description": what, "schema": {"type": "string", "pattern": "^[^\\u0000]*$"}}
    one = _DAY if "day" in kind.example else _NUMBER
    pattern = rf"^({one}(,{one})*|{one}\.\.({one})?|\.\.{one})$"
    what = f"It is {kind.example}, several with commas between, or a range (`a..b`, `a..`, `..b`)."
    return {"description": what, "schema": {"type": "string", "pattern": pattern}}


def plain_path(path: str) -> str:
    """Write a path as OpenAPI does."""
    return re.sub(r"<(\w+)>", r"{\1}", path)
