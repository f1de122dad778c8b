"""Enterprises and filings: their read models, and what may be asked for of them."""

from __future__ import annotations

from contracts.filing import (
    AssignLiaison,
    CorrectEnterprise,
    DecideFiling,
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
    RegisterEnterprise,
    ReportRoster,
    ReportRosterLines,
    RosterReported,
    SubmitFiling,
    SuspensionLifted,
    WithdrawFiling,
)
from services.gateway.resources.post import Post, Sheet
from services.gateway.resources.view import Document, View

OFFICERS = "officers."
"""Begins the name of a figure that counts the enterprises of a liaison officer."""


def _enterprise_figures(document: Document) -> dict[str, int]:
    figures = {"registered.total": 1, f"registered.{document['kind']}": 1}
    if document["state"] == "open":
        figures |= {
            "reopened.total": 1,
            f"reopened.{document['kind']}": 1,
            "on_duty.total": document["on_duty"],
            "on_duty.out_of_province": document["out_of_province"],
        }
    if document.get("liaison"):
        figures[f"{OFFICERS}{document['liaison']}"] = 1
    return figures


def _with_officer(document: Document, fact: LiaisonAssigned) -> Document:
    """Note who the liaison officer is, and who was before, from when on and why."""
    entry = {
        "officer": fact.officer,
        "since": fact.assigned_on.isoformat(),
        "by": fact.by,
        "why": fact.why.to_data(),
    }
    history = [*document.get("liaison_history", ()), entry]
    return {**document, "liaison": fact.officer, "liaison_history": history}


ON_RECORD = sorted(EnterpriseRegistered.names() & EnterpriseCorrected.names() - {"version"})

enterprises = View(
    "enterprises",
    "enterprise_id",
    (
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
    _enterprise_figures,
    names=("name",),
    days=("registered_on", "reopened_on"),
    numbers=("on_duty",),
    worklists=("reopened_on",),
    search=("name", "credit_code", "registration_number", "address"),
)
enterprises.begins(EnterpriseRegistered, state="registered", on_duty=0, out_of_province=0)
enterprises.follows(EnterpriseSuspended, "closure_id", state="suspended")
enterprises.follows(SuspensionLifted, state="registered", closure_id=None)
enterprises.follows(RosterReported, "on_duty", "out_of_province")
enterprises.follows(EnterpriseCorrected, *ON_RECORD)
enterprises.follows_by(LiaisonAssigned, _with_officer, "liaison", "liaison_history")
enterprises.follows_by(
    EnterpriseReopened,
    lambda document, fact: {
        **document,
        "state": "open",
        "filing_id": fact.filing_id,
        "reopened_on": fact.reopened_on.isoformat(),
        "on_duty": fact.headcount,
        "out_of_province": fact.out_of_province,
    },
    "filing_id",
    "reopened_on",
)

filings = View(
    "filings",
    "filing_id",
    ("state", "enterprise_id"),
    lambda document: (
        {"filings.submitted": 1, f"filings.{document['state']}": 1}
        if document["state"] != "submitted"
        else {"filings.submitted": 1}
    ),
    days=("submitted_on", "reopen_on"),
    worklists=("submitted_on", "reopen_on"),
)
filings.begins(FilingSubmitted, state="submitted", reasons=[])
filings.follows(OnsiteReviewRequested, state="in_review")
filings.follows(FilingReferred, "reasons", "rules", state="referred")
filings.follows(FilingApproved, "by", "rules", state="approved")
filings.follows(FilingReturned, "reasons", "by", "rules", state="returned")
filings.follows(FilingWithdrawn, "reason", state="withdrawn")
filings.follows(EnterpriseReopened, "reopened_on", state="reopened")
filings.others.add(EnterpriseReopened)

rosters = View("rosters", "roster_id", ("enterprise_id",), days=("day",))
rosters.begins(RosterReported)
rosters.others.add(RosterReported)

POSTS = (
    Post(
        "/v1/enterprises",
        RegisterEnterprise,
        creates=("enterprise_id", enterprises),
        takes_batches=True,
    ),
    Post(
        "/v1/enterprises/<id>/correction",
        CorrectEnterprise,
        of=("enterprise_id", enterprises),
    ),
    Post(
        "/v1/enterprises/<id>/roster",
        ReportRoster,
        of=("enterprise_id", enterprises),
    ),
    Post(
        "/v1/enterprises/<id>/liaison",
        AssignLiaison,
        of=("enterprise_id", enterprises),
    ),
    Post(
        "/v1/filings",
        SubmitFiling,
        creates=("filing_id", filings),
        refers={"enterprise_id": enterprises},
    ),
    Post(
        "/v1/filings/<id>/decision",
        DecideFiling,
        of=("filing_id", filings),
        copies={"enterprise_id": "enterprise_id"},
    ),
    Post(
        "/v1/filings/<id>/withdrawal",
        WithdrawFiling,
        of=("filing_id", filings),
        copies={"enterprise_id": "enterprise_id"},
    ),
)

SHEETS = (Sheet("/v1/enterprises/<id>/roster/lines", ReportRosterLines, enterprises),)
