"""Steps of several transactions that chance seldom brings together, one after the other."""

import json
from contextlib import suppress
from datetime import date
from itertools import count

import pytest
from sqlalchemy import func, select, true, update
from sqlalchemy.exc import OperationalError

from chassis.errors import Conflict, NotYet
from chassis.message import Message, partition_of
from chassis.messaging import parked, replay
from chassis.messaging.bus import Closed
from chassis.messaging.consumer import Consumer
from chassis.messaging.outbox import Outbox
from chassis.messaging.relay import Relay
from chassis.settings import Settings
from chassis.storage import migrations
from chassis.storage.leases import PartitionLost
from chassis.storage.retention import DAY, Retention, RetentionPolicy
from chassis.storage.store import Store
from chassis.storage.tables import attempts, inbox, leases, outbox, resends, strays
from chassis.storage.tables import parked_messages as kept
from chassis.storage.unit_of_work import UnitOfWork
from contracts.filing.events import FilingWithdrawn
from contracts.inspection.commands import DispatchPatrol
from contracts.message import Envelope
from services.filing.service import Filings
from services.inspection.service import Inspection
from tests.service.given import Deaf
from tests.service.sayings import registered, types
from tests.service.test_failure import review, time_comes, waiting

UNDONE, UNANSWERED = "undone", "unanswered"
AWAY = OperationalError("COMMIT", {}, Exception("the connection is lost"))


# COMMIT is done, and its answer is lost


@pytest.fixture
def commits(monkeypatch):
    """Have the next transactions end so: undone, or done with the answer lost."""
    plan, commit = [], UnitOfWork.commit

    def ended(uow):
        verdict = plan.pop(0) if plan else None
        if verdict == UNDONE:
            uow.rollback()
            raise AWAY
        commit(uow)
        if verdict == UNANSWERED:
            raise AWAY

    monkeypatch.setattr(UnitOfWork, "commit", ended)
    monkeypatch.setattr(parked, "pause", lambda _attempts, **_longest: 0.0)
    return plan.extend


@pytest.fixture
def inspection(given):
    return given(Inspection)


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("undone", range(8))
def test_a_message_is_handled_once_although_its_commit_was_not_answered(
    inspection, commits, undone, counted
):
    inspection.facts(registered())
    message = inspection.message(review("shop"))
    if counted:  # it was delivered twice before, and so is taken alone
        message.redelivered = True
        with inspection.store.write() as uow:
            uow.execute(attempts.insert(), {"id": message.id, "count": 1})
    commits([UNDONE] * undone + [UNANSWERED])
    said = inspection.deliver(message) + time_comes(inspection)
    assert types(said) == ["visit-planned"]
    assert waiting(inspection) == []
    assert message.id in inspection.acknowledged


@pytest.mark.parametrize("undone", range(8))
def test_a_parked_message_is_delivered_once_although_its_commit_was_not_answered(
    inspection, commits, undone
):
    inspection.facts(review("shop"))
    assert waiting(inspection) == [("retrying", "onsite-review-requested")]
    registration = inspection.message(registered())
    with inspection.store.write() as uow:  # it frees nothing by itself
        inspection.consumer.processor.handling.call(uow, registration)
    commits([UNDONE] * undone + [UNANSWERED])
    for _ in range(undone + 3):
        with suppress(OperationalError):  # as the loop that tries parked messages does
            inspection.consumer.retries.retry(("filing", "shop"))
    if waiting(inspection) == [("exhausted", "onsite-review-requested")]:
        assert parked.retry(inspection.store, message_id=first_parked_message(inspection))
        inspection.consumer.retries.retry(("filing", "shop"))
    assert types(inspection.when()) == ["visit-planned"]
    assert waiting(inspection) == []


def first_parked_message(story):
    with story.store.read() as session:
        return session.scalar(select(kept.c.id).order_by(kept.c.seq).limit(1))


# a queue was lost, and a process dies before what it has left out is acknowledged

PARTITIONS, PARTITION = 8, 3
KEY = next(key for key in map(str, count()) if partition_of(key, PARTITIONS) == PARTITION)


