"""`bihuan department` on a real broker: an account hears what it was given, and may do no more."""

import json

import amqp
import pytest

from tests.broker.conftest import until
from tests.broker.test_departments import connected, taken
from tests.console.conftest import here

REOPENED, ISSUE, FILED = "enterprise-reopened", "issue-found", "filing-submitted"


@pytest.fixture(scope="session")
def rabbitmq_server(managed_rabbitmq):
    """The broker with its management API."""
    return managed_rabbitmq


@pytest.fixture(scope="session")
def rabbitmq(managed_rabbitmq):
    """Its URI."""
    return managed_rabbitmq.uri


@pytest.fixture
def say(distributed, rabbitmq_server):
    """Say `bihuan department …` as an operator: exit code, output, errors; leaves nobody behind."""

    def department(*words):
        return here({"BROKER_ADMIN_URI": rabbitmq_server.admin_uri}, "department", *words)

    yield department
    for line in department("list", "--json")[1]:
        department("remove", json.loads(line)["name"], "--yes")


@pytest.fixture
def tax(say, rabbitmq, tmp_path):
    """The URI with which the tax office comes, which hears of reopenings."""
    file = tmp_path / "tax.password"
    code, _, errors = say("add", "tax", "--events", REOPENED, "--password-file", file)
    assert (code, errors) == (0, [])
    assert file.stat().st_mode & 0o777 == 0o600
    return uri_of(rabbitmq, "tax", file.read_text().strip())


def uri_of(rabbitmq, name, password):
    return rabbitmq.replace("guest:guest", f"department.{name}:{password}").removesuffix("//")


def bindings(server, queue):
    listed = json.loads(server.ctl("list_bindings", "--formatter", "json"))
    return {
        (each["source_name"], each["routing_key"])
        for each in listed
        if each["destination_name"] == queue and each["source_name"]
    }


def names(server, what):
    listed = json.loads(server.ctl(what, "--formatter", "json"))
    key = "user" if what == "list_users" else "name"
    return {each[key] for each in listed if each[key].startswith("department.")}


def test_a_department_hears_what_it_was_given(distributed, tax):
    distributed.begin()
    shop = distributed.reopened()
    with connected(tax) as channel:
        heard = taken(channel, "department.tax")
        assert heard.headers["cloudEvents_type"] == REOPENED
        assert json.loads(heard.body)["enterprise_id"] == shop
        assert channel.basic_get("department.tax") is None  # the filing was not for it


def test_a_department_may_do_nothing_but_take(say, tax):
    assert say("add", "power", "--events", ISSUE)[0] == 0
    message = amqp.Message("{}")
    for forbidden in (
        lambda c: c.basic_get("department.power"),
        lambda c: c.basic_consume("filing.inbox.0"),
        lambda c: c.basic_get("department.tax.dead"),
        lambda c: c.queue_bind("department.tax", "filing.events", FILED),
        lambda c: c.queue_bind("department.tax", "filing.events", "#"),
        lambda c: c.queue_unbind("department.tax", "filing.events", REOPENED),
        lambda c: c.queue_declare("department.tax", durable=True, auto_delete=False),
        lambda c: c.queue_declare("tax.own"),
        lambda c: c.queue_declare("", exclusive=True),
        lambda c: c.queue_delete("department.tax"),
        lambda c: c.exchange_declare("tax", "fanout"),
        lambda c: c.basic_publish_confirm(message, "filing.events", REOPENED),
        lambda c: c.basic_publish_confirm(message, "", "department.power"),
    ):
        with pytest.raises(amqp.AccessRefused), connected(tax) as channel:
            forbidden(channel)
    with connected(tax) as channel:
        channel.queue_declare("department.tax", passive=True)


def test_a_full_queue_lets_its_oldest_go_and_holds_nobody_up(distributed, say, tax, rabbitmq):
    """Every command settles while it is full; what went is found among the dead letters."""
    assert say("add", "tax", "--events", REOPENED, "--max-length", 1)[0] == 0
    distributed.begin()
    shops = [distributed.reopened() for _ in range(4)]
    with connected(rabbitmq) as channel:
        newest = taken(channel, "department.tax")
        gone = taken(channel, "department.tax.dead")
        assert json.loads(newest.body)["enterprise_id"] == shops[-1]
        assert gone.headers["x-death"][0]["reason"] == "maxlen"
        assert channel.basic_get("department.tax") is None
        assert channel.basic_get("department.tax.dead") is None  # which are bounded as well


def test_what_cannot_be_handled_is_set_aside(distributed, tax, rabbitmq):
    distributed.begin()
    shop = distributed.reopened()
    with connected(tax) as channel:
        until(lambda: channel.queue_declare("department.tax", passive=True).message_count)
        channel.basic_reject(channel.basic_get("department.tax").delivery_tag, requeue=False)
    with connected(rabbitmq) as channel:
        dead = taken(channel, "department.tax.dead")
        assert json.loads(dead.body)["enterprise_id"] == shop
        assert dead.headers["x-death"][0]["reason"] == "rejected"


