"""Every figure counts what it is called, and nothing else: one story, counted by hand."""

from datetime import timedelta

import pytest

from chassis.messaging.memory_bus import EmbeddedBus
from console.demo.synthetic import identity_number
from tests import insured
from tests.district import TestDistrict

SUM = 450_000
"""Yuan for which this district insures a medic, other than the article's."""


@pytest.fixture
def district(tmp_path):
    insured.district(tmp_path, schemes=("sum_insured = 300000", f"sum_insured = {SUM}"))
    running = TestDistrict(tmp_path / "data", EmbeddedBus(), rulebook=str(tmp_path / "district"))
    running.begin()
    yield running
    running.stop()


def lapse(district, number):
    """Let enterprises be covered for a year, and no longer."""
    for _ in range(number):
        district.register()
    district.today = district.today.replace(year=district.today.year + 1)
    district.tomorrow()


def reopen(district):
    """Reopen enterprises of three kinds; of others a filing is withdrawn, in review, returned or
    waits for its day."""
    large = district.register("office", kind="above_scale", size="large")
    district.file(large, headcount=40, out_of_province=10)
    for size in ("medium", "small"):
        shop = district.register(kind="below_scale", size=size)
        district.file(shop, headcount=30, out_of_province=3)
    shops = [district.reopened() for _ in range(5)]
    for _ in range(3):
        filing = district.file(district.register("restaurant"))
        district.client.post(f"/v1/filings/{filing}/withdrawal", {"reason": "改期"})
    for _ in range(4):
        district.file(district.register("restaurant"))
    for _ in range(2):
        refused = district.register("restaurant")
        district.file(refused)
        district.reviewed(refused, ["supplies_short"])
    later = district.today + timedelta(days=25)
    district.file(district.register(), reopen_on=later.isoformat())
    return shops


def inspect(district, shops):
    """Send two patrols; of what is found one is put right at once, one later, and two close."""
    day = district.today.isoformat()
    for officers in (["A", "B", "C"], ["B", "D"]):
        sent = {"agencies": ["police"], "officers": officers, "day": day}
        district.client.post("/v1/patrols", sent)
    at_once = {"rule": "mask_worn_improperly", "rectified_on_the_spot": True}
    district.visit(shops[0], ["gathering", "dine_in", at_once])
    district.visit(shops[1], ["dine_in"])
    district.reinspect(district.open_notices(shops[1])[0])
    for shop in shops[2:4]:
        closure = {"enterprise_id": shop, "reason": "違規"}
        made = district.client.post("/v1/closures", closure)["closure_id"]
    lifting = {"reason": "已整改", "approver": "head-1"}
    district.client.post(f"/v1/closures/{made}/lifting", lifting)
    district.settle()


def complain(district, shop):
    """Complain ten times: five complaints are answered, one of them twice."""

    def post(complaint, what, **said):
        district.client.post(f"/v1/complaints/{complaint}/{what}", said)

    found_true = district.complain(shop)
    district.visit(visit_id=district.planned(shop, "complaint"), findings=["gathering"])
    post(found_true, "rating", satisfied=True)
    for number in range(4):
        answered = district.complain(against="店")
        post(answered, "answer", by="desk-1", answer="已處理")
        if number < 2:
            post(answered, "rating", satisfied=False, reason="未解決")
        elif number == 3:
            post(answered, "reopening", reason="問題仍在")
            post(answered, "answer", by="desk-1", answer="再次處理")
    for _ in range(2):
        refused = district.complain(against="店")
        post(refused, "refusal", by="desk-1", ground="no_lead", reason="不詳")
    for _ in range(3):
        referred = district.complain(against="店")
        post(referred, "referral", by="desk-1", agency="health", reason="屬衛健部門職責")


def insure(district):
    """Enrol four medics: one is paid for, one claims, one is withdrawn."""
    medics = []
    for number in range(4):
        medic = {"name": "林醫生", "institution": "豐澤區醫院"}
        medic["identity"] = identity_number(5000 + number)
        medics.append(district.client.post("/v1/medics", medic)["medic_id"])
    district.settle()
    claims = []
    for medic in medics[:2]:
        (policy,) = district.client.everything(f"/v1/policies?holder_id={medic}")
        claim = {"policy_id": policy["id"], "casualty": "death"}
        claim |= {"occurred_on": district.today.isoformat()}
        claims.append(f"/v1/claims/{district.client.post('/v1/claims', claim)['claim_id']}")
    district.client.post(f"{claims[0]}/check", {"by": "insurer-1"})
    district.client.post(f"{claims[0]}/decision", {"by": "insurer-2", "decision": "approve"})
    district.client.post(f"{claims[0]}/payment", {"reference": "P-1"})
    district.client.post(f"/v1/medics/{medics[3]}/withdrawal", {"reason": "調離一線"})
    district.settle()


def test_every_figure_counts_what_it_is_called(district):
    lapse(district, 2)
    district.complain(against="店")  # of which nobody thinks
    district.days_pass(20)
    shops = reopen(district)
    inspect(district, shops)
    complain(district, shops[4])
    insure(district)
    said = district.statistics()
    assert said.pop("as_of").keys() == {"position", "time"}
    assert said == {
        "registered": {"total": 20, "above_scale": 1, "below_scale": 2, "sole_trader": 17},
        "reopened": {"total": 6, "above_scale": 1, "below_scale": 2, "sole_trader": 3},
        "on_duty": {"total": 40 + 2 * 30 + 3 * 5, "out_of_province": 10 + 2 * 3 + 3 * 1},
        "filings": {
            "submitted": 18,
            "in_review": 4,
            "approved": 1,
            "returned": 2,
            "withdrawn": 3,
            "reopened": 8,
        },
        "insurance": {
            "enterprises_covered": 16,
            "medics_covered": 3,
            "sum_per_medic": SUM,
            "uncovered": 2,
            "claims_filed": 2,
            "claims_paid": 1,
            "amount_paid": 300_000,
        },
        "inspection": {
            "patrols": 2,
            "officers_dispatched": 3 + 2,
            "visits": 6,
            "issues_found": 7,
            "rectified_on_the_spot": 1,
            "issues_open": 5,
            "notices_issued": 6,
            "notices_open": 5,
            "closures_ordered": 2,
            "closures_standing": 1,
        },
        "complaints": {
            "received": 11,
            "answered": 5,
            "refused": 2,
            "referred": 3,
            "overdue": 1,
            "penalties": 1,
            "reopened": 1,
            "satisfied": 1,
            "dissatisfied": 2,
        },
        "slips": {"prompt": 8, "problem": 7, "supervision": 2, "feedback": 11},
    }
