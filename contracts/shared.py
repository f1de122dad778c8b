"""Contracts of every service: command outcomes, the handling of an hour, and resending."""

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
    """A service has found its due cases of an hour, and has sent itself a command for each.

    One page of cases a message; `last` is true on the last page.
    """

    clock: Key = Key("clock")
    hour_id: Id
    at: datetime
    cases: Count
    last: bool


class SweepHour(Command):
    """Continue with an hour after the last page: sent by a service to itself."""

    clock: Key = Key("clock")
    hour_id: Id
    at: datetime
    sweep: Code
    after: list[str] = field(default_factory=list)
    by: Code = RULE


class Resend(Command):
    """Publish again the messages to one service since a moment, as one of its queues was lost.

    `partition` is that of the queue. `marker` is repeated in the `resend-began` that comes first.
    """

    resend: Key = Key("resend")
    receiver: Code
    partition: Count
    since: datetime
    marker: Id
    by: Code = RULE


class ResendBegan(Event):
    """From here on a publisher resends, in order, the messages that a lost queue may have held.

    It is sent only to the service that asked. `marked` tells that the resent messages carry the
    marker too, which distinguishes them from the first sending.
    """

    lane: Key
    marker: Id
    marked: bool = False


SWEEPERS = ("filing", "inspection", "complaints", "insurance")
"""The services with deadlines, which publish for each hour their due cases."""