class Queue:
    """A queue of one partition, which forgets all that it has given."""

    partition = PARTITION

    def __init__(self, *messages):
        self.messages = [*messages]

    def take(self, most):
        if not self.messages:
            raise Closed
        self.taken, self.messages = self.messages[:most], self.messages[most:]
        return self.taken

    def done(self, messages):
        pass


def once_more(*messages):
    """Return what a process that died has not acknowledged, as the broker does."""
    for message in messages:
        message.redelivered = True
    return Queue(*messages)


@pytest.fixture
def store(tmp_path):
    made = Store("filing", f"sqlite:///{tmp_path}/filing.db", Filings.metadata)
    migrations.apply(made)
    yield made
    made.close()


class Process:
    """A process that serves the partition, and notes which messages reach its handler."""

    def __init__(self, store, handled):
        def handle(fact, _uow):
            handled.append(fact.filing_id)

        self.consumer = Consumer(Deaf(), store, {FilingWithdrawn.type: [handle]}, lambda: None)
        self.consumer.partitions.count = PARTITIONS
        self.consumer.recovering.add(PARTITION)

    def take(self, queue, most=10):
        self.consumer.run(queue, most)


def said(identity, *, marker=None):
    fact = FilingWithdrawn(enterprise_id=KEY, filing_id=identity, reason="none")
    envelope = Envelope(identity, "filing", fact.type, "2020-02-10T00:00:00Z", KEY, identity)
    made = Message.of(fact, envelope)
    made.marker = marker
    return made


def lose_the_queue(store):
    """Have the partition's queue found missing; give what its publisher's marker will be."""
    if replay.begin_recovery(store, PARTITION, ["filing"], lambda *_: None) == []:
        replay.queue_made(store, PARTITION, 0.0)
        return lose_the_queue(store)
    with store.read() as session:
        return replay.recoveries_of(session, PARTITION)["filing"]


def marker(name, *, marked=True):
    made = replay.marker_of("filing", name, PARTITION, PARTITIONS, 1_600_000_000.0)
    if not marked:  # as an earlier version says it
        made.restate(type(made.payload)(lane=made.payload.lane, marker=made.payload.marker))
    return made


@pytest.fixture
def leased(store):
    with store.write() as uow:
        uow.execute(leases.insert().values(name=f"partition {PARTITION}", until=0.0))
    return store


@pytest.mark.parametrize("most", [1, 2, 3, 10])
@pytest.mark.parametrize("acknowledged", range(7))
def test_what_was_left_out_overtakes_nothing_when_it_comes_again(leased, most, acknowledged):
    """5 6 7 8 are sent again behind a marker, and 8 has come before it by itself."""
    name, handled = lose_the_queue(leased), []
    sent = [said("8"), marker(name), *(said(each, marker=name) for each in "5678")]
    before = Process(leased, handled)
    before.take(Queue(*sent[: max(2, acknowledged)]), most)
    Process(leased, handled).take(once_more(*sent[acknowledged:]), most)
    assert handled == ["5", "6", "7", "8"]


@pytest.mark.parametrize("most", [1, 2, 10])
def test_a_queue_may_be_lost_again_while_what_it_held_is_sent_again(leased, most):
    first, handled = lose_the_queue(leased), []
    Process(leased, handled).take(Queue(said("7"), said("8")), most)
    second = lose_the_queue(leased)
    assert second > first
    late = [said("6", marker=first), said("8", marker=first), marker(first)]
    again = [said(each, marker=second) for each in "5678"]
    Process(leased, handled).take(Queue(*late, marker(second)), most)
    Process(leased, handled).take(once_more(*late, marker(second), *again), most)
    assert handled == ["5", "6", "7", "8"]


def test_a_later_marker_is_later_although_the_clock_was_set_back(leased, monkeypatch):
    first, handled = lose_the_queue(leased), []
    Process(leased, handled).take(Queue(said("6")))
    monkeypatch.setattr(leased, "now", lambda: 1_000_000_000.0)
    second = lose_the_queue(leased)
    assert second > first
    again = [marker(second), *(said(each, marker=second) for each in "56")]
    Process(leased, handled).take(once_more(*again))
    assert handled == ["5", "6"]


