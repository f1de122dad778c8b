"""What operators do about parked messages, on districts that run, on the command line."""

import json
import time

import eventlet
import pytest
from sqlalchemy import func, insert, select, update

from chassis.messaging.parked import DEAD, EXHAUSTED, RETRYING
from chassis.storage.tables import outbox, parked_actions, parked_messages
from console.admin import parked_messages as administration
from console.admin.databases import UsageError
from console.cli.parked import age_of, seconds_of
from tests import PATIENCE
from tests.console.conftest import here
from tests.console.test_command_line import bihuan
from tests.district import TestDistrict


@pytest.fixture
def operated(running):
    return Operated(running)


class Operated:
    """A district, the faults that a test puts into it, and its operator."""

    def __init__(self, district):
        self.district, self.environ = district, district.environ

    def process(self, *words):
        """Run `bihuan parked` as a process: exit code, lines of output, lines of errors."""
        code, out, errors = bihuan("parked", *words, **self.environ)
        return code, out.splitlines(), errors

    def run(self, *words):
        """Run it in the test's own process, which is quicker."""
        return here(self.environ, "parked", *words)

    def ok(self, *words):
        code, out, errors = self.run(*words)
        assert (code, errors) == (0, []), out
        return out

    def listed(self, *words):
        return [json.loads(line) for line in self.ok("list", "--json", *words)]

    def fails(self, service, kind, key, error=None):
        """Let a service fail at a type of message for one key; return how to mend it."""
        handlers = self.district.running.hosts[service].consumer.handlers
        real = handlers[kind]

        def fail(fact, _db):
            if fact.key == key:
                raise error or RuntimeError("this is not in the book")

        handlers[kind] = [fail, *real]
        return lambda: handlers.update({kind: real})

    def rows(self, service, table=parked_messages):
        with self.district.store(service).engine.connect() as connection:
            return connection.execute(select(table).order_by(table.c.seq)).all()

    def stuck(self, service):
        """Have everything that stands first in its stream tried until its retries are spent."""

        def impatient():
            with self.district.store(service).write() as uow:
                uow.execute(
                    update(parked_messages)
                    .where(parked_messages.c.state == RETRYING)
                    .values(try_at=0)
                )
            return any(row.state == EXHAUSTED for row in self.rows(service))

        until(impatient)
        return next(row for row in self.rows(service) if row.state == EXHAUSTED)


def until(fact, seconds=PATIENCE):
    with eventlet.Timeout(seconds):
        while not fact():
            eventlet.sleep(0.02)


def test_a_stuck_parked_message_is_listed_shown_and_tried_again(operated):
    district = operated.district
    assert operated.process("list") == (0, ["There are no parked messages."], [])
    assert operated.listed() == []

    ill = district.register()
    mend = operated.fails("inspection", "enterprise-reopened", ill)
    district.file(ill)
    parked_message = operated.stuck("inspection")

    (listed,) = operated.listed()
    assert (listed["service"], listed["number"]) == ("inspection", parked_message.seq)
    assert (listed["state"], listed["type"]) == ("exhausted", "enterprise-reopened")
    assert (listed["source"], listed["key"]) == ("filing", ill)
    assert listed["handlers"] == ["know_open", "plan_first_patrol", "drop_review", "prompt"]
    assert listed["parked_at"].endswith("+00:00")
    assert "body" not in listed
    (row,) = (line for line in operated.ok("list") if "enterprise-reopened" in line)
    assert "this is not in the book" in row
    assert operated.ok("list", "--state", "retrying") == ["No parked messages match."]
    assert operated.listed("--older-than", "1h") == []
    assert len(operated.listed("--key", ill, "--source", "filing", "--older-than", "0s")) == 1

    shown = "\n".join(operated.ok("show", "inspection", parked_message.seq))
    assert f'"enterprise_id": "{ill}"' in shown
    (facts,) = map(json.loads, operated.ok("show", parked_message.id, "--json"))
    assert facts["body"]["enterprise_id"] == ill
    assert facts["actions"] == facts["behind"] == []

    mend()
    said = f"inspection {parked_message.seq} (enterprise-reopened) is retried."
    assert operated.process("retry", "inspection", parked_message.seq, "--by", "安") == (
        0,
        [said],
        [],
    )
    until(lambda: not operated.rows("inspection"))
    district.settle()
    assert district.story(ill).count("prompt-slip-issued") == 1
    (action,) = operated.rows("inspection", parked_actions)
    assert (action.who, action.action, action.state) == ("安", "retry", "exhausted")
    assert (action.parked_message, action.id) == (parked_message.seq, parked_message.id)

    code, out, errors = operated.run("show", "inspection", parked_message.seq)
    assert (code, out, len(errors)) == (2, [], 1)
    assert "the last action on it: retry by 安" in errors[0]


