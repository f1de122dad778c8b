"""Judges a district by its databases alone: lost, ghosts, duplicated, out of order.

It reads the databases after the district has stopped, SQLite files or PostgreSQL's, and shares with
the district nothing but the list of who listens to what. What it counts it also tells, a sentence
each. `python -m tests.faults.judging DATABASE_URL [RECORD]` judges what is there now; the record is
what the load has been answered, and what strange messages the harness has put in.
"""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import NullPool, create_engine, text

from console.runtime.district import TOPOLOGY

ANY = "*"
COUNTS = (
    "lost",
    "ghosts",
    "duplicated",
    "out_of_order",
    "contradicted",
    "unsettled",
    "dead",
    "amiss",
)
"""What must be 0."""
EXAMPLES = 8
"""How many sentences of a kind a verdict keeps."""

_SAID = "SELECT seq, id, exchange, type, partitionkey, causationid, sent_at, body FROM outbox"
_PARKED_MESSAGES = "SELECT id, type, state, reason, handler FROM parked_messages"
_COMMANDS = 'SELECT id, idempotency, type, state, status, batch_id, "rows" AS many FROM commands'


@dataclass
class Record:
    """What the load and the harness know: answers by key, and messages that nobody has said.

    A stranger must have no effect: it is refused, set aside or passed over. A guest is in order. An
    impostor has the id of another message, which keeps its effect. The dead are what the broker has
    set aside, each with where and why. What is amiss the harness has seen itself: a process that
    ended though nobody had touched it, or that ran though it must not.
    """

    answers: list[dict[str, Any]] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    guests: set[str] = field(default_factory=set)
    impostors: set[str] = field(default_factory=set)
    dead: list[dict[str, Any]] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, *files: Path) -> Self:
        """Read records, of which the last line may be torn."""
        made = cls()
        for file in files:
            for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if "stranger" in entry:
                    made.strangers.add(entry["stranger"])
                elif "impostor" in entry:
                    made.impostors.add(entry["impostor"])
                elif "guest" in entry:
                    made.guests.add(entry["guest"])
                elif "dead" in entry:
                    made.dead.append(entry)
                elif "amiss" in entry:
                    made.amiss.append(entry["amiss"])
                else:
                    made.answers.append(entry)
        return made


@dataclass
class Books:
    """What the databases of a district hold."""

    said: dict[str, Sequence[Any]]
    handled: dict[str, set[str]]
    parked_messages: dict[str, Sequence[Any]]
    kept: Sequence[Any]
    commands: Sequence[Any]

    @classmethod
    def read(cls, url: str) -> Self:
        """Read them; the URL holds `{service}` where the service's name goes."""
        said, handled, parked_messages = {}, {}, {}
        for name in TOPOLOGY:  # what was said before what was heard of it
            said[name] = _rows(url, name, f"{_SAID} ORDER BY seq")
        for name in TOPOLOGY:
            handled[name] = {row.id.split()[0] for row in _rows(url, name, "SELECT id FROM inbox")}
            parked_messages[name] = _rows(url, name, _PARKED_MESSAGES)
        kept = _rows(url, "gateway", "SELECT position, id, source, causationid FROM events")
        return cls(said, handled, parked_messages, kept, _rows(url, "gateway", _COMMANDS))

    @property
    def messages(self) -> Iterator[Any]:
        """Everything that was said."""
        for rows in self.said.values():
            yield from rows


def _rows(url: str, service: str, query: str) -> Sequence[Any]:
    engine = create_engine(url.format(service=service), poolclass=NullPool)
    with engine.connect() as connection:
        return connection.execute(text(query)).all()


def embedded(data: Path) -> str:
    """Give the URL of an embedded district's databases."""
    return f"sqlite:///{data}/{{service}}.db"


def judge(url: str, record: Record | None = None) -> dict[str, Any]:
    """Give the counts, and some sentences of `evidence` for each that is not 0."""
    record = record or Record()
    books = Books.read(url)
    found: dict[str, list[str]] = {name: [] for name in COUNTS}
    checks = (
        _lost,
        _ghosts,
        _duplicated,
        _out_of_order,
        _contradicted,
        _unsettled,
        _dead,
        _amiss,
    )
    for name, check in zip(COUNTS, checks, strict=True):
        found[name] += check(books, record)
    alone = [row for row in books.commands if row.many is None]
    parked = [row for rows in books.parked_messages.values() for row in rows]
    expected = record.strangers | record.impostors
    return {
        "accepted": len(alone),
        "said": sum(map(len, books.said.values())),
        "parked": sum(row.id not in expected for row in parked),
        "refused": sum(row.id in expected for row in parked),
        **{name: len(sentences) for name, sentences in found.items()},
        "evidence": {name: said[:EXAMPLES] for name, said in found.items() if said},
        "parked_messages": [
            f"{row.type} {row.id} {row.state}: {row.reason}"
            for row in parked
            if row.id not in expected
        ][:EXAMPLES],
    }


