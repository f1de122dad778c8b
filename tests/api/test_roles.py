"""Who may do what: every route with every role; what lies out of a caller's reach is not there."""

import itertools
import json

import pytest

from services.gateway.access.callers import Caller
from services.gateway.resources.roles import Role
from tests.api.conftest import problem
from tests.api.filled import QINGYUAN, QUANXIU, fill
from tests.api.rights import INITIALS, LISTS, RIGHTS, may
from tests.api.test_feed import feed, stream

DISTRICT = "350503"
OPEN = {
    *[
        ("GET", path)
        for path in ("/livez", "/readyz", "/metrics", "/asyncapi.json", "/openapi.json")
    ],
    *[("GET", path) for path in ("/docs", "/docs/<file>")],
    ("POST", "/v1/token"),
}
"""Routes that ask nobody who he is."""
STREAM = "/v1/events/stream"
NOT_YOUR_ROLE = "Allowed roles:"
OFFICERS = [Role.GRID_OFFICER, Role.INSPECTOR, Role.AGENCY_HEAD]
EVERYWHERE = [Role.HOTLINE_DESK, Role.INSURER, Role.DISTRICT_OFFICE, Role.AUDITOR]
KEYS = itertools.count()


@pytest.fixture(scope="module")
def routes(district):
    """Every route that the gateway serves, as the application knows them."""
    application = district.running.hosts["gateway"].web.get_wsgi_app()
    return sorted(
        (rule.endpoint.method, rule.endpoint.path) for rule in application.map.iter_rules()
    )


@pytest.fixture(scope="module")
def shops(district):
    """Return an enterprise in each of two subdistricts, with a life behind it."""
    return fill(district)


def caller(*roles, grids=(), enterprises=(), **more):
    name = "-".join(roles)
    return Caller(name, frozenset(roles), frozenset(grids), frozenset(enterprises), **more)


def ask(client, method, path, body=None):
    """Ask for a route; of one that never ends only how it begins."""
    if path == STREAM:
        return client.request("HEAD", path)
    headers = {"Idempotency-Key": f"roles-{next(KEYS)}"} if method == "POST" else {}
    return client.request(method, path.replace("<id>", "nothing"), body, headers)


# the table


def test_every_route_is_in_the_table_and_nothing_else(routes):
    assert set(routes) == {*RIGHTS, *OPEN}
    assert {*INITIALS.values()} == {*Role}


@pytest.mark.parametrize("role", Role)
def test_a_role_may_use_what_the_table_says_and_nothing_more(district, routes, role):
    client = district.client_as(caller(role, grids=[DISTRICT], enterprises=["91350503ARUJWX97A0"]))
    for method, path in RIGHTS:
        if path == "/v1/clock":
            continue
        answer = ask(client, method, path, {})
        refused = answer.status == 403 and (
            path == STREAM or NOT_YOUR_ROLE in answer.json()["detail"]
        )
        assert refused is not may(role, method, path), (method, path, answer.status, answer.data)
        assert answer.status != 401


def test_the_clock_is_moved_by_the_district_office_and_operators_alone(district):
    body = {"at": f"{district.today}T00:00:00+08:00"}
    for role in Role:
        answer = ask(district.client_as(caller(role, grids=[DISTRICT])), "POST", "/v1/clock", body)
        assert answer.status == (200 if role in (Role.DISTRICT_OFFICE, Role.OPERATOR) else 403)


