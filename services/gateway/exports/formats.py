"""Lists as spreadsheet files: CSV (RFC 4180) and XLSX (ISO/IEC 29500), written page by page.

User text never becomes a formula: in CSV a text that looks like one gets an apostrophe in front
(OWASP, CSV injection), in XLSX a text is a text cell. docs/reading.md documents the rest.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from chassis.message import encode
from chassis.runtime.green import in_thread, pause
from chassis.storage.unit_of_work import SHANGHAI
from contracts.shapes import moment_from_json
from services.gateway.http import media_types
from services.gateway.resources.view import Document, View

if TYPE_CHECKING:
    from xlsxwriter import Workbook

FORMULA = re.compile(r"[\t\r\n]|[\s\0\u200b\ufeff]*[=+\-@＝＋－＠]")
"""The beginnings of a text that a spreadsheet takes for a formula. Some spreadsheets treat
full-width characters as half-width, and skip blank and invisible ones."""
ROWS_PER_SHEET = 250_000
"""Rows of a worksheet: 1,048,576 are allowed, but no more than 2 GB of XML."""
LONGEST_TEXT = 32_767
"""Longest cell of XLSX, in UTF-16 code units."""
MOST_DIGITS = 10**15
"""Largest number that spreadsheets store exactly."""
PIECE = 64 * 1024
"""Bytes of a file to read at once."""
BREATH = 50
"""Rows to write before yielding to other greenlets."""
_BOM = "\ufeff"

Pages = Iterable[Sequence[Document]]


@dataclass(frozen=True)
class Export:
    """The contents of a file: a view as of an event."""

    view: View
    as_of: dict[str, Any]

    @property
    def moment(self) -> datetime | None:
        """The time of the last event in the file; None without events."""
        time = self.as_of["time"]
        return moment_from_json(time).astimezone(SHANGHAI) if time else None

    @property
    def stem(self) -> str:
        """The file name without its extension: the list and the day in Shanghai."""
        return f"{self.view.name}-{self.moment:%Y-%m-%d}" if self.moment else self.view.name


@dataclass(frozen=True)
class Format:
    """A file format: its name, which is also its extension, its media type and its writer."""

    name: str
    mimetype: str
    write: Callable[[Export, Pages], Iterator[bytes]]


def _csv(export: Export, pages: Pages) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    text.write(_BOM)
    writer = csv.writer(text)
    fields = [*export.view.fields]
    writer.writerow(fields)
    for page in pages:
        for number, document in enumerate(page, start=1):
            writer.writerow([_value(document.get(name)) for name in fields])
            if not number % BREATH:
                pause(0)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _value(value: Any) -> Any:
    """Return a value as a cell of CSV."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    written = _text(value)
    return f"'{written}" if FORMULA.match(written) else written


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value)


def _xlsx(export: Export, pages: Pages) -> Iterator[bytes]:
    """Write the rows into a temporary folder, then return the finished file."""
    from xlsxwriter import Workbook  # few processes need it

    with TemporaryDirectory(prefix="bihuan-export-") as folder:
        path = Path(folder) / "export.xlsx"
        book = Workbook(str(path), {"constant_memory": True, "tmpdir": folder})
        sheets = _Sheets(book, export)
        for page in pages:
            for number, document in enumerate(page, start=1):
                sheets.add(document)
                if not number % BREATH:
                    pause(0)
        in_thread(book.close)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


class _Sheets:
    """The worksheets of a workbook: a new one begins when one is full."""

    def __init__(self, book: Workbook, export: Export) -> None:
        self._book, self._view = book, export.view
        self._bold = book.add_format({"bold": True})
        self._styles = {
            "date": book.add_format({"num_format": "yyyy-mm-dd"}),
            "date-time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        }
        self._describe(export)
        self._begin()

    def _describe(self, export: Export) -> None:
        """Write the list's name and the last event into the file properties."""
        time, position = export.as_of["time"], export.as_of["position"]
        about = {"title": export.view.name, "comments": f"As of event {position}, {time or '-'}"}
        created = {"created": export.moment.replace(tzinfo=None)} if export.moment else {}
        self._book.set_properties(about | created)
        self._book.set_custom_property("as_of_position", position)
        self._book.set_custom_property("as_of_time", time or "-")

    def _begin(self) -> None:
        number, name = len(self._book.worksheets()) + 1, self._view.name
        self._sheet = self._book.add_worksheet(name if number == 1 else f"{name} {number}")
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, len(self._view.fields) - 1, 20)
        for column, field in enumerate(self._view.fields):
            self._sheet.write_string(0, column, field, self._bold)
        self._row = 0

    def add(self, document: Document) -> None:
        """Append a document as a row."""
        if self._row == ROWS_PER_SHEET:
            self._begin()
        self._row += 1
        for column, (field, shape) in enumerate(self._view.fields.items()):
            if (value := document.get(field)) is not None:
                self._write(column, value, shape)

    def _write(self, column: int, value: Any, shape: str) -> None:
        place = self._row, column
        moment = _moment(value, shape)
        if moment is not None:
            self._sheet.write_datetime(*place, moment, self._styles[shape])
        elif isinstance(value, bool):
            self._sheet.write_boolean(*place, value)
        elif isinstance(value, int | float) and abs(value) < MOST_DIGITS:
            self._sheet.write_number(*place, value)
        else:
            self._sheet.write_string(*place, _fitting(_text(value)))


def _moment(value: Any, shape: str) -> date | datetime | None:
    """Return a day, or an instant in Shanghai time; None for any other value."""
    if shape not in {"date", "date-time"} or not isinstance(value, str):
        return None
    if shape == "date":
        day = date.fromisoformat(value)
        return day if day.year >= 1900 else None
    return moment_from_json(value).astimezone(SHANGHAI).replace(tzinfo=None)


def _fitting(text: str) -> str:
    """Shorten a text to what a cell of XLSX holds; a shortened text ends in an ellipsis."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * LONGEST_TEXT:
        return text
    return units[: 2 * (LONGEST_TEXT - 1)].decode("utf-16-le", errors="ignore") + "…"


CSV = Format("csv", media_types.CSV, _csv)
XLSX = Format("xlsx", media_types.XLSX, _xlsx)
FORMATS = {each.name: each for each in (CSV, XLSX)}