def under_way(url: str, record: Record | None = None) -> list[str]:
    """Tell what has not come to rest; a waiting parked message has not either, unless it is a
    stranger's: what nobody knows waits for a newer version."""
    books, record = Books.read(url), record or Record()
    waiting = [
        f"{row.type} {row.id} waits at {name}: {row.reason}"
        for name, rows in books.parked_messages.items()
        for row in rows
        if row.state == "retrying" and row.id not in record.strangers
    ]
    return [*_lost(books, Record()), *_unsettled(books, record), *waiting]


def _subscribers(row: Any) -> Iterator[str]:
    for service, bound in TOPOLOGY.items():
        if (row.exchange, row.type) in bound or (ANY, row.type) in bound:
            yield service


def _lost(books: Books, record: Record) -> Iterator[str]:
    """Find messages that were said and that a subscriber neither handled nor parked, and requests
    that were accepted and are not there."""
    for row in books.messages:
        if row.sent_at is None:
            yield f"{row.type} {row.id} of {row.partitionkey} was never sent"
            continue
        for name in _subscribers(row):
            if row.id not in books.handled[name]:
                yield f"{row.type} {row.id} of {row.partitionkey} has not reached {name}"
    said, known = {row.id for row in books.said["gateway"]}, set()
    for row in books.commands:
        known.add(row.idempotency)
        if row.many is None and row.id not in said and row.state != "dead":
            yield f"the command {row.id} was taken in and never said"
    for answer in record.answers:
        if answer["status"] < 300 and answer["name"] not in known:
            yield f"{answer['name']} was answered {answer['status']} and is not there"


def _ghosts(books: Books, record: Record) -> Iterator[str]:
    """Find what was handled or kept and that nobody has said, and effects of strangers."""
    known = {row.id for row in books.messages} | record.guests
    for name, ids in books.handled.items():
        for identity in ids - known - record.strangers:
            yield f"{name} has handled {identity}, which nobody has said"
    for row in books.kept:
        if row.id not in known:
            yield f"the gateway keeps {row.id} of {row.source}, which nobody has said"
    for row in books.messages:
        if row.causationid in record.strangers:
            yield f"{row.type} {row.id} follows from the stranger {row.causationid}"
        elif row.causationid and row.causationid not in known:
            yield f"{row.type} {row.id} follows from {row.causationid}, which nobody has said"


def _duplicated(books: Books, record: Record) -> Iterator[str]:
    """Find effects that happened twice: two outcomes of a command, two facts of one thing."""
    once: Counter[tuple[str, ...]] = Counter()
    for row in books.messages:
        once["said", row.id] += 1
        if row.type in FIELDS:
            once[row.type, str(json.loads(row.body)[FIELDS[row.type]])] += 1
        if row.type in PER_CAUSE and row.causationid:
            once[row.type, "caused by", row.causationid] += 1
    once.update(("kept", row.id) for row in books.kept)
    yield from _set_aside_all_the_same(books, record)
    for what, count in once.items():
        for _ in range(count - 1):
            yield f"{' '.join(what)} happened {count} times"


def _set_aside_all_the_same(books: Books, record: Record) -> Iterator[str]:
    """Find parked messages of messages that have had their effect, which they would have once
    more."""
    for name, parked in books.parked_messages.items():
        effects = {row.causationid for row in books.said[name]}
        if name == "gateway":
            effects |= {row.id for row in books.kept}
        for row in parked:
            has_it = row.id in effects or any(words in row.reason for words in THERE_ALREADY)
            if has_it and row.handler is None and row.id not in record.impostors:
                yield f"{row.type} {row.id} is a parked message of {name}, and has had its effect"


THERE_ALREADY = ("UniqueViolation", "UNIQUE constraint failed")
"""What a parked message's reason says when its effect is in a table already."""

