"""complaints: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from chassis.message import Message
from chassis.service import Service
from chassis.storage.unit_of_work import Work
from contracts.complaints import FileComplaint
from services.complaints.clocks import WatchesClocks
from services.complaints.desk import WorksOnComplaints
from services.complaints.links import LinksDuplicates
from services.complaints.model import Base, Complaint
from services.complaints.register import TakesIn


class Complaints(TakesIn, WorksOnComplaints, LinksDuplicates, WatchesClocks, Service):
    """Takes in what the public reports and answers it, within the clocks."""

    name = "complaints"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {"complaint_id": Complaint}

    def prepare(self, messages: list[Message], db: Work) -> None:
        """Load at once what a batch is about: its complaints, and those linked to answered ones."""
        super().prepare(messages, db)
        asked = {m.fact.complaint_id for m in messages if isinstance(m.fact, FileComplaint)}
        held = {one.id for one in db.info.get("held", ()) if isinstance(one, Complaint)}
        db.info["unheard_of"] = asked - held
        self.find_duplicates(messages, db)
