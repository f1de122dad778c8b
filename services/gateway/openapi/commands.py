"""Operations of the command endpoints, from their declarations."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.gateway.commands.rosters import COLUMNS
from services.gateway.commands.rows import LARGEST_BATCH, LONGEST_ROW
from services.gateway.http.media_types import CSV, NDJSON
from services.gateway.openapi.operations import (
    Described,
    body_of,
    operation,
    parameters,
    sentence,
    singular,
)
from services.gateway.openapi.parts import UPON_POST, problems, said
from services.gateway.openapi.schemas import IDENTIFIER, TEXT, Json, of_field, opened, or_null, ref
from services.gateway.resources import BATCHES, DISCLOSURES, POSTS, SHEETS
from services.gateway.resources.operation import TAKES_A_BODY
from services.gateway.resources.post import Disclosure, Post, Sheet


def described() -> Iterator[Described]:
    """Describe every command endpoint."""
    yield from map(_post, POSTS)
    yield from map(_batch, BATCHES)
    yield from map(_sheet, SHEETS)
    yield from map(_disclosure, DISCLOSURES)


def _post(post: Post) -> Described:
    name = post.command.__name__
    found = (404,) if post.of or post.refers or post.adopts else ()
    answers: Json = {}
    if post.creates:
        answers["201"] = said("Done; the thing is new.", _result(post), "Location")
    if not post.creates or post.adopts or post.derives:
        there = ["Location"] if post.creates else []
        answers["200"] = said("Done.", _result(post), *there)
    seen, changed = (("if-match",), (412,)) if post.of else ((), ())
    return operation(
        "POST",
        post.path,
        _camel(name),
        sentence(post.command),
        post.roles,
        answers | _accepted() | problems(*TAKES_A_BODY, *found, *changed),
        requestBody=body_of(name, post.example),
        **parameters(post.path, *UPON_POST, *seen),
    )


def _result(post: Post) -> Json:
    view = post.creates or post.of
    name = view.id_field if view else ""
    return opened({name: IDENTIFIER}, [name])


def _accepted() -> Json:
    what = "Accepted, not yet done; `Location` is the address of the record."
    return {"202": said(what, ref("Accepted"), "Location")}


def _batch(post: Post) -> Described:
    name = post.command.__name__
    doc = (
        f"{sentence(post.command).partition('. ')[0].rstrip('.')}, in a batch. "
        f"1 to {LARGEST_BATCH:,} rows of at most {LONGEST_ROW // 1024} KiB; an invalid row gets "
        "an error, and the others are handled."
    )
    done = said("Every row is done or refused.", ref("BatchAnswer"))
    return operation(
        "POST",
        post.batch_path,
        f"{_camel(name)}Batch",
        doc,
        post.roles,
        {"200": done} | _accepted() | problems(*TAKES_A_BODY),
        requestBody=_rows([post.example]),
        **parameters(post.batch_path, *UPON_POST),
    )


def _sheet(sheet: Sheet) -> Described:
    name = sheet.command.__name__
    field = sheet.command.schema().fields["day"]
    day = {
        "name": "day",
        "in": "query",
        "required": field.required,
        "description": "The day of the sheet.",
        "schema": of_field(field),
        "example": "2020-02-10",
    }
    doc = f"{sentence(sheet.command)} The columns are {', '.join(COLUMNS)}."
    of = sheet.of.id_field
    done = said("Done; `rows` has the outcome of each.", opened({of: IDENTIFIER}, [of]))
    return operation(
        "POST",
        sheet.path,
        _camel(name),
        doc,
        sheet.roles,
        {"200": done} | _accepted() | problems(*TAKES_A_BODY, 404),
        requestBody=_rows(sheet.example),
        **parameters(sheet.path, *UPON_POST, also=[day]),
    )


def _rows(rows: Iterable[Mapping[str, Any]]) -> Json:
    content = {
        kind: {"schema": TEXT, "example": write(rows)}
        for kind, write in ((NDJSON, as_ndjson), (CSV, as_csv))
    }
    return {"required": True, "content": content}


def as_ndjson(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as NDJSON."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header, without list fields."""
    flat = [{k: v for k, v in row.items() if not isinstance(v, list)} for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]


def _disclosure(disclosure: Disclosure) -> Described:
    of = disclosure.view.id_field
    one, shown = singular(disclosure.view), disclosure.shown
    schema = opened(
        {of: IDENTIFIER, **dict.fromkeys(shown, or_null(TEXT)), "opening_id": IDENTIFIER},
        [of, *shown, "opening_id"],
    )
    example = {of: f"{one}-1", **disclosure.example, "opening_id": "opening-1"}
    return operation(
        "POST",
        disclosure.path,
        f"open{one.capitalize()}",
        f"Disclose the personal data of a {one}: {', '.join(shown)}. "
        "Caller, role and reason are recorded in the audit before the response. Put "
        "no personal data into the reason.",
        disclosure.roles,
        {"201": said("In clear text; do not store it.", schema, example=example)}
        | problems(*TAKES_A_BODY, 404, 410),
        requestBody=body_of("DisclosureBody", {"reason": "回電核實"}),
        **parameters(disclosure.path, "idempotency-key"),
    )