FIELDS = {
    "command-settled": "command_id",
    "enterprise-registered": "credit_code",
    "policy-issued": "holder_id",
    "filing-submitted": "filing_id",
    "filing-approved": "filing_id",
    "enterprise-reopened": "filing_id",
    "visit-planned": "visit_id",
    "visit-recorded": "visit_id",
    "issue-found": "issue_id",
    "issue-rectified": "issue_id",
    "notice-issued": "issue_id",
    "notice-satisfied": "notice_id",
    "closure-ordered": "closure_id",
    "closure-lifted": "closure_id",
    "complaint-received": "complaint_id",
    "complaint-answered": "complaint_id",
    "medic-enrolled": "holder_ref",
    "prompt-slip-issued": "slip_id",
    "problem-slip-issued": "slip_id",
    "supervision-slip-issued": "slip_id",
    "feedback-slip-issued": "slip_id",
}
"""What happens once: the type, and the field that says to whom."""
PER_CAUSE = frozenset(
    {"prompt-slip-issued", "liaison-assigned", "complaint-checked", "enterprise-suspended"}
)
"""What follows at the most once from any one message."""


def _out_of_order(books: Books, record: Record) -> Iterator[str]:
    """Find events that overtook an earlier one of their publisher and key.

    Rows of a key whose causes have other keys may be written by two replicas at once; between them
    there is no order but that in which they were committed.
    """
    position = {row.id: row.position for row in books.kept}
    keys = {row.id: row.partitionkey for row in books.messages}
    for rows in books.said.values():
        last: dict[tuple[str, str | None], Any] = defaultdict(lambda: (0, None))
        for row in rows:
            if row.id not in position:
                continue
            lane = row.partitionkey, keys.get(row.causationid, row.causationid)
            before, earlier = last[lane]
            if position[row.id] < before:
                yield (
                    f"{row.type} {row.id} (seq {row.seq}) of {row.partitionkey} was kept before "
                    f"{earlier.type} {earlier.id} (seq {earlier.seq})"
                )
            else:
                last[lane] = position[row.id], row


def _contradicted(books: Books, record: Record) -> Iterator[str]:
    """Find keys that were answered in two ways, or otherwise than their command ended."""
    commands = {row.idempotency: row for row in books.commands}
    answers: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for answer in record.answers:
        if answer["status"] != 202 and answer["name"] in commands:
            answers[answer["name"]].add((answer["status"], answer["digest"]))
    for name, given in answers.items():
        if len(given) > 1:
            yield f"{name} was answered in {len(given)} ways: {sorted(given)}"
        wanted = "done" if next(iter(given))[0] < 300 else "rejected"
        row = commands[name]
        if row.many is None and row.state != wanted:
            yield f"{name} was answered as {wanted} and is {row.state}"
    ended = {
        body["command_id"]: body["outcome"]
        for row in books.messages
        if row.type == "command-settled" and (body := json.loads(row.body))
    }
    sent = {row.id for row in books.said["gateway"]}
    for row in books.commands:
        if row.state != "pending" and row.id in sent and ended.get(row.id) != row.state:
            yield f"the command {row.id} is {row.state}, and ended as {ended.get(row.id)}"


def _unsettled(books: Books, _record: Record) -> Iterator[str]:
    """Find commands that the gateway knows no outcome of, and those that were handled and that
    nobody has said an outcome of."""
    for row in books.commands:
        if row.many is None and row.state == "pending":
            yield f"the command {row.id} ({row.type}) has no outcome"
    ended = {
        json.loads(row.body)["command_id"]
        for row in books.messages
        if row.type == "command-settled"
    }
    for row in books.messages:
        target, _, kind = row.exchange.rpartition(".")
        if kind != "commands" or row.id in ended or row.id not in books.handled.get(target, ()):
            continue
        if all(parked_message.id != row.id for parked_message in books.parked_messages[target]):
            yield f"{row.type} {row.id} was handled by {target}, and has no outcome"


def _dead(books: Books, record: Record) -> Iterator[str]:
    """Find what somebody has said, and the broker has set aside."""
    said = {row.id: row for row in books.messages}
    for entry in record.dead:
        identity = entry["dead"]
        if identity in record.guests or identity in said.keys() - record.impostors:
            kind = said[identity].type if identity in said else "a guest"
            yield f"{kind} {identity} is a dead letter at {entry['at']}: {entry['why']}"


def _amiss(_books: Books, record: Record) -> Iterator[str]:
    yield from record.amiss


def whole(verdict: dict[str, Any]) -> bool:
    """Tell whether nothing is wrong."""
    return not any(verdict[name] for name in COUNTS)


def main(arguments: Iterable[str]) -> int:
    """Judge by the command line; 1 unless the district is whole."""
    url, *records = arguments
    verdict = judge(url, Record.read(*map(Path, records)))
    json.dump(verdict, sys.stdout, ensure_ascii=False, indent=2)
    return 0 if whole(verdict) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
