"""Judges a district by its databases alone: lost, ghosts, done twice, out of order.

It reads the SQLite files after the district has stopped, and shares with the district nothing but
the list of who listens to what.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path

from chassis.service import bindings_of
from console.district import SERVICES

ANY = "*"


def judge(data):
    """Give the four counts, and how many commands were accepted and settled."""
    said, handled, parked = {}, {}, {}
    for service in SERVICES:
        with sqlite3.connect(Path(data) / f"{service.name}.db") as db:
            db.row_factory = sqlite3.Row
            said[service.name] = db.execute("SELECT * FROM outbox ORDER BY seq").fetchall()
            handled[service.name] = {row["id"] for row in db.execute("SELECT id FROM inbox")}
            parked[service.name] = db.execute("SELECT id, state FROM letters").fetchall()
    with sqlite3.connect(Path(data) / "gateway.db") as db:
        db.row_factory = sqlite3.Row
        projected = db.execute("SELECT * FROM events ORDER BY position").fetchall()
        commands = db.execute("SELECT id, state FROM commands WHERE rows IS NULL").fetchall()
    messages = [row for rows in said.values() for row in rows]
    return {
        "accepted": len(commands),
        "unsettled": sum(row["state"] == "pending" for row in commands),
        "parked": sum(len(rows) for rows in parked.values()),
        "lost": _lost(messages, handled),
        "ghosts": _ghosts(messages, handled, projected),
        "duplicated": _duplicated(messages, projected),
        "out_of_order": _out_of_order(said, projected),
    }


def _subscribers(row):
    for service in SERVICES:
        bound = bindings_of(service)
        if (row["exchange"], row["type"]) in bound or (ANY, row["type"]) in bound:
            yield service.name


def _lost(messages, handled):
    """Count messages that were said and that a subscriber neither handled nor parked."""
    return sum(
        row["sent_at"] is None or row["id"] not in handled[name]
        for row in messages
        for name in _subscribers(row)
    )


def _ghosts(messages, handled, projected):
    """Count messages handled or projected that nobody has said."""
    known = {row["id"] for row in messages}
    return sum(identity not in known for ids in handled.values() for identity in ids) + sum(
        row["id"] not in known for row in projected
    )


def _duplicated(messages, projected):
    """Count effects that happened twice: two outcomes of a command, two facts of one thing."""
    once = Counter()
    for row in messages:
        body = json.loads(row["body"])
        if row["type"] == "command-settled":
            once["settled", body["command_id"]] += 1
        for kind, field in ONCE:
            if row["type"] == kind:
                once[kind, body[field]] += 1
    once.update(("projected", row["id"]) for row in projected)
    once.update(("said", row["id"]) for row in messages)
    return sum(count - 1 for count in once.values())


ONCE = (
    ("enterprise-registered", "credit_code"),
    ("policy-issued", "holder_id"),
    ("filing-submitted", "filing_id"),
    ("filing-approved", "filing_id"),
    ("enterprise-reopened", "filing_id"),
    ("visit-recorded", "visit_id"),
    ("issue-found", "issue_id"),
    ("notice-issued", "issue_id"),
    ("notice-satisfied", "notice_id"),
    ("closure-ordered", "closure_id"),
    ("complaint-received", "complaint_id"),
    ("complaint-answered", "complaint_id"),
    ("medic-enrolled", "holder_ref"),
    ("prompt-slip-issued", "slip_id"),
    ("feedback-slip-issued", "slip_id"),
)
"""What happens once: the type, and the field that says to whom."""


def _out_of_order(said, projected):
    """Count events that overtook an earlier one of their publisher and key."""
    position = {row["id"]: row["position"] for row in projected}
    wrong = 0
    for rows in said.values():
        last = defaultdict(int)
        for row in rows:
            if row["id"] in position:
                wrong += position[row["id"]] < last[row["partitionkey"]]
                last[row["partitionkey"]] = max(last[row["partitionkey"]], position[row["id"]])
    return wrong
