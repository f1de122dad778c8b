"""How a contract is declared, judged, written and read; and that every one comes back as it was."""

from datetime import UTC, date
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from chassis.storage.tables import outbox, parked_messages
from contracts import message
from contracts.catalogue import contracts
from contracts.filing import EnterpriseReopened, FilingReturned, SubmitFiling, WithdrawFiling
from contracts.inspection import ComplaintChecked, RecordVisit
from contracts.message import LONGEST, Command, Envelope, Event
from contracts.shapes import Count, Id, Key, moment_from_json, moment_to_json, shape_of

EVERY = sorted(contracts().values(), key=lambda kind: kind.type)
FILING = {
    "filing_id": "f",
    "enterprise_id": "e",
    "reopen_on": "2020-02-10",
    "headcount": 5,
    "measures": ["masks"],
    "pledge": True,
}
VISIT = {"visit_id": "v", "enterprise_id": "e", "day": "2020-02-10"}


@pytest.fixture
def declared(monkeypatch):
    """Forget, at the end, what a test declares."""
    monkeypatch.setattr(message, "declared", dict(contracts()))


def values(shape):
    """Return JSON values of a described shape."""
    made = _values(shape)
    return st.none() | made if shape.get("nullable") else made


def _values(shape):
    if "enum" in shape:
        return st.sampled_from(shape["enum"])
    if "items" in shape:
        return st.lists(values(shape["items"]), max_size=3)
    if "properties" in shape:
        return st.fixed_dictionaries({n: values(s) for n, s in shape["properties"].items()})
    return PLAIN[shape.get("format", shape["type"])](shape)


PLAIN = {
    "string": lambda _: st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,30}", fullmatch=True),
    "sealed": lambda _: st.text(),
    "date": lambda _: st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(date.isoformat),
    "date-time": lambda _: st.datetimes(timezones=st.just(UTC)).map(moment_to_json),
    "integer": lambda shape: st.integers(shape.get("minimum"), shape.get("maximum")),
    "number": lambda _: st.floats(allow_nan=False, allow_infinity=False),
    "boolean": lambda _: st.booleans(),
    "object": lambda _: st.dictionaries(st.text(), st.none() | st.booleans() | st.text()),
}


# every contract


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.type)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_back_and_passes_for_valid(kind, data):
    said = data.draw(values({"type": "object", "properties": kind.describe()}))
    fact = kind.from_data(said)
    assert fact.to_data() == said
    assert kind.from_data(fact.to_data()) == fact
    assert kind.schema().load(said) == fact


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.type)
def test_a_contract_has_one_key_a_type_of_its_own_and_a_sentence(kind):
    assert kind.describe()[kind.key_name()]["type"] == "string"
    assert contracts()[kind.type] is kind
    assert kind.__doc__.strip().endswith(".")


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.type)
def test_what_has_a_default_may_be_left_out(kind):
    optional = {name for name, shape in kind.describe().items() if shape.get("optional")}
    with pytest.raises(ValidationError) as error:
        kind.schema().load({})
    assert set(error.value.messages) == set(kind.describe()) - optional


def test_types_are_unique_among_services():
    assert len({kind.type for kind in EVERY}) == len(EVERY)


# declaring


def test_a_type_follows_from_the_class_and_a_service_from_the_module(declared):
    class MoonLanded(Event, abstract=False):
        """Somebody has landed."""

        ship: Key

    assert MoonLanded.type == "moon-landed"
    assert MoonLanded.service == "test_contracts"
    assert MoonLanded(ship="eagle").key == "eagle"


@pytest.mark.parametrize("keys", [0, 2])
def test_a_contract_without_exactly_one_key_is_an_error(declared, keys):
    fields = {f"k{n}": Key if n < keys else Id for n in range(2)}
    kind = type("OddOneOut", (Event,), {"__annotations__": fields, "__doc__": "Odd."})
    with pytest.raises(TypeError, match="exactly one field of type Key"):
        kind.key_name()


def test_a_type_cannot_be_declared_by_two_services(declared):
    with pytest.raises(TypeError, match="enterprise-reopened is declared twice"):
        type("EnterpriseReopened", (Event,), {"__annotations__": {"x": Key}})


