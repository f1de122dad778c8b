"""Lists as files: how they are asked for, waited for and read back, and shops to list."""

import csv
import io

import eventlet
from openpyxl import load_workbook

from tests import PATIENCE

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FORMULAS = ['=HYPERLINK("http://x","y")', "+1+1", "-1+1", "@SUM(A1)", "＝1+1"]
CALLER, PHONE, MEDIC = "歐陽訴人", "13859761234", "司徒醫師"


def shops_of_every_kind(district):
    """Register shops with names of every kind, and let much happen to some; people are named."""
    names = ["閉環小館", 'A "quoted", name', *FORMULAS, "2020-02-10", "12"]
    made = [
        district.register(name=name, address="泉秀路\n1 號", grid=f"35050300{number % 2 + 3}")
        for number, name in enumerate(names)
    ]
    for shop in made[:2]:
        district.file(shop, headcount=20)
        district.visit(shop, ["dine_in", "gathering"])
    district.complain(made[0], caller=CALLER, phone=PHONE)
    medic = {"name": MEDIC, "identity": "350503197905051231", "institution": "豐澤區醫院"}
    district.client.post("/v1/medics", medic)
    district.tomorrow()
    return made


def get(client, path, accept=None):
    return client.request("GET", path, headers={"Accept": accept} if accept else None)


def rows_of(answer):
    """Read a CSV file, a dict a row."""
    assert answer.status == 200, answer.data
    assert answer.data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))


def book_of(answer):
    assert answer.status == 200, answer.data
    return load_workbook(io.BytesIO(answer.data))


def sheet_rows(sheet):
    head, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


def ids(rows):
    return [row["id"] for row in rows]


def made(client, answer):
    """Wait until an export that was asked for has ended, and give its file."""
    assert answer.status == 202, answer.data
    told = ended(client, answer)
    assert told["state"] == "done", told
    return get(client, told["file"])


def ended(client, answer):
    told = answer.json()
    assert answer.headers["Location"] == f"/v1/exports/{told['export_id']}"
    with eventlet.Timeout(PATIENCE, TimeoutError("the export does not end")):
        while told["state"] == "pending":
            told = client.get(answer.headers["Location"])
            eventlet.sleep(0.01)
    return told
