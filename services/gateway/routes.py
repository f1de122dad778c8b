"""The routes of design section 7."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError
from marshmallow.fields import AwareDateTime
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound, Rejected
from chassis.ids import new_id
from chassis.message import encode
from chassis.web import Route, Unreadable, UnsupportedType, answer, json_body, rejected
from contracts import complaints, filing, inspection, insurance
from contracts.shapes import moment_to_json
from services.gateway import projections as views
from services.gateway.door import DONE, PENDING, REJECTED, Answered, Entry, moment_of
from services.gateway.edge import BadRequest, Edge, Post, csv_rows, idempotency_key, ndjson_rows, pointers
from services.gateway.model import events
from services.gateway.reads import Reads, page_of
from services.gateway.views import View

if TYPE_CHECKING:
    from services.gateway.service import Gateway

LARGEST_BATCH = 5000

_ENTERPRISE = {"enterprise_id": "enterprise_id"}
_MEDIC = {"medic_id": "medic_id"}

POSTS = (
    Post(
        "/v1/enterprises",
        filing.RegisterEnterprise,
        creates=("enterprise_id", views.enterprises),
    ),
    Post(
        "/v1/enterprises/<id>/roster",
        filing.ReportRoster,
        of=("enterprise_id", views.enterprises),
    ),
    Post(
        "/v1/enterprises/<id>/liaison",
        filing.AssignLiaison,
        of=("enterprise_id", views.enterprises),
    ),
    Post(
        "/v1/filings",
        filing.SubmitFiling,
        creates=("filing_id", views.filings),
        refers={"enterprise_id": views.enterprises},
    ),
    Post(
        "/v1/filings/<id>/decision",
        filing.DecideFiling,
        of=("filing_id", views.filings),
        copies=_ENTERPRISE,
    ),
    Post(
        "/v1/filings/<id>/withdrawal",
        filing.WithdrawFiling,
        of=("filing_id", views.filings),
        copies=_ENTERPRISE,
    ),
    Post("/v1/patrols", inspection.DispatchPatrol, creates=("patrol_id", views.patrols)),
    Post(
        "/v1/visits/plans",
        inspection.PlanVisit,
        creates=("visit_id", views.visits),
        refers={"enterprise_id": views.enterprises},
    ),
    Post(
        "/v1/visits",
        inspection.RecordVisit,
        creates=("visit_id", views.visits),
        adopts=True,
        refers={"enterprise_id": views.enterprises, "patrol_id": views.patrols},
        copies=_ENTERPRISE,
    ),
    Post(
        "/v1/visits/<id>/signature",
        inspection.SignVisit,
        of=("visit_id", views.visits),
        copies=_ENTERPRISE,
    ),
    Post(
        "/v1/notices/<id>/reinspection",
        inspection.Reinspect,
        of=("notice_id", views.notices),
        creates=("visit_id", views.visits),
        copies=_ENTERPRISE,
    ),
    Post(
        "/v1/notices/<id>/extension",
        inspection.ExtendNotice,
        of=("notice_id", views.notices),
        copies=_ENTERPRISE,
    ),
    Post(
        "/v1/closures",
        inspection.OrderClosure,
        creates=("closure_id", views.closures),
        refers={"enterprise_id": views.enterprises},
    ),
    Post(
        "/v1/closures/<id>/lifting",
        inspection.LiftClosure,
        of=("closure_id", views.closures),
        copies=_ENTERPRISE,
    ),
    Post(
        "/v1/complaints",
        complaints.FileComplaint,
        creates=("complaint_id", views.complaints),
        refers={"enterprise_id": views.enterprises},
    ),
    Post(
        "/v1/complaints/<id>/acceptance",
        complaints.AcceptComplaint,
        of=("complaint_id", views.complaints),
    ),
    Post(
        "/v1/complaints/<id>/refusal",
        complaints.RefuseComplaint,
        of=("complaint_id", views.complaints),
    ),
    Post(
        "/v1/complaints/<id>/answer",
        complaints.AnswerComplaint,
        of=("complaint_id", views.complaints),
    ),
    Post(
        "/v1/complaints/<id>/pause",
        complaints.PauseClock,
        of=("complaint_id", views.complaints),
    ),
    Post(
        "/v1/complaints/<id>/resumption",
        complaints.ResumeClock,
        of=("complaint_id", views.complaints),
    ),
    Post(
        "/v1/medics",
        insurance.EnrolMedic,
        creates=("medic_id", views.medics),
        reference=("holder_ref", "identity"),
    ),
    Post(
        "/v1/claims",
        insurance.FileClaim,
        creates=("claim_id", views.claims),
        refers={"policy_id": views.policies},
        copies={"medic_id": "holder_id"},
    ),
    Post(
        "/v1/claims/<id>/decision",
        insurance.DecideClaim,
        of=("claim_id", views.claims),
        copies=_MEDIC,
    ),
    Post(
        "/v1/claims/<id>/payment",
        insurance.PayClaim,
        of=("claim_id", views.claims),
        copies=_MEDIC,
    ),
)

BATCHES = tuple(post for post in POSTS if post.path in ("/v1/enterprises", "/v1/medics"))


class _ClockBody(Schema):
    at = AwareDateTime(required=True)


class NoSuchThing(NotFound):
    """There is no such thing."""


def routes_of(gateway: Gateway, reads: Reads, edge: Edge) -> Iterator[Route]:
    """Give every route of the gateway."""
    taking = Taking(gateway, edge)
    for post in POSTS:
        yield Route("POST", post.path, _single(taking, post))
    for post in BATCHES:
        yield Route("POST", f"{post.path}/batch", _batch(taking, post))
    for view in views.VIEWS.values():
        yield Route("GET", f"/v1/{view.name}", _listing(reads, view))
        yield Route("GET", f"/v1/{view.name}/<id>", _document(reads, view))
    for name, column in (
        ("enterprises", events.c.enterprise_id),
        ("complaints", events.c.complaint_id),
    ):
        yield Route("GET", f"/v1/{name}/<id>/timeline", _timeline(reads, views.VIEWS[name], column))
    yield Route("GET", "/v1/statistics", lambda _request: answer(reads.statistics()))
    yield Route("GET", "/v1/commands/<id>", taking.read)
    yield Route("GET", "/v1/commands/<id>/rows", taking.read_rows)
    yield Route("POST", "/v1/clock", taking.set_clock)


# -- reading


def _listing(reads: Reads, view: View) -> Callable[..., Response]:
    def listing(request: Request) -> Response:
        body, following = reads.listing(view, request.args.to_dict())
        made = Response(body, mimetype="application/json")
        if following:
            args = request.args.copy()
            args["after"] = following
            query = "&".join(f"{name}={value}" for name, value in sorted(args.items()))
            made.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
        return made

    return listing


def _document(reads: Reads, view: View) -> Callable[..., Response]:
    def document(_request: Request, id: str) -> Response:
        text = reads.document(view, id)
        if text is None:
            raise NoSuchThing(f"There is nothing with the id {id} among the {view.name}.")
        return Response(text + "\n", mimetype="application/json")

    return document


def _timeline(reads: Reads, view: View, column: Any) -> Callable[..., Response]:
    def timeline(_request: Request, id: str) -> Response:
        items = reads.timeline(column, id)
        if not items:
            raise NoSuchThing(f"There is nothing with the id {id} among the {view.name}.")
        return answer({"items": items, "next": None})

    return timeline


# -- writing


def _single(taking: Taking, post: Post) -> Callable[..., Response]:
    def single(request: Request, id: str | None = None) -> Response:
        return taking.single(post, request, id)

    return single


def _batch(taking: Taking, post: Post) -> Callable[..., Response]:
    def batch(request: Request) -> Response:
        return taking.batch(post, request)

    return batch


class Taking:
    """Takes commands in and answers with what became of them."""

    def __init__(self, gateway: Gateway, edge: Edge) -> None:
        self.gateway = gateway
        self.edge = edge

    def single(self, post: Post, request: Request, path_id: str | None) -> Response:
        """Take one command in; 201 or 200 with the result, the problem, or 202."""
        scope = f"POST {request.path} {idempotency_key(request.headers)}"
        body = json_body(request)
        command, thing = self.edge.command(post, body, path_id)
        entry = Entry(
            new_id(),
            scope,
            self.edge.seal.reference(encode(sorted(body.items(), key=lambda item: item[0]))),
            post.command.type,
            command,
            location=f"/v1/{post.creates[1].name}/{thing}" if post.creates else None,
            created=post.creates is not None,
            traceparent=_traceparent(request.headers),
        )
        (identity,) = self.gateway.door.take_in([entry])
        settled = self.gateway.door.wait_for([identity], self._patience(request.headers))
        record = self.gateway.door.read(identity) if settled else None
        if record is None or record.state == PENDING:
            return _accepted(identity)
        return _outcome(record)

    def batch(self, post: Post, request: Request) -> Response:
        """Take a command a row in; a bad row is told why, and the others go on."""
        scope = f"POST {request.path} {idempotency_key(request.headers)}"
        text = _text_of(request)
        if request.mimetype == "application/x-ndjson":
            rows = ndjson_rows(text)
        elif request.mimetype == "text/csv":
            rows = csv_rows(text, post.command)
        else:
            raise UnsupportedType("Send application/x-ndjson or text/csv.")
        taken = list(islice(rows, LARGEST_BATCH + 1))
        if not taken or len(taken) > LARGEST_BATCH:
            raise Unreadable(f"A batch has 1 to {LARGEST_BATCH} rows.")
        head = Entry(
            new_id(), scope, self.edge.seal.reference(text), f"{post.command.type}-batch",
            rows=len(taken),
        )  # fmt: skip
        entries = [
            self._row_entry(post, head, number, row, request)
            for number, row in enumerate(taken, start=1)
        ]
        batch_id, *identities = self.gateway.door.take_in([head, *entries])
        self.gateway.door.wait_for(
            [i for i, e in zip(identities, entries, strict=True) if e.command or i != e.id],
            self._patience(request.headers),
        )
        return self._batch_answer(batch_id, len(taken))

    def _row_entry(
        self, post: Post, head: Entry, number: int, row: dict[str, Any] | Rejected, request: Request
    ) -> Entry:
        made = Entry(
            new_id(),
            f"{head.idempotency}/{number}",
            head.fingerprint,
            post.command.type,
            created=True,
            batch_id=head.id,
            row=number,
            traceparent=_traceparent(request.headers),
        )
        try:
            if isinstance(row, Rejected):
                raise row
            made.command, thing = self.edge.command(post, row, None)
        except Rejected as error:
            made.problem = error.problem()
        else:
            assert post.creates is not None
            made.location = f"/v1/{post.creates[1].name}/{thing}"
        return made

    def _batch_answer(self, batch_id: str, rows: int) -> Response:
        tally = self.gateway.door.tally_of(batch_id)
        if tally.get(PENDING):
            return _accepted(batch_id)
        items = [
            _row(record) for record in self.gateway.door.rows_of(batch_id, 0, LARGEST_BATCH)
        ]
        return answer(
            {
                "command_id": batch_id,
                "rows": rows,
                "done": tally.get(DONE, 0),
                "rejected": tally.get(REJECTED, 0),
                "items": items,
            }
        )

    def read(self, _request: Request, id: str) -> Response:
        """Say what became of a command."""
        record = self._record(id)
        body: dict[str, Any] = {
            "id": record.id,
            "type": record.type,
            "state": record.state,
            "accepted_at": moment_of(record.accepted_at),
            "settled_at": moment_of(record.settled_at),
        }
        if record.rows is not None:
            tally = self.gateway.door.tally_of(id)
            pending = tally.get(PENDING, 0)
            body |= {
                "rows": record.rows,
                "done": tally.get(DONE, 0),
                "rejected": tally.get(REJECTED, 0),
                "pending": pending,
                "state": PENDING if pending else DONE,
            }
        elif record.state != PENDING:
            body |= _result_of(record)
        return answer(body)

    def read_rows(self, request: Request, id: str) -> Response:
        """Say what became of each row of a batch."""
        self._record(id)
        limit, after = page_of(request.args.to_dict())
        found = self.gateway.door.rows_of(id, after, limit + 1)
        following = str(found[limit - 1].row) if len(found) > limit else None
        return answer({"items": [_row(r) for r in found[:limit]], "next": following})

    def _record(self, identity: str) -> Answered:
        record = self.gateway.door.read(identity)
        if record is None:
            raise NoSuchThing(f"There is no command {identity}.")
        return record

    def set_clock(self, request: Request) -> Response:
        """Move the manual clock; answers when every service has handled what that made due."""
        idempotency_key(request.headers)
        try:
            moment: datetime = _ClockBody().load(json_body(request))["at"]
        except ValidationError as error:
            raise BadRequest(errors=pointers(error.messages)) from None
        hour_id = self.gateway.clock.set(moment)
        swept = self.gateway.wait_for_hour(hour_id, self._patience(request.headers, default=60.0))
        body = {"at": moment_to_json(moment), "hour_id": hour_id, "swept": swept}
        return answer(body, 200 if swept else 202)

    def _patience(self, headers: Headers, default: float | None = None) -> float:
        """Tell how long the caller is ready to wait, in seconds (RFC 7240)."""
        prefer = headers.get("Prefer", "")
        if "respond-async" in prefer:
            return 0.0
        asked = re.search(r"wait=(\d{1,4})", prefer)
        if asked:
            return min(float(asked[1]), 60.0)
        return self.gateway.settings.wait if default is None else default


def _text_of(request: Request) -> str:
    try:
        return request.get_data().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"The body is not UTF-8: {error.reason}.") from None


def _traceparent(headers: Headers) -> str | None:
    given = headers.get("traceparent", "")
    return given if re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", given) else None


def _accepted(identity: str) -> Response:
    location = f"/v1/commands/{identity}"
    return answer({"command_id": identity, "state": PENDING}, 202, Location=location)


def _outcome(record: Answered) -> Response:
    if record.state == REJECTED:
        return rejected(record.outcome)
    headers = {"Location": record.location} if record.location else {}
    return answer(record.outcome or {}, 201 if record.created else 200, **headers)


def _result_of(record: Answered) -> dict[str, Any]:
    if record.state == REJECTED:
        return {"status": record.status, "problem": record.outcome}
    made = {"status": 201 if record.created else 200, "result": record.outcome}
    return made | ({"location": record.location} if record.location else {})


def _row(record: Answered) -> dict[str, Any]:
    made: dict[str, Any] = {"row": record.row, "state": record.state}
    if record.state == DONE:
        return made | {"status": 201, "location": record.location}
    return made | (_result_of(record) if record.state == REJECTED else {})
