"""What a receipt is for: nothing happens twice, whatever comes again, to whom, and how late."""

import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, update

from chassis import metrics
from chassis.errors import NotFound, NotYet
from chassis.ids import derived_id, new_id
from chassis.message import Message
from chassis.messaging import parked, replay
from chassis.messaging.bus import Closed
from chassis.messaging.consumer import Consumer
from chassis.settings import Settings
from chassis.storage import migrations, retention
from chassis.storage.retention import DAY, Retention, let_go_until, remembered_since
from chassis.storage.store import Store
from chassis.storage.tables import attempts, deployment, inbox, origin_of, outbox, resends
from chassis.storage.tables import parked_messages as kept
from contracts.filing.events import FilingWithdrawn
from contracts.message import Envelope
from contracts.shared import HourSwept
from tests.service.given import Deaf

NOW = time.time()
metadata = MetaData()
calls = Table(
    "calls",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("handler", String, nullable=False),
    Column("id", String, nullable=False),
)


class PartitionConsumer:
    """Gives one batch, and is closed."""

    partition = 0

    def __init__(self, messages):
        self.batches, self.acknowledged = [messages], []

    def take(self, _most):
        if not self.batches:
            raise Closed
        return self.batches.pop()

    def done(self, messages):
        self.acknowledged += messages


def handler(name, error=None):
    """Make a handler that notes its call, unless there is an error in the list."""

    def handle(fact, uow):
        if error:
            raise error[0]
        uow.execute(insert(calls), {"handler": name, "id": uow.message.id})

    handle.__name__ = name
    return handle


@pytest.fixture
def store(tmp_path):
    made = Store("inspection", f"sqlite:///{tmp_path / 'inspection.db'}")
    migrations.apply(made)
    metadata.create_all(made.engine)
    yield made
    made.close()


def process(store, *handlers, kind=FilingWithdrawn.type):
    """Begin a process whose service has these handlers."""
    made = Consumer(Deaf(), store, {kind: [*handlers]}, list)
    made.begin()
    return made


def deliver(consumer, *messages):
    """Deliver messages in one batch; all of them are acknowledged."""
    partition_consumer = PartitionConsumer([*messages])
    consumer.run(partition_consumer, 400)
    assert partition_consumer.acknowledged == [*messages]


def withdrawn(identity=None, *, key="shop", source="filing", written_at=None, feeds=None):
    fact = FilingWithdrawn(enterprise_id=key, filing_id="1", reason="none")
    identity = identity or new_id()
    envelope = Envelope(identity, source, fact.type, "2020-02-10T00:00:00Z", key, identity)
    message = Message.of(fact, envelope)
    message.handler, message.written_at = feeds, written_at
    return message


def fed(message, name):
    """Return a copy that is sent again for one handler."""
    return withdrawn(message.id, feeds=name, written_at=message.written_at)


def called(store):
    """Return which handler has been called with what, in order."""
    with store.read() as session:
        rows = session.execute(select(calls.c.handler, calls.c.id).order_by(calls.c.seq))
        return [tuple(row) for row in rows]


def aside(store):
    """Return the state of each parked message and its message, in order."""
    with store.read() as session:
        rows = session.execute(select(kept.c.state, kept.c.id).order_by(kept.c.seq))
        return [tuple(row) for row in rows]


def age(store, days):
    """Let every receipt be so many days old."""
    with store.write() as uow:
        uow.execute(update(inbox).values(handled_at=NOW - days * DAY))


def sweep(store):
    return Retention(store, Settings(), {}, lambda: True).sweep(NOW)


def time_comes(store, consumer):
    """Have every waiting parked message due, and tried."""
    with store.write() as uow:
        uow.execute(update(kept).values(try_at=0.0))
    consumer.retries.retry_due()


# a handler is fed what it has not heard itself


def test_a_handler_that_has_heard_a_message_is_not_fed_it(store):
    here, message = process(store, handler("first")), withdrawn()
    deliver(here, message)
    for _ in range(2):
        deliver(here, fed(message, "first"), fed(message, "first"))
    assert called(store) == [("first", message.id)]


def test_a_new_handler_is_fed_what_came_before_it_and_only_that(store):
    early, late = withdrawn(), withdrawn()
    deliver(process(store, handler("first")), early)
    new = process(store, handler("first"), handler("second"))
    deliver(new, late)
    for _ in range(2):
        deliver(new, *(fed(each, name) for name in ("first", "second") for each in (early, late)))
    assert called(store) == [
        ("first", early.id), ("first", late.id), ("second", late.id), ("second", early.id),
    ]  # fmt: skip


def test_the_same_handlers_have_the_same_number_in_every_process(store):
    first, second = handler("first"), handler("second")
    numbers = [
        process(store, *several).receipts.number
        for several in ([first], [first, second], [second, first], [first])
    ]
    assert numbers == [1, 2, 2, 1]


