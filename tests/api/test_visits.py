"""Visits by HTTP: checklists for phones, offline batches, joint visits, plans, lists."""

import json

import pytest

from tests.api.conftest import problem

NDJSON = "application/x-ndjson"


def send(district, rows, key):
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    headers = {"Content-Type": NDJSON, "Idempotency-Key": key}
    answer = district.client.request("POST", "/v1/visits/batch", headers=headers, raw=raw)
    assert answer.status == 200, answer.data
    district.settle()
    return answer.json()


def row(say, shop, number, **more):
    return say.visit(shop, device="phone-7", client_id=f"n-{number}", by="officer-1", **more)


def recorded(district, shop):
    return district.client.everything(f"/v1/visits?enterprise_id={shop}&state=recorded")


# checklists


def test_a_phone_takes_the_checklist_along_with_its_version_and_its_words(district):
    asked = district.client.get("/v1/checklists?premises=restaurant&on=2020-02-20")
    items = {item["code"]: item for item in asked["items"]}
    assert items["staff_temperature"]["unit"]["words"] == {"zh": "攝氏度", "en": "degrees Celsius"}
    assert items["staff_temperature"]["at_most"] == 37.2
    assert [choice["fails"] for choice in items["masks"]["choices"]] == [False, True, True]
    assert items["open_unseen"]["severity"] == "grave"
    assert items["remarks"]["required"] is False
    assert items["thermometers"]["source"] == "Licheng, 24 February 2020"
    assert "小餐館不得聚餐、堂食" in [one["words"]["zh"] for one in asked["must_nots"]]
    assert {rule["code"] for rule in asked["rules"]} >= {
        item.get("rule") for item in asked["items"]
    } - {None}
    again = district.client.get(f"/v1/checklists?premises=restaurant&version={asked['version']}")
    assert again == asked
    today = district.client.get("/v1/checklists?premises=office")
    assert today["version"] == asked["version"]
    assert "guests_dining_in" not in {item["code"] for item in today["items"]}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?premises=castle", 400),
        ("?premises=shop&on=yesterday", 400),
        ("?premises=shop&limit=3", 400),
        ("?premises=shop&on=2020-02-20&version=x", 400),
        ("?premises=shop&version=x", 404),
    ],
)
def test_a_checklist_is_asked_for_by_premises_and_a_day_or_a_version(district, query, status):
    problem(district.client.request("GET", f"/v1/checklists{query}"), status)


# what phones send


def test_one_bad_row_of_five_hundred_never_drops_the_batch(district, say):
    """Fault 11: 499 are stored, and one is told why, with its row and its column."""
    shops = [district.register() for _ in range(5)]
    rows = [row(say, shops[n % 5], f"f11-{n}") for n in range(500)]
    rows[216]["answers"] = {"staff_temperature": "hot"}
    said = send(district, rows, "fault-11")
    assert (said["rows"], said["done"], said["rejected"]) == (500, 499, 1)
    (bad,) = [one for one in said["items"] if one["state"] == "rejected"]
    assert (bad["row"], bad["status"]) == (217, 422)
    assert [e["pointer"] for e in bad["problem"]["errors"]] == ["#/answers/staff_temperature"]
    assert sum(len(recorded(district, shop)) for shop in shops) == 499


def test_a_row_that_comes_again_in_another_batch_makes_no_second_visit(district, say):
    shop = district.register()
    rows = [row(say, shop, f"again-{n}", findings=[{"rule": "dine_in"}]) for n in range(3)]
    first = send(district, rows, "batch-a")
    second = send(district, [*rows[1:], row(say, shop, "again-3")], "batch-b")
    places = [one["location"] for one in first["items"]]
    assert [one["location"] for one in second["items"]][:2] == places[1:]
    assert (first["done"], second["done"]) == (3, 3)
    assert len(recorded(district, shop)) == 4
    assert len(district.client.everything(f"/v1/issues?enterprise_id={shop}")) == 3


def test_a_name_given_to_two_visits_is_told_to_the_second(district, say):
    one, other = district.register(), district.register()
    district.client.post("/v1/visits", row(say, one, "twice"))
    changed = row(say, one, "twice", findings=[{"rule": "dine_in"}])
    problem(district.client.request("POST", "/v1/visits", changed), 409)
    elsewhere = row(say, other, "twice")
    problem(district.client.request("POST", "/v1/visits", elsewhere), 422, "#/enterprise_id")


# people


def test_a_joint_visit_shows_what_each_agency_has_recorded_and_who_has_signed(district, say):
    shop = district.reopened()
    visit = district.visit(shop, agencies=["police", "health"], joint=True)
    path = f"/v1/visits/{visit}"
    asked = {"agency": "health", "findings": [{"rule": "not_cleaned"}], "by": "H-1"}
    district.client.post(f"{path}/part", asked)
    district.client.post(f"{path}/signature", {"agency": "health", "officer": "H-1"})
    shown = district.client.get(path)
    assert [(part["agency"], len(part["findings"])) for part in shown["parts"]] == [("health", 1)]
    assert (shown["complete"], len(shown["signed"])) == (False, 1)
    district.client.post(f"{path}/signature", {"agency": "police", "officer": "P-1"})
    assert district.client.get(path)["complete"]


def test_a_second_mission_is_answered_with_a_warning_that_names_the_first(district, say):
    shop = district.register()
    asked = {"enterprise_id": shop, "day": say.today, "agencies": ["health"]}
    first = district.client.post("/v1/visits/plans", asked)
    assert first["warnings"] == []
    second = district.client.post("/v1/visits/plans", asked | {"agencies": ["police"]})
    (warning,) = second["warnings"]
    assert (warning["visit_id"], warning["agencies"]) == (first["visit_id"], ["health"])
    assert warning["words"].keys() == {"zh", "en"}
    shown = district.client.get(f"/v1/visits/{second['visit_id']}")
    assert shown["warnings"] == second["warnings"]


def test_a_plan_that_was_cancelled_or_put_off_says_so(district, say):
    shop = district.register()
    asked = {"enterprise_id": shop, "day": say.today}
    ids = [district.client.post("/v1/visits/plans", asked)["visit_id"] for _ in range(2)]
    district.client.post(f"/v1/visits/{ids[0]}/cancellation", {"reason": "下雨"})
    district.client.post(f"/v1/visits/{ids[1]}/day", {"day": "2020-02-29", "reason": "下雨"})
    one, other = (district.client.get(f"/v1/visits/{one}") for one in ids)
    assert (one["state"], one["reason"]) == ("cancelled", "下雨")
    assert (other["state"], other["day"]) == ("planned", "2020-02-29")


def test_a_list_finds_the_urgent_visits_and_the_plan_puts_them_first(district, say):
    shop = district.reopened(grid="350503008")
    district.complain(shop)
    district.settle()
    urgent = district.client.everything("/v1/visits?state=planned&urgent=true&grid=350503008")
    assert [visit["enterprise_id"] for visit in urgent] == [shop]
    asked = {"grid": "350503008", "day": say.today, "officers": ["A"]}
    drawn = district.client.post("/v1/patrols/plans", asked)
    assert drawn["stops"][0]["visit_id"] == urgent[0]["id"]
    assert drawn["stops"][0]["why"] == "urgent"
    assert district.client.everything("/v1/plans?grid=350503008")[0]["stops"] == drawn["stops"]
