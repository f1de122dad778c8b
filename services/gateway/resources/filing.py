"""Enterprises, filings and rosters: their read models and command endpoints."""

from __future__ import annotations

from contracts.filing.commands import (
    AssignLiaison,
    CorrectEnterprise,
    DecideFiling,
    RegisterEnterprise,
    ReportRoster,
    ReportRosterLines,
    SubmitFiling,
    WithdrawFiling,
)
from contracts.filing.events import (
    EnterpriseCorrected,
    EnterpriseRegistered,
    EnterpriseReopened,
    EnterpriseSuspended,
    FilingApproved,
    FilingReferred,
    FilingReturned,
    FilingSubmitted,
    FilingWithdrawn,
    LiaisonAssigned,
    OnsiteReviewRequested,
    RosterReported,
    SuspensionLifted,
)
from services.gateway.resources.operation import Sublist, Timeline
from services.gateway.resources.post import ENTERPRISE_ID, TODAY, Post, Sheet
from services.gateway.resources.roles import (
    APPLICANTS,
    AUDITOR,
    ENTERPRISE,
    GRID_OFFICER,
    HEADS,
    HOTLINE,
    INSURER,
    OFFICE,
    ON_SITE,
)
from services.gateway.resources.view import Document, View, begins, follows
from services.gateway.tables import events

OFFICERS = "officers."
"""Prefix of the counters of enterprises by liaison officer."""
OF_ENTERPRISE = {"enterprise_id": "enterprise_id"}
"""The command takes the enterprise from the document of its thing."""
INVOLVED = ON_SITE | {ENTERPRISE, AUDITOR}


def _count_enterprise(document: Document) -> dict[str, int]:
    counts = {"registered.total": 1, f"registered.{document['kind']}": 1}
    if document["state"] == "open":
        counts |= {
            "reopened.total": 1,
            f"reopened.{document['kind']}": 1,
            "on_duty.total": document["on_duty"],
            "on_duty.out_of_province": document["out_of_province"],
        }
    if document.get("liaison"):
        counts[f"{OFFICERS}{document['liaison']}"] = 1
    return counts


def _count_filing(document: Document) -> dict[str, int]:
    return {"filings.submitted": 1, f"filings.{document['state']}": 1}


def _assigned(document: Document, event: LiaisonAssigned) -> Document:
    """Return the liaison officer and the history: officer, since when, and why."""
    entry = {
        "officer": event.officer,
        "since": event.assigned_on.isoformat(),
        "by": event.by,
        "why": event.why.to_data(),
    }
    history = [*document.get("liaison_history", ()), entry]
    return {"liaison": event.officer, "liaison_history": history}


ON_RECORD = sorted({*EnterpriseRegistered.names()} & {*EnterpriseCorrected.names()} - {"version"})

enterprises = View(
    "enterprises",
    "enterprise_id",
    INVOLVED | {HOTLINE, INSURER},
    (
        begins(EnterpriseRegistered, state="registered", on_duty=0, out_of_province=0),
        follows(EnterpriseSuspended, "closure_id", state="suspended"),
        follows(SuspensionLifted, state="registered", closure_id=None),
        follows(RosterReported, "on_duty", "out_of_province"),
        follows(EnterpriseCorrected, *ON_RECORD),
        follows(LiaisonAssigned, then=_assigned, writes=("liaison", "liaison_history")),
        follows(
            EnterpriseReopened,
            "filing_id",
            "reopened_on",
            "out_of_province",
            then=lambda _document, event: {"on_duty": event.headcount},
            state="open",
        ),
    ),
    _count_enterprise,
    filters=(
        "state",
        "kind",
        "size",
        "premises",
        "grid",
        "subdistrict",
        "key_project",
        "credit_code",
        "registration_number",
        "liaison",
    ),
    names=("name",),
    days=("registered_on", "reopened_on"),
    numbers=("on_duty",),
    worklists=("reopened_on",),
    search=("name", "credit_code", "registration_number", "address"),
)

filings = View(
    "filings",
    "filing_id",
    INVOLVED,
    (
        begins(FilingSubmitted, state="submitted", reasons=[]),
        follows(OnsiteReviewRequested, state="in_review"),
        follows(FilingReferred, "reasons", "rules", state="referred"),
        follows(FilingApproved, "by", "rules", state="approved"),
        follows(FilingReturned, "reasons", "by", "rules", state="returned"),
        follows(FilingWithdrawn, "reason", state="withdrawn"),
        follows(EnterpriseReopened, "reopened_on", state="reopened"),
    ),
    _count_filing,
    filters=("state", "enterprise_id"),
    days=("submitted_on", "reopen_on"),
    worklists=("submitted_on", "reopen_on"),
    others=(EnterpriseReopened,),
)

rosters = View(
    "rosters",
    "roster_id",
    INVOLVED,
    (begins(RosterReported),),
    filters=("enterprise_id",),
    days=("day",),
    others=(RosterReported,),
)

VIEWS = (enterprises, filings, rosters)

POSTS = (
    Post(
        "/v1/enterprises",
        RegisterEnterprise,
        roles=APPLICANTS,
        example={
            "credit_code": "91350503ARUJWX97A0",
            "name": "閉環小館",
            "kind": "sole_trader",
            "size": "micro",
            "industry": "H6210",
            "premises": "restaurant",
            "grid": "350503003",
        },
        creates=enterprises,
        takes_batches=True,
    ),
    Post(
        "/v1/enterprises/<id>/correction",
        CorrectEnterprise,
        roles={GRID_OFFICER, OFFICE},
        example={"reason": "登記有誤", "address": "東湖街1號"},
        of=enterprises,
    ),
    Post(
        "/v1/enterprises/<id>/roster",
        ReportRoster,
        roles=APPLICANTS,
        example={"day": TODAY, "staff": 4, "out_of_province": 1, "unfit": 1},
        of=enterprises,
    ),
    Post(
        "/v1/enterprises/<id>/liaison",
        AssignLiaison,
        roles=HEADS,
        example={"officer": "FZ-003-01", "reason": "輪換"},
        of=enterprises,
    ),
    Post(
        "/v1/filings",
        SubmitFiling,
        roles=APPLICANTS,
        example={
            "enterprise_id": ENTERPRISE_ID,
            "reopen_on": TODAY,
            "headcount": 5,
            "out_of_province": 1,
            "measures": ["masks", "disinfectant", "thermometer", "isolation_room"],
            "pledge": True,
        },
        creates=filings,
        refers={"enterprise_id": enterprises},
    ),
    Post(
        "/v1/filings/<id>/decision",
        DecideFiling,
        roles=HEADS,
        example={"decision": "return", "reasons": ["材料不全"]},
        of=filings,
        copies=OF_ENTERPRISE,
    ),
    Post(
        "/v1/filings/<id>/withdrawal",
        WithdrawFiling,
        roles=APPLICANTS,
        example={"reason": "改期"},
        of=filings,
        copies=OF_ENTERPRISE,
    ),
)

SHEETS = (
    Sheet(
        "/v1/enterprises/<id>/roster/lines",
        ReportRosterLines,
        enterprises,
        APPLICANTS,
        (
            {"worker": "W-1", "name": "陳一", "home": "350503", "temperature": "36.5"},
            {"worker": "W-2", "name": "林二", "home": "420000", "temperature": "36.8"},
        ),
    ),
)
TIMELINE = Timeline(enterprises, events.c.enterprise_id, INVOLVED)
ROSTERS = Sublist(
    enterprises,
    rosters,
    "List the rosters of an enterprise, one for each day, as reported.",
    INVOLVED,
)