def test_what_waited_behind_a_dropped_parked_message_goes_on_at_once(operated):
    district = operated.district
    ill = district.register()
    mend = operated.fails("inspection", "enterprise-reopened", ill)
    district.file(ill)
    first = operated.stuck("inspection")
    much_later = {"state": RETRYING, "try_at": time.time() + 3600}
    with district.store("inspection").write() as uow:
        copy = {c.name: getattr(first, c.name) for c in parked_messages.c if c.name != "seq"}
        uow.execute(insert(parked_messages), copy | much_later | {"id": "a-follower"})
    follower = operated.rows("inspection")[-1]
    (facts,) = map(json.loads, operated.ok("show", "inspection", first.seq, "--json"))
    assert [behind["number"] for behind in facts["behind"]] == [follower.seq]
    assert operated.ok("retry", "inspection", follower.seq) == [
        f"inspection {follower.seq} (enterprise-reopened) waits behind inspection {first.seq}."
    ]
    with district.store("inspection").write() as uow:
        uow.execute(
            update(parked_messages).where(parked_messages.c.seq == follower.seq).values(much_later)
        )
    mend()

    code, _, errors = operated.run("drop", "inspection", first.seq)
    assert code == 2
    assert any("--reason" in line for line in errors)
    said = operated.ok("drop", "inspection", first.seq, "--reason", "已在別處處理", "--json")
    assert json.loads(said[0])["says"] == "is dropped"
    until(lambda: not operated.rows("inspection"))
    district.settle()
    assert ("enterprise-reopened", "prompt-slip-issued") in district.causes(ill)
    slips = [r for r in operated.rows("inspection", outbox) if r.type == "prompt-slip-issued"]
    assert [slip.causationid for slip in slips] == ["a-follower"]
    action = operated.rows("inspection", parked_actions)[-1]
    assert (action.action, action.reason) == ("drop", "已在別處處理")


def test_a_dropped_command_is_settled_once_as_rejected(operated):
    district = operated.district
    ill = district.register()
    operated.fails("inspection", "order-closure", ill)
    asked = {"enterprise_id": ill, "reason": "檢查"}
    answer = district.client.request("POST", "/v1/closures", asked, {"Prefer": "respond-async"})
    assert answer.status == 202
    parked_message = operated.stuck("inspection")
    said = operated.ok("drop", parked_message.id, "--reason", "不再需要")
    assert said == [
        f"inspection {parked_message.seq} (order-closure) is dropped, and settled as rejected."
    ]
    until(lambda: district.client.get(answer.headers["Location"])["state"] == "rejected")
    became = district.client.get(answer.headers["Location"])
    assert "dropped by an operator" in json.dumps(became)
    assert "不再需要" not in json.dumps(became), "why is the operator's own"
    settled = [
        row
        for row in operated.rows("inspection", outbox)
        if row.type == "command-settled" and row.causationid == parked_message.id
    ]
    assert len(settled) == 1


def test_a_command_that_nobody_knows_waits_until_it_is_dropped_and_is_then_settled(operated):
    district, problem = operated.district, "urn:bihuan:problem:given-up"
    shop = district.register()
    del district.running.hosts["inspection"].consumer.handlers["order-closure"]
    asked = {"enterprise_id": shop, "reason": "檢查"}
    answer = district.client.request("POST", "/v1/closures", asked, {"Prefer": "respond-async"})
    until(lambda: operated.rows("inspection"))
    (parked_message,) = operated.listed("--state", "retrying")
    assert parked_message["awaits"] == parked_message["type"] == "order-closure"
    assert parked_message["reason"].endswith("it waits for a version that handles it")
    assert district.client.get(answer.headers["Location"])["state"] == "pending"
    operated.ok("drop", parked_message["id"], "--reason", "不再需要")
    until(lambda: district.client.get(answer.headers["Location"])["state"] == "rejected")
    assert district.client.get(answer.headers["Location"])["problem"]["type"] == problem


def test_an_impostor_is_neither_tried_nor_settled_again(operated):
    """The id of a rejected parked message may be that of a command which has its outcome
    already."""
    district = operated.district
    store = district.store("inspection")
    shop = district.register()
    district.client.post("/v1/closures", {"enterprise_id": shop, "reason": "檢查"})
    with district.store("gateway").engine.connect() as connection:
        command = connection.execute(
            select(outbox).where(outbox.c.type == "order-closure").order_by(outbox.c.seq.desc())
        ).first()
    with store.write() as uow:
        columns = {
            c.name: getattr(command, c.name) for c in outbox.c if c.name in parked_messages.c
        }
        del columns["seq"]
        state = {"state": DEAD, "reason": "another message has the same id", "attempts": 0}
        more = {"body": "{}", "parked_at": time.time(), "try_at": 0.0}
        uow.execute(insert(parked_messages), columns | state | more)
        said_before = uow.scalar(select(func.count()).select_from(outbox))
    number = operated.rows("inspection")[0].seq

    assert "is dead; --even-dead" in operated.ok("retry", "inspection", number)[0]
    (said,) = operated.ok("retry", "inspection", number, "--even-dead")
    assert "an earlier message has the same id" in said
    assert operated.ok("drop", "inspection", number, "--reason", "僞") == [
        f"inspection {number} (order-closure) is dropped."
    ]
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(outbox)) == said_before
    assert [row.action for row in operated.rows("inspection", parked_actions)] == ["drop"]


