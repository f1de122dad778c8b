"""What every service says alike: how a command ended, and how it dealt with an hour."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from contracts.message import PUBLIC, RULE, Command, Event
from contracts.shapes import Code, Count, Id, Key


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    REJECTED = "rejected"


class CommandSettled(Event):
    """A command has ended: done, with its result, or rejected, with its problem.

    Published by the service that handled it, after the events that it caused and under its key.
    """

    subject_key: Key
    command_id: Id
    command: Code
    outcome: Outcome
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    by: Code = PUBLIC


class HourSwept(Event):
    """A service has found what fell due in an hour, and has sent itself a command for each case.

    One page of cases a message; `last` is true on the last page.
    """

    clock: Key = Key("clock")
    hour_id: Id
    at: datetime
    cases: Count
    last: bool


class SweepHour(Command):
    """Go on with an hour where the last page ended: sent by a service to itself."""

    clock: Key = Key("clock")
    hour_id: Id
    at: datetime
    sweep: Code
    after: list[str] = field(default_factory=list)
    by: Code = RULE


class Resend(Command):
    """Publish again, to one service, what it was sent since a moment: a queue of its was lost.

    `partition` is that of the queue. `marker` comes back in the `resend-began` that goes before.
    """

    resend: Key = Key("resend")
    receiver: Code
    partition: Count
    since: datetime
    marker: Id
    by: Code = RULE


class ResendBegan(Event):
    """From here on a publisher sends again, in its order, what a lost queue may have held.

    It goes to the service that asked, and to nobody else. `marked` says that what is sent again
    carries the marker too, and so can be told from what was sent before.
    """

    lane: Key
    marker: Id
    marked: bool = False


SWEEPERS = ("filing", "inspection", "complaints", "insurance")
"""The services that have deadlines, and say of each hour what it made due."""
