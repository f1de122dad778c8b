"""What is wrong is refused with a problem that names each field, and nothing is stored."""

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.api.conftest import problem

NOBODY = "01900000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def shop(district):
    return district.register()


# -- fields


@pytest.mark.parametrize(
    ("changed", "pointers"),
    [
        ({"name": 5}, ["#/name"]),
        ({"name": ""}, ["#/name"]),
        ({"name": "大" * 2001}, ["#/name"]),
        ({"name": None}, ["#/name"]),
        ({"name": ["a"]}, ["#/name"]),
        ({"name": "\0"}, ["#/name"]),
        ({"name": "half \ud83d"}, ["#/name"]),
        ({"half \ud83d": 1}, ["#"]),
        ({"key_project": 1}, ["#/key_project"]),
        ({"key_project": "true"}, ["#/key_project"]),
        ({"kind": "giant"}, ["#/kind"]),
        ({"kind": {}}, ["#/kind"]),
        ({"grid": ""}, ["#/grid"]),
        ({"grid": "3" * 65}, ["#/grid"]),
        ({"colour": "red"}, ["#/colour"]),
        ({"colour": None}, ["#/colour"]),
        ({"a/b~c": 1}, ["#/a~1b~0c"]),
        ({"enterprise_id": "my-own"}, ["#/enterprise_id"]),
        (
            {"name": 5, "kind": "giant", "key_project": 1, "colour": "red", "enterprise_id": "x"},
            ["#/name", "#/kind", "#/key_project", "#/colour", "#/enterprise_id"],
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_each_wrong_field_is_named_at_once(district, unchanged, say, changed, pointers):
    asked = say.enterprise(**changed)
    problem(district.client.request("POST", "/v1/enterprises", asked), 422, *pointers)


@pytest.mark.parametrize(
    ("changed", "pointers"),
    [
        ({"headcount": "5"}, ["#/headcount"]),
        ({"headcount": True}, ["#/headcount"]),
        ({"headcount": 5.0}, ["#/headcount"]),
        ({"headcount": 1e400}, ["#/headcount"]),
        ({"headcount": -1}, ["#/headcount"]),
        ({"headcount": 10**300}, ["#/headcount"]),
        ({"reopen_on": "tomorrow"}, ["#/reopen_on"]),
        ({"reopen_on": "2020-02-30"}, ["#/reopen_on"]),
        ({"reopen_on": 20200210}, ["#/reopen_on"]),
        ({"measures": "masks"}, ["#/measures"]),
        ({"measures": ["masks", 5, None]}, ["#/measures/1", "#/measures/2"]),
        ({"measures": ["a"] * 1001}, ["#/measures"]),
        ({"measures": ["\ud800"]}, ["#/measures/0"]),
        ({"pledge": 1}, ["#/pledge"]),
        ({"enterprise_id": 7}, ["#/enterprise_id"]),
        ({"enterprise_id": ""}, ["#/enterprise_id"]),
        ({"enterprise_id": "x" * 100_000}, ["#/enterprise_id"]),
        ({"filing_id": "my-own"}, ["#/filing_id"]),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_filing_says_what_is_wrong_with_it(district, unchanged, say, shop, changed, pointers):
    raw = json.dumps(say.filing(shop, **changed)).replace("Infinity", "1e400").encode()
    problem(district.client.request("POST", "/v1/filings", raw=raw), 422, *pointers)


def test_every_missing_field_is_named(district, unchanged):
    fields = ("name", "kind", "industry", "premises", "grid")
    answer = district.client.request("POST", "/v1/enterprises", {})
    problem(answer, 422, *(f"#/{field}" for field in fields))


def test_a_piece_of_a_list_is_named_by_its_place(district, unchanged, say, shop):
    asked = say.visit(shop, findings=[{"rule": "dine_in"}, "dirty", {"rule": 5, "who": "me"}])
    pointers = ("#/findings/1", "#/findings/2/rule", "#/findings/2/who")
    problem(district.client.request("POST", "/v1/visits", asked), 422, *pointers)


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("/v1/claims", {"casualty": "death"}, ["#/policy_id", "#/occurred_on"]),
        ("/v1/claims", {"medic_id": "m"}, ["medic_id", "policy_id", "casualty", "occurred_on"]),
        ("/v1/medics", {"holder_ref": "r"}, ["holder_ref", "name", "identity", "institution"]),
        ("/v1/medics", {"name": "", "identity": "  ", "institution": ""}, None),
        (
            "/v1/medics",
            {"name": "長" * 81, "identity": "9" * 81, "institution": "院"},
            ["name", "identity"],
        ),
        ("/v1/medics", {"name": 5, "identity": 5, "institution": 5}, None),
        ("/v1/visits", {}, ["enterprise_id", "day"]),
        ("/v1/patrols", {"patrol_id": "p"}, ["patrol_id", "agencies", "officers", "day"]),
    ],
    ids=str,
)
def test_what_the_gateway_supplies_is_never_asked_for(district, unchanged, path, body, pointers):
    named = [f"#/{name.removeprefix('#/')}" for name in pointers or body]
    problem(district.client.request("POST", path, body), 422, *named)


def test_an_enterprise_without_any_code_or_class_is_told_what_it_needs(district, say):
    asked = say.enterprise()
    del asked["credit_code"], asked["size"]
    answer = district.client.request("POST", "/v1/enterprises", asked)
    problem(answer, 422, "#/credit_code", "#/size")


# -- things that the district does not know


@pytest.mark.parametrize(
    ("changed", "pointers"),
    [
        ({"credit_code": "91350100M000100Y4Z"}, ["#/credit_code"]),
        ({"credit_code": "91310115MA1H8R7C6D"}, ["#/credit_code"]),
        ({"credit_code": "91350100m000100y43"}, ["#/credit_code"]),
        ({"credit_code": "9135 0100 M000 100Y 43"}, ["#/credit_code"]),
        ({"credit_code": "１２３"}, ["#/credit_code"]),
        ({"grid": "350503999"}, ["#/grid"]),
        ({"premises": "moon-base"}, ["#/premises"]),
        ({"industry": "Z9999"}, ["#/industry"]),
        (
            {"credit_code": "1", "grid": "1", "premises": "1", "industry": "1"},
            ["#/credit_code", "#/grid", "#/premises", "#/industry"],
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_an_enterprise_must_be_one_of_the_district(district, no_effect, say, changed, pointers):
    answer = district.client.request("POST", "/v1/enterprises", say.enterprise(**changed))
    problem(answer, 422, *pointers)


def test_a_filing_lies_not_in_the_past_and_counts_its_staff_once(district, no_effect, say, shop):
    yesterday = (district.today - timedelta(days=1)).isoformat()
    asked = say.filing(shop, reopen_on=yesterday, headcount=5, out_of_province=6)
    answer = district.client.request("POST", "/v1/filings", asked)
    problem(answer, 422, "#/reopen_on", "#/out_of_province")


def test_a_channel_and_somebody_to_complain_about_are_needed(district, no_effect, say):
    answer = district.client.request(
        "POST", "/v1/complaints", say.complaint(channel="rumour", against="")
    )
    problem(answer, 422, "#/channel", "#/against")


def test_a_rule_that_is_not_in_the_checklist_is_refused(district, no_effect, say, shop):
    asked = say.visit(shop, findings=[{"rule": "dine_in"}, {"rule": "ugly"}])
    problem(district.client.request("POST", "/v1/visits", asked), 422, "#/findings/1/rule")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/filings", "enterprise_id"),
        ("/v1/closures", "enterprise_id"),
        ("/v1/complaints", "enterprise_id"),
        ("/v1/visits", "patrol_id"),
        ("/v1/visits", "visit_id"),
        ("/v1/claims", "policy_id"),
    ],
)
def test_an_unknown_id_in_the_body_is_not_found(district, unchanged, say, shop, path, field):
    bodies = {
        "/v1/filings": say.filing(shop),
        "/v1/closures": {"enterprise_id": shop, "reason": "違規"},
        "/v1/complaints": say.complaint(),
        "/v1/visits": say.visit(shop),
        "/v1/claims": {"casualty": "death", "occurred_on": say.today},
    }
    asked = bodies[path] | {field: NOBODY}
    problem(district.client.request("POST", path, asked), 404, f"#/{field}")


@pytest.mark.parametrize(
    "thing",
    [NOBODY, "x" * 5000, "%00", "a%00b", "%ED%A0%80", "%FF", "..", "a%2Fb", "' OR 1=1", "山"],
)
def test_an_unknown_id_in_the_path_is_not_found(district, unchanged, thing):
    client, named = district.client, quote(thing, safe="%")
    problem(client.request("POST", f"/v1/filings/{named}/withdrawal", {"reason": "改期"}), 404)
    problem(client.request("GET", f"/v1/filings/{named}"), 404)
    problem(client.request("GET", f"/v1/enterprises/{named}/timeline"), 404)
    problem(client.request("GET", f"/v1/commands/{named}"), 404)
    problem(client.request("GET", f"/v1/commands/{named}/rows"), 404)


# -- conflicts


def test_a_second_live_filing_names_the_first(district, say):
    shop = district.register("restaurant")
    first = district.file(shop)
    answer = district.client.request("POST", "/v1/filings", say.filing(shop))
    assert problem(answer, 409)["filing_id"] == first
    assert [f["id"] for f in district.client.everything(f"/v1/filings?enterprise_id={shop}")] == [
        first
    ]


def test_a_code_registered_twice_names_the_first(district, no_effect, say, shop):
    code = district.client.get(f"/v1/enterprises/{shop}")["credit_code"]
    asked = say.enterprise(credit_code=code)
    said = problem(district.client.request("POST", "/v1/enterprises", asked), 409, "#/credit_code")
    assert said["enterprise_id"] == shop
