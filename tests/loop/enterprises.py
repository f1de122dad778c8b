"""Stories of enterprises: from the registry to the feedback slip."""

import pytest

from tests.district import Refused
from tests.loop.telling import story

LATE = 4
"""Days after which an ordinary notice of three days has passed its day."""
LADDER = 11
"""Days after which it has also passed those of the three supervision slips: two, one and one."""


@story
def a_shop_files_and_opens_without_meeting_anyone(district):
    shop = district.register()
    assert district.client.everything(f"/v1/policies?holder_id={shop}")
    district.file(shop)
    assert district.state(shop) == "open"
    chain = district.causes(shop)
    assert chain[:5] == [
        ("register-enterprise", "enterprise-registered"),
        ("enterprise-registered", "policy-issued"),
        ("submit-filing", "filing-submitted"),
        ("filing-submitted", "filing-approved"),
        ("filing-approved", "enterprise-reopened"),
    ]
    assert set(chain[5:]) == {
        ("enterprise-reopened", "liaison-assigned"),
        ("enterprise-reopened", "prompt-slip-issued"),
    }


@story
def a_restaurant_goes_the_whole_way_round_the_loop(district):
    shop = district.register("restaurant", name="豐澤小館")
    district.file(shop)
    assert district.state(shop) == "registered", "five-small premises must be seen first"
    district.reviewed(shop)
    assert district.state(shop) == "open"

    district.visit(
        shop,
        findings=["dine_in", {"rule": "mask_worn_improperly", "rectified_on_the_spot": True}],
    )
    (notice,) = district.open_notices(shop)
    district.days_pass(LATE)
    district.reinspect(notice)

    story = district.story(shop)
    assert in_order(
        story,
        "enterprise-registered",
        "filing-submitted",
        "onsite-review-requested",
        "visit-planned",
        "visit-recorded",
        "onsite-review-passed",
        "filing-approved",
        "enterprise-reopened",
        "prompt-slip-issued",
        "visit-recorded",
        "issue-found",
        "problem-slip-issued",
        "notice-issued",
        "notice-overdue",
        "supervision-slip-issued",
        "visit-recorded",
        "issue-rectified",
        "notice-satisfied",
        "feedback-slip-issued",
    )
    slips = [one for one in story if one.endswith("-slip-issued")]
    assert sorted(slips) == [
        "feedback-slip-issued",  # the mask, put right on the spot
        "feedback-slip-issued",  # the notice, met
        "problem-slip-issued",
        "problem-slip-issued",
        "prompt-slip-issued",
        "supervision-slip-issued",
    ]
    assert all(cause for cause, _ in district.causes(shop)), "each entry names its cause"
    assert district.open_notices(shop) == []
    assert district.state(shop) == "open"


def in_order(story, *expected):
    """Return whether these types stand in the story in this order, whatever stands between."""
    rest = iter(story)
    return all(any(kind == one for one in rest) for kind in expected)


@story
def a_notice_left_unanswered_becomes_a_supervision_slip(district):
    shop = district.reopened("restaurant")
    district.visit(shop, findings=["dine_in"])
    district.days_pass(LATE)
    assert district.story(shop)[-2:] == ["notice-overdue", "supervision-slip-issued"]


@story
def a_notice_that_nobody_meets_ends_in_a_closure(district):
    shop = district.reopened()
    district.visit(shop, findings=["gathering"])
    district.days_pass(LADDER)
    assert in_order(
        district.story(shop),
        *["notice-overdue", "supervision-slip-issued"] * 3,
        "notice-overdue",
        "closure-ordered",
        "enterprise-suspended",
    )
    assert district.story(shop).count("notice-overdue") == 4
    assert district.story(shop).count("closure-ordered") == 1
    assert district.state(shop) == "suspended"
    slips = district.client.everything(f"/v1/slips?about={shop}&kind=supervision")
    assert [slip["addressee"] for slip in slips] == [
        "grid-office",
        "subdistrict-office",
        "district-office",
        "district-office",
    ]
    district.days_pass(3)
    assert district.story(shop).count("notice-overdue") == 4, "a closed case is not pressed again"


