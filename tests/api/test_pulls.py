"""The hotline's list is pushed, and pulled again and again: one complaint for each number of it."""

import json

import eventlet

from tests.api.conftest import problem

HEAD = "track,channel,content,against,caller,outside_number,revision\n"


def row(number, revision=0, content="店內堂食"):
    return {
        "track": "report",
        "channel": "12315",
        "content": content,
        "against": "某店",
        "caller": "王小明",
        "outside_number": number,
        "revision": revision,
    }


def pull(district, *rows):
    raw = "\n".join(json.dumps(one) for one in rows).encode()
    headers = {"Content-Type": "application/x-ndjson"}
    answer = district.client.request("POST", "/v1/complaints/batch", headers=headers, raw=raw)
    assert answer.status == 200, answer.data
    return answer.json()["items"]


def on_record(district, number):
    return district.client.everything(f"/v1/complaints?outside_number={number}")


def test_the_first_push_makes_a_complaint_and_the_same_again_finds_it(district):
    first = district.client.request("POST", "/v1/complaints", row("P-1"))
    again = district.client.request("POST", "/v1/complaints", row("P-1"))
    assert (first.status, again.status) == (201, 200)
    assert first.headers["Location"] == again.headers["Location"]
    assert again.json()["complaint_id"] == first.json()["complaint_id"]
    assert again.json()["became"] == "unchanged"
    assert district.client.get(again.headers["Location"])["version"] == 1


def test_a_complaint_without_a_number_elsewhere_is_a_new_one_each_time(district, say):
    made = [district.client.post("/v1/complaints", say.complaint()) for _ in range(2)]
    assert made[0]["complaint_id"] != made[1]["complaint_id"]


def test_one_number_in_two_channels_is_two_complaints(district):
    made = [
        district.client.request("POST", "/v1/complaints", row("P-2") | {"channel": channel})
        for channel in ("12315", "letter")
    ]
    assert [one.status for one in made] == [201, 201]
    assert len(on_record(district, "P-2")) == 2


def test_overlapping_pulls_change_nothing_twice_and_nothing_back(district):
    assert [r["status"] for r in pull(district, row("L-1"), row("L-2"))] == [201, 201]
    told = pull(district, row("L-2"), row("L-2", 3, "三"), row("L-2", 1, "一"), row("L-3"))
    assert [(r["status"], r.get("became")) for r in told] == [
        (200, "unchanged"),
        (200, "revised"),
        (200, "outdated"),
        (201, None),
    ]
    (complaint,) = on_record(district, "L-2")
    assert (complaint["content"], complaint["revision"]) == ("三", 3)
    assert {r["location"] for r in told[:3]} == {f"/v1/complaints/{complaint['id']}"}
    assert "caller" not in complaint


def test_a_pull_in_csv_names_the_row_that_is_wrong_and_takes_the_others(district):
    raw = HEAD + "report,12315,堂食,某店,王,C-1,1\nreport,pigeon,堂食,某店,王,C-2,1\n"
    headers = {"Content-Type": "text/csv"}
    answer = district.client.request(
        "POST", "/v1/complaints/batch", headers=headers, raw=raw.encode()
    ).json()
    assert (answer["done"], answer["rejected"]) == (1, 1)
    assert answer["items"][1]["problem"]["errors"][0]["pointer"] == "#/channel"
    assert len(on_record(district, "C-1")) == 1


def test_one_revision_with_two_contents_is_a_conflict(district):
    pull(district, row("D-1", 1, "一"))
    answer = district.client.request("POST", "/v1/complaints", row("D-1", 1, "另"))
    said = problem(answer, 409)
    assert said["revision"] == 1


def test_pulls_at_the_same_time_make_one_complaint_of_each_number(district):
    numbers = [f"S-{n}" for n in range(20)]

    def pulls(turn):
        rows = [row(number, turn % 3, f"第{turn % 3}版") for number in numbers]
        return pull(district, *rows[turn:], *rows[:turn])

    told = list(eventlet.GreenPool(8).imap(pulls, range(8)))
    district.settle()
    assert sum(r["status"] == 201 for rows in told for r in rows) == len(numbers)
    for number in numbers:
        (complaint,) = on_record(district, number)
        assert (complaint["revision"], complaint["content"]) == (2, "第2版")
