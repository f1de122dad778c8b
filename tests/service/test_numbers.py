"""inspection under load: papers without gaps or doubles, and the oldest pressed first, once a
level, by three workers over one database, each of which is told everything."""

import re
from datetime import datetime, timedelta

import eventlet
import pytest
from sqlalchemy import inspect, select, text

from chassis.messaging.consumer import Consumer
from chassis.messaging.outbox import Outbox
from chassis.service import handlers_of
from chassis.storage import migrations
from chassis.storage.store import Store
from chassis.storage.unit_of_work import SHANGHAI
from contracts.inspection.commands import PressNotice
from contracts.inspection.events import NoticeIssued, NoticeOverdue, Numbered
from rulebook import Rulebook
from services.inspection.model import Base, Closure, Notice, Slip
from services.inspection.numbers import PAPERS
from services.inspection.service import Inspection
from tests import servers
from tests.conftest import available
from tests.service.given import Given
from tests.service.sayings import TODAY, after, hour, registered, visit

WORKERS = 3


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    with available(servers.postgres(folder, databases=["inspection"])) as server:
        yield server.url("inspection")


class Crowd(Given):
    """Three workers of inspection: each handles its partitions while the others do, in batches of
    its own size, and then hears again whatever the others had."""

    def __init__(self, url):
        self.at = datetime(2020, 2, 10, 9, tzinfo=SHANGHAI)
        self.store = Store("inspection", url, Base.metadata)
        migrations.apply(self.store)
        self.hears = None
        self.workers = [self._worker() for _ in range(WORKERS)]

    def _worker(self):
        service = Inspection()
        service.rulebook, service.store = Rulebook.load(), self.store
        return Consumer(service, self.store, handlers_of(service), lambda: None)

    def tell(self, *said):
        """Let all workers handle these at once, and then what they say to themselves."""
        told, messages = [], [self.message(one) for one in said]
        while messages:
            own = [[m for m in messages if m.partition(WORKERS) == n] for n in range(WORKERS)]
            self._at_once(own)
            self._at_once([messages] * WORKERS)
            new = Outbox(self.store).unsent(20_000)
            Outbox(self.store).mark_sent(new)
            told += [message.payload for message in new]
            messages = [m for m in new if m.envelope.type in self.workers[0].handlers]
        return told

    def _at_once(self, parts):
        """Let each worker handle its part, so that their transactions overlap."""
        pool = eventlet.GreenPool(WORKERS)
        for number, (worker, part) in enumerate(zip(self.workers, parts, strict=True)):
            pool.spawn_n(self._handle, worker, part, 7 + 13 * number)
        pool.waitall()

    @staticmethod
    def _handle(worker, messages, size):
        for start in range(0, len(messages), size):
            assert worker.handle(messages[start : start + size])
            eventlet.sleep(0)

    def rows(self, kind):
        with self.store.read() as session:
            return session.scalars(select(kind)).all()


@pytest.fixture(params=["sqlite", "postgresql"])
def crowd(request, tmp_path):
    if request.param == "sqlite":
        made = Crowd(f"sqlite:///{tmp_path}/inspection.db")
    else:
        made = Crowd(request.getfixturevalue("postgres_url"))
        with made.store.write() as uow:
            names = set(inspect(uow.connection()).get_table_names()) - {"alembic_version"}
            uow.execute(text(f"TRUNCATE {', '.join(names)} RESTART IDENTITY"))
    yield made
    made.store.close()


def shops(count):
    return [f"shop-{n:03}" for n in range(count)]


def consecutive(numbers):
    """Return whether numbers of one year are 1, 2, 3 and so on, each once."""
    found = sorted(int(re.search(r"(\d+)號", number)[1]) for number in numbers)
    return found == list(range(1, len(found) + 1))


def all_consecutive(told):
    return all(
        consecutive([fact.number for fact in told if type(fact) is kind])
        for kind in PAPERS
        if issubclass(kind, Numbered)
    )


def test_numbers_have_no_gap_and_no_double_though_three_draw_them_at_once(crowd):
    names = shops(60)
    told = crowd.tell(*(registered(name) for name in names))
    told += crowd.tell(
        *(visit("dine_in", "opened_without_approval", shop=n, visit=f"v-{n}") for n in names)
    )
    assert sum(isinstance(fact, NoticeIssued) for fact in told) == 120
    assert all_consecutive(told)
    kept = [row.number for row in crowd.rows(Notice)]
    assert sorted(kept) == sorted(f.number for f in told if isinstance(f, NoticeIssued))
    assert consecutive([row.number for row in crowd.rows(Closure)])
    assert all(row.text["zh"].startswith(row.number) for row in crowd.rows(Slip))


def test_a_batch_that_is_undone_leaves_no_gap(crowd, monkeypatch):
    names, real, failures = shops(30), Inspection.before_commit, iter([True])

    def before_commit(service, uow):
        drawn = bool(uow.state.unnumbered)
        real(service, uow)
        if drawn and next(failures, False):
            raise RuntimeError("after the numbers were drawn")

    monkeypatch.setattr(Inspection, "before_commit", before_commit)
    told = crowd.tell(*(registered(name) for name in names))
    told += crowd.tell(*(visit("dine_in", shop=n, visit=f"v-{n}") for n in names))
    assert next(failures, None) is None, "a batch was undone"
    assert sum(isinstance(fact, NoticeIssued) for fact in told) == 30
    assert all_consecutive(told)


def test_escalation_sees_the_oldest_of_500_first_and_presses_each_once_a_level(crowd):
    """Elsewhere an escalation reads a hundred rows, the newest first, and the oldest are never
    seen; here it is 500 notices of five days, of enterprises that nobody is in charge of."""
    names = shops(500)
    crowd.tell(*(registered(name) for name in names))
    for day in range(5):
        crowd.on(after(day))
        some = names[500 - 100 * (day + 1) : 500 - 100 * day]  # the oldest have the highest names
        crowd.tell(*(visit("dine_in", shop=n, visit=f"v-{n}", day=after(day)) for n in some))
    overdue = []
    for day in range(10, 22):
        crowd.at = crowd.at.replace(month=2, day=10) + timedelta(days=day)
        told = crowd.tell(hour(TODAY + timedelta(days=day)), hour(TODAY + timedelta(days=day), 1))
        asked = [fact.due_at for fact in told if isinstance(fact, PressNotice)]
        assert asked == sorted(asked), "the oldest first"
        overdue += [(f.notice_id, f.level) for f in told if isinstance(f, NoticeOverdue)]
    assert len(overdue) == len(set(overdue)) == 500 * 4, "each once a level"
    assert {row.state for row in crowd.rows(Notice)} == {"ended_in_closure"}
    assert len(crowd.rows(Closure)) == 500
    assert consecutive([row.number for row in crowd.rows(Closure)])