def test_while_versions_run_side_by_side_each_receipt_says_who_has_heard(store):
    old = process(store, handler("first"))
    new = process(store, handler("first"), handler("second"))
    one, other = withdrawn(key="a"), withdrawn(key="b")
    deliver(old, one)
    deliver(new, other)
    deliver(old, fed(one, "second"), fed(other, "second"))
    assert [state for state, _ in aside(store)] == ["retrying"] * 2, "it has no such handler"
    time_comes(store, new)
    assert aside(store) == []
    assert called(store) == [
        ("first", one.id), ("first", other.id), ("second", other.id), ("second", one.id),
    ]  # fmt: skip


def test_what_nobody_has_heard_is_for_all_even_if_it_is_fed_to_one(store):
    """Or what was meant for all of them would come to that one a second time."""
    here, message = process(store, handler("first"), handler("second")), withdrawn()
    for sent in (fed(message, "second"), message, fed(message, "first"), message):
        deliver(here, sent)
    assert called(store) == [("first", message.id), ("second", message.id)]


def test_what_an_old_version_set_aside_is_heard_by_the_handlers_of_the_one_that_handles_it(store):
    message = withdrawn()
    deliver(process(store, handler("first", lacks := [NotYet("shop")])), message)
    new = process(store, handler("first", lacks), handler("second"))
    deliver(new, fed(message, "second"))
    assert aside(store) == [("retrying", message.id)] * 2, "one stands behind the other"
    lacks.clear()
    time_comes(store, new)
    deliver(new, fed(message, "second"))
    assert aside(store) == []
    assert called(store) == [("first", message.id), ("second", message.id)]


def test_a_rejected_parked_message_that_is_tried_again_leaves_out_who_was_fed_it(store):
    message, refuses = withdrawn(), [NotFound()]
    deliver(process(store, handler("first", refuses)), message)
    new = process(store, handler("first", refuses), handler("second"))
    deliver(new, fed(message, "second"))
    assert called(store) == [("second", message.id)]
    refuses.clear()
    with store.write() as uow:  # as an operator does with --even-dead
        uow.execute(update(kept).values(state=parked.RETRYING))
    time_comes(store, new)
    deliver(new, fed(message, "first"), fed(message, "second"))
    assert called(store) == [("second", message.id), ("first", message.id)]


def test_receipts_of_an_earlier_version_stand_for_the_handlers_of_the_first_that_noted_any(store):
    message = withdrawn()
    deliver(process(store, handler("first")), message)
    with store.write() as uow:
        uow.execute(update(inbox).values(handler_sets=None))
    new = process(store, handler("first"), handler("second"))
    deliver(new, fed(message, "first"), fed(message, "second"))
    assert called(store) == [("first", message.id), ("second", message.id)]


# what was forgotten


def old_message(days, **more):
    return withdrawn(new_id(NOW - days * DAY), **more)


@pytest.mark.parametrize("identity", ["of the time", "derived"])
def test_what_may_have_been_handled_before_it_was_forgotten_is_set_aside(store, identity):
    """Its receipt has gone, and the mark of its publisher was lost: it comes once more."""
    here, written = process(store, handler("first")), NOW - 40 * DAY
    one = new_id(written) if identity == "of the time" else derived_id("one")
    message = withdrawn(one, written_at=written)
    deliver(here, message)
    age(store, 39)
    assert sweep(store)["inbox"] == 1
    following = withdrawn()
    for _ in range(2):
        deliver(here, message, following)
    assert called(store) == [("first", message.id)]
    assert aside(store) == [("exhausted", message.id), ("retrying", following.id)]
    assert parked.retry(store, message_id=message.id)  # an operator knows better
    here.retries.retry_due()
    assert aside(store) == []
    assert [each for _, each in called(store)] == [message.id, message.id, following.id]


def test_a_message_that_may_end_the_process_is_set_aside_too(store):
    here, message = process(store, handler("first")), old_message(40)
    deliver(here, message)
    age(store, 39)
    sweep(store)
    message.redelivered = True
    for _ in range(3):
        deliver(here, message)
    assert called(store) == [("first", message.id)]
    assert aside(store) == [("exhausted", message.id)]


def test_the_backlog_of_a_receiver_that_was_down_for_long_is_handled(store):
    before = [old_message(61, key=str(number)) for number in range(3)]
    here = process(store, handler("first"))
    deliver(here, *before)
    age(store, 61)
    assert sweep(store)["inbox"] == 3
    backlog = [old_message(60 - number, key=str(number)) for number in range(3)]
    deliver(here, *backlog)
    assert aside(store) == []
    assert len(called(store)) == 6


