"""docs/asyncapi.json is AsyncAPI 3.0 by its own schema, and true of what is published."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT7

from contracts import asyncapi
from contracts.catalogue import contracts, public_events
from contracts.examples import example, value
from contracts.message import Command
from contracts.shapes import Sealed

HERE = Path(__file__).parent
OFFICIAL = json.loads((HERE / "asyncapi" / "3.0.0.json").read_text(encoding="utf-8"))
SUBSCRIBING = (HERE.parents[1] / "docs" / "subscribing.md").read_text(encoding="utf-8")
DOCUMENT = asyncapi.document()
EVENTS = list(public_events().values())
REGISTRY = Registry().with_resource("urn:asyncapi", DRAFT7.create_resource(DOCUMENT))

each_event = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.type)


def judge(pointer):
    """Return the validator of a schema of the document."""
    return Draft7Validator({"$ref": f"urn:asyncapi#{pointer}"}, registry=REGISTRY)


def follow(reference):
    found = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_it_is_asyncapi():
    Draft7Validator.check_schema(OFFICIAL)
    Draft7Validator(OFFICIAL).validate(DOCUMENT)


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (("asyncapi",), "2.6.0"),
        (("operations", "state-issue-found", "action"), "publish"),
        (("channels", "issue-found", "bindings", "amqp", "exchange", "type"), "subject"),
        (("components", "schemas", "issue-found", "properties", "issue_id", "type"), "text"),
    ],
)
def test_the_official_schema_notices_what_is_wrong(where, wrong):
    broken = json.loads(json.dumps(DOCUMENT))
    *path, last = where
    inside = broken
    for part in path:
        inside = inside[part]
    inside[last] = wrong
    with pytest.raises(ValidationError):
        Draft7Validator(OFFICIAL).validate(broken)


def test_every_reference_leads_somewhere():
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)):
        assert follow(reference)


def test_it_has_every_public_event_and_no_other():
    told = {kind.type for kind in contracts().values() if not issubclass(kind, Command)}
    internal = {"command-settled", "hour-swept", "hour-began", "resend-began"}
    assert DOCUMENT["channels"].keys() == told - internal
    assert {name.removeprefix("state-") for name in DOCUMENT["operations"]} == told - internal


@each_event
def test_an_event_is_found_under_its_exchange_and_routing_key(kind):
    channel = DOCUMENT["channels"][kind.type]
    assert channel["address"] == kind.type
    assert channel["bindings"]["amqp"]["exchange"]["name"] == f"{kind.service}.events"
    operation = DOCUMENT["operations"][f"state-{kind.type}"]
    assert follow(operation["channel"]["$ref"]) is channel


@each_event
def test_what_is_published_is_of_the_shape_that_is_described(kind):
    made = example(kind)
    judge(f"/components/messages/{kind.type}/headers").validate(made["headers"])
    judge(f"/components/messages/{kind.type}/payload").validate(made["body"])
    # and with everything left out that may be, as the oldest publisher would say it
    needed = {
        name: value(name, shape)
        for name, shape in kind.describe().items()
        if not shape.get("optional")
    }
    sparse = kind.from_data(needed).to_data()
    judge(f"/components/schemas/{kind.type}").validate(sparse)
    judge(f"/components/schemas/{kind.type}").validate(needed | {"a_new_field": 1})


@each_event
def test_another_shape_is_refused(kind):
    body, key = example(kind)["body"], kind.key_name()
    assert not judge(f"/components/schemas/{kind.type}").is_valid(body | {key: 7})
    if kind.describe()[key].get("optional"):
        return
    assert not judge(f"/components/schemas/{kind.type}").is_valid(
        {name: value for name, value in body.items() if name != key}
    )


def test_another_events_headers_are_refused():
    headers = example(contracts()["issue-found"])["headers"]
    assert not judge("/components/messages/notice-issued/headers").is_valid(headers)
    del headers["cloudEvents_id"]
    assert not judge("/components/messages/issue-found/headers").is_valid(headers)


def test_what_is_sealed_is_marked():
    caller = DOCUMENT["components"]["schemas"]["complaint-received"]["properties"]["caller"]
    assert caller["format"] == "sealed"
    assert caller["x-sealed"] is True
    marked = json.dumps(DOCUMENT).count('"x-sealed": true')
    described = json.dumps([kind.describe() for kind in EVENTS]).count('"format": "sealed"')
    assert marked == described > 0
    assert isinstance(
        contracts()["complaint-received"]
        .from_data(example(contracts()["complaint-received"])["body"])
        .caller,
        Sealed,
    )


def test_the_headers_are_those_of_the_page_for_subscribers():
    told = re.findall(r"^\| `(cloudEvents_\w+)` \| (always|sometimes) ", SUBSCRIBING, re.MULTILINE)
    attributes = DOCUMENT["components"]["schemas"]["cloud-event"]
    assert {name for name, _ in told} == attributes["properties"].keys()
    assert {name for name, when in told if when == "always"} == set(attributes["required"])
