"""Every POST of the API works, says so with the right status, and can be read back at once."""

import json
from datetime import timedelta

import pytest

from services.gateway.resources import POSTS


def _in_review(district):
    shop = district.register("restaurant")
    return district.file(shop)


def _notice(district):
    shop = district.reopened()
    district.visit(shop, ["dine_in"])
    return district.open_notices(shop)[0]["id"]


def _closed(district):
    shop = district.reopened()
    return district.client.post("/v1/closures", {"enterprise_id": shop, "reason": "違規"})[
        "closure_id"
    ]


def _slip(district):
    return district.client.get(f"/v1/slips?about={district.reopened()}")["items"][0]["id"]


def _claim(say, decision=None, *, checked=False):
    client = say.district.client
    claim = client.post("/v1/claims", _claimable(say))["claim_id"]
    if checked or decision:
        client.post(f"/v1/claims/{claim}/check", {"by": "insurer-1"})
    if decision:
        client.post(f"/v1/claims/{claim}/decision", {"decision": decision, "by": "insurer-2"})
    return claim


def _medic(say):
    medic = say.district.client.post("/v1/medics", say.medic())["medic_id"]
    say.district.settle()
    return medic


def _claimable(say):
    district, medic = say.district, _medic(say)
    (policy,) = district.client.everything(f"/v1/policies?holder_id={medic}")
    return {"policy_id": policy["id"], "casualty": "death", "occurred_on": say.today}


def _paused(district):
    complaint = district.complain(against="店")
    district.client.post(f"/v1/complaints/{complaint}/pause", {"ground": "appraisal"})
    return complaint


def _accepted(district, **more):
    complaint = district.complain(against="店", **more)
    district.client.post(f"/v1/complaints/{complaint}/acceptance", {"by": "desk-1"})
    return complaint


def _with_case(district):
    complaint = _accepted(district)
    case = {"by": "head-1", "file": True, "reason": "線索屬實"}
    district.client.post(f"/v1/complaints/{complaint}/case", case)
    return complaint


def _linked(district):
    complaint, main = district.complain(against="店"), district.complain(against="店")
    link = {"by": "desk-1", "main_id": main}
    district.client.post(f"/v1/complaints/{complaint}/link", link)
    return complaint, main


def _answered(district):
    complaint = district.complain(against="店")
    district.client.post(f"/v1/complaints/{complaint}/answer", {"by": "desk-1", "answer": "已處理"})
    return complaint


def _planned(say):
    shop = say.district.register()
    asked = {"enterprise_id": shop, "day": say.today}
    return say.district.client.post("/v1/visits/plans", asked)["visit_id"]


def _joint(district):
    return district.visit(district.reopened(), agencies=["police", "health"], joint=True)


def _signed_by_one(district):
    return district.visit(district.reopened(), agencies=["police", "health"])


