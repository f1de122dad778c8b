"""What other systems get wrong about working on cases; the numbers are those of the collection."""

import json

import eventlet

from services.gateway.access.callers import Caller
from services.gateway.resources.roles import Role


def at_once(district, path, bodies):
    """Post at one moment; gives the answers, those that were done first."""
    posts = [eventlet.spawn(district.client.request, "POST", path, body) for body in bodies]
    return sorted((post.wait() for post in posts), key=lambda answer: answer.status)


def pull(district, *rows):
    raw = "\n".join(json.dumps(row) for row in rows).encode()
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=60"}
    answer = district.client.request("POST", "/v1/complaints/batch", headers=headers, raw=raw)
    return [(row["status"], row.get("became")) for row in answer.json()["items"]]


def test_an_escalation_that_never_sees_the_oldest(district):
    """4: more than a page of overdue cases that nobody is in charge of: the oldest first, once."""
    older, newer = district.reopened(), [district.reopened() for _ in range(3)]
    district.visit(older, findings=["dine_in"])
    district.tomorrow()
    for shop in newer:
        district.visit(shop, findings=["dine_in"] * 40)
    district.days_pass(6)
    notices = [n for shop in (older, *newer) for n in district.client.everything(
        f"/v1/notices?enterprise_id={shop}")]  # fmt: skip
    assert len(notices) == 121
    assert {len(notice["presses"]) for notice in notices} == {1, 2}
    levels = [press["level"] for notice in notices for press in notice["presses"]]
    assert all(n["presses"][0]["level"] == 1 for n in notices)
    assert levels.count(1) == 121, "once a level"
    (oldest,) = district.client.everything(f"/v1/notices?enterprise_id={older}")
    assert len(oldest["presses"]) == 2, "it came first, and is a level ahead"


def test_a_clock_that_a_comment_restarts_and_that_has_no_pause(district):
    """5: a comment moves nothing; a pause over a weekend takes its working days out."""
    complaint = district.complain(district.reopened())
    path = f"/v1/complaints/{complaint}"
    due = district.client.get(path)["due_on"]
    district.client.post(f"{path}/comments", {"comment": "請盡快處理", "by": "caller"})
    district.settle()
    assert district.client.get(path)["due_on"] == due
    while district.today.weekday() != 4:
        district.tomorrow()
    district.client.post(f"{path}/pause", {"ground": "appraisal", "by": "desk-1"})
    district.settle()
    assert district.client.get(path)["clock"] == "paused"
    district.days_pass(3)
    district.client.post(f"{path}/resumption", {"by": "desk-1"})
    district.settle()
    resumed = district.client.get(path)
    assert (resumed["clock"], resumed["overdue"]) == ("running", False)
    assert resumed["due_on"] > due


def test_one_agencys_closing_closes_the_others_and_missions_are_doubled(district):
    """6: one visit, each agency records and signs its own part, and what one has settled leaves as
    it was what the other has found; a second mission is warned of."""
    shop = district.reopened()
    visit = district.visit(shop, agencies=["police", "health"], joint=True)
    health, police = (
        district.client_as(Caller(name, frozenset({Role.INSPECTOR}), frozenset({"350503"})))
        for name in ("H-1", "P-1")
    )
    path = f"/v1/visits/{visit}"
    health.post(f"{path}/part", {"agency": "health", "findings": [{"rule": "not_cleaned"}]})
    health.post(f"{path}/signature", {"agency": "health", "officer": "H-1"})
    district.settle()
    (cleaning,) = district.open_notices(shop)
    health.post(f"/v1/notices/{cleaning['id']}/reinspection",
                {"day": district.today.isoformat(), "rectified": True})  # fmt: skip
    district.settle()
    assert not district.client.get(path)["complete"]
    again = {"enterprise_id": shop, "day": district.today.isoformat(), "agencies": ["fire"]}
    second = district.client.post("/v1/visits/plans", again)
    assert visit in [warning["visit_id"] for warning in second["warnings"]]
    police.post(f"{path}/part", {"agency": "police", "findings": [{"rule": "gathering"}]})
    district.settle()
    (gathering,) = district.open_notices(shop)
    police.post(f"{path}/signature", {"agency": "police", "officer": "P-1"})
    district.settle()
    seen = district.client.get(path)
    assert (seen["complete"], [part["agency"] for part in seen["parts"]]) == (
        True, ["health", "police"],
    )  # fmt: skip
    assert [one["officer"] for one in seen["signed"]] == ["H-1", "P-1"]
    assert district.open_notices(shop) == [gathering], "the police's is as it was"
    assert district.client.get(f"/v1/notices/{cleaning['id']}")["state"] == "satisfied"


