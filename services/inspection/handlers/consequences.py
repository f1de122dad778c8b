"""Handlers of a visit's consequences: issues, and the result for its filing or complaint.

A visit that one team records for all agencies ends when it is recorded, a joint one when all have
signed. Words and severity are those of the checklist that the visit pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chassis.ids import derived_id
from chassis.service import on
from contracts.inspection.events import (
    ComplaintChecked,
    IssueFound,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
    PartRecorded,
    VisitRecorded,
    VisitSigned,
)
from contracts.inspection.types import Finding, Grounds, Purpose, Severity
from contracts.shapes import Id, Key
from rulebook import rules_of
from rulebook.chapters.checklist import Checklist
from services.inspection.batch import Uow
from services.inspection.handlers.closing import close
from services.inspection.judging import checklist_of
from services.inspection.model import Issue, Visit


@on(VisitRecorded, PartRecorded)
def name_issues(event: VisitRecorded | PartRecorded, uow: Uow) -> None:
    """Record each finding as an issue; a grave one that still stands closes the enterprise."""
    part = [event.agency] if isinstance(event, PartRecorded) else []
    checklist = checklist_of(uow.state.rulebook, event.checklist_version, event.day)
    for number, finding in enumerate(event.findings):
        issue = _issue(
            derived_id("issue", event.visit_id, *part, number), event, finding, checklist
        )
        uow.add(Issue.find(issue))
        if issue.severity is Severity.GRAVE and not issue.rectified_on_the_spot:
            close(
                uow,
                event.enterprise_id,
                Grounds.GRAVE_ISSUE,
                rules_of(uow).say("Grave issue: %(point)s", point=issue.point.words),
                issue_id=issue.issue_id,
            )


@on(VisitRecorded)
def conclude_at_once(event: VisitRecorded, uow: Uow) -> None:
    """Conclude a visit that one team recorded for all agencies."""
    if (event.filing_id or event.complaint_id) and not event.joint:
        findings = [
            (finding.rule, event.checklist_version, not finding.rectified_on_the_spot)
            for finding in event.findings
        ]
        _conclude(uow, event, event.visit_id, findings)


@on(VisitSigned)
def conclude_when_all_have_signed(event: VisitSigned, uow: Uow) -> None:
    """Conclude a joint visit that is complete."""
    visit = uow.require(Visit, event.visit_id)
    if event.complete and visit.joint and (visit.filing_id or visit.complaint_id):
        findings = [(one["rule"], one["version"], one["stands"]) for one in visit.found]
        _conclude(uow, visit, visit.id, findings)


def _conclude(
    uow: Uow,
    visit: VisitRecorded | Visit,
    visit_id: str,
    findings: Sequence[tuple[str, str | None, bool]],
) -> None:
    """Record the result of a review or a check.

    A review is passed if no fault still stands; any finding substantiates a complaint.
    """
    points = [
        (checklist_of(uow.state.rulebook, version, visit.day).rules[rule].point, stands)
        for rule, version, stands in findings
    ]
    if visit.purpose == Purpose.REVIEW and visit.filing_id:
        about: dict[str, Any] = {
            "enterprise_id": visit.enterprise_id,
            "filing_id": visit.filing_id,
            "visit_id": visit_id,
        }
        if standing := [point for point, stands in points if stands]:
            uow.record(OnsiteReviewFailed(**about, reasons=standing))
        else:
            uow.record(OnsiteReviewPassed(**about))
    if visit.complaint_id:
        uow.record(
            ComplaintChecked(
                complaint_id=Key(visit.complaint_id),
                enterprise_id=Id(visit.enterprise_id),
                visit_id=Id(visit_id),
                substantiated=bool(points),
                points=[point for point, _ in points],
                checked_on=visit.day,
            )
        )


def _issue(
    issue_id: str, event: VisitRecorded | PartRecorded, finding: Finding, checklist: Checklist
) -> IssueFound:
    rule = checklist.rules[finding.rule]
    return IssueFound(
        issue_id=Id(issue_id),
        enterprise_id=event.enterprise_id,
        visit_id=event.visit_id,
        point=rule.point,
        severity=Severity(rule.severity),
        checklist_version=checklist.version,
        found_on=event.day,
        rectified_on_the_spot=finding.rectified_on_the_spot,
        on_record=finding.on_record,
        remark=finding.remark,
        evidence=finding.evidence,
    )
