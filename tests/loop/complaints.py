"""Stories of complaints: from the call to the answer."""

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
    accept_by = district.client.get(f"/v1/complaints/{complaint}")["accept_by"]
    while district.today.isoformat() <= accept_by:
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
    district.client.post(f"/v1/complaints/{complaint}/pause", {"reason": "送檢"})
    district.days_pass(12)
    assert "complaint-overdue" not in district.story(complaint, "complaints")
    district.client.post(f"/v1/complaints/{complaint}/resumption")
    after = district.client.get(f"/v1/complaints/{complaint}")
    assert after["accept_by"] > before["accept_by"]
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
            f"/v1/complaints/{complaint}/refusal", {"by": "desk-1", "reason": "重複"}
        )
    assert refused.value.status == 409


@story
def a_refused_complaint_has_ended(district):
    complaint = district.complain(against="不詳")
    district.client.post(f"/v1/complaints/{complaint}/refusal", {"by": "desk-1", "reason": "不詳"})
    district.days_pass(12)
    assert district.story(complaint, "complaints") == ["complaint-received", "complaint-refused"]