def test_a_second_loss_asks_for_what_the_first_has_not_been_given(store):
    """However late it is noticed: the queue was thought to be drained in between."""
    for identity in ("1", "2", "3"):
        with store.write() as uow:
            uow.outbox.append(said(identity))
    Outbox(store).mark_sent(Outbox(store).unsent(10))
    now = store.now()
    with store.write() as uow:
        uow.execute(update(outbox).values(sent_at=now - 3600.0))
        replay.ask(uow, "inspection", now - 4000.0, partition=PARTITION, marker="a-first")
        replay.ask(uow, "inspection", now - 300.0, partition=PARTITION, marker="a-second")
    bus = Bus()
    relay = Relay(
        store, bus, 10, {"inspection": frozenset({("filing.events", FilingWithdrawn.type)})}
    )
    with store.write() as uow:  # its marker was sent, and a part
        uow.execute(update(resends).where(resends.c.marker == "a-first").values(done_at=now))
    relay.publish_next()
    assert bus.published == [("a-second", None, None), *((i, None, "a-second") for i in "123")]


def test_who_has_lost_a_queue_says_which_and_asks_the_publisher_for_it(leased):
    lose_the_queue(leased)
    assert replay.begin_recovery(leased, PARTITION, ["gateway"], lambda *_: None) == ["gateway"]
    with leased.read() as session:
        row = session.execute(select(outbox).where(outbox.c.type == "resend")).one()
    said_so = json.loads(row.body)
    assert (row.exchange, said_so["receiver"], said_so["partition"]) == (
        "gateway.commands",
        "filing",
        3,
    )


def test_a_queue_that_is_made_says_nothing_of_another_partition(leased):
    with leased.write() as uow:
        uow.execute(leases.insert().values(name="partition 5", until=0.0))
    replay.queue_made(leased, PARTITION, 7.0)
    with leased.read() as session:
        rows = session.execute(select(leases.c.name, leases.c.drained_at).order_by(leases.c.name))
        assert [tuple(row) for row in rows] == [
            (f"partition {PARTITION}", 7.0),
            ("partition 5", None),
        ]


def test_an_operator_has_nothing_sent_again_that_was_not_sent(store):
    with store.write() as uow:
        uow.outbox.append(said("1"))
    with store.write() as uow:
        replay.ask(uow, "inspection", 0.0)
    hears = frozenset({("filing.events", FilingWithdrawn.type)})
    request = replay.next_of(store)
    assert replay.page_of(store, request, hears, PARTITIONS, 10) == ([], request.last)


def test_a_marker_closes_its_own_gap_alone(leased):
    """Another loss may be noted between the look for the gap and its end."""
    first = lose_the_queue(leased)
    began = marker(first).payload
    second = lose_the_queue(leased)
    with leased.write() as uow:
        replay.end_recovery(uow, PARTITION, "filing", began)
    with leased.read() as session:
        assert replay.recoveries_of(session, PARTITION) == {"filing": second}


def test_a_second_loss_may_be_made_good_by_an_earlier_version(leased):
    first, handled = lose_the_queue(leased), []
    Process(leased, handled).take(Queue(said("6"), marker(first)))
    second = lose_the_queue(leased)
    again = [marker(second, marked=False), *map(said, "56")]
    Process(leased, handled).take(once_more(*again))
    assert handled == ["5", "6"]


def test_what_an_earlier_version_sends_again_is_not_marked_and_not_taken_for_what_came_before(
    leased,
):
    name, handled = lose_the_queue(leased), []
    unmarked = [marker(name, marked=False), *map(said, "5678")]
    Process(leased, handled).take(Queue(said("8"), unmarked[0]))
    Process(leased, handled).take(once_more(*unmarked))
    assert handled == ["5", "6", "7", "8"]