GOOD = {
    "/v1/enterprises": lambda s: (None, s.enterprise()),
    "/v1/enterprises/<id>/correction": lambda s: (
        s.district.register(),
        {"reason": "登記有誤", "address": "東湖街1號"},
    ),
    "/v1/enterprises/<id>/roster": lambda s: (
        s.district.reopened(),
        {"day": s.today, "staff": 4, "out_of_province": 1, "unfit": 1},
    ),
    "/v1/enterprises/<id>/liaison": lambda s: (s.district.register(), {"officer": "FZ-003-01"}),
    "/v1/filings": lambda s: (None, s.filing(s.district.register())),
    "/v1/filings/<id>/decision": lambda s: (
        _in_review(s.district),
        {"decision": "return", "by": "head-1", "reasons": ["材料不全"]},
    ),
    "/v1/filings/<id>/withdrawal": lambda s: (_in_review(s.district), {"reason": "改期"}),
    "/v1/patrols": lambda s: (
        None,
        {"agencies": ["police"], "officers": ["P-1", "P-2"], "day": s.today},
    ),
    "/v1/visits/plans": lambda s: (None, {"enterprise_id": s.district.register(), "day": s.today}),
    "/v1/visits": lambda s: (None, s.visit(s.district.register(), findings=[{"rule": "dine_in"}])),
    "/v1/patrols/plans": lambda s: (
        None,
        {"grid": "350503003", "day": s.today, "officers": ["P-1", "P-2"]},
    ),
    "/v1/visits/<id>/day": lambda s: (
        _planned(s),
        {"day": (s.district.today + timedelta(days=2)).isoformat(), "reason": "下雨"},
    ),
    "/v1/visits/<id>/cancellation": lambda s: (_planned(s), {"reason": "下雨"}),
    "/v1/visits/<id>/part": lambda s: (
        _joint(s.district),
        {"agency": "health", "answers": {"masks": "some_without"}},
    ),
    "/v1/visits/<id>/signature": lambda s: (
        _signed_by_one(s.district),
        {"agency": "health", "officer": "H-1"},
    ),
    "/v1/notices/<id>/reinspection": lambda s: (
        _notice(s.district),
        {"day": s.today, "rectified": True},
    ),
    "/v1/notices/<id>/extension": lambda s: (
        _notice(s.district),
        {
            "due_on": (s.district.today + timedelta(days=20)).isoformat(),
            "approver": "head-1",
            "reason": "缺貨",
        },
    ),
    "/v1/closures": lambda s: (None, {"enterprise_id": s.district.reopened(), "reason": "違規"}),
    "/v1/closures/<id>/reinspection": lambda s: (_closed(s.district), {"day": s.today}),
    "/v1/closures/<id>/lifting": lambda s: (
        _closed(s.district),
        {"reason": "已整改", "approver": "head-1"},
    ),
    "/v1/slips/<id>/acknowledgement": lambda s: (_slip(s.district), {"by": "owner-1"}),
    "/v1/complaints": lambda s: (None, s.complaint(caller="王小明", phone="13800000000")),
    "/v1/complaints/<id>/acceptance": lambda s: (
        s.district.complain(against="店"),
        {"by": "desk-1"},
    ),
    "/v1/complaints/<id>/refusal": lambda s: (
        s.district.complain(against="店"),
        {"by": "desk-1", "ground": "not_competent", "reason": "無管轄權"},
    ),
    "/v1/complaints/<id>/referral": lambda s: (
        s.district.complain(against="店"),
        {"by": "desk-1", "agency": "health", "reason": "屬衛健部門職責"},
    ),
    "/v1/complaints/<id>/comments": lambda s: (
        s.district.complain(against="店"),
        {"comment": "仍在堂食"},
    ),
    "/v1/complaints/<id>/matching": lambda s: (
        s.district.complain(against="店"),
        {"by": "desk-1", "enterprise_id": s.district.register()},
    ),
    "/v1/complaints/<id>/unmatching": lambda s: (
        s.district.complain(s.district.register()),
        {"by": "desk-1", "reason": "同名"},
    ),
    "/v1/complaints/<id>/link": lambda s: (
        s.district.complain(against="店"),
        {"by": "desk-1", "main_id": s.district.complain(against="店")},
    ),
    "/v1/complaints/<id>/unlinking": lambda s: (
        (linked := _linked(s.district))[0],
        {"by": "desk-1", "main_id": linked[1], "reason": "並非同一事項"},
    ),
    "/v1/complaints/<id>/extension": lambda s: (
        _accepted(s.district),
        {"approver": "head-1", "reason": "案情複雜"},
    ),
    "/v1/complaints/<id>/mediation": lambda s: (
        _accepted(s.district, track="dispute"),
        {"by": "desk-1", "outcome": "agreed"},
    ),
    "/v1/complaints/<id>/case": lambda s: (
        _accepted(s.district),
        {"by": "head-1", "file": False, "reason": "查無實據"},
    ),
    "/v1/complaints/<id>/conclusion": lambda s: (
        _with_case(s.district),
        {"by": "head-1", "reason": "不予處罰"},
    ),
    "/v1/complaints/<id>/reopening": lambda s: (_answered(s.district), {"reason": "問題仍在"}),
    "/v1/complaints/<id>/rating": lambda s: (_answered(s.district), {"satisfied": True}),
    "/v1/complaints/<id>/answer": lambda s: (
        s.district.complain(against="店"),
        {"by": "desk-1", "answer": "已處理", "substantiated": True},
    ),
    "/v1/complaints/<id>/pause": lambda s: (
        s.district.complain(against="店"),
        {"ground": "appraisal"},
    ),
    "/v1/complaints/<id>/resumption": lambda s: (_paused(s.district), {}),
    "/v1/medics": lambda s: (None, s.medic()),
    "/v1/claims": lambda s: (None, _claimable(s)),
    "/v1/medics/<id>/correction": lambda s: (_medic(s), {"institution": "第一醫院"}),
    "/v1/medics/<id>/withdrawal": lambda s: (_medic(s), {"reason": "非一線人員"}),
    "/v1/claims/<id>/check": lambda s: (_claim(s), {"by": "insurer-1", "missing": ["diagnosis"]}),
    "/v1/claims/<id>/decision": lambda s: (
        _claim(s, checked=True),
        {"decision": "reject", "by": "insurer-2", "reasons": ["documents_missing"]},
    ),
    "/v1/claims/<id>/payment": lambda s: (
        _claim(s, "approve"),
        {"reference": "PICC-2020-1"},
    ),
}


