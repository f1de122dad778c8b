"""Requests that are written together: what fails one of them is nobody else's fault."""

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from chassis.runtime.green import Timeout, pause, spawn
from console.demo.synthetic import credit_code
from tests import PATIENCE

POISON = "poison"


@pytest.fixture
def district(make_district):
    made = make_district()
    made.begin()
    return made


def register(district, number, key, headers=()):
    body = {
        "credit_code": credit_code(number),
        "name": f"第{number}號店",
        "kind": "sole_trader",
        "size": "micro",
        "industry": "F5211",
        "premises": "shop",
        "grid": "350503003",
    }
    sent = {"Idempotency-Key": key} | dict(headers)
    return district.client.request("POST", "/v1/enterprises", body, sent)


def posted_together(district, keys):
    """Post one request a key while the database is held: the first is in hand, and what comes
    behind it is written in one transaction."""
    queue, threads = district.service("gateway").components.intake._queue, []
    with district.store("gateway").write(), Timeout(PATIENCE):
        for number, key in enumerate(keys, 1):
            threads.append(spawn(register, district, number, key))
            while queue.qsize() < number - 1 or (number == 1 and not in_hand(district)):
                pause(0.01)
    return [thread.wait() for thread in threads]


def in_hand(district):
    """Tell whether the door waits for the database."""
    return bool(district.store("gateway").dialect._writing._waiters)


def refuse(district, why):
    """Let the database refuse what is asked for under a key that is poison."""
    with district.store("gateway").write() as uow:
        uow.execute(
            text(
                "CREATE TRIGGER refuse BEFORE INSERT ON commands"
                f" WHEN NEW.idempotency LIKE '%{POISON}%' BEGIN SELECT {why}; END"
            )
        )


def test_a_request_that_cannot_be_written_takes_no_other_along(district):
    refuse(district, "RAISE(ABORT, 'no')")
    keys = ["first", "a", "b", POISON, "c", "d"]
    statuses = [answer.status for answer in posted_together(district, keys)]
    assert statuses == [201, 201, 201, 500, 201, 201]
    assert len(district.client.everything("/v1/enterprises")) == 5


def test_a_request_at_which_storage_fails_takes_no_other_along(district):
    engine = district.store("gateway").engine

    def fail(_connection, _cursor, statement, given, _context, _many):
        if statement.startswith("INSERT INTO commands") and POISON in str(given):
            raise OperationalError(statement, given, Exception("the database does not answer"))

    event.listen(engine, "before_cursor_execute", fail)
    answers = posted_together(district, ["first", "a", POISON, "b", "c"])
    event.remove(engine, "before_cursor_execute", fail)
    assert [answer.status for answer in answers] == [201, 201, 503, 201, 201]
    assert answers[2].headers["Retry-After"]
    assert register(district, 3, POISON).status == 201


def test_where_storage_fails_all_of_them_nobody_waits_for_each_in_turn(district):
    engine, tried = district.store("gateway").engine, []

    def fail(_connection, _cursor, statement, given, _context, _many):
        if statement.startswith("INSERT INTO commands"):
            tried.append(given)
            raise OperationalError(statement, given, Exception("the database does not answer"))

    event.listen(engine, "before_cursor_execute", fail)
    answers = posted_together(district, [f"key-{number}" for number in range(20)])
    event.remove(engine, "before_cursor_execute", fail)
    assert {answer.status for answer in answers} == {503}
    assert len(tried) == 4  # the first, all the others together, and two of them
    assert register(district, 21, "key-21").status == 201


def test_a_batch_has_a_transaction_of_its_own(district, monkeypatch):
    monkeypatch.setattr("services.gateway.commands.intake.MOST_TOGETHER", 4)
    intake, written, write = district.service("gateway").components.intake, [], None
    write = intake._write
    monkeypatch.setattr(
        intake, "_write", lambda groups: written.append(len(groups)) or write(groups)
    )
    answers = posted_together(district, [f"key-{number}" for number in range(10)])
    assert {answer.status for answer in answers} == {201}
    assert written == [1, 4, 4, 1]