@story
def what_the_ladder_has_closed_is_seen_again_before_it_may_file(district):
    shop = district.reopened()
    district.visit(shop, findings=["gathering"])
    district.tomorrow()
    district.visit(shop, findings=["no_disinfection_ledger"])
    district.days_pass(LADDER - 1)
    (closure,) = district.client.everything(f"/v1/closures?enterprise_id={shop}")
    lifting = f"/v1/closures/{closure['id']}/lifting"
    with pytest.raises(Refused) as refused:
        district.client.post(lifting, {"reason": "已整改"})
    assert (refused.value.status, len(refused.value.problem["issues"])) == (409, 2)
    today = {"day": district.today.isoformat()}
    issues = district.client.everything(f"/v1/issues?enterprise_id={shop}&state=open")
    (first,) = (issue for issue in issues if issue["point"]["code"] == "gathering")
    path = f"/v1/closures/{closure['id']}/reinspection"
    district.client.post(path, today | {"standing": [first["id"]], "remark": "仍有聚集"})
    with pytest.raises(Refused) as refused:
        district.client.post(lifting, {"reason": "已整改"})
    assert refused.value.problem["last_change"]["what"] == "closure-reinspected"
    district.client.post(path, today | {"evidence": ["photo-9"]})
    district.client.post(lifting, {"reason": "已整改"})
    district.settle()
    lifted = district.client.get(f"/v1/closures/{closure['id']}")
    assert (lifted["state"], lifted["lifted"]["ground"]) == ("lifted", "reinspection")
    assert [one["clean"] for one in lifted["reinspections"]] == [False, True]
    assert district.client.everything(f"/v1/issues?enterprise_id={shop}&state=open") == []
    filing = district.file(shop)
    district.client.post(f"/v1/filings/{filing}/decision", {"decision": "approve", "by": "head-1"})
    district.settle()
    assert district.state(shop) == "open"


@story
def a_slip_is_acknowledged_by_whom_it_went_to(district):
    shop = district.reopened("restaurant")
    (slip,) = district.client.everything(f"/v1/slips?about={shop}&acknowledged=false")
    assert slip["text"]["zh"].startswith(f"{slip['number']}\n提示單\n")
    assert slip["text"]["en"].startswith(f"{slip['number']}\nPrompt slip\n")
    path = f"/v1/slips/{slip['id']}/acknowledgement"
    district.client.post(path, {"by": "owner-1"})
    with pytest.raises(Refused) as refused:
        district.client.post(path, {"by": "clerk-2"})
    assert (refused.value.status, refused.value.problem["acknowledged_by"]) == (409, "owner-1")
    district.settle()
    assert district.client.everything(f"/v1/slips?about={shop}&acknowledged=false") == []
    assert district.client.get(f"/v1/slips/{slip['id']}")["acknowledged_by"] == "owner-1"


@story
def a_reinspection_sees_the_earlier_findings_and_leaves_open_what_is_rectified_in_part(district):
    shop = district.reopened()
    district.visit(shop, findings=[{"rule": "not_cleaned", "remark": "後廚及大堂"}])
    (notice,) = district.open_notices(shop)
    path = f"/v1/notices/{notice['id']}/reinspection"
    today = {"day": district.today.isoformat(), "rectified": False}
    district.client.post(path, today | {"left": ["後廚"], "evidence": ["photo-1"]})
    (seen,) = district.open_notices(shop)
    assert [words["zh"] for words in seen["open"]] == ["後廚"]
    assert seen["remark"] == "後廚及大堂", "the earlier finding is in sight"
    assert seen["reinspections"][0]["evidence"] == ["photo-1"]
    district.reinspect(notice)
    met = district.client.get(f"/v1/notices/{notice['id']}")
    assert (met["state"], met["open"], len(met["reinspections"])) == ("satisfied", [], 2)


