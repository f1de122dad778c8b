"""A district in which every list has something to show, of each of several subdistricts."""

from console.demo.synthetic import identity_number
from tests.api.rights import LISTS

QUANXIU, QINGYUAN = GRIDS = "350503003", "350503004"


def fill(district, grids=GRIDS):
    """Return of an enterprise in each subdistrict, a day after the other, and give them by grid.

    Each has reopened, was complained about twice (one complaint is answered, the other past its
    clock), was found wanting, and closed for what was not put right. As many more lack the cover
    that ended after a year. Fails on any answer that is not the story's, and where a list has less
    than one thing of each.
    """
    for grid in grids:
        district.register(grid=grid)
    district.today = district.today.replace(year=district.today.year + 1)
    shops = {grid: _live(district, grid) for grid in grids}
    district.days_pass(20)
    for name in LISTS:
        found = len(district.client.everything(f"/v1/{name}"))
        assert found >= len(grids), f"there are but {found} {name}"
    return shops


def _live(district, grid):
    district.tomorrow()
    shop, day = district.reopened("restaurant", grid=grid), district.today.isoformat()
    district.complain(shop, content=f"{grid}店內堂食")
    checked = district.planned(shop, "complaint")
    district.visit(visit_id=checked, findings=["gathering"])
    district.visit(shop, findings=["dine_in"])
    district.complain(shop, content=f"{grid}店內聚集")
    roster = {"day": day, "staff": 3, "out_of_province": 1, "unfit": 0}
    district.client.post(f"/v1/enterprises/{shop}/roster", roster)
    sent = {"day": day, "grid": grid, "officers": [f"FZ-{grid[-3:]}-01"]}
    district.client.post("/v1/patrols", sent | {"agencies": ["police"]})
    district.client.post("/v1/patrols/plans", sent)
    _claim(district)
    return shop


def _claim(district):
    identity = identity_number(next(district.codes))
    medic = {"name": "林醫生", "identity": identity, "institution": "豐澤區醫院"}
    holder = district.client.post("/v1/medics", medic)["medic_id"]
    district.settle()
    (policy,) = district.client.everything(f"/v1/policies?holder_id={holder}")
    claim = {"policy_id": policy["id"], "casualty": "death"}
    district.client.post("/v1/claims", claim | {"occurred_on": district.today.isoformat()})
    district.settle()
