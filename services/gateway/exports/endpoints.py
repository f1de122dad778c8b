"""Export endpoints: a list as a file in the response or, if it is long, a link to an export job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from chassis.errors import Conflict, Rejected
from chassis.http.responses import answer, in_pieces
from contracts.shapes import moment_of
from services.gateway.access.callers import caller_of
from services.gateway.access.scope import access_of
from services.gateway.exports.formats import FORMATS, Export, Format
from services.gateway.exports.jobs import PAGE, Exporting
from services.gateway.http.media_types import JSON
from services.gateway.http.request import PAGES, BadRequest, next_page, not_found, once
from services.gateway.read_models.list_query import FORMAT, parse_query
from services.gateway.resources import VIEWS
from services.gateway.resources.operation import Sublist
from services.gateway.resources.view import View
from services.gateway.tables import DONE, FAILED

MOST_AT_ONCE = 10_000
"""Rows of the largest file sent in the response; a longer list becomes an export job."""
Scope = Sequence[ColumnElement[bool]]


class NoSuchFormat(Rejected):
    """Lists are available as JSON, CSV and XLSX."""

    status = 406


class NotYetWritten(Conflict):
    """The export is not written yet, or has failed; read its status."""


def wanted_format(request: Request) -> Format | None:
    """Return the format that a request names or accepts.

    None stands for JSON; raises `BadRequest` and `NoSuchFormat`.
    """
    named = request.args.getlist(FORMAT)
    if named:
        names = ["json", *FORMATS]
        if len(named) > 1 or named[0] not in names:
            raise BadRequest(f"format must be one of {', '.join(names)}, given once.")
        return FORMATS.get(named[0])
    accepted = request.accept_mimetypes
    if not accepted:
        return None
    types = {JSON: None} | {each.mimetype: each for each in FORMATS.values()}
    best = accepted.best_match(types)
    if best is None:
        raise NoSuchFormat(f"The list is available as {', '.join(types)}.")
    return types[best]


class Exports:
    """Answers lists, as pages or files, and export jobs."""

    def __init__(self, exporting: Exporting) -> None:
        self.exporting = exporting
        self.reads = exporting.reads

    def of_view(self, view: View, request: Request) -> Response:
        """List the documents of a read model that the caller sees."""
        return self.listing(view, request, request.args, access_of(request).of(view))

    def of_thing(self, sublist: Sublist, request: Request, identity: str) -> Response:
        """List the entries of a thing in order of arrival; raises `NotFound`."""
        access = access_of(request)
        self.reads.require(sublist.of, identity, access.of(sublist.of))
        parameters = MultiDict(request.args)
        parameters.setlist(sublist.of.id_field, [identity])
        return self.listing(sublist.view, request, parameters, access.of(sublist.view))

    def listing(
        self, view: View, request: Request, parameters: MultiDict[str, str], scope: Scope
    ) -> Response:
        """Return a page of a list as JSON, or the whole list as a file or a link to one."""
        wanted = wanted_format(request)
        if wanted is None:
            body, following = self.reads.listing(view, parse_query(view, parameters, scope))
            response = next_page(Response(body, mimetype=JSON), request, following)
        else:
            response = self._export(view, request, wanted, parameters, scope)
        response.vary.add("Accept")
        return response

    def _export(
        self,
        view: View,
        request: Request,
        wanted: Format,
        parameters: MultiDict[str, str],
        scope: Scope,
    ) -> Response:
        listing = replace(parse_query(view, parameters, scope), limit=PAGE)
        query = {name: value for name, value in parameters.items() if name != FORMAT}
        if query.keys() & {*PAGES}:
            raise BadRequest(f"An export is the whole list: {' and '.join(PAGES)} are not allowed.")
        if self.reads.is_longer(view, listing, MOST_AT_ONCE):
            caller = caller_of(request)
            identity = self.exporting.ask(caller, view, query, wanted)
            return self._told(self.exporting.find(identity, caller.known_as), 202)
        export = Export(view, self.reads.as_of())
        return _file(export, wanted, wanted.write(export, self.reads.pages(view, listing)))

    def read(self, request: Request, identity: str) -> Response:
        """Return the status of an export; raises `NotFound` unless the caller requested it."""
        once(request.args, [])
        return self._told(self._mine(request, identity), 200)

    def file(self, request: Request, identity: str) -> Response:
        """Return the file of an export; raises `NotFound` and `NotYetWritten`."""
        once(request.args, [])
        row = self._mine(request, identity)
        if row.state != DONE:
            raise NotYetWritten
        view = VIEWS[row.list]
        caller_of(request).principal(view.readers)
        export = Export(view, json.loads(row.as_of))
        response = _file(export, FORMATS[row.format], self.exporting.content(row))
        response.content_length = row.size
        return response

    def _mine(self, request: Request, identity: str) -> Any:
        row = self.exporting.find(identity, caller_of(request).known_as)
        if row is None:
            raise not_found(identity, "your exports")
        return row

    @staticmethod
    def _told(row: Any, status: int) -> Response:
        """Return the status of an export: rows written, and a link to the file when it is done."""
        path = f"/v1/exports/{row.id}"
        body = {
            "export_id": row.id,
            "state": row.state,
            "list": row.list,
            "format": row.format,
            "rows": row.rows,
            "asked_at": moment_of(row.asked_at),
        }
        if row.state == DONE:
            body |= {
                "as_of": json.loads(row.as_of),
                "size": row.size,
                "file": f"{path}/file",
            }
        elif row.state == FAILED:
            body["problem"] = json.loads(row.problem)
        response = answer(body, status)
        if status == 202:
            response.headers["Location"] = path
        if row.state not in {DONE, FAILED}:
            response.headers["Retry-After"] = "1"
        return response


def _file(export: Export, wanted: Format, pieces: Iterator[bytes]) -> Response:
    """Return a file with its as-of date in its name and in a header."""
    response = in_pieces(pieces, wanted.mimetype)
    name = f"{export.stem}.{wanted.name}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    position, time = export.as_of["position"], export.as_of["time"]
    response.headers["As-Of"] = f"position={position}" + (f', time="{time}"' if time else "")
    return response