@story
def an_incomplete_filing_comes_back_with_every_reason_at_once(district):
    shop = district.register()
    filing = district.file(shop, measures=["masks"], pledge=False)
    returned = district.client.get(f"/v1/filings/{filing}")
    assert returned["state"] == "returned"
    assert [reason["code"] for reason in returned["reasons"]] == [
        "thermometer",
        "disinfectant",
        "pledge",
    ]
    assert all(reason["words"]["zh"] and reason["words"]["en"] for reason in returned["reasons"])
    district.file(shop)
    assert district.state(shop) == "open", "it may file again"


@story
def an_enterprise_opens_on_the_day_that_it_asked_for(district):
    shop = district.register()
    day = district.today.replace(day=district.today.day + 2).isoformat()
    district.file(shop, reopen_on=day)
    district.tomorrow()
    assert district.state(shop) == "registered"
    district.tomorrow()
    assert district.state(shop) == "open"
    assert ("reopen-enterprise", "enterprise-reopened") in district.causes(shop)
    assert district.client.get(f"/v1/enterprises/{shop}")["reopened_on"] == day


@story
def a_review_that_finds_a_fault_returns_the_filing(district):
    shop = district.register("barbershop")
    filing = district.file(shop)
    district.reviewed(shop, findings=["no_disinfection_ledger"])
    returned = district.client.get(f"/v1/filings/{filing}")
    assert returned["state"] == "returned"
    assert [reason["code"] for reason in returned["reasons"]] == ["no_disinfection_ledger"]
    district.reinspect(*district.open_notices(shop))
    district.file(shop)
    district.reviewed(shop)
    assert district.state(shop) == "open"


@story
def nobody_approves_five_small_premises_that_were_not_seen(district):
    shop = district.register("pharmacy")
    filing = district.file(shop)
    with pytest.raises(Refused) as refused:
        district.client.post(
            f"/v1/filings/{filing}/decision", {"decision": "approve", "by": "reviewer-1"}
        )
    assert refused.value.status == 409
    assert "未經現場審核" in refused.value.problem["title"]
    assert district.state(shop) == "registered"


@story
def opening_without_approval_closes_at_once(district):
    shop = district.register("restaurant")
    district.visit(shop, findings=["opened_without_approval"])
    assert district.state(shop) == "suspended"
    assert in_order(district.story(shop), "visit-recorded", "issue-found", "closure-ordered")
    with pytest.raises(Refused) as refused:
        district.file(shop)
    assert refused.value.status == 409


@story
def a_lifted_closure_lets_the_enterprise_file_again(district):
    shop = district.reopened()
    closure = district.client.post(
        "/v1/closures", {"enterprise_id": shop, "reason": "違反防控規定"}
    )["closure_id"]
    district.settle()
    assert district.state(shop) == "suspended"
    assert district.statistics()["reopened"]["total"] == 0
    district.client.post(
        f"/v1/closures/{closure}/lifting", {"reason": "已整改", "approver": "head"}
    )
    district.settle()
    assert district.client.get(f"/v1/closures/{closure}")["state"] == "lifted"
    filing = district.file(shop)
    assert district.state(shop) == "registered", "who was closed lately waits for a reviewer"
    waits = district.client.get(f"/v1/filings/{filing}")
    assert (waits["state"], waits["reasons"][0]["code"]) == ("referred", "recent_closure")
    district.client.post(f"/v1/filings/{filing}/decision", {"decision": "approve", "by": "head-1"})
    district.settle()
    assert district.state(shop) == "open"
    assert district.statistics()["inspection"]["closures_ordered"] == 1