def test_the_backlog_of_a_publisher_that_was_down_for_long_is_handled(store):
    """Whatever others have said, and this receiver has forgotten, meanwhile."""
    here = process(store, handler("first"))
    deliver(here, old_message(61), old_message(35, source="complaints"))
    age(store, 34)
    assert sweep(store)["inbox"] == 2
    backlog = old_message(60)
    deliver(here, backlog)
    assert aside(store) == []
    assert called(store)[-1] == ("first", backlog.id)
    deliver(here, old_message(36, source="complaints"))
    assert [state for state, _ in aside(store)] == ["exhausted"]


def test_what_is_forgotten_is_noted_up_to_the_newest_that_went_and_no_further(store):
    messages = [old_message(days, key=str(days)) for days in (45, 40, 35, 20)]
    here = process(store, handler("first"))
    deliver(here, *messages)
    assert remembered_since(store, "filing") == 0.0
    with store.write() as uow:
        for message, days in zip(messages, (45, 40, 35, 20), strict=True):
            its_row = update(inbox).where(inbox.c.id == message.id)
            uow.execute(its_row.values(handled_at=NOW - days * DAY))
    assert sweep(store)["inbox"] == 3
    assert remembered_since(store, "filing") == pytest.approx(NOW - 35 * DAY, abs=0.01)
    assert remembered_since(store, "insurance") == 0.0
    with store.write() as uow:
        uow.execute(insert(inbox).values(id=new_id(NOW - 50 * DAY), fingerprint="",
                                          handled_at=NOW - 49 * DAY, origin=None))  # fmt: skip
    assert sweep(store)["inbox"] == 1
    assert remembered_since(store, "filing") == pytest.approx(NOW - 35 * DAY, abs=0.01)
    assert remembered_since(store, "insurance") == pytest.approx(NOW - 50 * DAY, abs=0.01)


def test_an_id_of_the_future_forgets_nothing_that_is_not_old(store):
    """Anybody may have written it."""
    here = process(store, handler("first"))
    deliver(here, withdrawn(new_id(NOW + 3000 * DAY)))
    age(store, 31)
    sweep(store)
    assert remembered_since(store, "filing") < NOW - 30 * DAY


@pytest.mark.parametrize("feeds", [None, "first"])
def test_the_receipt_of_what_is_set_aside_stays_as_long_as_its_parked_message(
    store, feeds, monkeypatch
):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "BREATH", 0)
    blocker, message = old_message(40), old_message(40)
    here = process(store, handler("first", error := [NotYet("shop")]))
    deliver(here, blocker)
    if feeds:  # by a version that did not know the handler
        with store.write() as uow:
            uow.execute(update(inbox).values(handler_sets=0))
        message = fed(blocker, feeds)
    deliver(here, message)
    others = [old_message(40, key="other") for _ in range(3)]
    with store.write() as uow:
        uow.execute(insert(inbox), [{"id": each.id, "fingerprint": "", "handled_at": 0.0}
                                     for each in others])  # fmt: skip
    age(store, 39)
    parked_messages_before = aside(store)
    assert sweep(store)["inbox"] == 3
    assert len(parked_messages_before) == 2
    deliver(here, message)
    assert aside(store) == parked_messages_before
    error.clear()
    time_comes(store, here)
    assert aside(store) == []
    assert len(called(store)) == (1 if feeds else 2)


# what may be sent again


def sent(store, number, days):
    """Have an outbox hold rows that were sent so many days ago."""
    with store.write() as uow:
        uow.outbox += [withdrawn() for _ in range(number)]
    with store.write() as uow:
        uow.execute(
            update(outbox).where(outbox.c.sent_at.is_(None)).values(sent_at=NOW - days * DAY)
        )


def count(store, table):
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_what_is_still_to_be_sent_again_does_not_go(store):
    sent(store, 3, 20)
    with store.write() as uow:
        replay.ask(uow, "gateway", NOW - 30 * DAY)
    request = replay.next_of(store)
    replay.advance(store, request, 1, 1)
    sent(store, 2, 15)
    assert sweep(store)["outbox"] == 1
    assert count(store, outbox) == 4
    request = replay.next_of(store)
    replay.advance(store, request, request.last, 2)
    assert sweep(store)["outbox"] == 4


def test_rows_that_cannot_be_sent_keep_none_of_those_behind_them(store, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "BREATH", 0)
    sent(store, 7, 20)
    with store.write() as uow:
        uow.execute(update(outbox).where(outbox.c.seq <= 3).values(sent_at=None))
    assert sweep(store)["outbox"] == 4
    assert count(store, outbox) == 3


