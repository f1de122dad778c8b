"""What an operator says wrong of a department is one sentence; nobody is asked before it is."""

import socket

import pytest

from console.admin.department_accounts import Accounts
from console.admin.rabbitmq_api import Management
from tests.console.conftest import here

NOWHERE = {"BROKER_ADMIN_URI": "http://guest:guest@127.0.0.1:1"}
ADD = ("department", "add", "tax", "--events")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*ADD, "issue-fond"), "Unknown event issue-fond; did you mean issue-found"),
        ((*ADD, "zzz"), "Unknown event zzz; docs/events.md lists all events."),
        (
            (*ADD, "issue-found,command-settled"),
            "command-settled is an internal event of the services",
        ),
        ((*ADD, "hour-began"), "hour-began is an internal event of the services"),
        ((*ADD, "plan-visit"), "plan-visit is a command"),
        ((*ADD, " , "), "--events must name at least one event."),
        (("department", "add", "Tax!", "--events", "issue-found"), "'Tax!' cannot be a"),
        (("department", "add", "a.b", "--events", "issue-found"), "'a.b' cannot be a"),
        (("department", "add", "dead", "--events", "issue-found"), "'dead' cannot be a"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    code, out, errors = here(NOWHERE, *words)
    assert (code, out) == (2, [])
    assert len(errors) == 1
    assert errors[0].startswith(f"bihuan: {sentence}")


@pytest.mark.parametrize("uri", ["", "amqp://a:b@c", "http://nobody:15672", "http://a:b@c:port"])
def test_a_setting_that_is_missing_or_wrong_is_one_sentence(uri):
    code, _, errors = here({"BROKER_ADMIN_URI": uri}, "department", "list")
    assert code == 2
    assert errors[0].startswith("bihuan: BROKER_ADMIN_URI ")
    assert len(errors) == 1


def test_a_bound_is_a_number_of_events():
    for wrong in ("0", "-1", "many"):
        assert here(NOWHERE, *ADD, "issue-found", "--max-length", wrong)[0] == 2


def test_a_password_file_that_cannot_be_used_is_one_sentence(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for file, why in ((tmp_path / "no" / "file", "cannot be written"), (empty, "is empty")):
        code, _, errors = here(NOWHERE, *ADD, "issue-found", "--password-file", file)
        assert code == 2
        assert len(errors) == 1
        assert why in errors[0]


def test_a_broker_that_is_away_is_one_sentence():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        uri = f"http://guest:guest@127.0.0.1:{closed.getsockname()[1]}"
        code, _, errors = here({"BROKER_ADMIN_URI": uri}, "department", "list")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("bihuan: RabbitMQ's management API at 127.0.0.1:")
    assert errors[0].endswith("Connection refused.")


def test_the_virtual_host_stands_in_the_path():
    for path, vhost in (("", "/"), ("/", "/"), ("/%2F", "/"), ("/district", "district")):
        assert Accounts(Management(f"http://a:b@c:15672{path}")).vhost == vhost
