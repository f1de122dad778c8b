"""The registry of enterprises, and the rosters of those that are open."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from chassis.errors import at
from chassis.message import Message
from chassis.service import on
from chassis.storage.unit_of_work import Work
from contracts.filing import (
    CorrectEnterprise,
    RegisterEnterprise,
    ReportRoster,
    ReportRosterLines,
)
from rulebook import FollowsRules
from services.filing.finding import enterprise_of
from services.filing.model import CodeTaken, Enterprise, judge

CODES = ("credit_code", "registration_number")


class KeepsRegistry(FollowsRules):
    """Mixed into filing: knows every enterprise, each once, and who is on duty there."""

    @on(RegisterEnterprise)
    def register(self, asked: RegisterEnterprise, db: Work) -> object:
        """Enter an enterprise, unless one of its codes or what it says of itself forbids it."""
        made = Enterprise.register(asked, self.rules(db), db.today)
        self._claim_codes(asked, db)
        db.add(made)
        return db.outgoing[-1].fact

    @on(CorrectEnterprise)
    def correct(self, asked: CorrectEnterprise, db: Work) -> object:
        """Mend the record of an enterprise."""
        enterprise = enterprise_of(db, asked.enterprise_id)
        enterprise.as_seen(asked)
        self._refuse_taken(asked, db)
        corrected = enterprise.correct(asked, self.rules(db), db.today)
        self._claim_codes(asked, db)
        return corrected

    @on(ReportRoster)
    def report_roster(self, asked: ReportRoster, db: Work) -> object:
        """Take the staff of a day in numbers."""
        enterprise = enterprise_of(db, asked.enterprise_id)
        enterprise.as_seen(asked)
        return enterprise.report(asked, db.today, self.rules(db))

    @on(ReportRosterLines)
    def report_roster_lines(self, asked: ReportRosterLines, db: Work) -> dict[str, object]:
        """Take the staff of a day person by person, and answer what came of each row.

        No row is kept, and no fact names anybody: only the answer to the enterprise tells which
        rows are not on duty, and why.
        """
        enterprise = enterprise_of(db, asked.enterprise_id)
        enterprise.as_seen(asked)
        judged = judge(asked, self.rules(db))
        fact = enterprise.report_lines(asked.day, judged, db.today, self.rules(db))
        return fact.to_data() | {"rows": list(judged.rows)}

    # -- codes

    def look_up_codes(self, messages: Iterable[Message], db: Work) -> None:
        """Look up at once which of a batch's codes are in the registry."""
        facts = [message.fact for message in messages]
        for name in CODES:
            codes = {getattr(fact, name, None) for fact in facts} - {None}
            column = getattr(Enterprise, name)
            query = select(column, Enterprise.id).where(column.in_(codes))
            rows = db.connection().execute(query) if codes else ()
            db.info[name] = {row[0]: row.id for row in rows}

    def _refuse_taken(self, asked: RegisterEnterprise | CorrectEnterprise, db: Work) -> None:
        """Raise `CodeTaken`, which names the enterprise that was first."""
        taken = {
            name: first
            for name in CODES
            if (first := db.info[name].get(getattr(asked, name))) and first != asked.enterprise_id
        }
        if taken:
            first = next(iter(taken.values()))
            raise CodeTaken(
                f"The enterprise {first} is registered with it.",
                errors=[at(name, f"belongs to {owner}") for name, owner in taken.items()],
                enterprise_id=first,
            )

    def _claim_codes(self, asked: RegisterEnterprise | CorrectEnterprise, db: Work) -> None:
        """Take codes for an enterprise, also against the rest of the batch."""
        self._refuse_taken(asked, db)
        for name in CODES:
            if code := getattr(asked, name):
                db.info[name][code] = asked.enterprise_id