def test_without_a_token_nothing_is_said(district, routes):
    nobody = type(district.client)(district.client.base)
    for method, path in routes:
        answer = ask(nobody, method, path, {})
        if (method, path) in OPEN:
            assert answer.status != 401
        elif path == STREAM:
            assert answer.status == 401
        else:
            problem(answer, 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_without_a_role_opens_nothing(district, routes):
    client = district.client_as(Caller("somebody", frozenset()))
    for method, path in routes:
        if (method, path) not in OPEN | {("GET", STREAM)}:
            problem(ask(client, method, path, {}), 403)
    assert ask(client, "GET", STREAM).status == 403


# what is out of reach is not there


def listed(client, role, name):
    """Read a whole list; one that the role may not read is refused, and so is each of its ids."""
    if may(role, "GET", f"/v1/{name}"):
        return client.everything(f"/v1/{name}")
    problem(client.request("GET", f"/v1/{name}"), 403)
    return []


def whose(thing, name):
    """Return the enterprise that a document is about, or that holds a cover."""
    return thing.get({"enterprises": "id", "policies": "holder_id"}.get(name, "enterprise_id"))


def check(client, role, name, whole, mine):
    """Check that a caller finds just these documents, in the list and by their ids."""
    assert [thing["id"] for thing in listed(client, role, name)] == [m["id"] for m in mine]
    unknown = 404 if may(role, "GET", f"/v1/{name}/<id>") else 403
    for thing in whole:
        answer = client.request("GET", f"/v1/{name}/{thing['id']}")
        assert answer.status == (200 if thing in mine else unknown), answer.data


@pytest.mark.parametrize("role", OFFICERS)
@pytest.mark.parametrize("name", LISTS)
def test_another_grid_is_in_no_list_and_its_ids_are_unknown(district, shops, role, name):
    officer = district.client_as(caller(role, grids=[QUANXIU]))
    whole, mine = district.client.everything(f"/v1/{name}"), []
    if may(role, "GET", f"/v1/{name}"):
        grids = {one["id"]: one["grid"] for one in district.client.everything("/v1/enterprises")}
        lies = [(one, one.get("grid") or grids[whose(one, name)]) for one in whole]
        mine = [one for one, grid in lies if grid == QUANXIU]
        assert 0 < len(mine) < len(whole), "something lies in either subdistrict"
    check(officer, role, name, whole, mine)


@pytest.mark.parametrize("name", LISTS)
def test_another_enterprise_is_in_no_list_and_its_ids_are_unknown(district, shops, name):
    """Nor is what tells it that somebody has complained."""
    own = shops[QUANXIU]
    client = district.client_as(caller(Role.ENTERPRISE, enterprises=[own]))
    whole, mine = district.client.everything(f"/v1/{name}"), []
    if may(Role.ENTERPRISE, "GET", f"/v1/{name}"):
        of_own = [one for one in whole if whose(one, name) == own]
        mine = [one for one in of_own if not one.get("complaint_id")]
        assert 0 < len(mine) < len(whole)
        assert (len(mine) < len(of_own)) is (name == "slips")
    check(client, Role.ENTERPRISE, name, whole, mine)


@pytest.mark.parametrize("role", EVERYWHERE)
@pytest.mark.parametrize("name", LISTS)
def test_who_works_for_the_whole_district_finds_all_of_it(district, shops, role, name):
    whole = district.client.everything(f"/v1/{name}")
    assert whole
    seen = whole if may(role, "GET", f"/v1/{name}") else []
    check(district.client_as(caller(role)), role, name, whole, seen)


def test_an_enterprise_knows_itself_by_its_credit_code_too(district, shops):
    code = district.client.get(f"/v1/enterprises/{shops[QUANXIU]}")["credit_code"]
    client = district.client_as(caller(Role.ENTERPRISE, enterprises=[code]))
    assert [shop["id"] for shop in client.everything("/v1/enterprises")] == [shops[QUANXIU]]
    found = client.everything("/v1/notices")
    assert {thing["enterprise_id"] for thing in found} == {shops[QUANXIU]}


def test_words_filters_and_timelines_find_nothing_out_of_reach(district, shops):
    officer = district.client_as(caller(Role.INSPECTOR, grids=[QUANXIU]))
    other = shops[QINGYUAN]
    name = district.client.get(f"/v1/enterprises/{other}")["name"]
    assert other not in json.dumps(officer.everything(f"/v1/enterprises?q={name[:2]}"))
    assert officer.everything(f"/v1/visits?enterprise_id={other}") == []
    assert officer.everything(f"/v1/complaints?q={QINGYUAN}") == []
    problem(officer.request("GET", f"/v1/enterprises/{other}/timeline"), 404)
    problem(officer.request("GET", f"/v1/enterprises/{other}/rosters"), 404)


def test_an_enterprise_sees_of_its_own_story_neither_visits_nor_who_has_complained(district, shops):
    """Neither in its timeline nor in the feed, which has slips on complaints about it."""
    own = shops[QUANXIU]
    client = district.client_as(caller(Role.ENTERPRISE, enterprises=[own]))
    known = {event["id"]: event["data"] for event in feed(district)}
    on_complaints = {i for i, data in known.items() if data.get("complaint_id")}
    timeline = client.everything(f"/v1/enterprises/{own}/timeline")
    fed = feed(district, client=client)
    with stream(district, "after=0", client=client) as opened:
        assert opened.some(len(fed)) == fed
    hidden = {entry["type"] for entry in district.timeline(own) if entry["id"] in on_complaints}
    assert {"feedback-slip-issued", "supervision-slip-issued", "complaint-received"} <= hidden
    for story in (timeline, fed):
        kinds = {entry["type"] for entry in story}
        assert {"enterprise-reopened", "notice-issued", "closure-ordered"} <= kinds
        assert {"feedback-slip-issued", "supervision-slip-issued"} <= kinds
        assert not [kind for kind in kinds if kind.startswith(("visit-", "complaint-"))]
        about = [known[entry["id"]] for entry in story]
        assert {data.get("enterprise_id") or data["holder_id"] for data in about} == {own}
        assert not on_complaints & {entry["id"] for entry in story}


def test_an_officer_is_fed_what_the_role_may_read_and_of_the_own_grid_alone(district, shops):
    """A grid officer reads no complaint, and no policy, of whichever enterprise."""
    whole = feed(district)
    officer = district.client_as(caller(Role.GRID_OFFICER, grids=[QUANXIU]))
    fed = feed(district, client=officer)
    kinds = {entry["type"] for entry in fed}
    assert {"enterprise-reopened", "visit-recorded", "notice-issued", "closure-ordered"} <= kinds
    assert {"complaint-received", "policy-issued"} <= {entry["type"] for entry in whole} - kinds
    assert not [kind for kind in kinds if kind.startswith(("complaint-", "policy-"))]
    about = {entry["data"]["enterprise_id"] for entry in fed}
    assert shops[QUANXIU] in about
    assert about <= {shop["id"] for shop in officer.everything("/v1/enterprises")}


@pytest.mark.parametrize("name", ["enterprises", "filings"])
def test_what_a_token_names_beside_widens_no_role(district, shops, name):
    """Neither the grids of an enterprise's, nor the enterprises of an officer's."""
    own, other = shops[QUANXIU], shops[QINGYUAN]
    enterprise = district.client_as(caller(Role.ENTERPRISE, grids=[DISTRICT], enterprises=[own]))
    officer = district.client_as(caller(Role.GRID_OFFICER, grids=[QUANXIU], enterprises=[other]))
    assert {whose(thing, name) for thing in enterprise.everything(f"/v1/{name}")} == {own}
    seen = {whose(thing, name) for thing in officer.everything(f"/v1/{name}")}
    assert own in seen
    assert other not in seen
    for client in (enterprise, officer):
        assert other not in {
            entry["data"].get("enterprise_id") for entry in feed(district, client=client)
        }


# acting


def test_who_may_not_see_a_thing_cannot_act_on_it(district, shops, say):
    officer = district.client_as(caller(Role.AGENCY_HEAD, grids=[QUANXIU]))
    other = shops[QINGYUAN]
    notice = district.client.everything(f"/v1/notices?enterprise_id={other}")[0]
    body = {"day": say.today, "rectified": True}
    path = f"/v1/notices/{notice['id']}/reinspection"
    problem(ask(officer, "POST", path, body), 404)
    problem(ask(officer, "POST", "/v1/closures", {"enterprise_id": other, "reason": "無"}), 404,
            "#/enterprise_id")  # fmt: skip
    problem(ask(officer, "POST", "/v1/visits", say.visit(other)), 404, "#/enterprise_id")
    assert district.client.get(f"/v1/notices/{notice['id']}") == notice


def test_an_officer_makes_nothing_outside_of_the_grid(district, say):
    officer = district.client_as(caller(Role.GRID_OFFICER, grids=[QUANXIU]))
    problem(ask(officer, "POST", "/v1/enterprises", say.enterprise(grid=QINGYUAN)), 403)
    assert ask(officer, "POST", "/v1/enterprises", say.enterprise(grid=QUANXIU)).status == 201
    head = district.client_as(caller(Role.AGENCY_HEAD, grids=[QUANXIU]))
    patrol = {"day": say.today, "agencies": ["police"], "officers": ["FZ-004-01"]}
    problem(ask(head, "POST", "/v1/patrols", patrol | {"grid": QINGYUAN}), 403)
    problem(ask(head, "POST", "/v1/patrols", patrol), 403)  # it might go anywhere
    problem(ask(head, "POST", "/v1/patrols/plans", {"day": say.today, "grid": QINGYUAN,
                                                    "officers": ["FZ-004-01"]}), 403)  # fmt: skip
    assert ask(head, "POST", "/v1/patrols", patrol | {"grid": QUANXIU}).status == 201


def test_a_batch_tells_of_each_row_that_is_out_of_reach(district, say):
    officer = district.client_as(caller(Role.GRID_OFFICER, grids=[QUANXIU]))
    rows = [say.enterprise(grid=grid) for grid in (QUANXIU, QINGYUAN, QUANXIU)]
    raw = "\n".join(map(json.dumps, rows)).encode()
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"roles-{next(KEYS)}"}
    made = officer.request("POST", "/v1/enterprises/batch", headers=headers, raw=raw).json()
    assert [item["status"] for item in made["items"]] == [201, 403, 201]


