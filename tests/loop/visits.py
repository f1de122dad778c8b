"""Stories of visits: made jointly, and sent by phones that were out of reach."""

import json

from tests.loop.telling import story


@story
def a_joint_visit_is_signed_by_three_agencies_each_for_itself(district):
    shop = district.register("restaurant")
    district.file(shop)
    visit = district.planned(shop, "review")
    agencies = ["health", "market", "police"]
    district.visit(visit_id=visit, agencies=agencies, joint=True)
    path = f"/v1/visits/{visit}"
    district.client.post(
        f"{path}/part",
        {"agency": "market", "findings": [{"rule": "dine_in", "rectified_on_the_spot": True}]},
    )
    for agency in agencies:
        district.settle()
        assert district.state(shop) == "registered", "the review waits for all of them"
        district.client.post(f"{path}/signature", {"agency": agency, "officer": agency})
    district.settle()
    assert district.client.get(path)["complete"]
    assert district.state(shop) == "open"
    story = district.story(shop)
    assert story.count("visit-signed") == 3
    assert story.count("onsite-review-passed") == 1
    assert story.index("onsite-review-passed") > story.index("part-recorded")
    assert ("visit-signed", "onsite-review-passed") in district.causes(shop)


@story
def a_batch_that_a_phone_sends_twice_records_each_visit_once(district):
    shops = [district.reopened() for _ in range(3)]
    rows = [
        {
            "enterprise_id": shop,
            "day": district.today.isoformat(),
            "device": "phone-7",
            "client_id": f"n-{number}",
            "answers": {"masks": "some_without"},
        }
        for number, shop in enumerate(shops)
    ]
    rows[1]["answers"] = {"masks": "blue"}
    for number in range(2):
        raw = "\n".join(json.dumps(row) for row in rows).encode()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"batch-{number}"}
        answer = district.client.request("POST", "/v1/visits/batch", headers=headers, raw=raw)
        assert [row["state"] for row in answer.json()["items"]] == ["done", "rejected", "done"]
        district.settle()
    assert [district.story(shop).count("visit-recorded") for shop in shops] == [1, 0, 1]
    assert [district.story(shop).count("issue-found") for shop in shops] == [1, 0, 1]


@story
def a_days_plan_sends_the_officers_to_the_urgent_case_first(district):
    district.reopened("restaurant")
    shop = district.reopened()
    district.complain(shop)
    assert district.planned(shop, "complaint")
    drawn = district.client.post(
        "/v1/patrols/plans",
        {"grid": "350503003", "day": district.today.isoformat(), "officers": ["A"]},
    )
    assert [stop["why"] for stop in drawn["stops"]] == ["urgent"], "the other was seen today"
    assert drawn["stops"][0]["enterprise_id"] == shop


@story
def a_review_is_given_up_with_its_filing(district):
    shop = district.register("restaurant")
    filing = district.file(shop)
    district.client.post(f"/v1/filings/{filing}/withdrawal", {"reason": "改期"})
    district.settle()
    assert district.planned(shop, "review") is None
    assert ("filing-withdrawn", "visit-cancelled") in district.causes(shop)