def test_a_field_that_json_cannot_say_is_an_error():
    with pytest.raises(TypeError, match="cannot have a field"):
        shape_of(set[str])


def test_a_contract_does_not_change():
    filing = SubmitFiling.from_data(FILING)
    with pytest.raises(AttributeError):
        filing.headcount = 6


# from outside: strict


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"headcount": "5"}, "headcount"),
        ({"headcount": 5.0}, "headcount"),
        ({"headcount": True}, "headcount"),
        ({"headcount": -1}, "headcount"),
        ({"headcount": 10_000_001}, "headcount"),
        ({"headcount": None}, "headcount"),
        ({"pledge": "yes"}, "pledge"),
        ({"pledge": 1}, "pledge"),
        ({"reopen_on": "10.2.2020"}, "reopen_on"),
        ({"filing_id": ""}, "filing_id"),
        ({"filing_id": "../x"}, "filing_id"),
        ({"filing_id": "x" * 65}, "filing_id"),
        ({"measures": "masks"}, "measures"),
        ({"measures": [1]}, "measures"),
        ({"measures": ["m"] * 1001}, "measures"),
        ({"measures": ["m" * 2001]}, "measures"),
        ({"reopen_on": "1899-12-31"}, "reopen_on"),
        ({"reopen_on": "2200-01-01"}, "reopen_on"),
        ({"by": " "}, "by"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_comes_from_outside_is_judged_strictly(wrong, field):
    with pytest.raises(ValidationError) as error:
        SubmitFiling.schema().load(FILING | wrong)
    assert list(error.value.messages) == [field]


def test_words_of_a_person_are_more_than_blanks():
    asked = {"filing_id": "f", "enterprise_id": "e"}
    for blank in (" ", "\t\n", "\u3000"):
        with pytest.raises(ValidationError) as error:
            WithdrawFiling.schema().load(asked | {"reason": blank})
        assert error.value.messages == {"reason": ["Must not be blank."]}
    assert WithdrawFiling.schema().load(asked | {"reason": " 停業 "}).reason == " 停業 "


def test_a_text_that_may_be_empty_has_an_end_and_a_day_a_century():
    visit = VISIT | {"findings": [{"rule": "dine_in", "remark": "長" * 2000}, {"rule": "dine_in"}]}
    assert RecordVisit.schema().load(visit).findings[1].remark == ""
    visit["findings"][1]["remark"] = "長" * 2001
    with pytest.raises(ValidationError) as error:
        RecordVisit.schema().load(visit | {"day": "0001-01-01"})
    assert error.value.messages["findings"] == {1: {"remark": ["Longer than maximum length 2000."]}}
    assert error.value.messages["day"] == ["Must be a day from 1900 to 2199."]
    for day in ("1900-01-01", "2199-12-31"):
        assert RecordVisit.schema().load(VISIT | {"day": day}).day.isoformat() == day


def test_what_is_on_the_bus_already_is_read_however_long_and_old():
    said = FILING | {"measures": ["長" * 3000], "reopen_on": "0001-01-01"}
    assert SubmitFiling.from_data(said).to_data()["measures"] == said["measures"]


def test_every_fault_is_named_at_once():
    with pytest.raises(ValidationError) as error:
        SubmitFiling.schema().load(FILING | {"headcount": "5", "pledge": "yes", "reopen_on": 1})
    assert set(error.value.messages) == {"headcount", "pledge", "reopen_on"}


def test_a_fault_in_a_part_is_named_by_its_place():
    wrong = VISIT | {"findings": [{"rule": "dine_in"}, {"rule": ""}]}
    with pytest.raises(ValidationError) as error:
        RecordVisit.schema().load(wrong)
    assert list(error.value.messages["findings"][1]) == ["rule"]


# from the bus: lenient where additive evolution needs it, and nowhere else


def test_what_is_unknown_is_ignored():
    read = SubmitFiling.from_data(FILING | {"added_later": 1})
    assert read == SubmitFiling.from_data(FILING)


def test_what_is_missing_takes_its_default():
    read = SubmitFiling.from_data({k: v for k, v in FILING.items() if k != "measures"})
    assert (read.measures, read.out_of_province) == ([], 0)


def test_two_messages_do_not_share_a_default():
    without = {k: v for k, v in FILING.items() if k != "measures"}
    SubmitFiling.from_data(without).measures.append("masks")
    assert SubmitFiling.from_data(without).measures == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"headcount": "5"}, "headcount"),
        ({"headcount": True}, "headcount"),
        ({"pledge": 1}, "pledge"),
        ({"reopen_on": "soon"}, "reopen_on"),
        ({"reopen_on": None}, "reopen_on"),
        ({"measures": "masks"}, "measures"),
        ({"measures": [1]}, "measures"),
        ({"filing_id": 7}, "filing_id"),
    ],
)
def test_a_wrong_type_on_the_bus_names_its_field(wrong, field):
    with pytest.raises(ValidationError) as error:
        SubmitFiling.from_data(FILING | wrong)
    assert list(error.value.messages) == [field]


