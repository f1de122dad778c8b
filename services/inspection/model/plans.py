"""Patrol plans: the enterprises that the officers of a grid visit on a day."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chassis.aggregate import Aggregate
from contracts.inspection import DrawPatrolPlan, PatrolPlanDrawn, Stop
from services.inspection.model.base import Base


class PatrolPlan(Aggregate, Base):
    """A day's plan for a grid; its stops are on no other plan of that day."""

    __tablename__ = "patrol_plans"
    __table_args__ = (Index("patrol_plans_of_day", "grid", "day"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    grid: Mapped[str] = mapped_column(String(16))
    day: Mapped[date]
    officers: Mapped[list[str]]
    enterprises: Mapped[list[str]]

    @classmethod
    def draw(
        cls,
        command: DrawPatrolPlan,
        stops: list[Stop],
        *,
        capacity: int,
        left_out: int,
        rules_version: str,
    ) -> PatrolPlan:
        """Record a plan as drawn."""
        made = cls(
            id=command.plan_id,
            grid=command.grid,
            day=command.day,
            officers=command.officers,
            enterprises=[stop.enterprise_id for stop in stops],
        )
        made.record(
            PatrolPlanDrawn.echo(
                command,
                capacity=capacity,
                stops=stops,
                left_out=left_out,
                rules_version=rules_version,
            )
        )
        return made