def test_what_was_left_out_is_forgotten_with_its_time(leased):
    lose_the_queue(leased)
    Process(leased, []).take(Queue(said("8")))
    settings = Settings.read({})
    strays_alone = {strays: RetentionPolicy(strays.c.marker, true())}
    keeper = Retention(leased, settings, strays_alone, lambda: True)
    assert keeper.sweep(leased.now())["strays"] == 0
    assert keeper.sweep(leased.now() + (settings.keep_inbox + 1) * DAY)["strays"] == 1


def test_what_an_operator_has_sent_again_begins_once_more_where_a_queue_is_lost(store):
    """The queue may have held it, and its receiver leaves it alone until the marker comes."""
    for identity in ("1", "2"):
        with store.write() as uow:
            uow.outbox.append(said(identity))
    Outbox(store).mark_sent(Outbox(store).unsent(10))
    bus = Bus()
    relay = Relay(
        store, bus, 10, {"inspection": frozenset({("filing.events", said("").payload.type)})}
    )
    with store.write() as uow:
        replay.ask(uow, "inspection", 0.0, handler="feed")
        replay.ask(uow, "complaints", 0.0, handler="other")
    relay.publish_next()
    assert bus.published == [("1", "feed", None), ("2", "feed", None)]
    bus.published.clear()

    with store.write() as uow:
        replay.ask(uow, "inspection", 0.0, partition=PARTITION, marker="a-marker")
    for _ in range(4):
        relay.ask_again()
        relay.publish_next()
    copies = [(identity, None, "a-marker") for identity in "12"]
    fed = [(identity, "feed", "a-marker") for identity in "12"]
    assert bus.published == [("a-marker", None, None), *copies, *fed]


class Bus:
    """A bus with which everything is safe at once: it notes what it carries, for which handler, and
    after which marker."""

    partitions = PARTITIONS

    def __init__(self):
        self.published = []

    def publish(self, messages, to=None):
        assert to == "inspection"
        for message in messages:
            identity = getattr(message.payload, "marker", None) or message.id
            self.published.append((identity, message.handler, message.marker))
        return messages


# a parked message's try is undone, and its partition goes to another replica before that is
# recorded


@pytest.mark.parametrize("error", [Conflict(), NotYet("e"), RuntimeError("broken")])
@pytest.mark.parametrize("is_held_again", [False, True])
def test_a_parked_message_has_one_outcome_although_its_partition_changes_hands(
    store, error, is_held_again
):
    """Replica A's try is undone by an error; B takes the partition and handles the parked message;
    A goes on."""
    command = Message.of(
        DispatchPatrol(patrol_id="p", agencies=["a"], officers=["o"], day=date(2020, 2, 10)),
        Envelope("command", "gateway", "dispatch-patrol", "2020-02-10T00:00:00Z", KEY, "command"),
    )
    owner = ["A"]

    def replica(name, handler, store):
        made = Consumer(Deaf(), store, {command.envelope.type: [handler]}, lambda: None)
        made.partitions.count = PARTITIONS

        def hold(_uow, partitions):
            if owner[0] != name:
                raise PartitionLost(*partitions)

        made.partitions.hold = hold
        return made.retries

    def fails(_fact, _uow):
        raise error

    b = replica("B", lambda _fact, _uow: None, store)
    with store.write() as uow:
        uow.execute(
            store.statements.insert_new(inbox),
            [{"id": "command", "fingerprint": "", "handled_at": 0}],
        )
        parked.park(uow, command, parked.RETRYING, "", awaits=None, attempt=0)

    write, writes = store.write, count(1)

    def b_comes_between(**durable):
        if next(writes) == 2:
            owner[0] = "B"
            b.retry(command.stream)
            owner[0] = "A" if is_held_again else "B"
        return write(**durable)

    a = replica("A", fails, Between(store, b_comes_between))
    a.retry(command.stream)
    with store.read() as session:
        bodies = session.scalars(select(outbox.c.body).where(outbox.c.type == "command-settled"))
        assert [json.loads(body)["outcome"] for body in bodies] == ["done"]
        assert session.scalar(select(func.count()).select_from(kept)) == 0


class Between:
    """A store of which another replica writes in between."""

    def __init__(self, store, write):
        self._store, self.write = store, write

    def __getattr__(self, name):
        return getattr(self._store, name)
