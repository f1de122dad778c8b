"""Notices: what is wrong is pressed for until it is right."""

from __future__ import annotations

from typing import Any

from sqlalchemy import literal, select, tuple_

from chassis.schedule import Due, SweepsHours
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.inspection import (
    ExtendNotice,
    Grounds,
    IssueFound,
    MoveNoticeDeadline,
    PressNotice,
    Reinspect,
    VisitRecorded,
)
from contracts.shapes import Id, Key, moment_from_json, moment_to_json
from rulebook import FollowsRules
from services.inspection.closing import close, look_again
from services.inspection.finding import get, seen
from services.inspection.model import Issue, Moment, Notice, NoticeState
from services.inspection.numbers import enter


class PressesNotices(FollowsRules, SweepsHours):
    """Mixed into inspection: sees put right what visits find."""

    sweeps = ("moved", "due")
    """First whatever a holiday has moved, then what is due: the commands come in this order."""

    @on(IssueFound)
    def issue_notice(self, fact: IssueFound, db: Work) -> None:
        """Issue a notice with a deadline by severity, unless the issue was rectified on the spot
        and nobody asked to put it on record."""
        if not fact.rectified_on_the_spot or fact.on_record:
            until = self.rules(db).notice_until(fact.severity, db.now)
            enter(db, Notice.issue(fact, until, db.today))

    @on(Reinspect)
    def reinspect(self, asked: Reinspect, db: Work) -> VisitRecorded:
        """Look again at what a notice leaves open, and at nothing else."""
        notice = seen(db, Notice, asked.notice_id, asked)
        notice.must_allow(asked)
        fact = look_again(asked, db, notice.id)
        if asked.rectified:
            get(db, Issue, notice.issue_id).rectify(asked.day)
        notice.reinspect(asked)
        return fact

    @on(ExtendNotice)
    def extend(self, asked: ExtendNotice, db: Work) -> object:
        """Give a notice a later day."""
        notice = seen(db, Notice, asked.notice_id, asked)
        return notice.extend(asked, self.rules(db).extension, db.today)

    @on(PressNotice)
    def press(self, asked: PressNotice, db: Work) -> None:
        """Press for a notice that has passed its deadline, unless something has come between."""
        notice = get(db, Notice, asked.notice_id)
        if not notice.is_open or (notice.level, notice.due_at) != (asked.level, asked.due_at):
            return
        book = self.rules(db)
        level = None if notice.is_grave else book.level(notice.level + 1)
        if level:
            notice.press(level.addressee, book.until(level, db.now))
            return
        notice.press(book.last_level.addressee, None)
        reason = book.say("Notice overdue: %(point)s", point=notice.words.words)
        about = {"notice_id": notice.id, "issue_id": notice.issue_id}
        close(db, notice.enterprise_id, Grounds.OVERDUE_NOTICE, reason, **about)

    @on(MoveNoticeDeadline)
    def move(self, asked: MoveNoticeDeadline, db: Work) -> None:
        """Count a deadline in working days by the calendar that holds now."""
        notice = get(db, Notice, asked.notice_id)
        book = self.rules(db)
        if notice.is_open and notice.calendar not in {None, book.calendar.code}:
            notice.move(book.counted(notice.counted_from, notice.working_days), db.today)

    def due(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find open notices past their deadline, the oldest first, whoever they belong to."""
        query = select(Notice.enterprise_id, Notice.id, Notice.level, Notice.due_at).where(
            Notice.state == NoticeState.OPEN, Notice.due_at <= db.now
        )
        return [
            Due(
                [moment_to_json(due), notice],
                PressNotice(
                    notice_id=Id(notice), enterprise_id=Key(enterprise), level=level, due_at=due
                ),
            )
            for enterprise, notice, level, due in db.execute(_page_of(query, after, most))
        ]

    def moved(self, db: Work, after: list[str], most: int) -> list[Due]:
        """Find open notices whose working days were counted by a calendar that no longer holds."""
        calendar = self.rules(db).calendar.code
        query = select(Notice.enterprise_id, Notice.id, Notice.due_at).where(
            Notice.state == NoticeState.OPEN, Notice.calendar != calendar
        )
        return [
            Due(
                [moment_to_json(due), notice],
                MoveNoticeDeadline(
                    notice_id=Id(notice), enterprise_id=Key(enterprise), calendar=calendar
                ),
            )
            for enterprise, notice, due in db.execute(_page_of(query, after, most))
        ]


def _page_of(query: Any, after: list[str], most: int) -> Any:
    """Order by deadline and identity, the oldest first, and go on after a cursor of the two."""
    if after:
        due = literal(moment_from_json(after[0]), Moment())
        query = query.where(tuple_(Notice.due_at, Notice.id) > tuple_(due, after[1]))
    return query.order_by(Notice.due_at, Notice.id).limit(most)
