"""The document of the API: it has every route, is valid and committed, and its examples work."""

import csv
import io
import json
import re

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from chassis.http.responses import Route
from services.gateway.access.permissions import allowed
from services.gateway.openapi import document
from services.gateway.openapi.operations import plain_path
from services.gateway.resources import BATCHES, POSTS, SHEETS, VIEWS
from tests.api.test_every_post import GOOD
from tools.documents import DESCRIPTION, description

OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in document()["paths"].items()
    for method, operation in item.items()
]


def operation_of(method, path):
    return document()["paths"][plain_path(path)][method.lower()]


def resolved(part):
    if "$ref" not in part:
        return part
    _, _, among, name = part["$ref"].split("/")
    return document()["components"][among][name]


def check(answer, method, path):
    """Check an answer of the district against what the document says of it."""
    said = operation_of(method, path)["responses"]
    assert str(answer.status) in said, (answer.status, answer.data)
    response = resolved(said[str(answer.status)])
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in response["content"]
    schema = response["content"][kind]["schema"]
    conforms(answer.json(), schema)
    for name in response.get("headers", {}):
        assert name in answer.headers or name == "Link"


def conforms(value, schema):
    whole = {"components": document()["components"]} | schema  # so that references are found
    validator = Draft202012Validator(whole, format_checker=FormatChecker())
    problems = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(value)]
    assert problems == []


def body_of(method, path, kind="application/json"):
    return operation_of(method, path)["requestBody"]["content"][kind]


# the document


def test_every_route_is_in_the_document_and_no_other(district):
    rules = district.running.hosts["gateway"].web.get_wsgi_app().map.iter_rules()
    served = [rule.endpoint for rule in rules]
    assert all(isinstance(route, Route) for route in served)
    assert sorted((route.method, plain_path(route.path)) for route in served) == sorted(
        (method, path) for method, path, _ in OPERATIONS
    )


def test_the_document_is_valid_openapi():
    OpenAPIV31SpecValidator(document()).validate()


def test_the_committed_document_is_that_of_the_code():
    assert DESCRIPTION.read_text() == description(), "run make docs"


def test_the_gateway_serves_the_document_to_anyone(district):
    answer = district.client.request("GET", "/openapi.json", headers={"Authorization": ""})
    assert answer.status == 200
    assert answer.json() == json.loads(DESCRIPTION.read_text())
    kept = {"If-None-Match": answer.headers["ETag"]}
    assert district.client.request("GET", "/openapi.json", headers=kept).status == 304


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert sorted(set(names)) == sorted(names)
    assert all(re.fullmatch("[a-z]+[A-Za-z]*", name) for name in names)
    assert all(operation["summary"] for _, _, operation in OPERATIONS)


def test_every_operation_that_takes_a_token_names_the_roles_that_may():
    for method, path, operation in OPERATIONS:
        if operation["security"]:
            assert operation["x-roles"] == sorted(allowed(method, re.sub("{(.*?)}", r"<\1>", path)))
            assert operation["x-roles"], path
            assert {"401", "403"} <= operation["responses"].keys()


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post.path)
def test_a_body_holds_the_fields_of_the_command_that_the_edge_does_not_supply(post):
    schema = resolved(body_of("POST", post.path)["schema"])
    assert schema["properties"].keys() == post.command.names() - post.supplied
    assert "by" not in schema.get("required", ())
    assert schema["additionalProperties"] is False


# its examples, executed


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post.path)
def test_the_example_of_a_body_works_and_is_answered_as_described(district, say, post):
    described = body_of("POST", post.path)
    example = described["example"]
    conforms(example, described["schema"])
    thing, good = GOOD[post.path](say)
    named = {k: good[k] for k in example if k.endswith("_id")}  # made up in the document
    path = post.path.replace("<id>", thing or "")
    answer = district.client.request("POST", path, example | named)
    assert answer.status in (200, 201), answer.data
    check(answer, "POST", post.path)


