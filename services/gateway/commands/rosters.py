"""Roster sheets: the roster of a day, one person a row, in CSV or NDJSON, submitted as one command
with an outcome for each row.

A staff number is replaced by a keyed hash here. A name is validated and dropped: it is neither
stored nor sent. An unreadable row is sent as its errors, so that the response covers every row.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from chassis.errors import Invalid, Rejected, at, told
from contracts.filing.types import RosterLine
from contracts.message import Command
from services.gateway.access.scope import access_of
from services.gateway.commands.parsing import NOT_SEALED, can_be_sealed
from services.gateway.commands.records import Entry
from services.gateway.commands.rows import Row, Rows, rows_of
from services.gateway.http.bodies import escaped
from services.gateway.http.request import UNKNOWN, load, not_found, once, pointers
from services.gateway.identities import worker_of
from services.gateway.resources.post import Sheet

if TYPE_CHECKING:
    from services.gateway.commands.endpoints import CommandEndpoints

MOST_TOLD = 8
"""Reported errors of a row, which has seven columns; further ones are only counted."""
_FILLED_BY_THE_PARSER = ("row", "worker_ref")
COLUMNS: dict[str, Any] = {"worker": {"type": "string"}} | {
    name: shape
    for name, shape in RosterLine.describe().items()
    if name not in _FILLED_BY_THE_PARSER
}
"""The columns of a sheet: `worker` is the enterprise's staff number."""


class Sheets:
    """Converts sheets into commands and submits them."""

    def __init__(self, endpoints: CommandEndpoints) -> None:
        self.endpoints, self.parser = endpoints, endpoints.parser

    def take(self, sheet: Sheet, request: Request, identity: str) -> Response:
        """Submit the sheet of a day; raises `NotFound` and `Invalid`."""
        day = once(request.args, ["day"]).get("day")
        with rows_of(request, COLUMNS, self.parser.seal.referring, f"{day}") as rows:
            access = access_of(request)
            if self.parser.look(sheet.of, identity, access.of(sheet.of)) is None:
                raise not_found(identity, f"the {sheet.of.name}")
            scope = self.endpoints.scope(sheet.path.replace("<id>", identity), request)
            caller = access.principal.caller
            entry = Entry(
                self.endpoints.store.new_id(),
                scope.of("POST"),
                rows.fingerprint,
                sheet.command.type,
                self._command(sheet, identity, day, rows, caller.subject),
                caller=caller.known_as,
            )
        return self.endpoints.settle(entry, request.headers)

    def _command(
        self, sheet: Sheet, identity: str, day: str | None, rows: Rows, by: str
    ) -> Command:
        lines: list[dict[str, Any]] = []
        unread: list[dict[str, Any]] = []
        for number, row in enumerate(rows, start=1):
            line, errors = self._line(identity, number, row)
            if errors:
                unread.append({"row": number, "errors": told(errors, MOST_TOLD)})
            else:
                lines.append(line)
        if not lines:
            every = [e | {"pointer": f"#/{one['row']}{e['pointer'][1:]}"}
                     for one in unread for e in one["errors"]]  # fmt: skip
            raise Invalid("No row can be read.", errors=every)
        about = {} if day is None else {"day": day}
        data = about | {sheet.of.id_field: identity, "by": by, "lines": lines, "unread": unread}
        command: Command = load(sheet.command.schema(), data)
        return command

    def _line(
        self, identity: str, number: int, row: Row
    ) -> tuple[dict[str, Any], list[dict[str, str]]]:
        """Validate a row by its schema and hash its personal data; return it with its errors."""
        if isinstance(row, Rejected):
            return {}, row.errors or [{"pointer": "#", "detail": row.detail}]
        errors = [at(escaped(name), UNKNOWN) for name in sorted(row.keys() - COLUMNS.keys())]
        data: dict[str, Any] = {name: row[name] for name in row.keys() & COLUMNS.keys()}
        worker = data.pop("worker", None)
        if isinstance(worker, str) and can_be_sealed(worker) and (staff := worker_of(worker)):
            data["worker_ref"] = self.parser.seal.reference(f"{identity}/{staff}")
        else:
            errors.append(at("worker", NOT_SEALED))
            data["worker_ref"] = "-"
        if isinstance(name := data.get("name"), str):
            if not can_be_sealed(name):
                errors.append(at("name", NOT_SEALED))
            data["name"] = None
        if data.get("temperature") is not None:
            tenths = _tenths(data.pop("temperature"))
            if tenths is None:
                errors.append(at("temperature", "Must be 30 to 45 °C, with one decimal at most."))
            data["temperature"] = tenths
        data["row"] = number
        return data, errors + pointers(RosterLine.schema().validate(data))


def _tenths(value: Any) -> int | None:
    """Return degrees Celsius as tenths of a degree; None for an invalid value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        tenths = Decimal(str(value)) * 10
    except InvalidOperation:
        return None
    whole = tenths.is_finite() and tenths == tenths.to_integral_value()
    return int(tenths) if whole and 300 <= tenths <= 450 else None
