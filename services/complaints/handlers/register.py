"""Handlers that file complaints: once by the caller, repeatedly by other registers.

There is one complaint for each number of an outside register. Its id follows from its channel and
number, so that all its revisions arrive in one order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chassis.errors import at
from chassis.message import Message
from chassis.service import on
from contracts.complaints import (
    ComplaintMatched,
    ComplaintReceived,
    ComplaintUnmatched,
    FileComplaint,
    MatchComplaint,
    UnmatchComplaint,
)
from rulebook import rules_of
from services.complaints.batch import Uow
from services.complaints.model import Complaint, NotAcceptable

REVISED, UNCHANGED, OUTDATED = "revised", "unchanged", "outdated"


def note_new(messages: Iterable[Message], uow: Uow) -> None:
    """Record which complaints of the batch are new, after loading the others."""
    filed = {m.payload.complaint_id for m in messages if isinstance(m.payload, FileComplaint)}
    uow.state.new = {identity for identity in filed if uow.held(Complaint, identity) is None}


@on(FileComplaint)
def submit(command: FileComplaint, uow: Uow) -> ComplaintReceived | dict[str, Any]:
    """Record a complaint, or a revision of it.

    An identical or older revision changes nothing, whenever it arrives.
    """
    book, errors = rules_of(uow), []
    if command.channel not in book.channels:
        errors.append(at("channel", "is not a channel of the rulebook"))
    if not command.enterprise_id and not command.against:
        errors.append(at("against", "describe the enterprise, or give its enterprise_id"))
    if errors:
        raise NotAcceptable(errors=errors)
    known = _find(uow, command.complaint_id)
    if known is not None:
        return _revise(known, command, uow)
    complaint = Complaint.receive(command, book, uow.today)
    uow.state.received[complaint.id] = complaint
    received: ComplaintReceived = uow.add_new(complaint)
    return received


def _find(uow: Uow, identity: str) -> Complaint | None:
    received = uow.state.received.get(identity)
    if received is not None or identity in uow.state.new:
        return received
    return uow.get(Complaint, identity)


def _revise(complaint: Complaint, command: FileComplaint, uow: Uow) -> dict[str, Any]:
    became = OUTDATED if command.revision < complaint.revision else UNCHANGED
    if complaint.revise(command, uow.today):
        became = REVISED
        if command.enterprise_id and complaint.enterprise_id is None:
            complaint.match(
                MatchComplaint(
                    complaint_id=command.complaint_id,
                    by=command.by,
                    enterprise_id=command.enterprise_id,
                ),
                uow.today,
            )
    return {
        "complaint_id": complaint.id,
        "created": False,
        "became": became,
        "revision": complaint.revision,
        "version": complaint.version,
    }


@on(MatchComplaint)
def match(command: MatchComplaint, uow: Uow) -> ComplaintMatched:
    """Record which enterprise on record a described one is."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.match(command, uow.today)


@on(UnmatchComplaint)
def unmatch(command: UnmatchComplaint, uow: Uow) -> ComplaintUnmatched:
    """Undo a wrong match."""
    complaint = uow.require(Complaint, command.complaint_id, seen_by=command)
    return complaint.unmatch(command, uow.today)
