"""The checklist: the questions for each kind of premises, valid answers, and failing ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from marshmallow import validate

from contracts.shapes import Words
from rulebook.chapters.district import ForPremises
from rulebook.entries import Entry
from rulebook.reading import AnyField, Files, Number, Truth, among, fault, several, text

FILE = "checklist.toml"
LONGEST_ANSWER = 2000
"""Longest text answer, in characters."""


class AnswerType(StrEnum):
    """The type of an item's answer."""

    YES_NO = "yes_no"
    NUMBER = "number"
    TEMPERATURE = "temperature"
    COUNT = "count"
    CHOICE = "choice"
    TEXT = "text"


YES, NO = Words(zh="是", en="Yes"), Words(zh="否", en="No")
MEASURED = (AnswerType.NUMBER, AnswerType.TEMPERATURE, AnswerType.COUNT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Entry):
    """A rule of the checklist, with the severity of a fault against it."""

    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MustNot(ForPremises):
    """A must-not (不得) in its own words, with the rules that it covers."""

    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(ForPremises):
    """One question of the checklist: its valid answers, and the failing ones.

    `lowest` and `highest` bound the valid answers, in `unit`; an answer fails if it is not the one
    that `passes`, is below `at_least`, above `at_most`, or among `fails`, and is then a fault
    against `rule`.
    """

    answer: str
    rule: str | None
    required: bool
    passes: bool | None
    unit: str | None
    lowest: float | None
    highest: float | None
    at_least: float | None
    at_most: float | None
    choices: tuple[str, ...]
    fails: tuple[str, ...]

    def unlike(self, answer: Any) -> str | None:
        """Return the reason why an answer is invalid; None for a valid one."""
        match self.answer:
            case AnswerType.YES_NO:
                return None if isinstance(answer, bool) else "is neither true nor false"
            case AnswerType.CHOICE:
                known = isinstance(answer, str) and answer in self.choices
                return None if known else f"is none of {', '.join(self.choices)}"
            case AnswerType.TEXT:
                some = isinstance(answer, str) and answer.strip()
                fits = some and len(answer) <= LONGEST_ANSWER
                return None if fits else f"is not a text of 1 to {LONGEST_ANSWER} characters"
        return self._unmeasured(answer)

    def _unmeasured(self, answer: Any) -> str | None:
        whole = self.answer == AnswerType.COUNT
        kind = int if whole else (int, float)
        if isinstance(answer, bool) or not isinstance(answer, kind) or not math.isfinite(answer):
            return "is not a whole number" if whole else "is not a number"
        low, high = self.lowest or 0, self.highest
        if answer < low or (high is not None and answer > high):
            return f"is not between {low:g} and {high:g}"
        return None

    def fails_with(self, answer: Any) -> bool:
        """Return whether an answer is a fault against the item's rule."""
        if self.answer == AnswerType.YES_NO:
            return self.passes is not None and answer is not self.passes
        if self.answer == AnswerType.CHOICE:
            return answer in self.fails
        return (self.at_least is not None and answer < self.at_least) or (
            self.at_most is not None and answer > self.at_most
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """The checklist of one edition; `version` is derived from its contents."""

    name: Entry
    version: str
    rules: Mapping[str, Rule]
    items: Mapping[str, Item]
    must_nots: Mapping[str, MustNot]
    units: Mapping[str, Entry]
    choices: Mapping[str, Entry]

    def items_for(self, premises: str) -> dict[str, Item]:
        """Return the items for a kind of premises, in order, as a new dict."""
        return {code: one for code, one in self.items.items() if one.holds_for(premises)}

    def words_of(self, item: Item, answer: Any) -> Words:
        """Return an answer in words, with its unit."""
        if isinstance(answer, bool):
            return YES if answer else NO
        if item.answer == AnswerType.CHOICE:
            return self.choices[answer].words
        if item.answer == AnswerType.TEXT:
            return Words(zh=answer, en=answer)
        unit = self.units[item.unit].words if item.unit else Words(zh="", en="")
        return Words(zh=f"{answer:g}{unit.zh}", en=f"{answer:g} {unit.en}".rstrip())


def read(files: Files, which: AnyField, severity: AnyField) -> Checklist:
    """Read the checklist; items are optional: without them only findings are recorded."""
    version = files.digest(FILE)
    name = files.single(FILE, "checklist", Entry)
    rules = files.table(FILE, "rule", Rule, severity=severity)
    breaks = several(text(among(rules, FILE)))
    units = files.perhaps(FILE, "unit", Entry)
    choices = files.perhaps(FILE, "choice", Entry)
    return Checklist(
        name=name,
        version=f"{name.code}-{version}",
        rules=rules,
        items=_items(files, which, {"rule": rules, "unit": units, "choice": choices}),
        must_nots=files.perhaps(FILE, "must_not", MustNot, premises=which, rules=breaks),
        units=units,
        choices=choices,
    )


def _items(
    files: Files, which: AnyField, known: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Item]:
    """Read the items, each of which must have passing and failing answers."""
    number, choice = Number(load_default=None), text(among(known["choice"], FILE))
    items = files.perhaps(
        FILE,
        "item",
        Item,
        premises=which,
        answer=text(validate.OneOf([*AnswerType])),
        rule=text(among(known["rule"], FILE), load_default=None),
        required=Truth(load_default=True),
        passes=Truth(load_default=None),
        unit=text(among(known["unit"], FILE), load_default=None),
        lowest=number,
        highest=number,
        at_least=number,
        at_most=number,
        choices=several(choice),
        fails=several(choice),
    )
    for item in items.values():
        for field, what in _odd(item):
            raise fault(FILE, f'item "{item.code}"', field, what)
    return items


def _odd(item: Item) -> list[tuple[str, str]]:
    """Return the contradictions within an item."""
    measured = item.answer in MEASURED
    bounds = [bound for bound in (item.at_least, item.at_most) if bound is not None]
    can_fail = item.passes is not None or bool(item.fails) or bool(bounds)
    odd = [
        ("passes", "is for yes_no", item.passes is not None and item.answer != AnswerType.YES_NO),
        ("choices", "is for choice", bool(item.choices) != (item.answer == AnswerType.CHOICE)),
        ("fails", "is not among the choices", not {*item.fails} <= {*item.choices}),
        ("highest", "is for what is measured", (item.highest is not None) != measured),
        ("at_least", "is for what is measured", bool(bounds) and not measured),
        ("at_most", "cannot be an answer", any(item.unlike(int(b)) for b in bounds) and measured),
        ("rule", "goes with answers that fail", can_fail != (item.rule is not None)),
    ]
    return [(field, what) for field, what, is_odd in odd if is_odd]
