"""Stories of cover and claims."""

import pytest

from tests.district import Refused
from tests.loop.telling import story


@story
def small_enterprises_are_covered_once_and_large_ones_are_not(district):
    small = district.register(size="small", kind="below_scale")
    large = district.register(size="large", kind="above_scale", premises="factory")
    district.file(small)
    assert len(district.client.everything(f"/v1/policies?holder_id={small}")) == 1
    assert district.client.everything(f"/v1/policies?holder_id={large}") == []


@story
def a_medics_death_is_paid_once(district):
    medic = district.client.post(
        "/v1/medics", {"name": "李四", "identity": "350503198001010028", "institution": "豐澤醫院"}
    )["medic_id"]
    district.settle()
    (policy,) = district.client.everything(f"/v1/policies?holder_id={medic}")
    assert policy["sum_insured"] == 300_000
    district.days_pass(2)
    asked = {
        "policy_id": policy["id"],
        "casualty": "death",
        "occurred_on": district.today.isoformat(),
        "claimant": "王五",
    }
    claim = district.client.post("/v1/claims", asked)["claim_id"]
    with pytest.raises(Refused) as again:
        district.client.post("/v1/claims", asked)
    assert again.value.status == 409
    district.client.post(f"/v1/claims/{claim}/check", {"by": "insurer-1"})
    with pytest.raises(Refused) as alone:
        district.client.post(
            f"/v1/claims/{claim}/decision", {"decision": "approve", "by": "insurer-1"}
        )
    assert alone.value.problem["type"].endswith(":same-person")
    district.client.post(f"/v1/claims/{claim}/decision", {"decision": "approve", "by": "insurer-2"})
    district.client.post(f"/v1/claims/{claim}/payment", {"reference": "P-1"})
    with pytest.raises(Refused) as twice:
        district.client.post(f"/v1/claims/{claim}/payment", {"reference": "P-2"})
    assert twice.value.status == 409
    assert district.statistics()["insurance"]["amount_paid"] == 300_000


@story
def the_same_medic_is_enrolled_once(district):
    person = {"name": "李四", "identity": "35050319800101001x", "institution": "豐澤醫院"}
    district.client.post("/v1/medics", person)
    with pytest.raises(Refused) as refused:
        district.client.post("/v1/medics", person | {"identity": " 35050319800101001X "})
    assert refused.value.status == 409
    district.settle()
    assert district.statistics()["insurance"]["medics_covered"] == 1


@story
def a_rejected_claim_makes_room_for_another(district):
    medic = district.client.post(
        "/v1/medics", {"name": "趙六", "identity": "350503198001010036", "institution": "豐澤醫院"}
    )["medic_id"]
    district.settle()
    (policy,) = district.client.everything(f"/v1/policies?holder_id={medic}")
    asked = {
        "policy_id": policy["id"],
        "casualty": "death",
        "occurred_on": district.today.isoformat(),
    }
    first = district.client.post("/v1/claims", asked)["claim_id"]
    district.client.post(
        f"/v1/claims/{first}/check", {"by": "insurer-1", "missing": ["death_certificate"]}
    )
    district.client.post(
        f"/v1/claims/{first}/decision",
        {"decision": "reject", "by": "insurer-2", "reasons": ["documents_missing"]},
    )
    district.settle()
    assert district.client.post("/v1/claims", asked)["claim_id"] != first


@story
def who_was_withdrawn_is_covered_again_when_enrolled_again(district):
    person = {"name": "錢七", "identity": "350503198001010044", "institution": "豐澤醫院"}
    first = district.client.post("/v1/medics", person)["medic_id"]
    district.settle()
    district.client.post(f"/v1/medics/{first}/withdrawal", {"reason": "調離一線"})
    district.settle()
    assert district.statistics()["insurance"]["medics_covered"] == 0
    second = district.client.post("/v1/medics", person)["medic_id"]
    district.settle()
    assert second != first
    (policy,) = district.client.everything(f"/v1/policies?holder_id={second}")
    assert policy["state"] == "active"
    assert district.statistics()["insurance"]["medics_covered"] == 1
