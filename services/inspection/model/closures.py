"""Closures (關停): one at a time, until a re-inspection finds no open issue."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from chassis.errors import Conflict, at
from contracts.inspection import (
    ClosureLifted,
    ClosureOrdered,
    ClosureReinspected,
    Grounds,
    LiftClosure,
    Lifting,
    ReinspectClosure,
)
from contracts.shapes import Id, Key, Words
from rulebook.chapters.inspection import Extension
from services.inspection.model.base import Base, NotAcceptable, Premises
from services.inspection.model.papers import Paper


class AlreadyClosed(Conflict):
    """The enterprise is already closed by order."""


class AlreadyLifted(Conflict):
    """The closure has already been lifted."""


class NotReinspected(Conflict):
    """No re-inspection of the closure has found all issues settled; an approver may lift it."""


class Closure(Paper, Aggregate, Base):
    """An order that closes an enterprise (關停); one at a time.

    `clean_visit_id` is the latest re-inspection, if it found no open issue.
    """

    __tablename__ = "closures"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64), index=True)
    ordered_on: Mapped[date]
    lifted_on: Mapped[date | None]
    clean_visit_id: Mapped[str | None] = mapped_column(String(64))

    @classmethod
    def order(
        cls,
        closure_id: str,
        premises: Premises,
        grounds: Grounds,
        reason: Words,
        today: date,
        *,
        issue_id: str | None = None,
        notice_id: str | None = None,
    ) -> Closure:
        """Order the premises closed; rejected while another closure stands."""
        if premises.closure_id:
            raise AlreadyClosed(closure_id=premises.closure_id)
        premises.closure_id = closure_id
        made = cls(id=closure_id, enterprise_id=premises.enterprise_id, ordered_on=today)
        made.record(
            ClosureOrdered(
                closure_id=Id(closure_id),
                enterprise_id=Key(premises.enterprise_id),
                grounds=grounds,
                reason=reason,
                ordered_on=today,
                issue_id=Id(issue_id) if issue_id else None,
                notice_id=Id(notice_id) if notice_id else None,
            )
        )
        return made

    def must_allow(self, command: ReinspectClosure, open_issues: Collection[str]) -> None:
        """Raise an error for a re-inspection after the lifting or before the order, or with issues
        that are not open."""
        self.must_stand()
        errors = [
            at(f"standing/{n}", "is no open issue of the enterprise")
            for n, issue in enumerate(command.standing)
            if issue not in open_issues
        ]
        if command.day < self.ordered_on:
            errors.append(at("day", f"lies before the closure, {self.ordered_on}"))
        if errors:
            raise NotAcceptable(errors=errors)

    def reinspect(self, command: ReinspectClosure) -> ClosureReinspected:
        """Record the issues that a re-inspection found standing."""
        clean = not command.standing
        self.clean_visit_id = command.visit_id if clean else None
        return self.record(ClosureReinspected.echo(command, clean=clean))

    def lift(
        self, command: LiftClosure, premises: Premises, rule: Extension, today: date,
        *, standing: Collection[str] = (),
    ) -> ClosureLifted:  # fmt: skip
        """Lift the closure: after a re-inspection without open issues, or as an exception that an
        approver other than the requester answers for."""
        self.must_stand()
        if command.approver is None:
            visit = command.visit_id or self.clean_visit_id
            if visit is None or visit != self.clean_visit_id or standing:
                raise self.conflict(NotReinspected, issues=sorted(standing))
            on = {"ground": Lifting.REINSPECTION, "visit_id": visit}
        elif rule.other_approver and command.approver == command.by:
            raise NotAcceptable(errors=[at("approver", "is who asks for it")])
        else:
            on = {"ground": Lifting.EXCEPTION}
        self.lifted_on, premises.closure_id = today, None
        return self.record(ClosureLifted.echo(command, lifted_on=today, **on))

    def must_stand(self) -> None:
        """Raise an error if the closure has been lifted."""
        if self.lifted_on:
            raise self.conflict(AlreadyLifted, lifted_on=self.lifted_on.isoformat())
