"""Rows: the body of a batch or a sheet, NDJSON or CSV, read as it arrives, one row at a time.

The body is held once, as received, and each row is parsed when it is due. Blank lines cost nothing,
and a body over the limit is rejected before the rest has arrived.
"""

from __future__ import annotations

import csv
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request

from chassis.errors import Invalid, Rejected, at
from chassis.runtime.green import pause
from chassis.sealing import Referring
from services.gateway.http.bodies import (
    MOST_NAMES,
    TooMuch,
    Unreadable,
    UnsupportedType,
    escaped,
    fit,
    json_object,
)
from services.gateway.http.etags import refuse_if_match
from services.gateway.http.media_types import CSV, NDJSON
from services.gateway.http.request import UNKNOWN

LARGEST_BATCH = 5000
LONGEST_ROW = 256 * 1024
"""Largest row, in bytes."""
MOST_HELD = 32 * 1024 * 1024
"""Total bytes of all bodies held in a process."""
BREATH = 0.01
"""Seconds of validation before other requests run."""
_PIECE = 64 * 1024
"""Bytes of a body to scan before other requests run."""
_ENDS = frozenset((b"\n", b"\r\n", b"\r"))
_MARK = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"-?[0-9]{1,18}")

Row = dict[str, Any] | Rejected
"""The values of a row, or the reason why it cannot be read."""
Unread = Callable[[], Row]
"""An unread row; calling it parses it."""


class RowTooLong(Rejected):
    """A row is limited to 256 KiB."""

    status = 413


class NoRoom(Rejected):
    """Too many large bodies are being handled; retry soon."""

    status = 503


class _Room:
    """The memory of the bodies held; one body is always allowed."""

    held = 0

    def __init__(self) -> None:
        self.size = 0

    def take(self, size: int) -> None:
        """Reserve memory; raises `NoRoom`."""
        if _Room.held > self.size and _Room.held + size > MOST_HELD:
            raise NoRoom
        self.size += size
        _Room.held += size

    def leave(self) -> None:
        """Release the memory."""
        _Room.held -= self.size


class Rows:
    """The rows of a body, each parsed and released in turn.

    `fingerprint` identifies `about` and the whole body.
    """

    def __init__(self, unread: Iterator[Unread], reference: Referring) -> None:
        self._left = deque(islice(unread, LARGEST_BATCH + 1))
        self.count = len(self._left)
        if not 1 <= self.count <= LARGEST_BATCH:
            raise Unreadable(f"A batch must have 1 to {LARGEST_BATCH} rows.")
        self.fingerprint = reference()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Row]:
        begun = time.monotonic()
        while self._left:
            yield self._left.popleft()()
            if time.monotonic() - begun > BREATH:
                pause(0)
                begun = time.monotonic()


@contextmanager
def rows_of(
    request: Request, shapes: Mapping[str, Any], referring: Callable[[str], Referring], *about: str
) -> Iterator[Rows]:
    """Read the rows of a body, and hold them until the block ends.

    Raises `UnsupportedType`, `Unreadable`, `Invalid` and `NoRoom`.
    """
    if request.mimetype not in (NDJSON, CSV):
        raise UnsupportedType(f"Send {NDJSON} or {CSV}.")
    refuse_if_match(request.headers)
    reference = referring("\n".join((request.mimetype, *about, "")))
    room = _Room()
    pieces = _pieces(request, reference, room)
    unread = _csv_rows(pieces, shapes) if request.mimetype == CSV else _ndjson_rows(pieces)
    try:
        yield _taken(unread, reference)
    finally:
        room.leave()


def _taken(unread: Iterator[Unread], reference: Referring) -> Rows:
    try:
        return Rows(unread, reference)
    except UnicodeDecodeError as error:
        raise Unreadable(f"The body is not UTF-8: {error.reason}.") from None


def _pieces(request: Request, reference: Referring, room: _Room) -> Iterator[bytes]:
    """Read a body in pieces, without a byte order mark, and add each to the hash."""
    size, most = 0, request.max_content_length
    begun = _arrived(request, len(_MARK))
    while piece := begun or _arrived(request, _PIECE):
        size += len(piece)
        if most is not None and size >= most:  # one byte more than allowed
            raise RequestEntityTooLarge
        room.take(len(piece))
        if begun:
            begun, piece = b"", piece.removeprefix(_MARK)
        reference.add(piece)
        if piece:
            yield piece
        pause(0)


