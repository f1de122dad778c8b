"""Lists as files for spreadsheets: CSV (RFC 4180) and XLSX (ISO/IEC 29500), written page by page.

What people have written is never a formula: in CSV a text that would pass for one begins with an
apostrophe (OWASP, CSV injection), in XLSX a text is a cell of that type. docs/reading.md tells
people of the rest.
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
"""How a text begins that a spreadsheet takes for a formula; some read full width as half, and pass
over what is blank or not seen."""
ROWS_PER_SHEET = 250_000
"""A worksheet may have 1,048,576 rows, but no more than 2 GB of XML."""
LONGEST_TEXT = 32_767
"""UTF-16 units in a cell of XLSX."""
MOST_DIGITS = 10**15
"""From here on a spreadsheet's numbers are not exact."""
PIECE = 64 * 1024
"""Bytes of a file that are read at once."""
BREATH = 50
"""Rows that are written before others have their turn."""
_BOM = "\ufeff"

Pages = Iterable[Sequence[Document]]


@dataclass(frozen=True)
class Export:
    """What a file is of: a view, and as of which event."""

    view: View
    as_of: dict[str, Any]

    @property
    def moment(self) -> datetime | None:
        """When the last event was, of which the file tells; None where there was none."""
        time = self.as_of["time"]
        return moment_from_json(time).astimezone(SHANGHAI) if time else None

    @property
    def stem(self) -> str:
        """The name of the file, without its ending: the list, and the day in Shanghai."""
        return f"{self.view.name}-{self.moment:%Y-%m-%d}" if self.moment else self.view.name


@dataclass(frozen=True)
class Format:
    """A kind of file: its name, which is its ending too, its media type, and what writes it."""

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
    """Write a value for a cell of CSV."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    said = _text(value)
    return f"'{said}" if FORMULA.match(said) else said


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value)


def _xlsx(export: Export, pages: Pages) -> Iterator[bytes]:
    """Write the rows into a folder for a time, and then give the file that is put together."""
    from xlsxwriter import Workbook  # few ever ask for one

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
    """The worksheets of a workbook: the next begins when one is full."""

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
        """Say in the properties of the file of what it is, and as of when."""
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
        """Write a document as the next row."""
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
    """Read a day, or an instant as the clocks of Shanghai show it; None for what is neither."""
    if shape not in {"date", "date-time"} or not isinstance(value, str):
        return None
    if shape == "date":
        day = date.fromisoformat(value)
        return day if day.year >= 1900 else None
    return moment_from_json(value).astimezone(SHANGHAI).replace(tzinfo=None)


def _fitting(text: str) -> str:
    """Leave of a text what a cell of XLSX takes; a cut one ends in an ellipsis."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * LONGEST_TEXT:
        return text
    return units[: 2 * (LONGEST_TEXT - 1)].decode("utf-16-le", errors="ignore") + "…"


CSV = Format("csv", media_types.CSV, _csv)
XLSX = Format("xlsx", media_types.XLSX, _xlsx)
FORMATS = {each.name: each for each in (CSV, XLSX)}