def test_a_missing_field_on_the_bus_is_named():
    with pytest.raises(ValidationError) as error:
        FilingReturned.from_data({"enterprise_id": "e", "filing_id": "f", "by": "x"})
    assert list(error.value.messages) == ["reasons"]


def test_a_wrong_part_on_the_bus_is_named_by_its_place():
    wrong = VISIT | {"findings": [{"rule": "dine_in"}, {"rule": 7}]}
    with pytest.raises(ValidationError) as error:
        RecordVisit.from_data(wrong)
    assert list(error.value.messages["findings"][1]) == ["rule"]


@pytest.mark.parametrize("body", [[], None, "text", 1])
def test_what_is_no_object_is_no_message(body):
    with pytest.raises(ValidationError):
        ComplaintChecked.from_data(body)


# moments and envelopes


@settings(deadline=None)
@given(st.datetimes(timezones=st.timezones()))
def test_a_moment_is_written_in_utc_and_read_back(moment):
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return
    written = moment_to_json(moment)
    assert written.endswith("Z")
    assert moment_from_json(written) == moment.astimezone(UTC)


def test_a_moment_without_an_offset_is_an_error():
    with pytest.raises(ValueError, match="no offset"):
        moment_from_json("2020-02-10T00:00:00")


def test_an_envelope_travels_as_cloudevents_headers():
    envelope = Envelope("1", "filing", "enterprise-reopened", "2020-02-10T00:00:00Z", "e", "c")
    headers = envelope.headers()
    assert headers["cloudEvents_specversion"] == "1.0"
    assert headers["cloudEvents_subject"] == headers["cloudEvents_partitionkey"] == "e"
    assert "cloudEvents_causationid" not in headers
    assert Envelope.from_headers(headers) == envelope


def test_an_envelope_without_a_source_is_an_error():
    headers = Envelope("1", "filing", "t", "2020-02-10T00:00:00Z", "e", "c").headers()
    del headers["cloudEvents_source"]
    with pytest.raises(ValueError, match="source"):
        Envelope.from_headers(headers)


@pytest.mark.parametrize(
    "time",
    ["2020-02-10T00:00:00Z", "2020-02-10T08:00:00+08:00", "2020-02-10T00:00:00.123456789Z"],
)
def test_an_envelope_tells_a_moment_in_any_zone(time):
    envelope = Envelope("1", "filing", "t", time, "e", "c")
    assert Envelope.from_headers(envelope.headers()) == envelope


@pytest.mark.parametrize("table", [outbox, parked_messages])
def test_every_attribute_that_is_fit_has_room_where_it_is_kept(table):
    assert {name: table.c[name].type.length for name in LONGEST} == LONGEST


def test_a_command_and_an_event_are_told_apart():
    assert issubclass(SubmitFiling, Command)
    assert issubclass(EnterpriseReopened, Event)
    assert all(issubclass(kind, Command | Event) for kind in EVERY)


def test_shapes_describe_their_bounds():
    assert shape_of(Count).describe == {"type": "integer", "minimum": 0, "maximum": 10_000_000}

    class Colour(StrEnum):
        RED = "red"

    assert shape_of(Colour | None).describe["enum"] == ["red"]
