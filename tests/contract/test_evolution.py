"""What was published stays readable: contracts only grow, and the generated documents follow."""

import json

import pytest

from chassis.message import Message
from contracts.catalogue import contracts
from contracts.examples import example, value
from contracts.message import Envelope
from tools import documents

EVERY = sorted(contracts().values(), key=lambda kind: kind.type)
ANEW = "say: python -m tools.documents"


def shape(**fields):
    return {
        "type": "moon-landed",
        "kind": "event",
        "service": "moon",
        "key": "ship",
        "fields": {"ship": {"type": "string"}} | fields,
    }


def golden(kind):
    return json.loads((documents.GOLDEN / f"{kind.type}.json").read_text())


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.type)
def test_a_contract_has_only_grown_since_it_was_published(kind):
    assert documents.breaks(golden(kind), documents.shape_of(kind)) == []


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.type)
def test_a_golden_file_holds_all_that_is_published(kind):
    assert golden(kind) == documents.shape_of(kind), ANEW


def test_no_published_contract_is_gone():
    published = {file.stem for file in documents.GOLDEN.glob("*.json")}
    assert published == {kind.type for kind in EVERY}


def test_the_catalogue_is_up_to_date():
    assert documents.CATALOGUE.read_text() == documents.catalogue(), ANEW
    assert documents.ROLES.read_text() == documents.roles.page(), ANEW


def test_the_asyncapi_document_is_up_to_date():
    assert documents.ASYNCAPI.read_text("utf-8") == documents.asyncapi_text(), ANEW


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.type)
def test_the_example_in_the_catalogue_can_be_read(kind):
    message = example(kind)
    envelope = Envelope.from_headers(message["headers"])
    fact = Message(envelope, json.dumps(message["body"]), "exchange").payload
    assert type(fact) is kind
    assert fact.key == envelope.partitionkey
    assert kind.schema().load(message["body"]) == fact


def test_a_reader_of_today_reads_what_was_published_first():
    for kind in EVERY:
        required = {
            name: value(name, described)
            for name, described in golden(kind)["fields"].items()
            if not described.get("optional")
        }
        kind.from_data(required)


# the rule itself

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0, "maximum": 9}
COLOUR = {"type": "string", "enum": ["red", "blue"]}


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (TEXT, None, "it is gone"),
        (None, TEXT, "it is new, and has no default"),
        (TEXT, COUNT, "it was string, and is integer"),
        (TEXT, TEXT | {"format": "date"}, "it was None, and is date"),
        (TEXT, TEXT | {"nullable": True}, "it may now be null"),
        (TEXT | {"nullable": True}, TEXT, "it may no longer be null"),
        (TEXT | {"optional": True}, TEXT, "it has lost its default"),
        (COLOUR, COLOUR | {"enum": ["red"]}, "it is no longer blue"),
        (COUNT, COUNT | {"minimum": 1}, "it has a higher minimum"),
        (COUNT, COUNT | {"maximum": 8}, "it has a lower maximum"),
        (TEXT, TEXT | {"minLength": 1}, "it has a higher minLength"),
        (
            {"type": "array", "items": TEXT},
            {"type": "array", "items": COUNT},
            "it[] was string, and is integer",
        ),
        (
            {"type": "object", "properties": {"a": TEXT}},
            {"type": "object", "properties": {}},
            "it.a is gone",
        ),
    ],
)
def test_what_would_break_a_reader_is_named(before, now, reason):
    old = shape(**({"it": before} if before else {}))
    new = shape(**({"it": now} if now else {}))
    assert documents.breaks(old, new) == [reason]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, TEXT | {"optional": True}),
        (TEXT, TEXT | {"optional": True}),
        (COLOUR, COLOUR | {"enum": ["red", "blue", "green"]}),
        (COUNT, COUNT | {"maximum": 10}),
    ],
)
def test_what_only_grows_breaks_nobody(before, now):
    assert documents.breaks(shape(**({"it": before} if before else {})), shape(it=now)) == []


def test_another_key_or_another_service_is_a_break():
    assert documents.breaks(shape(), shape() | {"key": "crew", "service": "mars"}) == [
        "its service was moon, and is mars",
        "its key was ship, and is crew",
    ]


def test_a_golden_file_is_never_overwritten_by_what_breaks_it(tmp_path):
    assert documents.write_golden(tmp_path) == []
    file = tmp_path / "hour-began.json"
    published = json.loads(file.read_text())
    published["fields"]["minute"] = {"type": "integer"}
    file.write_text(json.dumps(published))
    assert documents.write_golden(tmp_path) == ["hour-began: minute is gone"]
    assert json.loads(file.read_text()) == published


def test_a_golden_file_takes_up_what_has_been_added(tmp_path):
    documents.write_golden(tmp_path)
    file = tmp_path / "patrol-dispatched.json"
    published = json.loads(file.read_text())
    del published["fields"]["grid"]
    file.write_text(json.dumps(published))
    assert documents.write_golden(tmp_path) == []
    assert "grid" in json.loads(file.read_text())["fields"]
