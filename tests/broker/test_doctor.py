"""`bihuan doctor` on a distributed district: the broker, the clocks, and what each account may."""

import time

import amqp
import pytest

from tests.broker.conftest import until
from tests.console.test_doctor import look, unwell


@pytest.fixture
def environ(distributed):
    settings = distributed.running.settings
    names = ("database_url", "amqp_uri", "seal_key_file", "issuer_key_file")
    made = {name.upper(): getattr(settings, name) for name in names} | {"DATA": "nowhere"}
    until(lambda: all(state != "fault" for state, _, _ in unwell(look(made))))  # queues come last
    return made


@pytest.fixture
def channel(rabbitmq):
    with amqp.Connection(rabbitmq.partition("@")[2].rstrip("/")) as connection:
        yield connection.channel()


def test_a_district_that_runs_is_well_and_nothing_is_sent(distributed, environ):
    found = [each for each in look(environ) if "key" not in each["check"]]
    assert unwell(found) == []
    assert {each["check"] for each in found} >= {"broker for gateway", "clock of filing"}
    distributed.settle()


def test_keys_that_are_named_may_be_read_by_others_where_their_folder_keeps_these_out(environ):
    found = unwell(look(environ))
    assert {(state, check) for state, check, _ in found} <= {
        ("warning", "seal key"),
        ("warning", "issuer key"),
    }
    assert unwell(look(environ | {"SEAL_KEY_FILE": ""}))[0] == (
        "fault",
        "seal key",
        "SEAL_KEY_FILE is missing",
    )


def test_a_queue_that_is_gone_is_named_and_not_made(distributed, environ, channel):
    distributed.running.stop()
    channel.queue_delete("filing.inbox.3")
    channel.exchange_delete("insurance.dead")
    for _ in range(2):
        found = [each[1:] for each in unwell(look(environ)) if each[0] == "fault"]
        assert found == [
            ("broker for filing", "lacks filing.inbox.3"),
            ("broker for insurance", "lacks insurance.dead"),
        ]
    distributed.running.start()  # which the end of the test stops


def test_a_broker_that_is_away_or_knows_us_not_is_a_fault(environ, rabbitmq):
    away = "amqp://guest:guest@127.0.0.1:1//"
    stranger = f"amqp://stranger:x@{rabbitmq.partition('@')[2]}"
    for uri in (away, stranger):
        found = unwell(look(environ | {"AMQP_URI": uri}, "filing"))
        assert [(state, check) for state, check, _ in found] == [("fault", "broker for filing")]


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (60, "warning", "is 60.0 s behind this machine"),
        (-60, "warning", "is 60.0 s ahead of this machine"),
        (3600, "fault", "is 3600.0 s behind this machine, more than 120 s"),
    ],
)
def test_clocks_that_differ_are_noticed(environ, monkeypatch, ahead, state, said):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    assert unwell(look(environ, "filing")) == [(state, "clock of filing", said)]
