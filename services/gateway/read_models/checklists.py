"""Checklists for mobile clients: the questions for a kind of premises, under a version."""

from __future__ import annotations

from datetime import date
from typing import Any

from werkzeug.datastructures import MultiDict

from chassis.errors import NotFound
from rulebook import Entry, Rulebook
from rulebook.chapters.checklist import Checklist, Item
from services.gateway.http.request import BadRequest, once


def checklist(book: Rulebook, parameters: MultiDict[str, str], today: date) -> dict[str, Any]:
    """Return the checklist for `premises`: as of the day `on`, by default today, or under a
    `version`. Raises `BadRequest`, and `NotFound` for an unknown version."""
    query = once(parameters, ["premises", "on", "version"])
    premises, day = query.get("premises", ""), _day(query.get("on"), today)
    if premises not in book.premises:
        raise BadRequest(f"premises must be one of {', '.join(book.premises)}.")
    if "version" in query and "on" in query:
        raise BadRequest("Only one of on and version is allowed.")
    version = query.get("version")
    found = book.checklist_under(version, date.max) if version else book.on(day).checklist
    if found is None:
        raise NotFound(f"There is no checklist {version}.")
    return {
        "version": found.version,
        "premises": premises,
        "words": found.name.words.to_data(),
        "must_nots": [
            _entry(one) | {"rules": [*one.rules]}
            for one in found.must_nots.values()
            if one.holds_for(premises)
        ],
        "items": [_item(item, found) for item in found.items_for(premises).values()],
        "rules": [_entry(rule) | {"severity": rule.severity} for rule in found.rules.values()],
    }


def _day(text: str | None, today: date) -> date:
    try:
        return date.fromisoformat(text) if text else today
    except ValueError:
        raise BadRequest("on must be a day, as 2020-02-20.") from None


def _entry(entry: Entry) -> dict[str, Any]:
    return {"code": entry.code, "words": entry.words.to_data(), "source": entry.source}


def _item(item: Item, of: Checklist) -> dict[str, Any]:
    """Return an item as JSON, with only the properties of its kind of answer."""
    bounds = {
        name: value
        for name in ("passes", "lowest", "highest", "at_least", "at_most")
        if (value := getattr(item, name)) is not None
    }
    rule = of.rules[item.rule] if item.rule else None
    return (
        _entry(item)
        | {"answer": item.answer, "required": item.required}
        | bounds
        | ({"unit": _entry(of.units[item.unit])} if item.unit else {})
        | (
            {
                "choices": [
                    _entry(of.choices[code]) | {"fails": code in item.fails}
                    for code in item.choices
                ]
            }
            if item.choices
            else {}
        )
        | ({"rule": rule.code, "severity": rule.severity} if rule else {})
    )