def test_a_reinspection_that_asks_everything_again(district):
    """7: it shows what is open, and what was found and tried before."""
    shop = district.reopened()
    finding = {"rule": "not_cleaned", "remark": "後廚及大堂", "evidence": ["photo-0"]}
    district.visit(shop, findings=[finding, {"rule": "dine_in", "rectified_on_the_spot": True}])
    (notice,) = district.open_notices(shop)
    body = {"day": district.today.isoformat(), "rectified": False, "left": ["後廚"]}
    district.client.post(f"/v1/notices/{notice['id']}/reinspection", body)
    district.settle()
    seen = district.client.get(f"/v1/notices/{notice['id']}")
    assert [words["zh"] for words in seen["open"]] == ["後廚"]
    assert (seen["remark"], len(seen["reinspections"])) == ("後廚及大堂", 1)


def test_the_same_claim_twice_is_caught_by_looking_first_only(district):
    """9: two claims, two decisions and two payments at one moment are one of each."""
    medic = {"name": "陳醫生", "identity": "35050319800101001X", "institution": "豐澤區醫院"}
    made = district.client.post("/v1/medics", medic)["medic_id"]
    district.settle()
    (policy,) = district.client.everything(f"/v1/policies?holder_id={made}")
    body = {
        "policy_id": policy["id"],
        "casualty": "death",
        "occurred_on": district.today.isoformat(),
    }
    bodies = [body | {"by": name} for name in ("family", "hospital")]
    done, refused = at_once(district, "/v1/claims", bodies)
    assert (done.status, refused.status) == (201, 409)
    claim = done.json()["claim_id"]
    assert refused.json()["claim_id"] == claim
    district.settle()
    district.client.post(f"/v1/claims/{claim}/check", {"by": "clerk"})
    steps = [
        ("decision", [{"decision": "approve", "by": name} for name in ("head-1", "head-2")]),
        ("payment", [{"reference": f"{claim}-{n}", "by": f"cashier-{n}"} for n in (1, 2)]),
    ]
    for step, both in steps:
        done, refused = at_once(district, f"/v1/claims/{claim}/{step}", both)
        assert (done.status, refused.status) == (200, 409)
        assert refused.json()["last_change"]["by"] in {body["by"] for body in both}
        district.settle()
    assert district.client.get(f"/v1/claims/{claim}")["state"] == "paid"


def test_an_import_that_drops_late_ones_or_overwrites_new_with_old(district):
    """10: pulls of the hotline's list overlap; a number and its revision make the difference."""

    def row(number, revision, content):
        return {
            "track": "report",
            "channel": "12315",
            "content": content,
            "against": "某店",
            "outside_number": number,
            "revision": revision,
        }

    assert pull(district, row("E-1", 0, "零"), row("E-2", 2, "二")) == [(201, None), (201, None)]
    late = pull(district, row("E-2", 1, "一"), row("E-2", 2, "二"), row("E-0", 0, "遲到"))
    assert late == [(200, "outdated"), (200, "unchanged"), (201, None)]
    turns = [[row("E-1", n % 3, "零一二"[n % 3]) for n in (turn, turn + 1)] for turn in range(4)]
    pulls = [eventlet.spawn(pull, district, *rows) for rows in turns]
    assert sum(status == 201 for one in pulls for status, _ in one.wait()) == 0
    district.settle()
    (complaint,) = district.client.everything("/v1/complaints?outside_number=E-1")
    assert (complaint["revision"], complaint["content"]) == (2, "二")
    (complaint,) = district.client.everything("/v1/complaints?outside_number=E-2")
    assert (complaint["revision"], complaint["content"]) == (2, "二")
