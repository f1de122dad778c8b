"""After a month of the district nobody is found in clear anywhere: in no file, table, log, metric,
answer, export, feed, stream, webhook or parked message."""

import json

import pytest

from chassis.logs import configure
from chassis.messaging.memory_bus import EmbeddedBus
from chassis.storage.tables import parked_messages
from contracts.catalogue import contracts, sealed_fields
from contracts.message import Command, Event
from services.gateway.resources import DISCLOSURES, POSTS, SHEETS
from services.gateway.tables import OF_PEOPLE, events
from tests.console.conftest import here
from tests.district import TestDistrict
from tests.people import (
    CALLER,
    FAILS,
    IDENTITY,
    PUBLIC,
    SECOND,
    Telling,
    dumped,
    files_of,
    forms,
    found,
    left_by,
)
from tests.receivers import Receiver

LIST = {"DATABASE_URL": "", "AMQP_URI": ""}
KNOWN = {
    "enrol-medic": {"name", "identity"},
    "medic-enrolled": {"name", "identity"},
    "file-complaint": {"caller", "phone"},
    "complaint-received": {"caller", "phone"},
    "complaint-revised": {"caller", "phone"},
    "file-claim": {"claimant"},
    "claim-filed": {"claimant"},
    "report-roster-lines": {"lines[].name"},
}
"""Whatever holds personal data, with its fields: who adds to it looks at all that follows below."""


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """All that a month of an embedded district leaves, by where it stands; and whom it knew."""
    data = tmp_path_factory.mktemp("month")
    written = data / "district.log"
    with written.open("w") as stream:
        configure("debug", stream)
        district = TestDistrict(data / "d", EmbeddedBus(), webhooks_to="private")
        district.codes = iter(range(900_000, 1_000_000))
        receiver = Receiver()
        try:
            telling = Telling(district, receiver)
            telling.run()
            places = left_by(district, telling) | _told_to_operators(district)
            kept = dumped(district)
        finally:
            district.stop()
            receiver.close()
            configure("critical")
    return places | files_of(data), telling.people, kept


def _told_to_operators(district):
    """Give what operators are told of parked messages and people."""
    environ = LIST | {"DATA": str(district.running.settings.data)}
    places = {}
    listed = here(environ, "parked", "list", "--json")[1]
    assert listed
    places["parked messages list"] = "\n".join(listed).encode()
    for line in listed:
        one = json.loads(line)
        out = here(environ, "parked", "show", one["id"])[1]
        assert out
        places[f"parked message {one['id']}"] = "\n".join(out).encode()
    return places


def test_nobody_is_found_anywhere(month):
    places, people, _ = month
    assert len(places) > 300
    assert len(people) > 15
    assert found(people, places) == []


def test_the_search_looks_where_something_is(month):
    """A word that nobody hides is found in files, tables, the log, exports, feed and webhooks."""
    places, _, _ = month
    where = {place.partition(" ")[0] for place, _, _ in found([PUBLIC], places)}
    assert {"gateway.events", "filing.outbox", "enterprises", "feed", "stream", "webhook"} <= where
    files = {place.rpartition("/")[2] for place in where if place.endswith((".db", ".db-wal"))}
    assert {"filing.db", "gateway.db"} <= {file.removesuffix("-wal") for file in files}
    assert b'"event": "request"' in next(v for p, v in places.items() if p.endswith("district.log"))
    assert b"bihuan_" in places["metrics"]


def test_what_could_not_be_done_is_a_dead_letter_that_says_nobody(month):
    places, _, kept = month
    log = next(v for place, v in places.items() if place.endswith("district.log"))
    for service, institution in FAILS.items():
        assert institution.encode() in kept[f"{service}.{parked_messages.name}"]
        assert institution.encode() in log, "the error says what the service was told"
    assert found([SECOND, IDENTITY], kept | {"log": log}) == []


# the search can fail


@pytest.mark.parametrize("word", [CALLER, IDENTITY, "王"])
def test_a_planted_word_is_found_in_every_form(word):
    for form, written in forms(word).items():
        if len(written) > 2:
            assert (("there", word, form)) in found([word], {"there": b"xx" + written + b"yy"})


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_word_within_base64_is_found_wherever_it_begins(before):
    import base64

    text = f"{before}{CALLER} and more".encode()
    for coded in (base64.b64encode(text), base64.urlsafe_b64encode(text)):
        assert found([CALLER], {"there": coded})
    assert not found([SECOND], {"there": base64.b64encode(text)})


def test_a_clear_name_in_a_district_is_found(tmp_path):
    """Somebody writes a name where none belongs: it is found in tables, files, exports, the feed
    and webhooks."""
    district = TestDistrict(tmp_path / "d", EmbeddedBus())
    district.begin()
    try:
        district.register(name=f"{CALLER}的店")
        places = dumped(district)
        places["list"] = district.client.request("GET", "/v1/enterprises?format=csv").data
        places["feed"] = district.client.request("GET", "/v1/events").data
    finally:
        district.stop()
    where = {
        place.rpartition("/")[2] for place, _, _ in found([CALLER], places | files_of(tmp_path))
    }
    assert {"list", "feed", "gateway.events", "gateway.outbox", "filing.enterprises"} <= where
    assert {"gateway.db", "gateway.db-wal"} & where


# nothing can be forgotten


def sealed_in(shapes, where=""):
    """Name the sealed fields of a shape, at any depth."""
    for name, shape in shapes.items():
        inner = shape.get("items", shape)
        mark = f"{where}{name}{'[]' if 'items' in shape else ''}"
        if inner.get("format") == "sealed":
            yield mark
        yield from sealed_in(inner.get("properties", {}), f"{mark}.")


def test_everything_with_personal_fields_is_known_here():
    held = {kind.type: {*sealed_in(kind.describe())} for kind in contracts().values()}
    assert {name: fields for name, fields in held.items() if fields} == KNOWN


def test_every_event_with_personal_fields_can_be_opened_and_is_in_the_index():
    personal = {kind.type for kind in contracts().values()
                if issubclass(kind, Event) and sealed_fields(kind.type)}  # fmt: skip
    assert {kind.type for opening in DISCLOSURES for kind in opening.told_by} == personal
    assert str(OF_PEOPLE) == f"type IN ({', '.join(repr(name) for name in sorted(personal))})"
    assert "events_of_people" in {index.name for index in events.indexes}


def test_every_command_with_personal_fields_comes_in_where_they_are_taken_out():
    personal = {kind.type for kind in contracts().values()
                if issubclass(kind, Command) and any(sealed_in(kind.describe()))}  # fmt: skip
    assert personal <= {post.command.type for post in (*POSTS, *SHEETS)}
