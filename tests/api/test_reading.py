"""Lists, documents, timelines and figures: current, complete, and with every cause named."""

import http.client
from urllib.parse import quote

import pytest

from services.gateway.resources import VIEWS
from tests.api.conftest import problem


@pytest.fixture(scope="module")
def shops(district):
    """Return a month in little: seven shops, one of which is found wanting."""
    shops = [district.reopened(name=f"第 {n} 號 & 子") for n in range(7)]
    district.visit(shops[0], ["dine_in", "gathering"])
    complaint = district.complain(shops[1])
    visit = district.planned(shops[1], "complaint")
    district.visit(visit_id=visit, findings=["gathering"])
    assert district.client.get(f"/v1/complaints/{complaint}")["state"] == "answered"
    district.days_pass(5)
    return shops


@pytest.mark.parametrize("name", VIEWS)
def test_every_list_can_be_read_and_filtered_by_what_it_says(full, name):
    items = full.client.everything(f"/v1/{name}")
    assert len({item["id"] for item in items}) == len(items) > 2
    asked = set()
    for item in items[:3]:
        assert full.client.get(f"/v1/{name}/{item['id']}") == item
        for field in VIEWS[name].columns:
            if isinstance(item.get(field), str):
                asked.add(field)
                found = full.client.everything(f"/v1/{name}?{field}={quote(item[field])}")
                assert found == [other for other in items if other.get(field) == item[field]] != []
    assert asked >= {"state"} & {*VIEWS[name].columns}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_follow_each_other_without_gap_or_double(district, shops, limit):
    path, found = f"/v1/enterprises?limit={limit}&premises=shop", []
    while path:
        answer = district.client.request("GET", path)
        page = answer.json()
        assert len(page["items"]) <= limit
        found += [item["id"] for item in page["items"]]
        link = answer.headers.get("Link")
        assert (link is None) == (page["next"] is None)
        path = link and link.removeprefix("<").partition(">")[0]
        assert link is None or link.endswith('>; rel="next"')
    assert found == [item["id"] for item in district.client.everything("/v1/enterprises")]


def test_a_change_moves_nothing_from_its_page(district, shops):
    before = [item["id"] for item in district.client.everything("/v1/enterprises")]
    district.client.post(f"/v1/enterprises/{shops[3]}/liaison", {"officer": "FZ-003-07"})
    assert [item["id"] for item in district.client.everything("/v1/enterprises")] == before
    found = district.client.everything("/v1/enterprises?liaison=FZ-003-07")
    assert shops[3] in [item["id"] for item in found]


def test_the_link_to_the_next_page_keeps_the_filter_whatever_it_says(district, shops):
    for _ in range(2):
        district.register(name="第 0 號 & 子")
    answer = district.client.request("GET", f"/v1/enterprises?limit=1&name={quote('第 0 號 & 子')}")
    link = answer.headers["Link"].partition(">")[0].removeprefix("<")
    assert link.isascii()
    second = district.client.get(link)
    assert [item["name"] for item in second["items"]] == ["第 0 號 & 子"]
    assert second["items"][0]["id"] != shops[0]


def test_a_name_of_any_length_can_be_looked_for(district, say):
    names = ["長" * 500, "長" * 499 + "短"]
    for name in names:
        district.client.post("/v1/enterprises", say.enterprise(name=name))
    for name in names:
        (found,) = district.client.get(f"/v1/enterprises?name={quote(name)}")["items"]
        assert found["name"] == name


def test_a_filter_that_nothing_meets_gives_an_empty_list(district, shops):
    for query in ("state=nonsense", "state=", "name=%FF", "grid=" + "9" * 3000):
        answer = district.client.get(f"/v1/enterprises?{query}")
        assert (answer["items"], answer["next"]) == ([], None)


@pytest.mark.parametrize("name", VIEWS)
def test_an_unknown_id_is_not_found(district, name):
    problem(district.client.request("GET", f"/v1/{name}/nobody"), 404)


def test_a_timeline_of_an_unknown_thing_is_not_found(district):
    problem(district.client.request("GET", "/v1/enterprises/nobody/timeline"), 404)
    problem(district.client.request("GET", "/v1/complaints/nobody/timeline"), 404)


def test_a_timeline_names_causes_and_they_stand_before_their_effects(district, shops):
    complaint = district.client.everything("/v1/complaints")[0]["id"]
    timelines = [district.timeline(shop) for shop in shops]
    timelines.append(district.timeline(complaint, "complaints"))
    for timeline in timelines:
        place = {entry["id"]: number for number, entry in enumerate(timeline)}
        types = {entry["id"]: entry["type"] for entry in timeline}
        assert len(place) == len(timeline) > 3
        for number, entry in enumerate(timeline):
            cause = entry["caused_by"]
            assert cause["id"]
            assert cause["type"]
            if cause["id"] in place:
                assert place[cause["id"]] < number
                assert types[cause["id"]] == cause["type"]
    assert ("issue-found", "problem-slip-issued") in district.causes(shops[0])
    assert ("complaint-checked", "complaint-answered") in district.causes(complaint, "complaints")


def test_the_figures_agree_with_the_lists(district, shops):
    said = district.statistics()
    everything = district.client.everything
    open_now = everything("/v1/enterprises?state=open")
    assert said["reopened"]["total"] == len(open_now)
    assert said["on_duty"]["total"] == sum(shop["on_duty"] for shop in open_now)
    assert said["inspection"]["visits"] == len(everything("/v1/visits?state=recorded"))
    assert said["inspection"]["issues_found"] == len(everything("/v1/issues"))
    assert said["inspection"]["notices_issued"] == len(everything("/v1/notices"))
    assert said["complaints"]["answered"] == len(everything("/v1/complaints?state=answered"))
    for kind, number in said["slips"].items():
        assert number == len(everything(f"/v1/slips?kind={kind}")) > 0
    assert said["as_of"]["position"] > 0
    assert said["as_of"]["time"].endswith("Z")


def test_the_head_of_an_answer_is_that_of_the_answer(district, shops):
    paths = ("/v1/enterprises?limit=2", f"/v1/enterprises/{shops[0]}", "/v1/statistics", "/livez")
    connection = http.client.HTTPConnection("127.0.0.1", district.running.port)
    for path in (*paths, "/v1/enterprises/nobody"):
        seen = []
        for method in ("GET", "HEAD"):
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            assert (method == "HEAD") == (not body)
            seen.append((answer.status, {k: v for k, v in answer.getheaders() if k != "Date"}))
        assert seen[0] == seen[1]
    connection.close()
