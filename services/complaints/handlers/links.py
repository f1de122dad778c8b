"""Handlers of duplicates: the main complaint's answer goes to all linked ones, each under its own
key."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from chassis.errors import NotFound
from chassis.ids import derived_id
from chassis.message import Message
from chassis.service import on
from contracts.complaints import (
    AnswerDuplicate,
    ComplaintAnswered,
    ComplaintClosed,
    ComplaintReferred,
    ComplaintRefused,
    DuplicateLinked,
    DuplicateUnlinked,
    LinkDuplicate,
    UnlinkDuplicate,
)
from contracts.message import RULE
from contracts.shapes import Id, Key
from rulebook import rules_of
from services.complaints.batch import Uow
from services.complaints.model import ENDED, Complaint

BY_MAIN = "main-complaint"
ENDS = ComplaintAnswered | ComplaintRefused | ComplaintReferred | ComplaintClosed


@on(LinkDuplicate)
def link(command: LinkDuplicate, uow: Uow) -> DuplicateLinked:
    """Link a complaint to its main one.

    Both are locked, so that two concurrent links cannot form a circle, and the main one cannot end
    in the meantime.
    """
    both = _lock(uow, command.complaint_id, command.main_id)
    if missing := {command.complaint_id, command.main_id} - both.keys():
        raise NotFound(f"Not found: complaint {min(missing)}.")
    complaint = both[command.complaint_id]
    complaint.as_seen(command)
    linked = select(Complaint.id).where(Complaint.main_id == complaint.id).limit(1)
    has_duplicates = uow.scalar(linked.where(Complaint.state.not_in(ENDED))) is not None
    return complaint.link(command, both[command.main_id], uow.today, has_duplicates=has_duplicates)


def _lock(uow: Uow, *identities: str) -> dict[str, Complaint]:
    """Load complaints of several keys for writing, in a fixed order to avoid deadlocks."""
    query = select(Complaint).where(Complaint.id.in_(identities)).order_by(Complaint.id)
    query = query.with_for_update().execution_options(populate_existing=True)
    return {complaint.id: complaint for complaint in uow.scalars(query)}


@on(UnlinkDuplicate)
def unlink(command: UnlinkDuplicate, uow: Uow) -> DuplicateUnlinked:
    """Unlink a complaint."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.unlink(command, rules_of(uow), uow.today)


@on(AnswerDuplicate)
def answer_duplicate(command: AnswerDuplicate, uow: Uow) -> ComplaintAnswered | None:
    """Answer a linked complaint, unless it has changed in the meantime."""
    complaint = uow.require(Complaint, command.complaint_id)
    if complaint.has_ended or complaint.main_id != command.main_id:
        return None
    return complaint.answer(
        command.answer,
        BY_MAIN,
        rules_of(uow),
        uow.today,
        substantiated=command.substantiated,
        main_id=command.main_id,
    )


# -- the end of the main complaint; all its links are known by then


@on(ComplaintAnswered)
def answer_all(event: ComplaintAnswered, uow: Uow) -> None:
    """Answer each complaint linked to an answered one."""
    for duplicate in uow.state.duplicates.get(event.complaint_id, ()):
        uow.record(
            AnswerDuplicate(
                complaint_id=Key(duplicate),
                main_id=Id(event.complaint_id),
                answer=event.answer,
                substantiated=event.substantiated,
            ),
            identity=derived_id("answer", duplicate, event.complaint_id, event.version),
        )


@on(ComplaintRefused, ComplaintReferred, ComplaintClosed)
def free_all(event: ComplaintRefused | ComplaintReferred | ComplaintClosed, uow: Uow) -> None:
    """Unlink each complaint linked to one that ended without an answer."""
    for duplicate in uow.state.duplicates.get(event.complaint_id, ()):
        uow.record(
            UnlinkDuplicate(
                complaint_id=Key(duplicate),
                main_id=Id(event.complaint_id),
                by=RULE,
                reason=event.type,
            ),
            identity=derived_id("free", duplicate, event.complaint_id, event.version),
        )


def load_duplicates(messages: Iterable[Message], uow: Uow) -> None:
    """Load the duplicates of the batch's ended complaints, in one query."""
    ended = {m.payload.complaint_id for m in messages if isinstance(m.payload, ENDS)}
    found: dict[str | None, list[str]] = {}
    if ended:
        query = select(Complaint.main_id, Complaint.id).where(
            Complaint.main_id.in_(ended), Complaint.state.not_in(ENDED)
        )
        for main, duplicate in uow.execute(query.order_by(Complaint.id)):
            found.setdefault(main, []).append(duplicate)
    uow.state.duplicates = found
