"""Handlers of notices: issued, re-inspected, extended and escalated until they are met."""

from __future__ import annotations

from typing import Any

from sqlalchemy import literal, select, tuple_

from chassis.schedule import Due
from chassis.service import on
from contracts.inspection import (
    ExtendNotice,
    Grounds,
    IssueFound,
    MoveNoticeDeadline,
    NoticeExtended,
    PressNotice,
    Reinspect,
    VisitRecorded,
)
from contracts.shapes import Id, Key, moment_from_json, moment_to_json
from rulebook import rules_of
from services.inspection.batch import Uow
from services.inspection.handlers.closing import close, look_again
from services.inspection.model import Issue, Moment, Notice, NoticeState
from services.inspection.numbers import enter


@on(IssueFound)
def issue_notice(event: IssueFound, uow: Uow) -> None:
    """Issue a notice with a deadline by severity, unless the issue was rectified on the spot and is
    not to be recorded."""
    if not event.rectified_on_the_spot or event.on_record:
        until = rules_of(uow).notice_until(event.severity, uow.now)
        enter(uow, Notice.issue(event, until, uow.today))


@on(Reinspect)
def reinspect(command: Reinspect, uow: Uow) -> VisitRecorded:
    """Re-inspect the open parts of a notice."""
    notice = uow.require(Notice, command.notice_id, seen_by=command)
    notice.must_allow(command)
    recorded = look_again(command, uow, notice.id)
    if command.rectified:
        uow.require(Issue, notice.issue_id).rectify(command.day)
    notice.reinspect(command)
    return recorded


@on(ExtendNotice)
def extend(command: ExtendNotice, uow: Uow) -> NoticeExtended:
    """Extend the deadline of a notice."""
    notice = uow.require(Notice, command.notice_id, seen_by=command)
    return notice.extend(command, rules_of(uow).extension, uow.today)


@on(PressNotice)
def press(command: PressNotice, uow: Uow) -> None:
    """Escalate an overdue notice, unless it has changed in the meantime."""
    notice = uow.require(Notice, command.notice_id)
    if not notice.is_open or (notice.level, notice.due_at) != (command.level, command.due_at):
        return
    book = rules_of(uow)
    level = None if notice.is_grave else book.level(notice.level + 1)
    if level:
        notice.press(level.addressee, book.until(level, uow.now))
        return
    notice.press(book.last_level.addressee, None)
    reason = book.say("Notice overdue: %(point)s", point=notice.words.words)
    about = {"notice_id": notice.id, "issue_id": notice.issue_id}
    close(uow, notice.enterprise_id, Grounds.OVERDUE_NOTICE, reason, **about)


@on(MoveNoticeDeadline)
def move(command: MoveNoticeDeadline, uow: Uow) -> None:
    """Count a deadline in working days by the current calendar."""
    notice = uow.require(Notice, command.notice_id)
    book = rules_of(uow)
    if notice.is_open and notice.calendar not in {None, book.calendar.code}:
        counted = notice.counted_from, notice.working_days  # a notice with a calendar has both
        notice.move(book.counted(*counted), uow.today)  # type: ignore[arg-type]


def due(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return open notices past their deadline, the oldest first."""
    query = select(Notice.enterprise_id, Notice.id, Notice.level, Notice.due_at).where(
        Notice.state == NoticeState.OPEN, Notice.due_at <= uow.now
    )
    return [
        Due(
            [moment_to_json(due), notice],
            PressNotice(
                notice_id=Id(notice), enterprise_id=Key(enterprise), level=level, due_at=due
            ),
        )
        for enterprise, notice, level, due in uow.execute(_page_of(query, after, most))
    ]


def moved(uow: Uow, after: list[str], most: int) -> list[Due]:
    """Return open notices whose working days were counted by an outdated calendar."""
    calendar = rules_of(uow).calendar.code
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
        for enterprise, notice, due in uow.execute(_page_of(query, after, most))
    ]


def _page_of(query: Any, after: list[str], most: int) -> Any:
    """Order by deadline and id, the oldest first, after a cursor of the two."""
    if after:
        due = literal(moment_from_json(after[0]), Moment())
        query = query.where(tuple_(Notice.due_at, Notice.id) > tuple_(due, after[1]))
    return query.order_by(Notice.due_at, Notice.id).limit(most)
