"""Rows: the body of a batch or a sheet, read as it arrives, NDJSON or CSV, a row at a time.

It is held once, as it came, and each row becomes values only when it is its turn. What is blank
costs nothing, and what is too much is refused before the rest has arrived.
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
"""Bytes of one row."""
MOST_HELD = 32 * 1024 * 1024
"""Bytes of all bodies that are held at once, in a process."""
BREATH = 0.01
"""Seconds for which rows are judged before other requests have their turn."""
_PIECE = 64 * 1024
"""Bytes of a body that are looked at before other requests have their turn."""
_ENDS = frozenset((b"\n", b"\r\n", b"\r"))
_MARK = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"-?[0-9]{1,18}")

Row = dict[str, Any] | Rejected
"""What a row holds, or why it cannot be read."""
Unread = Callable[[], Row]
"""A row as it came; called, it is read."""


class RowTooLong(Rejected):
    """A row has 256 KiB at the most."""

    status = 413


class NoRoom(Rejected):
    """Many large bodies are being dealt with; send this one again soon."""

    status = 503


class _Room:
    """What the bodies take up that are held: one may always be."""

    held = 0

    def __init__(self) -> None:
        self.size = 0

    def take(self, size: int) -> None:
        """Take up more; raises `NoRoom`."""
        if _Room.held > self.size and _Room.held + size > MOST_HELD:
            raise NoRoom
        self.size += size
        _Room.held += size

    def leave(self) -> None:
        """Take up nothing more."""
        _Room.held -= self.size


class Rows:
    """The rows of a body, each read and let go of when it is its turn.

    `fingerprint` stands for the whole body, and for `about`, which goes before it.
    """

    def __init__(self, unread: Iterator[Unread], reference: Referring) -> None:
        self._left = deque(islice(unread, LARGEST_BATCH + 1))
        self.count = len(self._left)
        if not 1 <= self.count <= LARGEST_BATCH:
            raise Unreadable(f"A batch has 1 to {LARGEST_BATCH} rows.")
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
    """Take the rows of a body in, and hold them until the block ends.

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
    """Read a body piece by piece, without the mark in front, and add each to its hash."""
    size, most = 0, request.max_content_length
    begun = _arrived(request, len(_MARK))
    while piece := begun or _arrived(request, _PIECE):
        size += len(piece)
        if most is not None and size >= most:  # which is one more than a body may have
            raise RequestEntityTooLarge
        room.take(len(piece))
        if begun:
            begun, piece = b"", piece.removeprefix(_MARK)
        reference.add(piece)
        if piece:
            yield piece
        pause(0)


def _arrived(request: Request, most: int) -> bytes:
    """Read the next of a body, up to so many bytes; nothing at its end. Raises `Unreadable`."""
    try:
        piece: bytes = request.stream.read(most)
        while 0 < len(piece) < len(_MARK) and (more := request.stream.read(most - len(piece))):
            piece += more
    except (OSError, ValueError) as error:
        raise Unreadable(f"The body did not arrive whole: {error}.") from None
    return piece


# NDJSON


def _ndjson_rows(pieces: Iterator[bytes]) -> Iterator[Unread]:
    """Give one JSON object a line; a line that is none becomes the reason why."""
    for line in _lines(pieces):
        if len(line) > LONGEST_ROW:
            yield RowTooLong
        elif not line.isspace() and not line.decode().isspace():
            yield partial(_row, _json_row, line)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Split at LF, and at no other of Unicode's line ends, leaving out what is empty; of a line
    that is too long comes one byte more than it may have, or some more."""
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
    """The lines of CSV with their ends, LF, CRLF or CR, as the standard library wants them.

    Raises `Unreadable` where those that make a row are too long: who has read it sets `size` to 0.
    An empty line between two rows is left out.
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
    """Give the rows of CSV with a header; columns become what the fields need, empty ones nothing.

    Raises `Unreadable` for what is no CSV, and `Invalid` for columns that are no fields.
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
    """Read the header: every column is a field, and none is there twice."""
    if not header:
        raise Unreadable("The first row of CSV names the columns.")
    if len(header) > MOST_NAMES:
        raise TooMuch(f"CSV has {MOST_NAMES} columns at the most, and not {len(header):,}.")
    names = [name.strip() for name in header]
    errors = [at(escaped(name), UNKNOWN) for name in names if name not in fields]
    twice = {name for name in names if names.count(name) > 1 and name in fields}
    errors += [at(name, "The column is there twice.") for name in sorted(twice)]
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


def _row(read: Callable[..., dict[str, Any]], *given: Any) -> Row:
    try:
        return read(*given)
    except Rejected as error:
        return error.with_traceback(None)  # which would keep what was read


def _typed(text: str, kind: str) -> Any:
    """Read a cell as its field needs it; one that cannot be is left, and the schema names it."""
    if kind == "integer" and _NUMBER.fullmatch(text):
        return int(text)
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return text