def test_who_asks_for_more_than_the_outbox_has_is_told(store):
    def short():
        return metrics.RESENDS_SHORT.labels("inspection")._value.get()

    sent(store, 2, 20)
    sent(store, 2, 10)
    assert sweep(store)["outbox"] == 2
    with store.read() as session:
        assert let_go_until(session) == pytest.approx(NOW - 20 * DAY, abs=0.01)
    before = short()
    with store.write() as uow:
        replay.ask(uow, "gateway", NOW - 19 * DAY, partition=3, marker="m")
    assert short() == before
    with store.write() as uow:
        replay.ask(uow, "gateway", NOW - 21 * DAY, partition=3, marker="n")
    assert short() == before + 1
    assert count(store, resends) == 2, "what is left is sent"


def test_an_earlier_version_notes_for_all_what_it_forgets(store):
    with store.write() as uow:
        row = {"name": retention.FORGOTTEN, "value": str(NOW - 30 * DAY)}
        uow.execute(insert(deployment), row)
    deliver(here := process(store, handler("first")), old_message(31))
    assert called(store) == []
    deliver(here, old_message(29, key="another"))
    assert [name for name, _ in called(store)] == ["first"]


# what one version handles and another does not


def speaking(store, **handlers):
    """Begin a process with handlers by type: `w` is the withdrawal, `o` another."""
    kinds = {"w": FilingWithdrawn.type, "o": HourSwept.type}
    made = Consumer(Deaf(), store, {kinds[kind]: each for kind, each in handlers.items()}, list)
    made.begin()
    return made


def swept(identity=None, *, feeds=None):
    fact = HourSwept(hour_id="1", at=datetime.now(UTC), cases=0, last=True, clock="shop")
    identity = identity or new_id()
    envelope = Envelope(identity, "filing", fact.type, "2020-02-10T00:00:00Z", "shop", identity)
    message = Message.of(fact, envelope)
    message.handler = feeds
    return message


def test_what_no_version_handles_any_more_holds_nothing_back(store):
    """Its binding stays for ever."""
    speaking(store, w=[handler("g")], o=[handler("g")])
    new, later = speaking(store, w=[handler("g")]), [withdrawn() for _ in range(3)]
    old = swept()
    deliver(new, old, *later)
    assert called(store) == [("g", message.id) for message in later]
    assert aside(store) == [(parked.DEAD, old.id)]


def test_what_a_later_version_handles_waits_in_the_earlier_one(store):
    earlier = speaking(store, w=[handler("g")])
    later, message = speaking(store, w=[handler("g")], o=[handler("g")]), swept()
    deliver(earlier, message)
    assert aside(store) == [(parked.RETRYING, message.id)]
    parked.hasten_unknown(store)
    later.retries.retry_due()
    assert called(store) == [("g", message.id)]


def test_a_handler_hears_later_what_it_did_not_handle_when_it_was_fed_it(store):
    g, h = handler("g"), handler("h")
    message = swept()
    deliver(speaking(store, w=[g], o=[g]), message)
    deliver(speaking(store, w=[g, h], o=[g]), swept(message.id, feeds="h"))
    assert called(store) == [("g", message.id)]
    deliver(speaking(store, w=[g, h], o=[g, h]), swept(message.id, feeds="h"))
    assert called(store) == [("g", message.id), ("h", message.id)]


def test_what_is_meant_for_a_handler_of_a_later_version_waits_for_that(store):
    g, h, message = handler("g"), handler("h"), withdrawn()
    deliver(process(store, g), fed(message, "h"))
    assert called(store) == []
    later = process(store, g, h)
    deliver(later, withdrawn(message.id))
    later.retries.retry_due()
    assert sorted(called(store)) == [("g", message.id), ("h", message.id)]
    assert aside(store) == []


def test_what_is_doubted_overtakes_nothing_of_its_stream(store):
    name = f"{retention.FORGOTTEN} {origin_of('filing')}"
    with store.write() as uow:
        uow.execute(insert(deployment), {"name": name, "value": str(NOW - 1000.0)})
    unknown, doubted = withdrawn(derived_id("of no known age")), withdrawn(new_id(NOW - 2000.0))
    other = withdrawn(key="other")
    deliver(process(store, handler("g")), unknown, doubted, other)
    assert called(store) == [("g", other.id)]
    assert aside(store) == [(parked.RETRYING, unknown.id), (parked.EXHAUSTED, doubted.id)]


def test_no_attempt_stays_counted_of_what_is_held_back(store):
    with store.write() as uow:
        parked.park(uow, withdrawn(), parked.EXHAUSTED, "x", awaits=None, attempt=4)
    again = withdrawn()
    again.redelivered = True
    with store.write() as uow:
        uow.execute(insert(attempts), {"id": again.id, "count": 3})
    deliver(process(store, handler("g")), again)
    with store.read() as session:
        assert session.scalars(select(attempts.c.id)).all() == []
