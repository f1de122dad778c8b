"""The complaints service and its subscriptions."""

from __future__ import annotations

from typing import ClassVar

from chassis.message import Message
from chassis.schedule import Sweeps
from chassis.service import Service
from rulebook import Rulebook
from services.complaints.batch import Batch, Uow
from services.complaints.handlers import clocks, desk, links, register
from services.complaints.model import Base, Complaint


class Complaints(Service):
    """Receives complaints from the public and answers them in time."""

    name = "complaints"
    metadata = Base.metadata
    handlers = (register, desk, links, clocks, Sweeps(clocks.due_to_move, clocks.due))
    preload: ClassVar[dict[str, type]] = {"complaint_id": Complaint}
    rulebook: Rulebook

    def before_batch(self, messages: list[Message], uow: Uow) -> None:
        """Load the batch's complaints, and the duplicates of ended ones."""
        uow.state = uow.state or Batch(self.rulebook)
        super().before_batch(messages, uow)
        register.note_new(messages, uow)
        links.load_duplicates(messages, uow)
