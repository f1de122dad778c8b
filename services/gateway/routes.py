"""The routes of design section 7: what may be asked for, and what may be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from chassis.web import Route, answer
from contracts import complaints, filing, inspection, insurance
from services.gateway import projections as views
from services.gateway.edge import Edge, Post
from services.gateway.model import events
from services.gateway.reads import NoSuchThing, Reads, arguments, next_page, page_of
from services.gateway.taking import Taking
from services.gateway.views import View

if TYPE_CHECKING:
    from services.gateway.service import Gateway

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


def _listing(reads: Reads, view: View) -> Callable[..., Response]:
    def listing(request: Request) -> Response:
        asked = arguments(request.args, view.filters)
        body, following = reads.listing(view, asked, *page_of(asked))
        return next_page(Response(body, mimetype="application/json"), request, following)

    return listing


def _document(reads: Reads, view: View) -> Callable[..., Response]:
    def document(_request: Request, identity: str) -> Response:
        text = reads.document(view, identity)
        if text is None:
            raise NoSuchThing(f"There is nothing with the id {identity} among the {view.name}.")
        return Response(text + "\n", mimetype="application/json")

    return document


def _timeline(reads: Reads, view: View, column: Any) -> Callable[..., Response]:
    def timeline(_request: Request, identity: str) -> Response:
        items = reads.timeline(column, identity)
        if not items:
            raise NoSuchThing(f"There is nothing with the id {identity} among the {view.name}.")
        return answer({"items": items, "next": None})

    return timeline


def _single(taking: Taking, post: Post) -> Callable[..., Response]:
    def single(request: Request, identity: str | None = None) -> Response:
        return taking.single(post, request, identity)

    return single


def _batch(taking: Taking, post: Post) -> Callable[..., Response]:
    def batch(request: Request) -> Response:
        return taking.batch(post, request)

    return batch
