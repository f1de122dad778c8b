"""Validation of officers' findings and answers, by the checklist they used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from chassis.errors import at
from contracts.inspection.commands import RecordPart, RecordVisit
from contracts.inspection.types import Finding
from rulebook import Rulebook
from rulebook.chapters.checklist import Checklist, Item
from services.inspection.model import NotAcceptable, Premises

Faults = list[dict[str, str]]


def judge(
    command: RecordVisit | RecordPart,
    premises: Premises,
    book: Rulebook,
    day: date,
    more: Sequence[dict[str, str]] = (),
) -> tuple[Checklist, list[Finding]]:
    """Return the checklist of a visit, and the findings: those that officers named, and those that
    follow from answers.

    An older checklist that a device has kept is valid; one not yet in force on the day of the visit
    is not. Raises `NotAcceptable` with every error at once, including `more`.
    """
    version = command.checklist_version
    checklist = book.checklist_under(version, day) if version else book.on(day).checklist
    faults = [*more]
    if checklist is None:
        faults.append(at("checklist_version", f"names no checklist that was in force by {day}"))
        raise NotAcceptable(errors=faults)
    items = checklist.items_for(premises.kind)
    faults += _of_findings(command.findings, checklist)
    faults += _of_answers(command, items)
    if faults:
        raise NotAcceptable(errors=faults)
    return checklist, [*command.findings, *_broken(command, items, checklist, book)]


def checklist_of(book: Rulebook, version: str | None, day: date) -> Checklist:
    """Return the checklist that an event pins, else that of the day."""
    pinned = book.checklist_under(version, day) if version else None
    return pinned or book.on(day).checklist


def _of_findings(findings: Sequence[Finding], checklist: Checklist) -> Faults:
    return [
        at(f"findings/{n}/rule", "is not a rule of the checklist")
        for n, finding in enumerate(findings)
        if finding.rule not in checklist.rules
    ] + [
        at(f"findings/{n}/on_record", "is for issues that were rectified on the spot")
        for n, finding in enumerate(findings)
        if finding.on_record and not finding.rectified_on_the_spot
    ]


def _of_answers(command: RecordVisit | RecordPart, items: dict[str, Item]) -> Faults:
    faults = []
    for code, answer in command.answers.items():
        place = f"answers/{code.replace('~', '~0').replace('/', '~1')}"
        item = items.get(code)
        if item is None:
            faults.append(at(place, "is not asked of such premises"))
        elif what := item.unlike(answer):
            faults.append(at(place, what))
    if command.complete:
        faults += [
            at(f"answers/{code}", "is not answered")
            for code, item in items.items()
            if item.required and code not in command.answers
        ]
    return faults


def _broken(
    command: RecordVisit | RecordPart, items: dict[str, Item], checklist: Checklist, book: Rulebook
) -> list[Finding]:
    """Return a finding for each rule that an answer breaks and officers have not named."""
    findings: dict[str, Finding] = {}
    named = {finding.rule for finding in command.findings}
    for code, item in items.items():
        if code in command.answers and item.rule and item.fails_with(command.answers[code]):
            words = checklist.words_of(item, command.answers[code])
            remark = book.say("%(question)s: %(answer)s", question=item.point, answer=words).zh
            before = findings.get(item.rule)
            findings[item.rule] = Finding(
                rule=item.rule, remark=f"{before.remark}\n{remark}" if before else remark
            )
    return [finding for rule, finding in findings.items() if rule not in named]