def test_an_enterprise_registers_itself_and_nobody_else(district, say):
    asked = say.enterprise()
    client = district.client_as(caller(Role.ENTERPRISE, enterprises=[asked["credit_code"]]))
    problem(ask(client, "POST", "/v1/enterprises", say.enterprise()), 403)
    made = ask(client, "POST", "/v1/enterprises", asked)
    assert made.status == 201
    shop = made.json()["enterprise_id"]
    assert ask(client, "POST", "/v1/filings", say.filing(shop)).status == 201
    other = district.register()
    problem(ask(client, "POST", "/v1/filings", say.filing(other)), 404, "#/enterprise_id")


def test_who_acts_is_who_calls(district, say, shops):
    me = district.client_as(caller(Role.DISTRICT_OFFICE))
    asked = say.enterprise()
    problem(ask(me, "POST", "/v1/enterprises", asked | {"by": "somebody-else"}), 403, "#/by")
    assert ask(me, "POST", "/v1/enterprises", asked | {"by": "district-office"}).status == 201
    shop = district.register()
    path = f"/v1/enterprises/{shop}/liaison"
    assert ask(me, "POST", path, {"officer": "FZ-003-05", "reason": "輪崗"}).status == 200
    desk = district.client_as(caller(Role.DISTRICT_OFFICE, speaks_for_others=True))
    body = {"officer": "FZ-003-06", "reason": "輪崗", "by": "chen"}
    assert ask(desk, "POST", path, body).status == 200
    history = district.client.get(f"/v1/enterprises/{shop}")["liaison_history"]
    assert [entry["by"] for entry in history] == ["district-office", "chen"]


def test_a_key_is_each_callers_own(district, say):
    asked = say.enterprise(), say.enterprise()
    made = [
        district.client_as(Caller(name, frozenset({Role.DISTRICT_OFFICE}))).request(
            "POST", "/v1/enterprises", body, {"Idempotency-Key": "the-same"}
        )
        for name, body in zip(("chen", "lin"), asked, strict=True)
    ]
    assert [answer.status for answer in made] == [201, 201]


def test_what_became_of_a_command_is_told_to_who_has_sent_it(district, say):
    chen, lin = (
        district.client_as(Caller(name, frozenset({Role.DISTRICT_OFFICE})))
        for name in ("chen", "lin")
    )
    headers = {"Prefer": "respond-async", "Idempotency-Key": f"roles-{next(KEYS)}"}
    sent = chen.request("POST", "/v1/enterprises", say.enterprise(), headers)
    path = sent.headers["Location"]
    assert chen.get(path)["id"]
    problem(lin.request("GET", path), 404)
    problem(lin.request("GET", f"{path}/rows"), 404)
    assert district.client_as(caller(Role.AUDITOR)).get(path)["id"]
