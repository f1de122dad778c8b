"""Paper numbers: consecutive for each kind and year, without gaps or duplicates.

A paper is added without its number. When everything else of the transaction is written, the rows of
`series` are locked in the order of their names, and the numbers are drawn; the commit follows. So a
transaction waits for a number no longer than a commit takes, and a rollback leaves no gap.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from chassis.message import Message
from chassis.storage.store import Store
from contracts.inspection import (
    ClosureOrdered,
    FeedbackSlipIssued,
    NoticeIssued,
    Numbered,
    ProblemSlipIssued,
    PromptSlipIssued,
    SupervisionSlipIssued,
)
from contracts.shared import CommandSettled
from rulebook.working_days import day_of
from services.inspection.batch import Uow
from services.inspection.model import Closure, Notice, Series, Slip

PAPERS: dict[type[Numbered], str] = {
    NoticeIssued: "notice",
    ClosureOrdered: "closure",
    PromptSlipIssued: "prompt",
    ProblemSlipIssued: "problem",
    SupervisionSlipIssued: "supervision",
    FeedbackSlipIssued: "feedback",
}
"""The rulebook's code of each paper."""

Paper = Notice | Closure | Slip


def enter(uow: Uow, paper: Paper) -> Any:
    """Add a new paper, which gets its number at the end, and return the event that issues it."""
    issued = uow.add_new(paper)
    uow.state.unnumbered.append(paper)
    return issued


def draw_numbers(uow: Uow, store: Store) -> None:
    """Draw the numbers of the added papers, and set them on the papers and in their events."""
    papers, uow.state.unnumbered = uow.state.unnumbered, []
    if not papers:
        return
    uow.flush()  # every other lock is held by now
    issued = [m for m in uow.outbox if isinstance(m.payload, Numbered) and not m.payload.number]
    series: dict[tuple[str, int], list[tuple[Message, Paper]]] = defaultdict(list)
    for message, paper in zip(issued, papers, strict=True):
        series[PAPERS[type(message.payload)], day_of(message.moment).year].append((message, paper))
    for (kind, year), entered in sorted(series.items(), key=lambda item: item[0]):
        last = _draw(uow, store, kind, year, len(entered))
        for number, (message, paper) in enumerate(entered, start=last - len(entered) + 1):
            written = uow.state.rulebook.on(day_of(message.moment)).number(kind, year, number)
            message.restate(message.payload.bearing(written))
            paper.bear(written)
    _complete_outcomes(uow, issued)


def _draw(uow: Uow, store: Store, kind: str, year: int, count: int) -> int:
    """Lock a series, draw numbers from it, and return the last one."""
    table = Series.metadata.tables[Series.__tablename__]
    drawn = store.statements.insert_or_add(table, ["name"]).returning(table.c.last)
    name = f"{uow.state.rulebook.district.code}/{kind}/{year}"
    last: int = uow.connection().execute(drawn, {"name": name, "last": count}).scalar_one()
    return last


def _complete_outcomes(uow: Uow, issued: list[Message]) -> None:
    """Set the number of a paper in the outcome of the command that ordered it."""
    by_cause = {message.envelope.causationid: message.payload for message in issued}
    for message in uow.outbox:
        event = message.payload
        if isinstance(event, CommandSettled) and (event.result or {}).get("number") == "":
            event.result["number"] = by_cause[event.command_id].number  # type: ignore[index]
            message.restate(event)
