"""Rosters of a day, person by person: fit for duty, or unfit with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from chassis.errors import at
from contracts.filing import ReportRosterLines, RosterLine
from contracts.shapes import Point
from services.filing.model.records import Faults

if TYPE_CHECKING:
    from rulebook import Rulebook

PROVINCE = 2
"""The number of digits of a division code that name the province."""
DIVISION = 6


@dataclass(frozen=True)
class Judged:
    """The result of a roster: one for each row, and the totals.

    Only a person who is fit, on a readable row, is on duty; so nobody is counted twice, and `staff`
    is the sum of `on_duty`, `unfit` and `unread`.
    """

    rows: Sequence[dict[str, Any]]
    counts: dict[str, int]


def judge(command: ReportRosterLines, book: Rulebook) -> Judged:
    """Judge every row by the health rules; a contradictory row counts as unread."""
    rows: dict[int, dict[str, Any]] = {}
    for unread in command.unread:
        rows[unread.row] = _unread(unread.row, [fault.to_data() for fault in unread.errors])
    seen: dict[str, int] = {}
    strangers = 0
    for line in command.lines:
        faults = _faults_of(line, command.day, seen)
        if faults:
            rows[line.row] = _unread(line.row, faults)
            continue
        seen[line.worker_ref] = line.row
        reasons = _unfit_for(line, command.day, book)
        rows[line.row] = _result(line.row, reasons)
        home = line.home[:PROVINCE] != book.district.code[:PROVINCE]
        strangers += home and not reasons
    states = [row["state"] for row in rows.values()]
    return Judged(
        [rows[number] for number in sorted(rows)],
        {
            "staff": len(rows),
            "on_duty": states.count("on_duty"),
            "out_of_province": strangers,
            "unfit": states.count("not_on_duty"),
            "unread": states.count("unread"),
        },
    )


def _unread(row: int, errors: Faults) -> dict[str, Any]:
    return {"row": row, "state": "unread", "errors": errors}


def _result(row: int, reasons: list[Point]) -> dict[str, Any]:
    if not reasons:
        return {"row": row, "state": "on_duty"}
    return {"row": row, "state": "not_on_duty", "reasons": [one.to_data() for one in reasons]}


def _faults_of(line: RosterLine, day: date, seen: dict[str, int]) -> Faults:
    """Return the contradictions of a row in itself, with the day, or with an earlier row."""
    faults = []
    if line.worker_ref in seen:
        faults.append(at("worker", f"is already on row {seen[line.worker_ref]}"))
    if not _is_division(line.home):
        faults.append(at("home", f"is not a division code of {DIVISION} digits"))
    if line.arrived_from is not None and not _is_division(line.arrived_from):
        faults.append(at("arrived_from", f"is not a division code of {DIVISION} digits"))
    if line.arrived_on is not None and line.arrived_on > day:
        faults.append(at("arrived_on", f"lies after the day of the roster, {day}"))
    if line.arrived_on is None and line.arrived_from is not None:
        faults.append(at("arrived_on", "is needed with arrived_from"))
    if line.arrived_from is None and line.arrived_on is not None:
        faults.append(at("arrived_from", "is needed with arrived_on"))
    return faults


def _is_division(code: str) -> bool:
    return len(code) == DIVISION and code.isascii() and code.isdigit()


def _unfit_for(line: RosterLine, day: date, book: Rulebook) -> list[Point]:
    """Return every reason why a person is not on duty that day.

    An arrival is judged by the rules of its own day: later removal of an area from the list changes
    nothing for those who came earlier.
    """
    reasons = []
    if line.arrived_on is not None and line.arrived_from is not None:
        found = book.on(line.arrived_on).quarantined_until(line.arrived_from, line.arrived_on)
        if found is not None and day < found[0]:
            said = book.say(
                "In quarantine until %(day)s: arrived from %(area)s on %(arrived)s.",
                day=found[0], area=found[1], arrived=line.arrived_on,
            )  # fmt: skip
            reasons.append(Point(code=book.quarantine.code, words=said))
    if line.temperature is not None and line.temperature >= book.fever.tenths:
        said = book.say(
            "Temperature %(given)s °C; from %(limit)s °C on nobody is on duty.",
            given=line.temperature / 10, limit=book.fever.tenths / 10,
        )  # fmt: skip
        reasons.append(Point(code=book.fever.code, words=said))
    if line.unwell:
        reasons.append(Point(code="unwell", words=book.say("Unwell")))
    return reasons
