"""The registry, filings, rosters and officers as their users meet them over HTTP."""

import itertools
import json

import eventlet
import pytest

from chassis.sealing import Seal
from tests.api.conftest import problem, stored
from tests.district import Refused

keys = itertools.count(1)
NUMBER = "110108000000016"
WORKER, NAME = "350503199001011236", "歐陽員工"
COLUMNS = "worker,name,home,arrived_on,arrived_from,temperature,unwell"


def roster(district, shop, body, kind="text/csv", day=None, key=None):
    headers = {"Content-Type": kind, "Idempotency-Key": key or f"roster-{next(keys)}"}
    path = f"/v1/enterprises/{shop}/roster/lines?day={day or district.today}"
    return district.client.request("POST", path, headers=headers, raw=body.encode())


def sheet(*rows):
    return "\n".join([COLUMNS, *rows]) + "\n"


def people(count):
    return [f"w{n},某人{n},350502,,,36.5,false" for n in range(count)]


# the registry


def test_a_number_registered_twice_names_the_first(district, say):
    asked = say.enterprise(registration_number=NUMBER)
    first = district.client.post("/v1/enterprises", asked)["enterprise_id"]
    again = say.enterprise(registration_number=NUMBER)
    answer = district.client.request("POST", "/v1/enterprises", again)
    assert problem(answer, 409, "#/registration_number")["enterprise_id"] == first
    both = say.enterprise(registration_number=NUMBER, credit_code=asked["credit_code"])
    answer = district.client.request("POST", "/v1/enterprises", both)
    problem(answer, 409, "#/credit_code", "#/registration_number")


def test_the_answer_says_by_which_limits_the_size_is_known(district, say):
    asked = say.enterprise(industry="C1810", premises="factory", staff=25, revenue=400)
    made = district.client.post("/v1/enterprises", asked | {"size": "large"})
    assert (made["size"], made["size_by"], made["branch"]) == ("small", "computed", "industry")
    assert made["rules"].startswith("350503-2020-02-10-")


def test_a_wrong_registration_is_mended_and_found_under_what_is_right(district, say):
    shop = district.register(name="錯名", grid="350503001")
    path = f"/v1/enterprises/{shop}/correction"
    asked = {"reason": "登記有誤", "name": "正名", "grid": "350503002", "staff": 12, "revenue": 150}
    made = district.client.post(path, asked)
    assert made["changed"] == ["name", "size", "staff", "revenue", "grid"]
    (found,) = district.client.everything("/v1/enterprises?name=正名&subdistrict=350503002")
    assert (found["id"], found["size"], found["version"]) == (shop, "small", 2)
    answer = district.client.request("POST", path, asked)
    assert problem(answer, 409)["last_change"]["what"] == "enterprise-corrected"
    assert "enterprise-corrected" in district.story(shop)


def test_a_code_that_was_missing_is_added_unless_another_has_it(district, say):
    asked = say.enterprise(registration_number="350503600000010")
    code = asked.pop("credit_code")
    shop = district.client.post("/v1/enterprises", asked)["enterprise_id"]
    taken = district.client.get(f"/v1/enterprises/{district.register()}")
    path, wrong = f"/v1/enterprises/{shop}/correction", {"credit_code": taken["credit_code"]}
    answer = district.client.request("POST", path, {"reason": "補登"} | wrong)
    assert problem(answer, 409, "#/credit_code")["enterprise_id"] == taken["id"]
    assert district.client.post(path, {"reason": "補登", "credit_code": code})["version"] == 2


# filings