def _arrived(request: Request, most: int) -> bytes:
    """Read up to `most` bytes of a body; empty at its end. Raises `Unreadable`."""
    try:
        piece: bytes = request.stream.read(most)
        while 0 < len(piece) < len(_MARK) and (more := request.stream.read(most - len(piece))):
            piece += more
    except (OSError, ValueError) as error:
        raise Unreadable(f"The body did not arrive whole: {error}.") from None
    return piece


# NDJSON


def _ndjson_rows(pieces: Iterator[bytes]) -> Iterator[Unread]:
    """Return one JSON object for each line; an invalid line becomes its error."""
    for line in _lines(pieces):
        if len(line) > LONGEST_ROW:
            yield RowTooLong
        elif not line.isspace() and not line.decode().isspace():
            yield partial(_row, _json_row, line)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Split at LF only, omitting empty lines; a line that is too long is cut at least one byte over
    the limit."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(None, whole)
        rest = rest[: LONGEST_ROW + 1]
    if rest:
        yield rest


def _json_row(line: bytes) -> dict[str, Any]:
    return json_object(line.decode())


# CSV


class _CsvLines:
    """The lines of CSV with their ends, LF, CRLF or CR, as the standard library needs them.

    Raises `Unreadable` if the lines of a row are too long: the reader of a row resets `size` to 0.
    An empty line between two rows is omitted.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = self.number = 0

    def __iter__(self) -> Iterator[str]:
        rest = b""
        for piece in self._pieces:
            lines = (rest + piece).splitlines(keepends=True)
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()  # after CR there may be LF
            for line in lines:
                self.number += 1
                if self.size or line not in _ENDS or self.number == 1:
                    yield self._counted(line)
            self._judge(self.size + len(rest))
        if rest:
            yield self._counted(rest)

    def _counted(self, line: bytes) -> str:
        self.size += len(line)
        self._judge(self.size)
        return line.decode()

    @staticmethod
    def _judge(size: int) -> None:
        if size > LONGEST_ROW:
            raise Unreadable(f"A row of CSV has more than {LONGEST_ROW:,} bytes.")


def _csv_rows(pieces: Iterator[bytes], shapes: Mapping[str, Any]) -> Iterator[Unread]:
    """Return the rows of CSV with a header; cells are converted to their fields' types, empty ones
    omitted.

    Raises `Unreadable` for invalid CSV, and `Invalid` for unknown columns.
    """
    lines = _CsvLines(pieces)
    reader = csv.reader(lines, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            lines.size = 0
            if not names:
                names = _columns(cells, shapes)
            elif cells:
                yield partial(_row, _csv_row, names, cells[: len(names) + 1], shapes)
    except csv.Error as error:
        raise Unreadable(f"The body is not CSV: {error}, line {lines.number}.") from None


def _columns(header: Sequence[str], fields: Mapping[str, Any]) -> list[str]:
    """Parse the header: every column is a field, and none is repeated."""
    if not header:
        raise Unreadable("CSV needs a header row with the names of its columns.")
    if len(header) > MOST_NAMES:
        raise TooMuch(f"CSV is limited to {MOST_NAMES} columns; this header has {len(header):,}.")
    names = [name.strip() for name in header]
    errors = [at(escaped(name), UNKNOWN) for name in names if name not in fields]
    twice = {name for name in names if names.count(name) > 1 and name in fields}
    errors += [at(name, "The column is repeated.") for name in sorted(twice)]
    if errors:
        raise Invalid(errors=errors)
    return names


def _csv_row(
    names: Sequence[str], cells: Sequence[str], shapes: Mapping[str, Any]
) -> dict[str, Any]:
    if len(cells) > len(names):
        raise Unreadable("The row has more columns than the header.")
    made = {
        name: _typed(cell.strip(), shapes[name]["type"])
        for name, cell in zip(names, cells, strict=False)
        if cell.strip()
    }
    fit(made)
    return made


def _row(read: Callable[..., dict[str, Any]], *arguments: Any) -> Row:
    try:
        return read(*arguments)
    except Rejected as error:
        return error.with_traceback(None)  # drops the reference to the row


def _typed(text: str, kind: str) -> Any:
    """Convert a cell to its field's type; an invalid one stays as it is, and the schema reports
    it."""
    if kind == "integer" and _NUMBER.fullmatch(text):
        return int(text)
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return text
