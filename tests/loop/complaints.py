"""Stories of complaints: from the call to the answer."""

from datetime import date

import pytest

from tests.district import Refused
from tests.loop.enterprises import in_order
from tests.loop.telling import story


def checked(district, complaint, findings=()):
    visits = district.client.everything(f"/v1/visits?complaint_id={complaint}")
    return district.visit(visit_id=visits[0]["id"], findings=findings)


@story
def a_complaint_that_is_found_true_is_answered_and_penalised(district):
    shop = district.reopened("restaurant")
    complaint = district.complain(shop)
    (visit,) = district.client.everything(f"/v1/visits?complaint_id={complaint}")
    assert visit["urgent"]
    checked(district, complaint, ["dine_in"])
    assert in_order(
        district.story(complaint, "complaints"),
        "complaint-received",
        "visit-planned",
        "visit-recorded",
        "complaint-checked",
        "complaint-answered",
        "penalty-imposed",
    )
    assert "feedback-slip-issued" in district.story(complaint, "complaints")
    assert all(cause for cause, _ in district.causes(complaint, "complaints"))
    answered = district.client.get(f"/v1/complaints/{complaint}")
    assert answered["state"] == "answered"
    assert answered["substantiated"]
    assert "堂食" in answered["answer"]["zh"]
    assert "caller" not in answered, "personal data is sealed"


@story
def a_complaint_that_is_not_found_true_is_answered_and_nobody_is_penalised(district):
    shop = district.reopened()
    complaint = district.complain(shop)
    checked(district, complaint)
    answered = district.client.get(f"/v1/complaints/{complaint}")
    assert (answered["state"], answered["substantiated"]) == ("answered", False)
    assert district.statistics()["complaints"]["penalties"] == 0


@story
def a_complaint_that_nobody_takes_up_is_escalated_once_for_each_clock(district):
    shop = district.reopened()
    complaint = district.complain(shop)
    due_on = district.client.get(f"/v1/complaints/{complaint}")["due_on"]
    while district.today.isoformat() <= due_on:
        assert "complaint-overdue" not in district.story(complaint, "complaints")
        district.tomorrow()
    assert in_order(
        district.story(complaint, "complaints"), "complaint-overdue", "supervision-slip-issued"
    )
    district.days_pass(2)
    assert district.story(complaint, "complaints").count("complaint-overdue") == 1


@story
def a_paused_clock_does_not_run_out(district):
    complaint = district.complain(district.reopened())
    before = district.client.get(f"/v1/complaints/{complaint}")
    district.client.post(
        f"/v1/complaints/{complaint}/pause", {"ground": "testing", "reason": "送檢"}
    )
    district.days_pass(12)
    assert "complaint-overdue" not in district.story(complaint, "complaints")
    district.client.post(f"/v1/complaints/{complaint}/resumption")
    after = district.client.get(f"/v1/complaints/{complaint}")
    assert after["due_on"] > before["due_on"]
    assert after["clock"] == "running"


@story
def a_complaint_about_a_place_that_is_only_described_is_answered_by_hand(district):
    complaint = district.complain(against="東湖街口無招牌小店")
    assert district.client.everything(f"/v1/visits?complaint_id={complaint}") == []
    district.client.post(f"/v1/complaints/{complaint}/acceptance", {"by": "desk-1"})
    district.client.post(
        f"/v1/complaints/{complaint}/answer", {"by": "desk-1", "answer": "已轉街道處理"}
    )
    district.settle()
    assert in_order(
        district.story(complaint, "complaints"),
        "complaint-received",
        "complaint-accepted",
        "complaint-answered",
        "feedback-slip-issued",
    )
    with pytest.raises(Refused) as refused:
        district.client.post(
            f"/v1/complaints/{complaint}/refusal", {"by": "desk-1", "ground": "no_lead"}
        )
    assert refused.value.status == 409


@story
def a_refused_complaint_has_ended(district):
    complaint = district.complain(against="不詳")
    refusal = {"by": "desk-1", "ground": "no_lead", "reason": "不詳"}
    district.client.post(f"/v1/complaints/{complaint}/refusal", refusal)
    district.days_pass(12)
    assert district.story(complaint, "complaints") == ["complaint-received", "complaint-refused"]


def plans(district, complaint):
    visits = district.client.everything(f"/v1/visits?complaint_id={complaint}")
    return [(v["enterprise_id"], v["state"]) for v in visits]


