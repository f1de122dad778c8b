"""Taking complaints in: from the caller, and again and again from the registers of others."""

from __future__ import annotations

from typing import Any

from chassis.errors import at
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.complaints import (
    ComplaintReceived,
    FileComplaint,
    MatchComplaint,
    UnmatchComplaint,
)
from rulebook import FollowsRules
from services.complaints.finding import seen
from services.complaints.model import Complaint, NotAcceptable

REVISED, UNCHANGED, OUTDATED = "revised", "unchanged", "outdated"


class TakesIn(FollowsRules):
    """Mixed into complaints: one complaint for each number of an outside register, whose identity
    follows from its channel and number, so that all its revisions come by in one order."""

    @on(FileComplaint)
    def take_in(self, asked: FileComplaint, db: Work) -> ComplaintReceived | dict[str, Any]:
        """Take a complaint in, or take in what has changed of it.

        The same again changes nothing; an older revision changes nothing either, whenever it
        comes.
        """
        book, errors = self.rules(db), []
        if asked.channel not in book.channels:
            errors.append(at("channel", "is not a channel of the rulebook"))
        if not asked.enterprise_id and not asked.against:
            errors.append(at("against", "describe the enterprise, or give its enterprise_id"))
        if errors:
            raise NotAcceptable(errors=errors)
        known = self._known(db, asked.complaint_id)
        if known is not None:
            return self._take_in_again(known, asked, db)
        complaint = Complaint.receive(asked, book, db.today)
        db.add(complaint)
        db.info.setdefault("made", {})[complaint.id] = complaint
        received: ComplaintReceived = db.outgoing[-1].fact
        return received

    @staticmethod
    def _known(db: Work, identity: str) -> Complaint | None:
        made: Complaint | None = db.info.get("made", {}).get(identity)
        if made is not None or identity in db.info.get("unheard_of", ()):
            return made
        return db.get(Complaint, identity)

    @staticmethod
    def _take_in_again(complaint: Complaint, asked: FileComplaint, db: Work) -> dict[str, Any]:
        became = OUTDATED if asked.revision < complaint.revision else UNCHANGED
        if complaint.revise(asked, db.today):
            became = REVISED
            if asked.enterprise_id and complaint.enterprise_id is None:
                complaint.match(
                    MatchComplaint(
                        complaint_id=asked.complaint_id,
                        by=asked.by,
                        enterprise_id=asked.enterprise_id,
                    ),
                    db.today,
                )
        return {
            "complaint_id": complaint.id,
            "created": False,
            "became": became,
            "revision": complaint.revision,
            "version": complaint.version,
        }

    @on(MatchComplaint)
    def match(self, asked: MatchComplaint, db: Work) -> object:
        """Say which enterprise on record a described one is."""
        return seen(db, asked).match(asked, db.today)

    @on(UnmatchComplaint)
    def unmatch(self, asked: UnmatchComplaint, db: Work) -> object:
        """Take a wrong match back."""
        return seen(db, asked).unmatch(asked, db.today)
