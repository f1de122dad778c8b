"""Every list is a file for spreadsheets too: the same rows, as text, numbers and days."""

import io
import json
from datetime import datetime
from urllib.parse import quote
from zipfile import ZipFile

import pytest

from chassis.sealing import Seal
from services.gateway.access.callers import Caller
from services.gateway.exports import formats
from services.gateway.resources import VIEWS
from services.gateway.resources.roles import Role
from tests.api.conftest import problem
from tests.api.exported import (
    CALLER,
    FORMULAS,
    MEDIC,
    PHONE,
    XLSX,
    book_of,
    get,
    ids,
    made,
    rows_of,
    sheet_rows,
    shops_of_every_kind,
)
from tests.api.test_privacy import SEALED
from tools.documents import example

LONG = "長" * 40_000


@pytest.fixture(scope="module")
def shops(district):
    return shops_of_every_kind(district)


def said(value):
    """Write a document's value as a cell of CSV."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def with_format(path, name):
    return f"{path}{'&' if '?' in path else '?'}format={name}"


# what is in the file


@pytest.mark.parametrize("name", VIEWS)
def test_every_list_is_there_as_csv_and_xlsx_with_the_same_rows(full, name):
    path = f"/v1/{name}"
    items = full.client.everything(path)
    assert len(items) > 2
    assert ids(rows_of(get(full.client, path, "text/csv"))) == ids(items)
    sheet = book_of(get(full.client, path, XLSX)).active
    assert (sheet.title, ids(sheet_rows(sheet))) == (name, ids(items))


@pytest.mark.parametrize("name", VIEWS)
def test_every_value_of_a_document_stands_under_the_name_of_its_field(full, name):
    items = full.client.everything(f"/v1/{name}")
    rows = rows_of(get(full.client, f"/v1/{name}?format=csv"))
    assert items
    for item, row in zip(items, rows, strict=True):
        assert [*row] == [*VIEWS[name].fields]
        assert {field: row[field].removeprefix("'") for field in item} == {
            field: said(value) for field, value in item.items()
        }
        assert not [field for field in row.keys() - item.keys() if row[field]]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_the_columns_of_a_file_are_all_that_a_document_may_ever_hold(view):
    document = {}
    for kind, change in view.changes.items():
        document = change(document, kind.from_data(example(kind)["body"]))
        assert document.keys() <= view.fields.keys(), kind.type
    assert next(iter(view.fields)) == "id"
    assert [*view.fields][-2:] == ["version", "updated_at"]


def test_no_file_has_a_column_for_what_is_sealed():
    for view in VIEWS.values():
        assert not view.fields.keys() & {*SEALED, "worker_ref"}, view.name
    assert "name" not in VIEWS["medics"].fields


def test_no_file_tells_of_a_person(district, shops):
    line = {"worker": "A-1", "name": MEDIC, "home": "350000", "temperature": "36.5"}
    path = f"/v1/enterprises/{shops[0]}/roster/lines?day={district.today}"
    headers = {"Content-Type": "application/x-ndjson"}
    asked = district.client.request("POST", path, headers=headers, raw=json.dumps(line).encode())
    assert asked.status < 300, asked.data
    district.settle()
    seal = Seal.from_file(district.running.settings.data / "seal.key", create=False)
    for name in VIEWS:
        text = get(district.client, f"/v1/{name}", "text/csv").data.decode()
        with ZipFile(io.BytesIO(get(district.client, f"/v1/{name}", XLSX).data)) as file:
            text += "".join(file.read(part).decode() for part in file.namelist())
        for word in (CALLER, PHONE, MEDIC, "A-1,", f"{seal.key_id}."):
            assert word not in text, name


def test_a_csv_file_is_utf_8_with_a_mark_and_has_lines_as_rfc_4180_has_them(district, shops):
    answer = get(district.client, "/v1/enterprises?sort=name", "text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    head, _ = answer.data.split(b"\r\n", 1)
    assert head.decode("utf-8-sig").split(",") == [*VIEWS["enterprises"].fields]
    assert b'"A ""quoted"", name"' in answer.data
    assert '"泉秀路\n1 號"'.encode() in answer.data
    assert answer.data.endswith(b"\r\n")


def test_what_a_spreadsheet_would_take_for_a_formula_is_text(district, shops):
    rows = rows_of(get(district.client, "/v1/enterprises", "text/csv"))
    names = [row["name"] for row in rows]
    assert [f"'{formula}" for formula in FORMULAS] == names[2 : 2 + len(FORMULAS)]
    sheet = book_of(get(district.client, "/v1/enterprises", XLSX)).active
    column = [*VIEWS["enterprises"].fields].index("name") + 1
    cells = [sheet.cell(row, column) for row in range(2, sheet.max_row + 1)]
    assert [cell.value for cell in cells[2 : 2 + len(FORMULAS)]] == FORMULAS
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {
        "s",
        "inlineStr",
        "n",
        "d",
        "b",
    }


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_every_beginning_of_a_formula_is_escaped_in_csv(begin):
    assert formats._value(f"{begin}1+1") == f"'{begin}1+1"
    assert formats._value(f"1{begin}1") == f"1{begin}1"


def test_numbers_are_numbers_days_are_days_and_truth_is_truth(district, shops):
    (shop,) = district.client.everything(f"/v1/enterprises?name={quote('閉環小館')}")
    path = f"/v1/enterprises?name={quote('閉環小館')}"
    (row,) = sheet_rows(book_of(get(district.client, path, XLSX)).active)
    assert row["on_duty"] == shop["on_duty"] > 0
    assert row["reopened_on"] == datetime.fromisoformat(shop["reopened_on"])
    assert row["key_project"] is False
    assert row["grid"] == "350503003"
    assert row["updated_at"].date() <= district.today
    (row,) = rows_of(get(district.client, path, "text/csv"))
    assert (row["on_duty"], row["reopened_on"]) == (str(shop["on_duty"]), shop["reopened_on"])
    assert formats._value(-5) == -5


def test_a_name_that_looks_like_a_day_or_a_number_stays_text(district, shops):
    sheet = book_of(get(district.client, "/v1/enterprises", XLSX)).active
    names = [row["name"] for row in sheet_rows(sheet)]
    assert {"2020-02-10", "12"} <= {*names}


def test_what_is_nested_is_compact_json(district, shops):
    (notice, *_) = district.client.everything("/v1/notices")
    row = rows_of(get(district.client, "/v1/notices", "text/csv"))[0]
    assert json.loads(row["open"]) == notice["open"]
    assert row["open"] == said(notice["open"])


def test_a_text_longer_than_a_cell_is_cut_in_xlsx_with_a_sign_and_whole_in_csv():
    assert formats._fitting("長" * 32_767) == "長" * 32_767
    assert formats._fitting(LONG) == "長" * 32_766 + "…"
    assert formats._fitting("😀" * 20_000) == "😀" * 16_383 + "…"
    assert formats._value(LONG) == LONG


def test_more_rows_than_a_worksheet_takes_go_on_in_the_next(district, shops, monkeypatch):
    monkeypatch.setattr(formats, "ROWS_PER_SHEET", 4)
    book = book_of(get(district.client, "/v1/enterprises", XLSX))
    items = district.client.everything("/v1/enterprises")
    assert book.sheetnames[:3] == ["enterprises", "enterprises 2", "enterprises 3"]
    assert ids(row for sheet in book for row in sheet_rows(sheet)) == ids(items)


# which rows


@pytest.mark.parametrize(
    "query",
    [
        "state=open,registered&sort=-name",
        "on_duty=1..&sort=on_duty",
        "grid=350503003",
        f"q={quote('閉環')}",
        f"q={quote('泉秀路')}&sort=name",
        "state=suspended",
    ],
)
def test_filters_ranges_words_and_order_are_those_of_the_list(district, shops, small, query):
    path = f"/v1/enterprises?{query}"
    expected = ids(district.client.everything(path))
    for name, read in (("csv", rows_of), ("xlsx", lambda a: sheet_rows(book_of(a).active))):
        answer = get(district.client, with_format(path, name))
        if answer.status == 202:
            answer = made(district.client, answer)
        assert ids(read(answer)) == expected
    assert expected or query == "state=suspended"


def test_the_rosters_of_an_enterprise_are_a_file_too(district, shops):
    asked = {"day": district.today.isoformat(), "staff": 7}
    district.client.post(f"/v1/enterprises/{shops[0]}/roster", asked)
    district.settle()
    (row,) = rows_of(get(district.client, f"/v1/enterprises/{shops[0]}/rosters", "text/csv"))
    assert (row["enterprise_id"], row["staff"]) == (shops[0], "7")


def test_nobody_finds_in_a_file_what_the_list_does_not_show(district, shops, small):
    officer = Caller("GW-003", frozenset({Role.GRID_OFFICER}), grids=frozenset({"350503003"}))
    shop = Caller("owner", frozenset({Role.ENTERPRISE}), enterprises=frozenset({shops[0]}))
    for caller, path in (
        (officer, "/v1/enterprises"),
        (officer, "/v1/notices"),
        (shop, "/v1/enterprises"),
        (shop, "/v1/slips"),
    ):
        client = district.client_as(caller)
        seen = client.everything(path)
        answer = get(client, path, "text/csv")
        answer = made(client, answer) if answer.status == 202 else answer
        assert ids(rows_of(answer)) == ids(seen)
        assert 0 < len(seen) < len(district.client.everything(path))
    problem(get(district.client_as(shop), "/v1/complaints", "text/csv"), 403)


def test_a_file_has_what_happened_today(district, shops):
    shop = district.register(name="今日新店")
    assert ids(rows_of(get(district.client, "/v1/enterprises", "text/csv")))[-1] == shop


# how it is asked for


def test_a_file_says_of_what_it_is_and_as_of_when(district, shops):
    as_of = district.client.get("/v1/notices")["as_of"]
    day = f"{district.today:%Y-%m-%d}"
    for name, ending in (("text/csv", "csv"), (XLSX, "xlsx")):
        answer = get(district.client, "/v1/notices", name)
        assert answer.headers["As-Of"] == f'position={as_of["position"]}, time="{as_of["time"]}"'
        disposition = f'attachment; filename="notices-{day}.{ending}"'
        assert answer.headers["Content-Disposition"] == disposition
        assert answer.headers["Vary"] == "Accept"
    book = book_of(answer)
    said = {prop.name: prop.value for prop in book.custom_doc_props.props}
    assert said == {"as_of_position": as_of["position"], "as_of_time": as_of["time"]}
    assert book.properties.title == "notices"
    assert as_of["time"] in book.properties.description


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html, */*;q=0.8"])
def test_a_list_is_json_unless_a_file_is_asked_for(district, shops, accept):
    answer = get(district.client, "/v1/notices", accept)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["items"]


def test_the_format_that_is_named_goes_before_what_is_accepted(district, shops):
    assert get(district.client, "/v1/notices?format=json", "text/csv").json()["items"]
    assert rows_of(get(district.client, "/v1/notices?format=csv", "application/json"))


def test_a_page_of_json_is_read_on_with_the_format_named_or_not(district, shops):
    first = district.client.get("/v1/enterprises?limit=2&format=json")
    rest = district.client.get(f"/v1/enterprises?limit=2&after={quote(first['next'])}")
    whole = ids(district.client.everything("/v1/enterprises"))
    assert ids(first["items"]) + ids(rest["items"]) == whole[:4]
    assert len(whole) > 3


@pytest.mark.parametrize("query", ["format=pdf", "format=", "format=csv&format=csv", "format=CSV"])
def test_a_format_that_there_is_not_is_refused(district, query):
    assert "json, csv, xlsx" in problem(get(district.client, f"/v1/notices?{query}"), 400)["detail"]


def test_a_media_type_that_there_is_not_is_refused(district):
    assert "text/csv" in problem(get(district.client, "/v1/notices", "image/png"), 406)["detail"]


@pytest.mark.parametrize("query", ["limit=10", "after=", "limit=5&after=x", "limit=x"])
def test_a_file_is_the_whole_list_and_takes_no_page(district, query):
    problem(get(district.client, f"/v1/notices?format=csv&{query}"), 400)


def test_what_the_list_does_not_know_the_file_does_not_know_either(district):
    said = problem(get(district.client, "/v1/notices?format=csv&colour=red"), 400)
    assert "Unknown parameter colour" in said["detail"]


def test_a_list_with_nothing_in_it_is_a_file_with_a_head_alone(make_district):
    district = make_district()
    answer = get(district.client, "/v1/claims", "text/csv")
    assert rows_of(answer) == []
    assert answer.headers["Content-Disposition"] == 'attachment; filename="claims.csv"'
    assert answer.headers["As-Of"] == "position=0"