def test_a_rejected_event_can_be_tried_late(operated):
    from chassis.errors import Conflict

    district = operated.district
    ill = district.register()
    mend = operated.fails("inspection", "enterprise-reopened", ill, Conflict("暫停"))
    district.file(ill)
    (parked_message,) = operated.rows("inspection")
    assert parked_message.state == DEAD
    mend()
    code, _, errors = operated.run("retry", "--all", "--state", "dead")
    assert (code, len(errors)) == (2, 1)
    operated.ok("retry", "--all", "--state", "dead", "--even-dead")
    until(lambda: not operated.rows("inspection"))
    district.settle()
    assert district.story(ill).count("prompt-slip-issued") == 1


def test_many_are_asked_about_first(operated):
    district = operated.district
    shops = [district.register() for _ in range(3)]
    mends = [operated.fails("inspection", "enterprise-reopened", shop) for shop in shops]
    for shop in shops:
        district.file(shop)

    def all_stuck():
        operated.stuck("inspection")
        return [row.state for row in operated.rows("inspection")] == [EXHAUSTED] * len(shops)

    until(all_stuck)
    for mend in reversed(mends):
        mend()
    code, _, errors = operated.run("retry", "--all", "--type", "enterprise-reopened")
    assert code == 1
    assert any("Try these 3 parked messages again?" in line for line in errors)
    assert all(row.state == EXHAUSTED for row in operated.rows("inspection"))
    assert operated.ok("list", "--limit", 2)[-1] == ("There are more than 2; --limit shows more.")
    assert len(operated.ok("retry", "--all", "--type", "enterprise-reopened", "--yes")) == 3
    until(lambda: not operated.rows("inspection"))


def test_a_parked_message_in_hand_is_left_alone(operated):
    district = operated.district
    store = district.store("inspection")
    ill = district.register()
    operated.fails("inspection", "enterprise-reopened", ill)
    district.file(ill)
    parked_message = operated.stuck("inspection")
    at_work = administration.ParkedMessages({"inspection": store}, "安")
    (found,) = at_work.named([str(parked_message.seq)])
    if store.dialect.name != "sqlite":
        with store.write() as uow:
            uow.execute(
                select(parked_messages)
                .where(parked_messages.c.seq == parked_message.seq)
                .with_for_update()
            )
            (said,) = operated.ok("drop", "inspection", parked_message.seq, "--reason", "試")
        assert said.endswith("is being retried right now.")
    with store.write() as uow:
        uow.execute(parked_messages.delete())
    (result,) = at_work.drop([found], "試")
    assert (result.done, result.says) == (False, "was delivered meanwhile")
    assert not operated.rows("inspection", parked_actions)


@pytest.fixture(scope="module")
def nobody(tmp_path_factory):
    """The data of a district in which nothing has happened."""
    folder = tmp_path_factory.mktemp("nobody")
    TestDistrict(folder, None).stop()
    return folder


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "inspection", "7"), "inspection has no parked message 7."),
        (("show", "7"), "A number needs its service: SERVICE NUMBER."),
        (("retry", "police", "7"), "Unknown service police. Services: filing, inspection,"),
        (("list", "--service", "police"), "Unknown service police"),
        (
            ("list", "--state", "lost"),
            "--state must be one of retrying, exhausted, dead, not lost.",
        ),
        (("list", "--older-than", "soon"), "An age must be like 90s, 15m, 2h or 3d"),
        (("retry",), "Name parked messages by service and number,"),
        (("retry", "inspection", "7", "--all"), "Name parked messages by service and number,"),
        (("drop", "--all", "--reason", "x"), "--all needs a filter"),
        (
            ("show", "01a20ac0-abdf-73e1-8b9a-bc591a27593c"),
            "No service has a parked message 01a20ac0",
        ),
    ],
)
def test_a_mistake_is_one_sentence(nobody, words, sentence):
    code, out, errors = here({"DATA": str(nobody)}, "parked", *words)
    assert (code, out, len(errors)) == (2, [], 1)
    assert errors[0].startswith(f"bihuan: {sentence}")


def test_a_database_that_is_not_there_is_one_sentence(tmp_path):
    code, out, errors = here({}, "parked", "list", "--json", "--data", tmp_path)
    assert (code, out) == (1, [])
    assert errors == [f"bihuan: There is no database filing.db in {tmp_path}."]
    assert not list(tmp_path.iterdir()), "nothing is made by looking"
    code, out, errors = here(
        {"DATABASE_URL": "postgresql://bihuan@127.0.0.1:9/{service}"}, "parked", "list"
    )
    assert (code, out, len(errors)) == (1, [], 1)
    assert errors[0].startswith("bihuan: The database of filing cannot be used: ")


def test_durations_are_read_and_written():
    assert [seconds_of(text) for text in ("90s", "15m", "2h", "3d", None)] == [
        90,
        900,
        7200,
        259200,
        None,
    ]
    assert [age_of(s) for s in (0, 59, 61, 7200, 273_661)] == [
        "0s",
        "59s",
        "1m 1s",
        "2h 0m",
        "3d 4h",
    ]
    with pytest.raises(UsageError):
        seconds_of("2 weeks")
