"""Taking commands in: singly, in batches, the clock; and telling what became of each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, validate
from marshmallow.fields import AwareDateTime
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from chassis.errors import Rejected
from chassis.green import pause
from chassis.ids import new_id
from chassis.web import answer, rejected
from contracts.shapes import moment_to_json
from services.gateway.bodies import Unreadable, UnsupportedType, body_of, json_body
from services.gateway.edge import (
    BadRequest,
    Edge,
    Post,
    Row,
    csv_rows,
    idempotency_key,
    ndjson_rows,
    pointers,
)
from services.gateway.model import DONE, PENDING, REJECTED
from services.gateway.reads import NoSuchThing, arguments, next_page, page_of
from services.gateway.records import Answered, Entry, moment_of

if TYPE_CHECKING:
    from services.gateway.service import Gateway

LARGEST_BATCH = 5000
BREATH = 50
"""Rows of a batch that are judged before other requests have their turn."""
LONGEST_WAIT = 60.0


class _ClockBody(Schema):
    at = AwareDateTime(
        required=True,
        validate=validate.Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
    )


class Taking:
    """Takes commands in and answers with what became of them."""

    def __init__(self, gateway: Gateway, edge: Edge) -> None:
        self.gateway = gateway
        self.edge = edge

    @property
    def _door(self) -> Any:
        return self.gateway.door

    def single(self, post: Post, request: Request, path_id: str | None) -> Response:
        """Take one command in; 201 or 200 with the result, the problem, or 202."""
        key = _scope(post.path.replace("<id>", path_id or ""), request)
        body = json_body(request)
        understood = self.edge.command(post, body, path_id)
        entry = Entry(
            new_id(),
            f"POST {key}",
            self.edge.seal.reference(json.dumps(body, sort_keys=True)),
            post.command.type,
            understood.command,
            location=_location(post, understood.thing),
            created=understood.creates,
            traceparent=_traceparent(request.headers),
        )
        identity = self._door.take_in(entry)
        settled = self._door.wait_for([identity], self._patience(request.headers))
        record = self._door.records.read(identity) if settled else None
        if record is None or record.state == PENDING:
            return _accepted(identity)
        return _outcome(record)

    # -- batches

    def batch(self, post: Post, request: Request) -> Response:
        """Take a command a row in; a bad row is told why, and the others go on."""
        key = _scope(f"{post.path}/batch", request)
        text, taken = _rows_of(post, request)
        head = Entry(
            new_id(),
            f"POST {key}",
            self.edge.seal.reference(f"{request.mimetype}\n{text}"),
            f"{post.command.type}-batch",
            rows=len(taken),
        )
        rows = self._entries(post, head, f"ROW {key}", taken, _traceparent(request.headers))
        identity = self._door.take_in(head, rows)
        if identity == head.id:
            waited = [row.id for row in rows if row.command]
        else:
            waited = sorted(self._door.records.pending_rows(identity))
        self._door.wait_for(waited, self._patience(request.headers))
        return self._batch_answer(identity, len(taken))

    def _entries(
        self, post: Post, head: Entry, key: str, taken: Sequence[Row], traceparent: str | None
    ) -> list[Entry]:
        entries = []
        for number, row in enumerate(taken, start=1):
            entry = Entry(
                new_id(),
                f"{key}/{number}",
                head.fingerprint,
                post.command.type,
                created=True,
                batch_id=head.id,
                row=number,
                traceparent=traceparent,
            )
            self._judge(post, entry, row)
            entries.append(entry)
            if not number % BREATH:
                pause(0)
        return entries

    def _judge(self, post: Post, entry: Entry, row: Row) -> None:
        """Make a row's command, or say why it is none."""
        try:
            if isinstance(row, Rejected):
                raise row
            understood = self.edge.command(post, row, None)
        except Rejected as error:
            entry.problem = error.problem()
        else:
            entry.command = understood.command
            entry.location = _location(post, understood.thing)

    def _batch_answer(self, batch_id: str, rows: int) -> Response:
        tally = self._door.records.tally_of(batch_id)
        if tally.get(PENDING):
            return _accepted(batch_id)
        records = self._door.records.rows_of(batch_id, 0, LARGEST_BATCH)
        return answer(
            {
                "command_id": batch_id,
                "rows": rows,
                "done": tally.get(DONE, 0),
                "rejected": tally.get(REJECTED, 0),
                "items": [_row(record) for record in records],
            }
        )

    # -- what became of it

    def read(self, _request: Request, identity: str) -> Response:
        """Say what became of a command."""
        record = self._record(identity)
        body: dict[str, Any] = {
            "id": record.id,
            "type": record.type,
            "state": record.state,
            "accepted_at": moment_of(record.accepted_at),
            "settled_at": moment_of(record.settled_at),
        }
        if record.rows is not None:
            tally = self._door.records.tally_of(identity)
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
        """Say what became of each row of a batch."""
        self._record(identity)
        limit, after = page_of(arguments(request.args))
        found = self._door.records.rows_of(identity, after, limit + 1)
        following = str(found[limit - 1].row) if len(found) > limit else None
        items = [_row(record) for record in found[:limit]]
        return next_page(answer({"items": items, "next": following}), request, following)

    def _record(self, identity: str) -> Answered:
        record: Answered | None = self._door.records.read(identity)
        if record is None:
            raise NoSuchThing(f"There is no command {identity}.")
        return record

    # -- time

    def set_clock(self, request: Request) -> Response:
        """Move the manual clock; answers when every service has handled what that made due."""
        idempotency_key(request.headers)
        try:
            moment: datetime = _ClockBody().load(json_body(request))["at"]
        except ValidationError as error:
            raise BadRequest(errors=pointers(error.messages)) from None
        hour_id = self.gateway.clock.set(moment)
        patience = self._patience(request.headers, default=LONGEST_WAIT)
        swept = self.gateway.wait_for_hour(hour_id, patience)
        body = {"at": moment_to_json(moment), "hour_id": hour_id, "swept": swept}
        return answer(body, 200 if swept else 202)

    def _patience(self, headers: Headers, default: float | None = None) -> float:
        """Tell how long the caller is ready to wait, in seconds (RFC 7240)."""
        prefer = headers.get("Prefer", "")
        if asked := re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})", prefer):
            return min(float(asked[1]), LONGEST_WAIT)
        if re.search(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", prefer):
            return 0.0
        return self.gateway.settings.wait if default is None else default


def _scope(path: str, request: Request) -> str:
    """Keep the key of one route apart from that of another."""
    return f"{path} {idempotency_key(request.headers)}"


def _rows_of(post: Post, request: Request) -> tuple[str, list[Row]]:
    """Read the rows of a batch; raises `UnsupportedType` and `Unreadable`."""
    if request.mimetype not in ("application/x-ndjson", "text/csv"):
        raise UnsupportedType("Send application/x-ndjson or text/csv.")
    text = body_of(request)
    is_csv = request.mimetype == "text/csv"
    rows = csv_rows(text, post.command) if is_csv else ndjson_rows(text)
    taken = list(islice(rows, LARGEST_BATCH + 1))
    if not taken or len(taken) > LARGEST_BATCH:
        raise Unreadable(f"A batch has 1 to {LARGEST_BATCH} rows.")
    return text, taken


def _location(post: Post, thing: str) -> str | None:
    return f"/v1/{post.creates[1].name}/{thing}" if post.creates else None


def _traceparent(headers: Headers) -> str | None:
    given = headers.get("traceparent", "")
    return given if re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", given) else None


def _accepted(identity: str) -> Response:
    location = f"/v1/commands/{identity}"
    return answer({"command_id": identity, "state": PENDING}, 202, Location=location)


def _outcome(record: Answered) -> Response:
    if record.state == REJECTED:
        return rejected(record.outcome)
    headers = {"Location": record.location} if record.location else {}
    return answer(record.outcome or {}, 201 if record.created else 200, **headers)


def _result_of(record: Answered) -> dict[str, Any]:
    if record.state == REJECTED:
        return {"status": record.status, "problem": record.outcome}
    made = {"status": 201 if record.created else 200, "result": record.outcome}
    return made | ({"location": record.location} if record.location else {})


def _row(record: Answered) -> dict[str, Any]:
    made: dict[str, Any] = {"row": record.row, "state": record.state}
    if record.state == DONE:
        return made | {"status": 201, "location": record.location}
    return made | (_result_of(record) if record.state == REJECTED else {})
