"""Another district is data alone: a rulebook of its own, and not a line of code."""

from datetime import date
from pathlib import Path

import pytest

from chassis.messaging.memory_bus import EmbeddedBus
from tests.broker.conftest import start_anew
from tests.district import DistributedDistrict, TestDistrict

SAMPLE = Path(__file__).parents[1] / "rulebooks" / "sample"
GRID = "999901001"


@pytest.fixture(params=["embedded", "distributed"])
def district(request, tmp_path):
    """A district by the sample rulebook: tea houses must be seen first, a notice gives one working
    day, and one supervision slip stands between a lapse and the closure."""
    ours = {"rulebook": str(SAMPLE)}
    if request.param == "embedded":
        running = TestDistrict(tmp_path / "data", EmbeddedBus(), **ours)
    else:
        where = [request.getfixturevalue(name) for name in ("postgres", "rabbitmq")]
        start_anew(*where)
        running = DistributedDistrict(tmp_path / "data", *where, **ours)
    running.begin()
    yield running
    running.stop()


def test_its_own_premises_must_be_seen_first_and_no_others(district):
    tea_house, restaurant = (
        district.register(premises, grid=GRID) for premises in ("tea_house", "restaurant")
    )
    for shop in (tea_house, restaurant):
        district.file(shop)
    assert district.state(restaurant) == "open"
    assert district.state(tea_house) == "registered"
    district.reviewed(tea_house)
    assert district.state(tea_house) == "open"


def test_its_prompt_slip_tells_its_own_key_points_from_its_own_office(district):
    shop = district.reopened("tea_house", grid=GRID)
    (slip,) = district.client.everything(f"/v1/slips?enterprise_id={shop}&kind=prompt")
    assert "no_cards" in [point["code"] for point in slip["points"]]
    assert "茶館不得打牌" in str(slip["text"]["zh"])


def test_its_own_deadlines_and_its_own_ladder_hold(district):
    shop = district.reopened("tea_house", grid=GRID)
    district.visit(shop, findings=["dine_in"])
    (notice,) = district.open_notices(shop)
    assert notice["due_on"] == "2020-02-11", "one working day"
    district.days_pass(2)
    assert district.story(shop).count("supervision-slip-issued") == 1
    assert district.state(shop) == "open"
    district.days_pass(3)
    slips = district.client.everything(f"/v1/slips?enterprise_id={shop}&kind=supervision")
    assert [slip["addressee"] for slip in slips] == ["grid-office", "grid-office"]
    assert district.state(shop) == "suspended", "the second slip says so"


def test_a_rule_that_is_edited_later_changes_nothing_that_an_old_answer_says(district):
    """From 1 March on the sample district calls the same fault by another name, and grave."""
    shop, other = (district.reopened("tea_house", grid=GRID) for _ in range(2))
    district.visit(shop, findings=[{"rule": "mask_worn_improperly", "rectified_on_the_spot": True}])
    (old,) = district.client.everything(f"/v1/issues?enterprise_id={shop}")
    district.today = date(2020, 3, 1)
    district.tomorrow()
    district.visit(other, findings=["mask_worn_improperly"])
    (new,) = district.client.everything(f"/v1/issues?enterprise_id={other}")
    assert district.client.get(f"/v1/issues/{old['id']}") == old
    assert (old["severity"], old["point"]["words"]["en"]) == ("ordinary", "Mask not worn properly")
    assert (new["severity"], new["point"]["words"]["en"]) == ("grave", "No mask")
    assert old["checklist_version"] != new["checklist_version"]
    assert district.state(other) == "suspended"


def test_what_it_does_not_know_is_refused(district):
    answer = district.client.request(
        "POST",
        "/v1/enterprises",
        {
            "credit_code": "91350503ARUJWX97A0",
            "name": "外區店",
            "kind": "sole_trader",
            "size": "micro",
            "industry": "F5211",
            "premises": "barbershop",
            "grid": "350503003",
        },
    )
    assert answer.status == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == ["#/premises", "#/grid"]