@story
def a_described_enterprise_that_is_matched_later_is_checked_and_the_complaint_answered(district):
    shop = district.reopened("restaurant")
    complaint = district.complain(against="泉秀路口小館")
    assert plans(district, complaint) == []
    district.tomorrow()
    path = f"/v1/complaints/{complaint}"
    other = district.register()
    district.client.post(f"{path}/matching", {"by": "desk-1", "enterprise_id": other})
    district.settle()
    district.client.post(f"{path}/unmatching", {"by": "desk-1", "reason": "同名"})
    district.client.post(f"{path}/matching", {"by": "desk-1", "enterprise_id": shop})
    district.settle()
    assert plans(district, complaint) == [(other, "cancelled"), (shop, "planned")]
    district.visit(visit_id=district.planned(shop, "complaint"), findings=["dine_in"])
    assert in_order(
        district.story(complaint, "complaints"),
        "complaint-received",
        "complaint-matched",
        "visit-planned",
        "complaint-checked",
        "complaint-answered",
        "penalty-imposed",
    )
    (cited,) = district.client.get(path)["citations"]
    assert (cited["article"], cited["version"]) == ("infectious-disease-law-42", "2013-06-29")
    assert district.client.get(f"{path}")["enterprise_id"] == shop


@story
def a_duplicate_is_answered_with_its_main_complaint(district):
    shop = district.reopened()
    main, again = district.complain(shop), district.complain(against="同一家店")
    link = {"by": "desk-1", "main_id": main}
    district.client.post(f"/v1/complaints/{again}/link", link)
    district.days_pass(12)
    assert "complaint-overdue" in district.story(main, "complaints")
    assert "complaint-overdue" not in district.story(again, "complaints")
    checked(district, main)
    answers = [district.client.get(f"/v1/complaints/{one}") for one in (main, again)]
    assert [one["state"] for one in answers] == ["answered", "answered"]
    assert answers[0]["answer"] == answers[1]["answer"]
    assert ("answer-duplicate", "complaint-answered") in district.causes(again, "complaints")


@story
def a_report_is_extended_once_and_its_case_decided(district):
    shop = district.reopened()
    complaint = district.complain(shop)
    path = f"/v1/complaints/{complaint}"
    district.client.post(f"{path}/acceptance", {"by": "desk-1"})
    before = district.client.get(path)["due_on"]
    approval = {"approver": "head-1", "reason": "案情複雜"}
    district.client.post(f"{path}/extension", approval)
    with pytest.raises(Refused) as refused:
        district.client.post(f"{path}/extension", approval)
    assert refused.value.status == 409
    assert district.client.get(path)["due_on"] > before
    case = {"by": "head-1", "file": True, "reason": "線索屬實"}
    district.client.post(f"{path}/case", case)
    district.days_pass(2)
    penalty = {"by": "head-1", "reason": "屬實", "findings": ["prices_not_marked"]}
    district.client.post(f"{path}/conclusion", penalty)
    district.client.post(f"{path}/answer", {"by": "desk-1", "answer": "已處罰"})
    district.settle()
    assert in_order(
        district.story(complaint, "complaints"),
        "clock-extended",
        "case-decided",
        "case-concluded",
        "penalty-imposed",
        "complaint-answered",
    )


@story
def a_caller_has_a_complaint_reopened_that_is_checked_again_and_rated(district):
    shop = district.reopened()
    complaint = district.complain(shop)
    path = f"/v1/complaints/{complaint}"
    checked(district, complaint)
    district.tomorrow()
    district.client.post(f"{path}/reopening", {"reason": "問題仍在"})
    district.settle()
    assert plans(district, complaint) == [(shop, "recorded"), (shop, "planned")]
    visit = district.planned(shop, "complaint")
    district.visit(visit_id=visit, findings=["mask_worn_improperly"])
    assert district.client.get(path)["state"] == "answered"
    district.client.post(f"{path}/rating", {"satisfied": True})
    answered = district.client.get(path)
    assert (answered["state"], answered["substantiated"], answered["satisfied"]) == (
        "answered",
        True,
        True,
    )
    figures = district.statistics()["complaints"]
    assert (figures["answered"], figures["reopened"], figures["satisfied"]) == (1, 1, 1)


@story
def a_holiday_announced_late_moves_the_deadlines_that_run(district):
    """The notice comes into force on 25 November 2020; it says that the first day of 2021, a
    Friday, is off."""
    while district.today.isoformat() < "2020-11-20":
        district.today = max(district.today, date(2020, 11, 18))
        district.tomorrow()
    complaint = district.complain(against="店", track="dispute")
    path = f"/v1/complaints/{complaint}"
    district.client.post(f"{path}/acceptance", {"by": "desk-1"})
    assert district.client.get(path)["due_on"] == "2021-01-22"
    district.days_pass(5)
    moved = district.client.get(path)
    assert (moved["due_on"], moved["counting"]["calendar"]) == ("2021-01-25", "2020-27")
    assert ("move-deadline", "deadline-moved") in district.causes(complaint, "complaints")
    district.days_pass(1)
    assert district.story(complaint, "complaints").count("deadline-moved") == 1
