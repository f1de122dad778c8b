"""What a visit leads to: issues, and the end of what it was made for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from chassis.ids import derived_id
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.inspection import (
    ComplaintChecked,
    Finding,
    Grounds,
    IssueFound,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
    PartRecorded,
    Purpose,
    Severity,
    VisitRecorded,
    VisitSigned,
)
from contracts.shapes import Id, Key
from rulebook import FollowsRules
from rulebook.chapters.checklist import Checklist
from services.inspection.closing import close
from services.inspection.finding import get
from services.inspection.judging import checklist_of
from services.inspection.model import Issue, Visit


class DrawsConclusions(FollowsRules):
    """Mixed into inspection: names what visits find, and says how they end.

    A visit that one team records for all ends as it is recorded, a joint one when all have signed.
    Words and severity are those of the checklist that the visit pins.
    """

    @on(VisitRecorded, PartRecorded)
    def name_issues(self, fact: VisitRecorded | PartRecorded, db: Work) -> None:
        """Name each fault; a grave one that still stands closes the enterprise at once."""
        part = [fact.agency] if isinstance(fact, PartRecorded) else []
        checklist = checklist_of(self.rulebook, fact.checklist_version, fact.day)
        for number, finding in enumerate(fact.findings):
            found = _issue(
                derived_id("issue", fact.visit_id, *part, number), fact, finding, checklist
            )
            db.add(Issue.find(found))
            if found.severity is Severity.GRAVE and not found.rectified_on_the_spot:
                close(
                    db,
                    fact.enterprise_id,
                    Grounds.GRAVE_ISSUE,
                    self.rules(db).say("Grave issue: %(point)s", point=found.point.words),
                    issue_id=found.issue_id,
                )

    @on(VisitRecorded)
    def conclude_at_once(self, fact: VisitRecorded, db: Work) -> None:
        """End what one team has recorded for all."""
        if (fact.filing_id or fact.complaint_id) and not fact.joint:
            found = [
                (finding.rule, fact.checklist_version, not finding.rectified_on_the_spot)
                for finding in fact.findings
            ]
            self._conclude(
                db, fact.visit_id, fact.enterprise_id, fact.purpose, fact.day,
                fact.filing_id, fact.complaint_id, found,
            )  # fmt: skip

    @on(VisitSigned)
    def conclude_when_all_have_signed(self, fact: VisitSigned, db: Work) -> None:
        """End a joint visit that is complete."""
        visit = get(db, Visit, fact.visit_id)
        if fact.complete and visit.joint and (visit.filing_id or visit.complaint_id):
            found = [(one["rule"], one["version"], one["stands"]) for one in visit.found]
            self._conclude(
                db, visit.id, visit.enterprise_id, visit.purpose, visit.day,
                visit.filing_id, visit.complaint_id, found,
            )  # fmt: skip

    def _conclude(
        self, db: Work, visit_id: str, enterprise_id: str, purpose: str, day: date,
        filing_id: str | None, complaint_id: str | None,
        found: Sequence[tuple[str, str | None, bool]],
    ) -> None:  # fmt: skip
        """Say how a review or a check ended.

        A review is passed if nothing that it found still stands; any finding substantiates a
        complaint.
        """
        points = [
            (checklist_of(self.rulebook, version, day).rules[rule].point, stands)
            for rule, version, stands in found
        ]
        if purpose == Purpose.REVIEW and filing_id:
            about = {"enterprise_id": enterprise_id, "filing_id": filing_id, "visit_id": visit_id}
            standing = [point for point, stands in points if stands]
            if standing:
                db.record(OnsiteReviewFailed(**about, reasons=standing))
            else:
                db.record(OnsiteReviewPassed(**about))
        if complaint_id:
            db.record(
                ComplaintChecked(
                    complaint_id=Key(complaint_id),
                    enterprise_id=Id(enterprise_id),
                    visit_id=Id(visit_id),
                    substantiated=bool(points),
                    points=[point for point, _ in points],
                    checked_on=day,
                )
            )


def _issue(
    issue_id: str, fact: VisitRecorded | PartRecorded, finding: Finding, checklist: Checklist
) -> IssueFound:
    rule = checklist.rules[finding.rule]
    return IssueFound(
        issue_id=Id(issue_id),
        enterprise_id=fact.enterprise_id,
        visit_id=fact.visit_id,
        point=rule.point,
        severity=Severity(rule.severity),
        checklist_version=checklist.version,
        found_on=fact.day,
        rectified_on_the_spot=finding.rectified_on_the_spot,
        on_record=finding.on_record,
        remark=finding.remark,
        evidence=finding.evidence,
    )
