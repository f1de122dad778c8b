"""Operations of the routes that no declaration makes, each described by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.gateway.access.accounts import Credentials
from services.gateway.commands.endpoints import ClockBody
from services.gateway.openapi.operations import (
    READS,
    TAKES_A_BODY,
    Described,
    asked_of,
    operation,
    parameters,
)
from services.gateway.openapi.parts import JSON, PAGED, listed, problems, said
from services.gateway.openapi.schemas import (
    IDENTIFIER,
    TEXT,
    Json,
    of_schema,
    opened,
    or_null,
    ref,
)
from services.gateway.privacy.disclosure import OpeningBody
from services.gateway.resources import OPENINGS, VIEWS
from services.gateway.resources.post import Opening

BODIES: Json = {
    "ClockBody": of_schema(ClockBody()),
    "Credentials": of_schema(Credentials()),
    "OpeningBody": of_schema(OpeningBody()),
}
_SHOWN = {"caller": "王小明", "phone": "13800000000", "claimant": "林小英", "name": "林醫生",
          "identity": "35050319800101001X"}  # fmt: skip
_DAY = {"type": "string", "format": "date"}


def described() -> Iterator[Described]:
    """Describe every other route."""
    yield from _timelines()
    yield _rosters()
    yield from _read_whole()
    yield from _commands()
    yield from map(_opening, OPENINGS)
    yield _clock()
    yield _token()
    yield from _itself()
    yield from _process()


def _timelines() -> Iterator[Described]:
    for name, one in (("enterprises", "Enterprise"), ("complaints", "Complaint")):
        path = f"/v1/{name}/<id>/timeline"
        yield operation(
            "GET",
            path,
            f"get{one}Timeline",
            f"Read what happened to one of the {name}, each entry with its cause.",
            {"200": said("A page of events.", listed("TimelineEntry"), "Link")}
            | problems(*READS, 404),
            **parameters(path, *PAGED),
        )


def _rosters() -> Described:
    path = "/v1/enterprises/<id>/rosters"
    return operation(
        "GET",
        path,
        "listEnterpriseRosters",
        "List the rosters of an enterprise, a day each, as they were reported.",
        {"200": said("A page of the list.", listed("Roster"), "Link")} | problems(*READS, 404),
        **parameters(path, *PAGED, also=asked_of(VIEWS["rosters"], ["enterprise_id"])),
    )


def _read_whole() -> Iterator[Described]:
    yield operation(
        "GET",
        "/v1/officers",
        "listOfficers",
        "List the liaison officers who have enterprises, and how many.",
        {"200": said("All of them.", ref("Officers"))} | problems(*READS),
    )
    asked = [
        {"name": "premises", "in": "query", "required": True, "schema": TEXT, "example": "shop"},
        {"name": "on", "in": "query", "description": "Today unless given.", "schema": _DAY},
        {"name": "version", "in": "query", "description": "Instead of a day.", "schema": TEXT},
    ]
    yield operation(
        "GET",
        "/v1/checklists",
        "getChecklist",
        "Read the checklist for a kind of premises. As it stands on a day, or under a version.",
        {"200": said("The checklist.", ref("Checklist"))} | problems(*READS, 404, 409),
        **parameters("", also=asked),
    )
    yield operation(
        "GET",
        "/v1/statistics",
        "getStatistics",
        "Read the figures of the district.",
        {"200": said("The figures.", ref("Statistics"))} | problems(401, 403, 503),
    )


def _commands() -> Iterator[Described]:
    path = "/v1/commands/<id>"
    yield operation(
        "GET",
        path,
        "getCommand",
        "Read what became of a command, to whoever has sent it.",
        {"200": said("The record.", ref("CommandRecord"))} | problems(401, 403, 404, 503),
        **parameters(path),
    )
    yield operation(
        "GET",
        f"{path}/rows",
        "listCommandRows",
        "List what became of each row of a batch.",
        {"200": said("A page of rows.", ref("CommandRows"), "Link")} | problems(*READS, 404),
        **parameters(path, *PAGED),
    )


def _opening(opening: Opening) -> Described:
    of = opening.view.id_field
    one, shown = of.removesuffix("_id"), opening.shown
    schema = opened(
        {of: IDENTIFIER, **dict.fromkeys(shown, or_null(TEXT)), "opening_id": IDENTIFIER},
        [of, *shown, "opening_id"],
    )
    example = {of: f"{one}-1", **{name: _SHOWN[name] for name in shown}, "opening_id": "opening-1"}
    body = {"schema": ref("OpeningBody"), "example": {"reason": "回電核實"}}
    return operation(
        "POST",
        opening.path,
        f"open{one.capitalize()}",
        f"Open what is personal of a {one}: {', '.join(shown)}. "
        "Who did so, in which role and why, stands in the audit before the answer is given. Put "
        "nothing personal into the reason.",
        {"201": said("In clear; not to be kept.", schema, example=example)}
        | problems(*TAKES_A_BODY, 404, 410),
        requestBody={"required": True, "content": {JSON: body}},
        **parameters(opening.path, "idempotency-key"),
    )


def _clock() -> Described:
    body = {"schema": ref("ClockBody"), "example": {"at": "2020-02-10T01:00:00+08:00"}}
    return operation(
        "POST",
        "/v1/clock",
        "setClock",
        "Move the manual clock forward, by whole hours. Answers when all that was due is done.",
        {
            "200": said("The hour is over everywhere.", ref("Clock")),
            "202": said("Some services are still at it.", ref("Clock")),
        }
        | problems(*TAKES_A_BODY),
        requestBody={"required": True, "content": {JSON: body}},
        **parameters("", "idempotency-key", "prefer"),
    )


def _token() -> Described:
    example = {"account": "desk-3", "password": "correct horse battery"}
    body = {"schema": ref("Credentials"), "example": example}
    return _public(
        "/v1/token",
        "getToken",
        "Get a token for the password of an account of the district's own.",
        {"200": said("The token.", ref("Token"))}
        | problems(400, 401, 404, 413, 415, 422, 429, 503),
        method="POST",
        requestBody={"required": True, "content": {JSON: body}},
    )


def _itself() -> Iterator[Described]:
    whole = opened({"openapi": TEXT, "paths": {"type": "object"}}, ["openapi", "paths"])
    same = {"304": {"description": "Nothing has changed."}}
    yield _public(
        "/openapi.json",
        "getOpenapi",
        "Read this document.",
        {"200": said("OpenAPI 3.1.", whole, "ETag")} | same,
        **parameters("", "if-none-match"),
    )
    yield _public(
        "/asyncapi.json",
        "getAsyncapi",
        "Read the description of the events that are published on the bus.",
        {"200": said("AsyncAPI 3.0.", {"type": "object"}, "ETag")} | same,
        **parameters("", "if-none-match"),
    )
    html = said("A page for the browser.", TEXT, "ETag", kind="text/html")
    yield _public(
        "/docs",
        "getDocs",
        "Read and try the API in a browser.",
        {"200": html} | same,
        **parameters("", "if-none-match"),
    )
    name = {"name": "file", "in": "path", "required": True, "schema": TEXT}
    file = {"description": "The file.", "content": {"*/*": {}}}
    yield _public(
        "/docs/<file>",
        "getDocsFile",
        "Read a file that the page needs.",
        {"200": file} | same | problems(404),
        **parameters("", "if-none-match", also=[name | {"example": "start.js"}]),
    )


def _process() -> Iterator[Described]:
    alive = opened({"alive": {"const": True}}, ["alive"])
    yield _public("/livez", "isAlive", "Ask whether the process answers.",
                  {"200": said("It does.", alive)})  # fmt: skip
    ready = {
        "200": said("All of its parts are ready.", ref("Ready")),
        "503": said("Those that say false are not.", ref("Ready")),
    }
    yield _public("/readyz", "isReady", "Ask whether the process can work.", ready)
    figures = said("In the text format of Prometheus.", TEXT, kind="text/plain")
    yield _public("/metrics", "getMetrics", "Read the metrics of the process.", {"200": figures})


def _public(
    path: str, name: str, doc: str, answers: Json, method: str = "GET", **more: Any
) -> Described:
    """Describe an operation that needs no token."""
    made = operation(method, path, name, doc, answers, **more).operation
    del made["x-roles"]
    tag = "tokens" if path.startswith("/v1/") else "process"
    return Described(method, path, made | {"security": [], "tags": [tag]})
