"""The service `tally`: for each visit an inbox row, a row of state and an event in the outbox.

`python -m bench.ours.tally` runs one process of it.
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Date, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.ours.visits import PremisesVisited
from chassis import logs
from chassis.storage import migrations
from chassis.service import Service, bindings_of, on
from chassis.settings import Settings
from chassis.storage.unit_of_work import UnitOfWork
from console.runtime import district
from console.runtime.serving import serve
from contracts.message import Event
from contracts.shapes import Code, Id, Key


class VisitCounted(Event):
    """A visit has been counted."""

    visit_id: Key
    enterprise_id: Id
    grid: Code


class Base(DeclarativeBase):
    """The tables of the tally."""


class Visit(Base):
    """One visit."""

    __tablename__ = "visits"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64))
    grid: Mapped[str] = mapped_column(String(64))
    visited_on: Mapped[date] = mapped_column(Date)
    officers: Mapped[int] = mapped_column(Integer)


class Tally(Service):
    """Counts visits."""

    name = "tally"
    metadata: MetaData = Base.metadata

    @on(PremisesVisited)
    def count(self, event: PremisesVisited, uow: UnitOfWork) -> None:
        """Record a visit, and that it was counted."""
        uow.add(
            Visit(
                id=event.visit_id,
                enterprise_id=event.enterprise_id,
                grid=event.grid,
                visited_on=event.visited_on,
                officers=event.officers,
            )
        )
        uow.record(
            VisitCounted(
                visit_id=event.visit_id, enterprise_id=event.enterprise_id, grid=event.grid
            )
        )


BINDINGS = bindings_of(Tally)


@contextmanager
def arranged() -> Iterator[None]:
    """Configure the chassis for this service only; restore it afterwards."""
    topology: Any = district.TOPOLOGY
    before, package = dict(topology), migrations.PACKAGE
    migrations.PACKAGE = "bench.ours"
    topology.clear()
    topology[Tally.name] = BINDINGS
    try:
        yield
    finally:
        migrations.PACKAGE = package
        topology.clear()
        topology.update(before)


def main() -> None:
    """Run one process."""
    with arranged():
        settings = Settings.read(http_port=0, data=Path())
        logs.configure(settings.log_level)
        serve(district.District(settings, services=(Tally,)), "Tally")


if __name__ == "__main__":
    main()
