"""Command endpoints: single commands, batches, the clock; and the records of their outcomes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from chassis.errors import NotFound, Rejected
from chassis.http.responses import answer, in_pieces, rejected
from chassis.message import encode
from chassis.runtime.green import Semaphore
from contracts.shapes import moment_of, moment_to_json
from services.gateway.access.callers import Scope, caller_of, scope_of
from services.gateway.access.scope import access_of
from services.gateway.commands.clock import Clock
from services.gateway.commands.intake import CommandIntake
from services.gateway.commands.parsing import CommandParser
from services.gateway.commands.records import Answered, Entry
from services.gateway.commands.rows import Row, Rows, rows_of
from services.gateway.http.bodies import json_body
from services.gateway.http.etags import (
    NO_THING,
    Contradiction,
    NotAPrecondition,
    PreconditionFailed,
    matches,
    parse_if_match,
    refuse_if_match,
    with_seen,
)
from services.gateway.http.media_types import JSON
from services.gateway.http.request import PAGES, idempotency_key, load, next_page, once, page_of
from services.gateway.read_models.queries import Reads
from services.gateway.resources.gateway import ClockBody
from services.gateway.resources.post import Post
from services.gateway.resources.roles import Role
from services.gateway.tables import DONE, PENDING, REJECTED

if TYPE_CHECKING:
    from services.gateway.access.scope import AccessScope

PAGE = 100
"""Rows of a batch whose outcomes are read at once."""
LONGEST_WAIT = 60.0


class CommandEndpoints:
    """Submits commands and returns their outcomes."""

    def __init__(
        self,
        intake: CommandIntake,
        clock: Clock,
        parser: CommandParser,
        reads: Reads,
        *,
        wait: float,
    ) -> None:
        self.clock, self.parser, self.reads = clock, parser, reads
        self._intake = intake
        self.store = intake.store
        self._wait = wait
        """Seconds for which a request waits by default."""
        self._turn = Semaphore(1)
        """Limits the rows in memory as commands to one batch at a time."""

    def single(self, post: Post, request: Request, path_id: str | None = None) -> Response:
        """Submit one command; return 201 or 200 with the result, the problem, or 202."""
        scope = self.scope(post.path.replace("<id>", path_id or ""), request)
        body = json_body(request)
        match = parse_if_match(request.headers)
        content = json.dumps(body, sort_keys=True) + (f"\nIf-Match: {match}" if match else "")
        entry = Entry(
            self.store.new_id(),
            scope.of("POST"),
            self.parser.seal.reference(content),
            post.command.type,
            traceparent=_traceparent(request.headers),
            caller=caller_of(request).known_as,
        )
        access = access_of(request)
        try:
            seen = self._as_seen(post, body, path_id, match, access) if match else body
        except (PreconditionFailed, Contradiction):
            # a repeat gets its response: the first request may have changed the thing
            if (identity := self._intake.known(entry)) is None:
                raise
            return self._answer_of(identity, request.headers)
        understood = self.parser.command(post, seen, path_id, access)
        entry.command = understood.command
        entry.location = _location(post, understood.thing)
        entry.created = understood.creates
        entry.personal = understood.personal
        return self.settle(entry, request.headers)

    def _as_seen(
        self, post: Post, body: dict[str, Any], path_id: str | None, match: str, access: AccessScope
    ) -> dict[str, Any]:
        """Add the version of If-Match to a body; raises `PreconditionFailed` and
        `Contradiction`."""
        if post.of is None or path_id is None:
            raise NotAPrecondition(NO_THING)
        text = self.reads.require(post.of, path_id, access.of(post.of))
        if not matches(match, text):
            raise PreconditionFailed
        return with_seen(body, match, json.loads(text))

    def settle(self, entry: Entry, headers: Headers) -> Response:
        """Submit a command, and return its outcome if it is settled in time."""
        return self._answer_of(self._intake.submit(entry), headers, entry)

    def _answer_of(self, identity: str, headers: Headers, entry: Entry | None = None) -> Response:
        outcomes = self._intake.wait_for([identity], self._patience(headers))
        if outcomes is None:
            return _accepted(identity)
        if entry is not None and entry.id == identity and identity in outcomes:
            return _outcome(entry.ended(outcomes[identity], self.store.now()))
        record = self._intake.records.read(identity)
        if record is None or record.state == PENDING:
            return _accepted(identity)
        return _outcome(record)

    @staticmethod
    def scope(path: str, request: Request) -> Scope:
        """Return the scope of a request's idempotency key."""
        return scope_of(caller_of(request), path, idempotency_key(request.headers))

    # -- batches

    def batch(self, post: Post, request: Request) -> Response:
        """Submit a command for each row; an invalid row gets an error, and the others are
        handled."""
        scope = self.scope(post.batch_path, request)
        shapes = post.command.describe()
        with rows_of(request, shapes, self.parser.seal.referring) as taken, self._turn:
            head = Entry(
                self.store.new_id(),
                scope.of("POST"),
                taken.fingerprint,
                f"{post.command.type}-batch",
                rows=len(taken),
                traceparent=_traceparent(request.headers),
                caller=caller_of(request).known_as,
            )
            access = access_of(request)
            identity, new = self._take_in(post, head, scope, taken, access)
        waited = new if new is not None else sorted(self._intake.records.pending_rows(identity))
        self._intake.wait_for(waited, self._patience(request.headers))
        return self._batch_answer(identity, len(taken))

    def _take_in(
        self, post: Post, head: Entry, scope: Scope, taken: Rows, access: AccessScope
    ) -> tuple[str, list[str] | None]:
        """Store a batch; return its id, and its rows' ids if it is new."""
        rows = self._entries(post, head, scope, taken, access)
        identity = self._intake.submit(head, rows)
        return identity, [row.id for row in rows if row.command] if identity == head.id else None

    def _entries(
        self, post: Post, head: Entry, scope: Scope, taken: Rows, access: AccessScope
    ) -> list[Entry]:
        entries = []
        for number, row in enumerate(taken, start=1):
            entry = Entry(
                self.store.new_id(),
                scope.of("ROW", f"/{number}"),
                head.fingerprint,
                post.command.type,
                created=True,
                batch_id=head.id,
                row=number,
                traceparent=head.traceparent,
                caller=head.caller,
            )
            self._judge(post, entry, row, access)
            entries.append(entry)
        return entries

    def _judge(self, post: Post, entry: Entry, row: Row, access: AccessScope) -> None:
        """Validate a row and make its command, or record its errors."""
        if isinstance(row, Rejected):
            entry.refuse(row)
            return
        try:
            understood = self.parser.command(post, row, None, access)
        except Rejected as error:
            entry.refuse(error)
        else:
            entry.command = understood.command
            entry.location = _location(post, understood.thing)
            entry.personal = understood.personal

    def _batch_answer(self, batch_id: str, rows: int) -> Response:
        tally = self._intake.records.tally_of(batch_id)
        if tally.get(PENDING):
            return _accepted(batch_id)
        counted = {
            "command_id": batch_id,
            "rows": rows,
            "done": tally.get(DONE, 0),
            "rejected": tally.get(REJECTED, 0),
        }
        return in_pieces(self._told(batch_id, encode(counted)), JSON)

    def _told(self, batch_id: str, counted: str) -> Iterator[str]:
        """Return the outcomes of the rows as JSON, page by page."""
        yield f'{counted[:-1]},"items":['
        after = 0
        while page := self._intake.records.rows_of(batch_id, after, PAGE):
            yield ("," if after else "") + ",".join(encode(_row(record)) for record in page)
            after = page[-1].row or 0
        yield "]}\n"

    # -- records

    def read(self, request: Request, identity: str) -> Response:
        """Return the record of a command to its caller, an operator or an auditor; raises
        `NotFound` to all others."""
        record = self._record(request, identity)
        body: dict[str, Any] = {
            "id": record.id,
            "type": record.type,
            "state": record.state,
            "accepted_at": moment_of(record.accepted_at),
            "settled_at": moment_of(record.settled_at),
        }
        if record.rows is not None:
            tally = self._intake.records.tally_of(identity)
            pending = tally.get(PENDING, 0)
            body |= {
                "rows": record.rows,
                "done": tally.get(DONE, 0),
                "rejected": tally.get(REJECTED, 0),
                "pending": pending,
                "state": PENDING if pending else DONE,
            }
        elif record.state != PENDING:
            body |= _result_of(record)
        return answer(body)

    def read_rows(self, request: Request, identity: str) -> Response:
        """Return the outcome of each row of a batch."""
        self._record(request, identity)
        limit, after = page_of(once(request.args, PAGES))
        records = self._intake.records.rows_of(identity, after, limit + 1)
        following = str(records[limit - 1].row) if len(records) > limit else None
        items = [_row(record) for record in records[:limit]]
        return next_page(answer({"items": items, "next": following}), request, following)

    def _record(self, request: Request, identity: str) -> Answered:
        record: Answered | None = self._intake.records.read(identity)
        caller = caller_of(request)
        watches = not caller.roles.isdisjoint((Role.OPERATOR, Role.AUDITOR))
        if record is None or not (watches or record.caller == caller.known_as):
            raise NotFound(f"There is no command {identity}.")
        return record

    # -- time

    def set_clock(self, request: Request) -> Response:
        """Move the manual clock; the response comes when every service has handled the hour."""
        refuse_if_match(request.headers)
        idempotency_key(request.headers)
        moment: datetime = load(ClockBody(), json_body(request))["at"]
        hour_id = self.clock.set(moment)
        patience = self._patience(request.headers, default=LONGEST_WAIT)
        swept = self.clock.wait_until_swept(hour_id, patience)
        body = {"at": moment_to_json(moment), "hour_id": hour_id, "swept": swept}
        return answer(body, 200 if swept else 202)

    def _patience(self, headers: Headers, default: float | None = None) -> float:
        """Return the seconds for which the client waits (RFC 7240)."""
        prefer = headers.get("Prefer", "")
        if wait := re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})", prefer):
            return min(float(wait[1]), LONGEST_WAIT)
        if re.search(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", prefer):
            return 0.0
        return self._wait if default is None else default


def _location(post: Post, thing: str) -> str | None:
    return f"{post.creates.path}/{thing}" if post.creates else None


def _traceparent(headers: Headers) -> str | None:
    trace = headers.get("traceparent", "")
    return trace if re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", trace) else None


def _accepted(identity: str) -> Response:
    location = f"/v1/commands/{identity}"
    return answer({"command_id": identity, "state": PENDING}, 202, Location=location)


def _outcome(record: Answered) -> Response:
    if record.state == REJECTED:
        return rejected(record.outcome)
    headers = {"Location": record.location} if record.location else {}
    return answer(record.outcome or {}, _status(record), **headers)


def _status(record: Answered) -> int:
    """Return the status of a success, 201 if the thing was created; only the outcome knows."""
    return 201 if record.created and (record.outcome or {}).get("created", True) else 200


def _result_of(record: Answered) -> dict[str, Any]:
    if record.state == REJECTED:
        return {"status": record.status, "problem": record.outcome}
    made = {"status": _status(record), "result": record.outcome}
    return made | ({"location": record.location} if record.location else {})


def _row(record: Answered) -> dict[str, Any]:
    made: dict[str, Any] = {"row": record.row, "state": record.state}
    if record.state == DONE:
        became = (record.outcome or {}).get("became")
        made |= {"status": _status(record), "location": record.location}
        return made | ({"became": became} if became else {})
    return made | (_result_of(record) if record.state == REJECTED else {})