def test_two_officers_who_decide_one_filing_from_the_same_state_do_not_both_succeed(district, say):
    """DIGIT lets both succeed. Here one of them learns who did what, and when."""
    shop = district.register(key_project=True)
    filing = district.file(shop, reopen_on=district.today.replace(day=20).isoformat())
    seen = district.client.get(f"/v1/filings/{filing}")
    assert (seen["state"], seen["reasons"][0]["code"]) == ("referred", "key_project")
    asked = [
        {"decision": "approve", "by": "head-1", "seen_version": seen["version"]},
        {
            "decision": "return",
            "by": "head-2",
            "reasons": ["不符"],
            "seen_version": seen["version"],
        },
    ]
    path = f"/v1/filings/{filing}/decision"
    pool, version = eventlet.GreenPool(2), {"seen_version": seen["version"]}
    answers = list(
        pool.imap(lambda body: district.client.request("POST", path, body | version), asked)
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    lost = next(answer.json() for answer in answers if answer.status == 409)
    won = next(answer.json() for answer in answers if answer.status == 200)
    assert lost["version"] == won["version"] == seen["version"] + 1
    assert lost["last_change"]["by"] == won["by"] in ("head-1", "head-2")
    assert lost["last_change"]["at"]
    district.settle()
    decided = district.client.get(f"/v1/filings/{filing}")
    assert decided["state"] in ("approved", "returned")
    assert decided["rules"] == won["rules"]


def test_fifty_equal_filings_at_once_are_one(district, say):
    shop = district.register()
    body = say.filing(shop)
    headers = {"Idempotency-Key": "fifty-filings"}
    pool = eventlet.GreenPool(50)
    answers = list(
        pool.imap(
            lambda _: district.client.request("POST", "/v1/filings", body, headers), range(50)
        )
    )
    assert {(answer.status, answer.data) for answer in answers} == {(201, answers[0].data)}
    assert len(district.client.everything(f"/v1/filings?enterprise_id={shop}")) == 1


def test_a_filing_after_a_return_tells_what_has_changed_since(district):
    shop = district.register()
    first = district.file(shop, measures=["masks"], pledge=False)
    second = district.client.get(f"/v1/filings/{district.file(shop)}")
    assert (second["follows"], second["changed"]) == (first, ["measures", "pledge"])


# rosters


def test_one_bad_row_of_a_roster_is_told_why_and_the_others_count(district):
    """One bad row drops the batch elsewhere: here 499 are on duty, and one row says why not."""
    shop = district.reopened()
    rows = people(500)
    rows[216] = "w216,某人,350502,soon,420106,forty,maybe"
    body = sheet(*rows)
    answer = roster(district, shop, body, key="one-bad-row")
    assert answer.status == 200, answer.data
    said = answer.json()
    assert (said["staff"], said["on_duty"], said["unfit"], said["unread"]) == (500, 499, 0, 1)
    assert [row["row"] for row in said["rows"]] == list(range(1, 501))
    (bad,) = [row for row in said["rows"] if row["state"] != "on_duty"]
    assert (bad["row"], bad["state"]) == (217, "unread")
    columns = sorted(error["pointer"] for error in bad["errors"])
    assert columns == ["#/arrived_on", "#/temperature", "#/unwell"]
    before = stored(district)
    again = roster(district, shop, body, key="one-bad-row")
    assert (again.status, again.data) == (200, answer.data)
    assert stored(district) == before


def test_who_does_not_meet_the_health_rules_is_named_to_the_enterprise_by_row(district):
    shop = district.reopened(premises="office")
    day = district.today.isoformat()
    lines = [
        {"worker": "1", "home": "350502", "temperature": 36.6},
        {"worker": "2", "home": "420100", "arrived_on": day, "arrived_from": "420106"},
        {"worker": "3", "home": "440100", "temperature": "37.3"},
        {"worker": "4", "home": "440100", "arrived_on": day, "arrived_from": "440100"},
        {"worker": "5", "home": "350502", "unwell": True},
    ]
    body = "\n".join(json.dumps(line) for line in lines)
    said = roster(district, shop, body, "application/x-ndjson").json()
    reasons = {row["row"]: [r["code"] for r in row.get("reasons", ())] for row in said["rows"]}
    assert reasons == {1: [], 2: ["quarantine"], 3: ["fever"], 4: [], 5: ["unwell"]}
    assert (said["on_duty"], said["out_of_province"]) == (2, 1)
    read = district.client.get(f"/v1/enterprises/{shop}")
    assert (read["on_duty"], read["out_of_province"]) == (2, 1)


def test_no_row_is_in_any_event_and_nobody_in_clear_in_any_file(district):
    shop = district.reopened()
    body = sheet(f"{WORKER},{NAME},420100,{district.today},420106,37.5,true", f"{WORKER},x,1,,,,")
    answer = roster(district, shop, body)
    district.settle()
    assert [row["state"] for row in answer.json()["rows"]] == ["not_on_duty", "unread"]
    seal = Seal.from_file(district.running.settings.data / "seal.key", create=False)
    heard = [answer.data]
    heard.append(district.client.request("GET", f"/v1/enterprises/{shop}/timeline").data)
    heard.append(district.client.request("GET", f"/v1/enterprises/{shop}/rosters").data)
    for data in heard:
        text = json.dumps(json.loads(data), ensure_ascii=False)
        assert not [word for word in (WORKER, NAME, f"{seal.key_id}.") if word in text]
    (reported,) = [e for e in json.loads(heard[1])["items"] if e["type"] == "roster-reported"]
    assert "fever" not in json.dumps([reported, json.loads(heard[2])]), "nor anybody's health"
    files = [path for path in district.running.settings.data.rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files)
    for form in (WORKER.encode(), NAME.encode(), json.dumps(NAME)[1:-1].encode()):
        assert form not in written


def test_the_history_of_an_enterprises_staff_is_read_day_by_day(district):
    shop = district.reopened()
    path = f"/v1/enterprises/{shop}/rosters"
    day = district.today.isoformat()
    district.client.post(f"/v1/enterprises/{shop}/roster", {"day": day, "staff": 9, "unfit": 2})
    roster(district, shop, sheet(*people(3)))
    district.settle()
    (one,) = district.client.everything(path)
    assert (one["day"], one["staff"], one["on_duty"]) == (day, 3, 3), "the later replaces it"
    assert district.client.everything(f"{path}?day=2020-01-01") == []
    assert district.client.get(f"/v1/rosters/{one['id']}") == one
    problem(district.client.request("GET", "/v1/enterprises/nobody/rosters"), 404)


@pytest.mark.parametrize(
    ("body", "kind", "status", "pointers"),
    [
        (sheet(), "text/csv", 400, ()),
        ("worker,colour\n1,red\n", "text/csv", 422, ("#/colour",)),
        ("{}", "application/json", 415, ()),
        (sheet(",,,,,,"), "text/csv", 422, ("#/1/worker", "#/1/home")),
        ('{"worker": 5, "home": "350502"}', "application/x-ndjson", 422, ("#/1/worker",)),
    ],
)
def test_a_sheet_that_cannot_be_read_at_all_is_refused(district, body, kind, status, pointers):
    shop = district.register()
    problem(roster(district, shop, body, kind), status, *pointers)


def test_a_sheet_needs_a_day_that_is_one_and_an_enterprise_that_is_open(district):
    shop = district.register()
    problem(roster(district, shop, sheet(*people(1)), day="soon"), 422, "#/day")
    problem(roster(district, shop, sheet(*people(1))), 409)
    problem(roster(district, "nobody", sheet(*people(1))), 404)


# officers


def test_officers_share_the_enterprises_of_a_grid_evenly(district):
    grid = "350503006"
    for _ in range(15):
        district.reopened("office", grid=grid)
    shops = district.client.everything(f"/v1/enterprises?grid={grid}")
    chosen = [shop["liaison"] for shop in shops]
    loads = {officer: chosen.count(officer) for officer in chosen}
    assert sorted(loads.values()) == [1] * 9 + [2] * 3
    listed = district.client.get("/v1/officers")["items"]
    assert {o["officer"]: o["enterprises"] for o in listed if "-006-" in o["officer"]} == loads
    officer = chosen[0]
    theirs = district.client.everything(f"/v1/enterprises?liaison={officer}")
    assert len(theirs) == loads[officer]


def test_an_officer_is_changed_by_hand_with_a_reason_and_a_history(district):
    shop = district.reopened(grid="350503008")
    first = district.client.get(f"/v1/enterprises/{shop}")["liaison"]
    path, other = f"/v1/enterprises/{shop}/liaison", "FZ-008-12"
    district.client.post(path, {"officer": other, "reason": "輪崗", "by": "head-1"})
    district.settle()
    read = district.client.get(f"/v1/enterprises/{shop}")
    told = [(e["officer"], e["by"], e["why"]["words"]["zh"]) for e in read["liaison_history"]]
    assert told == [
        (first, "rule", "本網格中負責企業最少的指導員"),
        (other, "head-1", "輪崗"),
    ]
    assert read["liaison"] == other
    with pytest.raises(Refused):
        district.client.post(path, {"officer": "FZ-001-01"})


def test_an_enterprise_that_is_of_another_grid_gets_an_officer_of_that_grid(district):
    shop = district.reopened(grid="350503008")
    district.client.post(
        f"/v1/enterprises/{shop}/correction", {"reason": "網格有誤", "grid": "350503007"}
    )
    district.settle()
    read = district.client.get(f"/v1/enterprises/{shop}")
    assert read["liaison"].startswith("FZ-007-")
    district.client.post(
        f"/v1/enterprises/{shop}/correction", {"reason": "門牌有誤", "address": "二號"}
    )
    district.settle()
    again = district.client.get(f"/v1/enterprises/{shop}")
    assert again["liaison_history"] == read["liaison_history"]
