"""Cover and claims through the API: who lacks cover, and two who act at one moment."""

import eventlet
import pytest

from tests.api.conftest import problem


@pytest.fixture
def policy(district, say):
    medic = district.client.post("/v1/medics", say.medic())["medic_id"]
    district.settle()
    (found,) = district.client.everything(f"/v1/policies?holder_id={medic}")
    return found


def claim_of(policy, say):
    return {"policy_id": policy["id"], "casualty": "death", "occurred_on": say.today}


def at_once(district, path, bodies):
    """Post at one moment; give the answer that was done and the one that was refused."""
    pool = eventlet.GreenPool(len(bodies))
    answers = list(pool.imap(lambda body: district.client.request("POST", path, body), bodies))
    done = [answer for answer in answers if answer.status < 300]
    (refused,) = [answer for answer in answers if answer.status >= 300]
    assert len(done) == len(bodies) - 1
    return done[0].json(), problem(refused, 409)


def test_the_same_claim_twice_at_once_is_entered_once_and_the_other_learns_of_it(
    district, say, policy
):
    bodies = [claim_of(policy, say) | {"by": name} for name in ("family", "hospital")]
    done, told = at_once(district, "/v1/claims", bodies)
    assert told["claim_id"] == done["claim_id"]
    assert told["last_change"]["by"] in ("family", "hospital")
    assert told["last_change"]["at"].startswith("2020-")
    district.settle()
    assert len(district.client.everything(f"/v1/claims?policy_id={policy['id']}")) == 1


def test_two_decisions_and_two_payments_at_once_are_one_of_each(district, say, policy):
    client = district.client
    claim = client.post("/v1/claims", claim_of(policy, say))["claim_id"]
    client.post(f"/v1/claims/{claim}/check", {"by": "clerk"})
    before = district.statistics()["insurance"]["amount_paid"]
    decisions = [{"decision": "approve", "by": name} for name in ("head-1", "head-2")]
    done, told = at_once(district, f"/v1/claims/{claim}/decision", decisions)
    assert (told["last_change"]["what"], told["last_change"]["by"]) == (
        "claim-approved",
        done["by"],
    )
    payments = [{"reference": f"{claim[:8]}-{n}", "by": f"cashier-{n}"} for n in (1, 2)]
    done, told = at_once(district, f"/v1/claims/{claim}/payment", payments)
    assert told["reference"] == done["reference"]
    assert told["last_change"]["by"] == f"cashier-{done['reference'][-1]}"
    district.settle()
    assert district.statistics()["insurance"]["amount_paid"] == before + 300_000
    shown = client.get(f"/v1/claims/{claim}")
    assert (shown["state"], shown["reference"]) == ("paid", done["reference"])


def test_a_claim_shows_what_is_missing(district, say, policy):
    claim = district.client.post("/v1/claims", claim_of(policy, say))["claim_id"]
    path = f"/v1/claims/{claim}/check"
    district.client.post(path, {"by": "clerk", "missing": ["death_certificate"]})
    district.settle()
    shown = district.client.get(f"/v1/claims/{claim}")
    assert (shown["state"], shown["checked_by"], shown["version"]) == ("incomplete", "clerk", 2)
    assert shown["missing"][0]["words"]["zh"] == "死亡證明"
    answer = district.client.request("POST", path, {"by": "clerk", "missing": ["x"]})
    problem(answer, 422, "#/missing/0")


def test_a_year_later_the_cover_has_expired_and_the_list_says_who_lacks_it(
    district, say, policy, monkeypatch
):
    shop = district.register()
    covered = district.statistics()["insurance"]
    assert (covered["enterprises_covered"] > 0, covered["sum_per_medic"]) == (True, 300_000)
    year_later = district.today.replace(year=district.today.year + 1)
    before, district.today = district.today, year_later
    district.tomorrow()
    after = district.statistics()["insurance"]
    assert (after["enterprises_covered"], after["medics_covered"]) == (0, 0)
    assert after["uncovered"] == covered["enterprises_covered"] + covered["medics_covered"]
    assert district.client.get(f"/v1/policies/{policy['id']}")["state"] == "expired"
    (missing,) = [
        one
        for one in district.client.everything(
            "/v1/uncovered?state=uncovered&holder_kind=enterprise"
        )
        if one["id"] == shop
    ]
    assert (missing["reason"], missing["scheme"]) == ("expired", "enterprise-epidemic")
    claim = claim_of(policy, say) | {"occurred_on": before.isoformat()}
    assert district.client.request("POST", "/v1/claims", claim).status == 201


def test_a_withdrawn_medic_no_longer_counts(district, say, policy):
    before = district.statistics()["insurance"]["medics_covered"]
    path = f"/v1/medics/{policy['holder_id']}/withdrawal"
    district.client.post(path, {"reason": "調離一線", "by": "health-bureau"})
    district.settle()
    assert district.statistics()["insurance"]["medics_covered"] == before - 1
    assert district.client.get(f"/v1/policies/{policy['id']}")["state"] == "ended"
    problem(district.client.request("POST", path, {"reason": "再次"}), 409)