@story
def a_fault_put_right_on_the_spot_needs_no_notice_unless_it_is_put_on_record(district):
    shop = district.reopened()
    district.visit(
        shop,
        findings=[
            {"rule": "mask_worn_improperly", "rectified_on_the_spot": True},
            {"rule": "no_disinfection_ledger", "rectified_on_the_spot": True, "on_record": True},
        ],
    )
    figures = district.statistics()["inspection"]
    assert (figures["issues_found"], figures["rectified_on_the_spot"]) == (2, 2)
    assert figures["notices_issued"] == 1
    assert district.open_notices(shop) == [], "the notice on record is satisfied as it is issued"


@story
def a_reinspection_asks_only_for_what_is_still_open(district):
    shop = district.reopened()
    district.visit(shop, findings=["gathering", "no_disinfection_ledger"])
    first, second = sorted(district.open_notices(shop), key=lambda n: n["point"]["code"])
    district.reinspect(first)
    assert [notice["id"] for notice in district.open_notices(shop)] == [second["id"]]
    with pytest.raises(Refused) as refused:
        district.reinspect(first)
    assert refused.value.status == 409
    district.reinspect(second, rectified=False)
    assert [notice["id"] for notice in district.open_notices(shop)] == [second["id"]]


@story
def an_extended_notice_is_pressed_only_after_its_new_day(district):
    shop = district.reopened()
    district.visit(shop, findings=["gathering"])
    (notice,) = district.open_notices(shop)
    later = district.today.replace(day=district.today.day + 6).isoformat()
    district.client.post(
        f"/v1/notices/{notice['id']}/extension",
        {"due_on": later, "approver": "head-1", "reason": "材料在途"},
    )
    district.days_pass(6)
    assert "notice-overdue" not in district.story(shop)
    (seen,) = district.open_notices(shop)
    assert [(one["due_on"], one["approver"]) for one in seen["extensions"]] == [(later, "head-1")]
    district.tomorrow()
    assert "notice-overdue" in district.story(shop)


@story
def a_filing_taken_back_makes_room_for_another(district):
    shop = district.register()
    later = district.today.replace(day=district.today.day + 3).isoformat()
    filing = district.file(shop, reopen_on=later)
    with pytest.raises(Refused) as refused:
        district.file(shop)
    assert refused.value.status == 409
    assert refused.value.problem["filing_id"] == filing
    district.client.post(f"/v1/filings/{filing}/withdrawal", {"reason": "改期"})
    district.settle()
    district.days_pass(3)
    assert district.state(shop) == "registered", "a withdrawn filing opens nothing"
    district.file(shop)
    assert district.state(shop) == "open"


@story
def who_is_not_fit_is_not_on_duty(district):
    shop = district.reopened(kind="below_scale", size="small")
    district.client.post(
        f"/v1/enterprises/{shop}/roster",
        {"day": district.today.isoformat(), "staff": 9, "out_of_province": 3, "unfit": 2},
    )
    assert district.statistics()["on_duty"] == {"total": 7, "out_of_province": 3}


@story
def a_patrol_of_two_agencies_is_complete_when_both_have_signed(district):
    shop = district.reopened()
    patrol = district.client.post(
        "/v1/patrols",
        {
            "day": district.today.isoformat(),
            "agencies": ["health", "market-regulation"],
            "officers": ["H-1", "M-1", "M-2"],
        },
    )["patrol_id"]
    visit = district.visit(shop, patrol_id=patrol, agencies=["health", "market-regulation"])
    for agency, officer in (("health", "H-1"), ("market-regulation", "M-2")):
        district.client.post(
            f"/v1/visits/{visit}/signature", {"agency": agency, "officer": officer}
        )
    district.settle()
    assert district.client.get(f"/v1/visits/{visit}")["complete"]
    assert district.statistics()["inspection"]["officers_dispatched"] == 3


@story
def a_risky_trade_is_patrolled_soon_after_it_reopens(district):
    shop = district.reopened("mall", kind="above_scale", size="large")
    assert district.planned(shop, "patrol")
    assert district.planned(district.reopened("office"), "patrol") is None