def test_no_route_is_left_out():
    assert set(GOOD) == {post.path for post in POSTS}


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post.path)
def test_a_good_request_is_done_and_can_be_read_back(district, say, post):
    thing, body = GOOD[post.path](say)
    answer = district.client.request("POST", post.path.replace("<id>", thing or ""), body)
    assert answer.status == (201 if post.creates else 200), answer.data
    assert answer.headers["Content-Type"] == "application/json"
    if post.creates:
        read = district.client.request("GET", answer.headers["Location"])
        assert read.status == 200
        assert read.json()["id"] == answer.json()[post.creates.id_field]
    else:
        assert "Location" not in answer.headers
        assert thing in answer.json().values()


def test_recording_a_planned_visit_changes_it_and_makes_none(district, say):
    shop = district.register()
    plan = district.client.post("/v1/visits/plans", {"enterprise_id": shop, "day": say.today})
    asked = say.visit(shop, visit_id=plan["visit_id"])
    answer = district.client.request("POST", "/v1/visits", asked)
    assert answer.status == 200
    assert answer.headers["Location"] == f"/v1/visits/{plan['visit_id']}"
    assert district.client.get(answer.headers["Location"])["state"] == "recorded"


def test_a_visit_takes_its_enterprise_from_its_plan(district, say):
    shop = district.register()
    plan = district.client.post("/v1/visits/plans", {"enterprise_id": shop, "day": say.today})
    made = district.client.post("/v1/visits", {"visit_id": plan["visit_id"], "day": say.today})
    assert made["enterprise_id"] == shop


def test_what_may_be_absent_may_be_null(district, say):
    asked = say.complaint(caller=None, enterprise_id=None)
    assert district.client.request("POST", "/v1/complaints", asked).status == 201


def test_a_mark_in_front_and_a_charset_do_no_harm(district, say):
    raw = b"\xef\xbb\xbf" + json.dumps(say.enterprise(), ensure_ascii=False).encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = district.client.request("POST", "/v1/enterprises", headers=headers, raw=raw)
    assert answer.status == 201


def test_a_body_sent_in_chunks_is_read_whole(district, say):
    raw = json.dumps(say.enterprise()).encode()
    pieces = iter([raw[:20], raw[20:]])
    assert district.client.request("POST", "/v1/enterprises", raw=pieces).status == 201