def test_adding_again_changes_what_differs_and_says_so(say, tax, rabbitmq_server):
    assert say("add", "tax", "--events", REOPENED)[1] == ["tax: nothing to change."]
    code, said, _ = say("add", "tax", "--events", f"{ISSUE},{FILED}", "--max-length", 7)
    assert code == 0
    assert said == [
        "tax: its queue holds at most 7 events.",
        f"tax: it receives {FILED}.",
        f"tax: it receives {ISSUE}.",
        f"tax: it no longer receives {REOPENED}.",
    ]
    assert bindings(rabbitmq_server, "department.tax") == {
        ("filing.events", FILED),
        ("inspection.events", ISSUE),
    }
    with connected(tax) as channel:  # the password is still the same one
        assert channel.is_open
    assert "at most 7" not in say("add", "tax", "--events", ISSUE)[1][0]
    (shown,) = say("show", "tax", "--json")[1]
    assert json.loads(shown)["max_length"] == 7


def test_an_account_that_was_made_in_part_is_completed(say, tax, rabbitmq_server):
    rabbitmq_server.ctl("clear_permissions", "department.tax")
    rabbitmq_server.ctl("clear_operator_policy", "department.tax")
    rabbitmq_server.ctl("delete_queue", "department.tax.dead")
    said = say("add", "tax", "--events", REOPENED)[1]
    assert said == [
        "tax: its queue holds at most 100,000 events.",
        "tax: queue department.tax.dead was created.",
        "tax: it may only read its queue.",
    ]


def test_a_password_is_printed_once_and_changed_by_another_file(say, rabbitmq, tmp_path):
    made = json.loads(say("add", "power", "--events", ISSUE, "--json")[1][0])
    with connected(uri_of(rabbitmq, "power", made["password"])) as channel:
        assert channel.is_open
    again = json.loads(say("add", "power", "--events", ISSUE, "--json")[1][0])
    assert again["did"] == []
    assert "password" not in again

    file = tmp_path / "power.password"
    file.write_text("another long password\n")
    words = ("add", "power", "--events", ISSUE, "--password-file", file)
    assert say(*words)[1] == ["power: user department.power has a new password."]
    assert say(*words)[1] == ["power: nothing to change."]
    with connected(uri_of(rabbitmq, "power", "another%20long%20password")) as channel:
        assert channel.is_open
    refused = uri_of(rabbitmq, "power", made["password"])
    with pytest.raises(amqp.AccessRefused), connected(refused):
        pass


def test_removing_asks_first_and_leaves_nothing(say, tax, rabbitmq_server):
    code, _, errors = say("remove", "tax")
    assert code == 1
    assert errors[0].startswith("Remove tax and its queue")
    assert "department.tax" in names(rabbitmq_server, "list_queues")

    assert say("remove", "tax", "--yes")[:2] == (0, ["tax was removed."])
    for what in ("list_users", "list_queues", "list_operator_policies"):
        assert names(rabbitmq_server, what) == set()
    assert bindings(rabbitmq_server, "department.tax") == set()
    assert say("remove", "tax", "--yes")[2] == ["bihuan: Unknown department tax. There are none."]


def test_the_list_says_what_waits(distributed, say, tax):
    distributed.begin()
    distributed.reopened()

    def listed():
        (line,) = say("list", "--json")[1]
        return json.loads(line)

    until(lambda: listed()["messages"])  # the broker counts every five seconds
    found = listed()
    assert found["messages"] == 1
    assert found["events"] == [REOPENED]
    assert (found["dead"], found["consumers"], found["max_length"]) == (0, 0, 100_000)
    code, out, _ = say("show", "tax")
    assert code == 0
    assert "waiting:   1 of 100,000" in out
    assert any("tax" in line for line in say("list")[1])


def test_who_is_no_administrator_is_told_so(rabbitmq_server, tax, say):
    guest = rabbitmq_server.admin_uri.replace("guest:guest", "guest:wrong")
    code, _, errors = here({"BROKER_ADMIN_URI": guest}, "department", "list")
    assert code == 2
    assert errors[0].startswith("bihuan: The account of BROKER_ADMIN_URI is not an administrator")


def test_a_broker_without_the_district_is_told_apart(rabbitmq_server, say):
    with connected(rabbitmq_server.uri) as channel:
        channel.exchange_delete("filing.events")
    code, _, errors = say("add", "tax", "--events", REOPENED)
    assert code == 1
    assert errors == [
        "bihuan: The broker has no exchange filing.events yet: run `bihuan preflight` first."
    ]
