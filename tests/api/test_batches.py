"""A batch is a request a row: the good rows are stored, each bad one is told why."""

import csv
import io
import itertools
import json

import eventlet
import pytest

from services.gateway.commands import rows as rows_module
from tests.api.conftest import problem, stored

NDJSON = "application/x-ndjson"
keys = itertools.count(1)
FIELDS = ("credit_code", "name", "kind", "size", "industry", "premises", "grid", "address")


def send(district, body, kind=NDJSON, key=None, path="/v1/enterprises/batch", **headers):
    headers |= {"Content-Type": kind, "Idempotency-Key": key or f"batch-{next(keys)}"}
    raw = body if isinstance(body, bytes) else body.encode()
    return district.client.request("POST", path, headers=headers, raw=raw)


def ndjson(rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"


def as_csv(rows, fields=FIELDS):
    out = io.StringIO()
    writer = csv.DictWriter(out, fields)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def states(answer):
    return [row["state"] for row in answer.json()["items"]]


def test_one_bad_row_of_five_hundred_is_told_why_and_the_others_are_stored(district, say):
    rows = [say.enterprise() for _ in range(500)]
    rows[216]["credit_code"] = rows[216]["credit_code"][:-1] + "I"
    before, body = len(district.client.everything("/v1/enterprises")), ndjson(rows)
    answer = send(district, body, key="five-hundred")
    assert answer.status == 200
    said = answer.json()
    assert (said["rows"], said["done"], said["rejected"]) == (500, 499, 1)
    assert [row["row"] for row in said["items"]] == list(range(1, 501))
    (bad,) = [row for row in said["items"] if row["state"] == "rejected"]
    assert (bad["row"], bad["status"]) == (217, 422)
    assert [error["pointer"] for error in bad["problem"]["errors"]] == ["#/credit_code"]
    for row in (said["items"][0], said["items"][499]):
        assert row["status"] == 201
        assert district.client.request("GET", row["location"]).status == 200
    assert len(district.client.everything("/v1/enterprises")) == before + 499

    everything = stored(district)
    again = send(district, body, key="five-hundred")
    assert (again.status, again.data) == (200, answer.data)
    assert stored(district) == everything
    read_in_pages(district, said["command_id"], said["items"])


def read_in_pages(district, command, items):
    record = district.client.get(f"/v1/commands/{command}")
    assert record["type"] == "register-enterprise-batch"
    assert [record[n] for n in ("state", "rows", "done", "rejected", "pending")] == [
        "done",
        500,
        499,
        1,
        0,
    ]
    path = f"/v1/commands/{command}/rows"
    assert district.client.everything(path) == items
    page = district.client.request("GET", f"{path}?limit=100&after=400")
    assert page.json() == {"items": items[400:], "next": None}
    assert "Link" not in page.headers
    page = district.client.request("GET", f"{path}?limit=100&after=399")
    assert page.headers["Link"] == f'<{path}?after=499&limit=100>; rel="next"'
    problem(district.client.request("GET", f"{path}?limit=500"), 400)
    problem(district.client.request("GET", f"{path}?state=done"), 400)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_csv_comes_as_spreadsheets_write_it(district, say, mark, ends):
    rows = [say.enterprise(name=f"小館, “{n}” 號", address="東湖街\n12號") for n in range(3)]
    rows[1]["name"] = 'the "blue", 店'
    text = mark + as_csv(rows, [*FIELDS[:-1], "address"]).replace("\r\n", ends)
    answer = send(district, text, "text/csv; charset=utf-8")
    assert states(answer) == ["done"] * 3
    for row, asked in zip(answer.json()["items"], rows, strict=True):
        assert district.client.get(row["location"])["name"] == asked["name"]


def test_csv_columns_become_what_the_fields_need(district, say):
    row = say.enterprise() | {"key_project": "TRUE", "address": ""}
    wrong = say.enterprise() | {"key_project": "perhaps"}
    answer = send(district, as_csv([row, wrong], [*FIELDS, "key_project"]), "text/csv")
    assert states(answer) == ["done", "rejected"]
    made = district.client.get(answer.json()["items"][0]["location"])
    assert made["key_project"] is True
    assert made["address"] == ""
    pointers = [e["pointer"] for e in answer.json()["items"][1]["problem"]["errors"]]
    assert pointers == ["#/key_project"]


def test_medics_come_in_batches_too_each_person_once(district, say):
    medic = say.medic(name="陳醫生, 主任")
    rows = [medic, say.medic(), medic | {"identity": medic["identity"] + " "}]
    text = as_csv(rows, ("name", "identity", "institution"))
    answer = send(district, text, "text/csv", path="/v1/medics/batch")
    assert states(answer) == ["done", "done", "rejected"]
    assert answer.json()["items"][2]["status"] == 409


def test_rows_that_cannot_be_read_are_told_why(district, say):
    good = json.dumps(say.enterprise(name="行 \u2028 間"), ensure_ascii=False)
    bad = ["{", "[]", '{"name": NaN}', '{"name": "\\ud800"}', '{"enterprise_id": "x"}', "[" * 5000]
    answer = send(district, "\n".join([good, "", *bad, "  ", good]))
    assert states(answer) == ["done"] + ["rejected"] * 7
    items = answer.json()["items"]
    assert [row["status"] for row in items] == [201, 400, 400, 400, 422, 422, 400, 409]
    assert items[4]["problem"]["errors"][0]["pointer"] == "#/name"


def test_a_csv_row_with_too_many_columns_or_a_nul_is_told_why(district, say):
    text = as_csv([say.enterprise(), say.enterprise(), say.enterprise(name="nu\0l")], FIELDS)
    lines = text.split("\r\n")
    lines[2] += ",more"
    answer = send(district, "\r\n".join(lines), "text/csv")
    assert [row["status"] for row in answer.json()["items"]] == [201, 400, 422]


def test_a_batch_without_rows_or_with_too_many_is_refused(district, unchanged, say, monkeypatch):
    monkeypatch.setattr(rows_module, "LARGEST_BATCH", 3)
    for body in ("", "\n \n"):
        problem(send(district, body), 400)
        problem(send(district, body, "text/csv"), 400)
    problem(send(district, ",".join(FIELDS) + "\n", "text/csv"), 400)
    rows = [say.enterprise() for _ in range(4)]
    problem(send(district, ndjson(rows)), 400)
    problem(send(district, as_csv(rows), "text/csv"), 400)


def test_what_is_no_batch_is_refused(district, unchanged, say):
    problem(send(district, "[]", "application/json"), 415)
    problem(send(district, b"\xff\xff"), 400)
    problem(send(district, "企業".encode("gbk"), "text/csv"), 400)
    problem(send(district, 'name,kind\n"open', "text/csv"), 400)
    problem(send(district, 'name,kind\n"a"b,c', "text/csv"), 400)
    problem(send(district, "name,kind\n" + "x" * 200_000 + ",c", "text/csv"), 400)


def test_columns_that_are_no_fields_are_named_once_for_the_whole_batch(district, unchanged, say):
    text = as_csv([say.enterprise(色="紅") for _ in range(2)], [*FIELDS, "色"])
    problem(send(district, text, "text/csv"), 422, "#/色")
    problem(send(district, "name,kind,name,\na,b,c,\n", "text/csv"), 422, "#/name", "#/")


def test_a_key_used_for_another_batch_is_refused_and_none_of_its_rows_is_stored(district, say):
    first = [say.enterprise() for _ in range(2)]
    assert send(district, ndjson(first), key="reused").status == 200
    before = stored(district)
    problem(send(district, ndjson([*first, say.enterprise()]), key="reused"), 422)
    problem(send(district, as_csv(first), "text/csv", key="reused"), 422)
    assert stored(district) == before


def test_two_batches_at_once_under_one_key_are_not_mixed(district, say):
    before = len(district.client.everything("/v1/enterprises"))
    short, long = ([say.enterprise() for _ in range(n)] for n in (2, 5))
    threads = [eventlet.spawn(send, district, ndjson(rows), key="both") for rows in (short, long)]
    answers = [thread.wait() for thread in threads]
    assert sorted(answer.status for answer in answers) == [200, 422]
    kept = next(answer.json()["rows"] for answer in answers if answer.status == 200)
    assert len(district.client.everything("/v1/enterprises")) == before + kept


def test_a_key_that_looks_like_a_row_of_another_batch_is_another_key(district, say):
    body = ndjson([say.enterprise()])
    assert states(send(district, body, key="like")) == ["done"]
    answer = send(district, body, key="like/1")
    assert (answer.status, states(answer)) == (200, ["rejected"])


def test_ten_equal_batches_at_once_are_one(district, say):
    before = len(district.client.everything("/v1/enterprises"))
    body = ndjson([say.enterprise() for _ in range(20)])
    pool = eventlet.GreenPool(10)
    answers = list(pool.imap(lambda _: send(district, body, key="ten"), range(10)))
    assert {(a.status, a.data) for a in answers} == {(200, answers[0].data)}
    assert len(district.client.everything("/v1/enterprises")) == before + 20


def test_who_does_not_wait_for_a_batch_can_follow_it(district, say):
    body = ndjson([say.enterprise() for _ in range(20)])
    answer = send(district, body, key="async", Prefer="respond-async")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/commands/{answer.json()['command_id']}"
    district.settle()
    assert district.client.get(answer.headers["Location"])["done"] == 20
    assert send(district, body, key="async").json()["done"] == 20


def test_a_batch_of_refused_rows_alone_is_answered(district, say):
    before = len(district.client.everything("/v1/enterprises"))
    answer = send(district, ndjson([{}, {"name": ""}]))
    assert (answer.status, states(answer)) == (200, ["rejected", "rejected"])
    assert len(district.client.everything("/v1/enterprises")) == before