@pytest.mark.parametrize("kind", ["application/x-ndjson", "text/csv"])
@pytest.mark.parametrize("post", BATCHES, ids=lambda post: post.path)
def test_the_example_of_a_batch_works_and_is_answered_as_described(make_district, say, post, kind):
    district = make_district()
    district.begin()
    path = f"{post.path}/batch"
    raw = with_known_things(body_of("POST", path, kind)["example"], district, kind)
    answer = district.client.request("POST", path, None, {"Content-Type": kind}, raw.encode())
    assert answer.status == 200
    assert answer.json()["rejected"] == 0, answer.data
    check(answer, "POST", path)
    command = f"/v1/commands/{answer.json()['command_id']}"
    check(district.client.request("GET", command), "GET", "/v1/commands/<id>")
    check(district.client.request("GET", f"{command}/rows"), "GET", "/v1/commands/<id>/rows")


def with_known_things(text, district, kind):
    """Put enterprises that exist where an example names made-up ones."""
    if "enterprise_id" not in text:
        return text
    shop = district.reopened()
    if kind == "application/x-ndjson":
        rows = [json.loads(line) | {"enterprise_id": shop} for line in text.splitlines()]
        return "\n".join(map(json.dumps, rows))
    rows = [row | {"enterprise_id": shop} for row in csv.DictReader(io.StringIO(text))]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["application/x-ndjson", "text/csv"])
@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.path)
def test_the_example_of_a_sheet_works_and_is_answered_as_described(district, sheet, kind):
    shop = district.reopened()
    raw = body_of("POST", sheet.path, kind)["example"].encode()
    path = f"{sheet.path.replace('<id>', shop)}?day={district.today}"
    answer = district.client.request("POST", path, None, {"Content-Type": kind}, raw)
    assert answer.status == 200, answer.data
    check(answer, "POST", sheet.path)
    rosters = district.client.request("GET", f"/v1/enterprises/{shop}/rosters")
    assert rosters.json()["items"]
    check(rosters, "GET", "/v1/enterprises/<id>/rosters")


# its answers, after all that has happened above


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_every_list_and_document_is_as_described(district, say, view):
    for post in POSTS:
        if post.path.split("/")[2] == view.name:
            thing, body = GOOD[post.path](say)
            district.client.post(post.path.replace("<id>", thing or ""), body)
    district.settle()
    for item in district.client.everything(f"/v1/{view.name}"):
        answer = district.client.request("GET", f"/v1/{view.name}/{item['id']}")
        check(answer, "GET", f"/v1/{view.name}/<id>")
    check(district.client.request("GET", f"/v1/{view.name}"), "GET", f"/v1/{view.name}")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/officers", ""),
        ("/v1/checklists", "?premises=shop"),
        ("/v1/statistics", ""),
        ("/livez", ""),
        ("/readyz", ""),
    ],
)
def test_what_is_read_whole_is_as_described(district, path, query):
    answer = district.client.request("GET", path + query)
    assert answer.status == 200
    check(answer, "GET", path)


def test_a_timeline_is_as_described(district):
    for kind, thing in (
        ("enterprises", district.reopened()),
        ("complaints", district.complain(against="店")),
    ):
        answer = district.client.request("GET", f"/v1/{kind}/{thing}/timeline")
        assert answer.json()["items"]
        check(answer, "GET", f"/v1/{kind}/<id>/timeline")


def test_the_clock_is_as_described(make_district):
    district = make_district()
    example = body_of("POST", "/v1/clock")["example"]
    answer = district.client.request("POST", "/v1/clock", example)
    assert answer.status == 200
    check(answer, "POST", "/v1/clock")


def test_what_is_not_waited_for_is_as_described(district, say):
    headers = {"Prefer": "respond-async"}
    answer = district.client.request("POST", "/v1/enterprises", say.enterprise(), headers)
    assert answer.status == 202
    check(answer, "POST", "/v1/enterprises")


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "headers"),
    [
        (400, "POST", "/v1/enterprises", {}, {"Idempotency-Key": ""}),
        (401, "GET", "/v1/enterprises", None, {"Authorization": "Bearer none"}),
        (404, "GET", "/v1/enterprises/nobody", None, {}),
        (415, "POST", "/v1/enterprises", {}, {"Content-Type": "text/plain"}),
        (422, "POST", "/v1/enterprises", {}, {}),
    ],
)
def test_a_refusal_is_as_described(district, status, method, path, body, headers):
    answer = district.client.request(method, path, body, headers)
    assert answer.status == status
    check(answer, method, path.replace("nobody", "<id>"))
