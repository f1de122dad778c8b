"""Numbers of papers: consecutive for each kind and year, without gaps or doubles.

A paper is entered without its number. When everything of a transaction has been written, the rows
of `series` are locked, in the order of their names, and the numbers are drawn; the commit follows.
So who waits for a number waits for no more than a commit, and what is undone leaves no gap.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

from chassis.message import Message
from chassis.service import Service
from chassis.storage.unit_of_work import Work
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
from rulebook import FollowsRules
from rulebook.working_days import day_of
from services.inspection.model import Series

PAPERS: dict[type[Numbered], str] = {
    NoticeIssued: "notice",
    ClosureOrdered: "closure",
    PromptSlipIssued: "prompt",
    ProblemSlipIssued: "problem",
    SupervisionSlipIssued: "supervision",
    FeedbackSlipIssued: "feedback",
}
"""What each paper is called in the rulebook."""


class Bearer(Protocol):
    """An aggregate that bears the number of a paper."""

    def bear(self, number: str) -> None:
        """Take the number."""


Entered = tuple[Message, Bearer]


def enter(db: Work, paper: Bearer) -> None:
    """Add what begins with a paper; it gets its number at the end of the transaction."""
    said = len(db.outgoing)
    db.add(paper)
    issued = next(m for m in db.outgoing[said:] if isinstance(m.fact, Numbered))
    db.info.setdefault("papers", []).append((issued, paper))


class NumbersPapers(FollowsRules, Service):
    """Mixed into inspection: gives every paper its number, last of all."""

    def finish(self, db: Work) -> None:
        """Draw the numbers of what was entered."""
        super().finish(db)
        entered: list[Entered] = db.info.pop("papers", [])
        if not entered:
            return
        db.flush()  # whatever could make this transaction wait has been waited for
        series: dict[tuple[str, int], list[Entered]] = defaultdict(list)
        for issued, paper in entered:
            series[PAPERS[type(issued.fact)], day_of(issued.moment).year].append((issued, paper))
        for (kind, year), papers in sorted(series.items(), key=lambda item: item[0]):
            self._number(db, kind, year, papers)
        self._tell_who_asked(db, entered)

    def _number(self, db: Work, kind: str, year: int, papers: list[Entered]) -> None:
        last = self._draw(db, kind, year, len(papers))
        for number, (issued, paper) in enumerate(papers, start=last - len(papers) + 1):
            written = self.rulebook.on(day_of(issued.moment)).number(kind, year, number)
            issued.restate(issued.fact.bearing(written))
            paper.bear(written)

    def _draw(self, db: Work, kind: str, year: int, count: int) -> int:
        """Lock a series and draw so many numbers; give the last of them."""
        table = Series.metadata.tables[Series.__tablename__]
        drawn = self.store.insert_or_add(table, ["name"]).returning(table.c.last)
        name = f"{self.rulebook.district.code}/{kind}/{year}"
        end: int = db.connection().execute(drawn, {"name": name, "last": count}).scalar_one()
        return end

    @staticmethod
    def _tell_who_asked(db: Work, entered: list[Entered]) -> None:
        """Let the outcome of a command that ordered a paper tell its number too."""
        by_cause = {issued.envelope.causationid: issued.fact for issued, _ in entered}
        for message in db.outgoing:
            fact = message.fact
            if isinstance(fact, CommandSettled) and (fact.result or {}).get("number") == "":
                fact.result["number"] = by_cause[fact.command_id].number  # type: ignore[index]
                message.restate(fact)
