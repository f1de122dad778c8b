"""Duplicates: the main complaint answers all that are linked to it, each under its own key."""

from __future__ import annotations

from sqlalchemy import select

from chassis.errors import NotFound
from chassis.ids import derived_id
from chassis.message import Message
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.complaints import (
    AnswerDuplicate,
    ComplaintAnswered,
    ComplaintClosed,
    ComplaintReferred,
    ComplaintRefused,
    LinkDuplicate,
    UnlinkDuplicate,
)
from contracts.message import RULE
from contracts.shapes import Id, Key
from rulebook import FollowsRules
from services.complaints.finding import complaint_of, locked, seen
from services.complaints.model import ENDED, Complaint

BY_MAIN = "main-complaint"
ENDS = ComplaintAnswered | ComplaintRefused | ComplaintReferred | ComplaintClosed


class LinksDuplicates(FollowsRules):
    """Mixed into complaints: which complaints are about the same, and what follows from that."""

    @on(LinkDuplicate)
    def link(self, asked: LinkDuplicate, db: Work) -> object:
        """Link a complaint to its main one.

        Both are locked: two links that together would make a circle are made one after the other,
        and the main one cannot end unseen meanwhile.
        """
        both = locked(db, asked.complaint_id, asked.main_id)
        if missing := {asked.complaint_id, asked.main_id} - both.keys():
            raise NotFound(f"There is no complaint {min(missing)}.")
        complaint = both[asked.complaint_id]
        complaint.as_seen(asked)
        linked = select(Complaint.id).where(Complaint.main_id == complaint.id).limit(1)
        has_duplicates = db.scalar(linked.where(Complaint.state.not_in(ENDED))) is not None
        return complaint.link(asked, both[asked.main_id], db.today, has_duplicates=has_duplicates)

    @on(UnlinkDuplicate)
    def unlink(self, asked: UnlinkDuplicate, db: Work) -> object:
        """Let a complaint go its own way again."""
        return seen(db, asked).unlink(asked, self.rules(db), db.today)

    @on(AnswerDuplicate)
    def answer_duplicate(self, asked: AnswerDuplicate, db: Work) -> object:
        """Answer a linked complaint, unless something has come between."""
        complaint = complaint_of(db, asked.complaint_id)
        if complaint.has_ended or complaint.main_id != asked.main_id:
            return None
        return complaint.answer(
            asked.answer,
            BY_MAIN,
            self.rules(db),
            db.today,
            substantiated=asked.substantiated,
            main_id=asked.main_id,
        )

    # -- when the main one has ended. Whoever was linked to it before that is known by now.

    @on(ComplaintAnswered)
    def answer_all(self, fact: ComplaintAnswered, db: Work) -> None:
        """Answer each complaint that is linked to an answered one."""
        for duplicate in db.info["duplicates"].get(fact.complaint_id, ()):
            db.record(
                AnswerDuplicate(
                    complaint_id=Key(duplicate),
                    main_id=Id(fact.complaint_id),
                    answer=fact.answer,
                    substantiated=fact.substantiated,
                ),
                identity=derived_id("answer", duplicate, fact.complaint_id, fact.version),
            )

    @on(ComplaintRefused, ComplaintReferred, ComplaintClosed)
    def free_all(
        self, fact: ComplaintRefused | ComplaintReferred | ComplaintClosed, db: Work
    ) -> None:
        """Let each complaint that is linked to one that ended without an answer go its own way."""
        for duplicate in db.info["duplicates"].get(fact.complaint_id, ()):
            db.record(
                UnlinkDuplicate(
                    complaint_id=Key(duplicate),
                    main_id=Id(fact.complaint_id),
                    by=RULE,
                    reason=fact.type,
                ),
                identity=derived_id("free", duplicate, fact.complaint_id, fact.version),
            )

    @staticmethod
    def find_duplicates(messages: list[Message], db: Work) -> None:
        """Find at once all that is linked to those complaints of a batch that have ended."""
        ended = {m.fact.complaint_id for m in messages if isinstance(m.fact, ENDS)}
        found: dict[str, list[str]] = {}
        if ended:
            query = select(Complaint.main_id, Complaint.id).where(
                Complaint.main_id.in_(ended), Complaint.state.not_in(ENDED)
            )
            for main, duplicate in db.execute(query.order_by(Complaint.id)):
                found.setdefault(main, []).append(duplicate)
        db.info["duplicates"] = found
