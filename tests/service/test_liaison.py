"""Liaison officers: each has about as many enterprises as the next, whoever assigns them."""

import random
from collections import Counter

import eventlet
import pytest
from sqlalchemy import select

from chassis.messaging.consumer import Consumer
from chassis.storage import migrations
from chassis.storage.store import Store
from contracts.filing.commands import AssignLiaison, CorrectEnterprise
from contracts.filing.events import LiaisonAssigned
from services.filing.model import Enterprise, Officer
from services.filing.service import Filings
from tests import servers
from tests.conftest import available
from tests.service.given import Given
from tests.service.sayings import GRID, only, refused, register, reopened, submit, types

OTHER = "350503001"


def loads(story):
    """Return the load of every officer who has some, after checking it against the enterprises."""
    with story.store.read() as session:
        counted = Counter(one for one in session.scalars(select(Enterprise.liaison)) if one)
        stored = {row.officer: row.load for row in session.scalars(select(Officer))}
    assert {officer: load for officer, load in stored.items() if load} == counted
    return counted


def shops(number, first=1):
    return [f"shop-{n}" for n in range(first, first + number)]


@pytest.fixture
def filing(given):
    story = given(Filings)
    story.facts(*(register(shop, n) for n, shop in enumerate(shops(40), start=1)))
    return story


def test_every_officer_of_a_grid_has_as_many_as_the_next(filing):
    filing.facts(*(submit(f"filing-{shop}", shop) for shop in shops(40)))
    assert sorted(loads(filing).values()) == [3] * 8 + [4] * 4


def test_what_is_told_twice_and_out_of_order_comes_to_the_same_loads(filing):
    said = [filing.message(reopened(shop)) for shop in shops(40)]
    random.Random(7).shuffle(said)
    for start in range(0, 40, 7):
        filing.deliver(*said[start : start + 7], *said[:start:3])
    assert sorted(loads(filing).values()) == [3] * 8 + [4] * 4


def test_an_officer_chosen_by_hand_counts_like_any_other(filing):
    by_hand = [AssignLiaison(enterprise_id=s, officer=f"FZ-003-{n:02d}")
               for n, s in enumerate(shops(5), start=1)]  # fmt: skip
    filing.facts(*by_hand)
    filing.facts(*(reopened(shop) for shop in shops(12)))
    assert sorted(loads(filing).values()) == [1] * 12


def test_who_is_given_to_another_is_taken_from_the_first(filing):
    filing.facts(*(reopened(shop) for shop in shops(12)))
    said = filing.when(AssignLiaison(enterprise_id="shop-1", officer="FZ-003-12", reason="輪崗"))
    fact = only(LiaisonAssigned, said)
    assert (fact.officer, fact.why.words.zh, fact.by) == ("FZ-003-12", "輪崗", "public")
    assert loads(filing)[fact.previous] == 0
    assert loads(filing)["FZ-003-12"] == 2
    assert only(LiaisonAssigned, filing.when(reopened("shop-40"))).officer == fact.previous


def test_an_enterprise_of_another_grid_leaves_its_officer(filing):
    filing.facts(reopened("shop-1"))
    asked = CorrectEnterprise(enterprise_id="shop-1", reason="網格有誤", grid=OTHER)
    said = filing.when(asked)
    assert types(said) == ["enterprise-corrected", "liaison-assigned"]
    assert [*loads(filing)] == ["FZ-001-01"]


def test_an_enterprise_that_has_no_officer_yet_gets_none_by_a_correction(filing):
    asked = CorrectEnterprise(enterprise_id="shop-1", reason="網格有誤", grid=OTHER)
    assert types(filing.when(asked)) == ["enterprise-corrected"]


def test_an_officer_of_another_grid_is_refused(filing):
    asked = AssignLiaison(enterprise_id="shop-1", officer="FZ-001-01")
    assert refused(filing.when(asked)) == (422, "not-acceptable")


class Process(Given):
    """One of several processes of filing, on one PostgreSQL database."""

    def __init__(self, folder, url):
        super().__init__(Filings, folder)
        self.store.close()
        self.store = self.service.store = Store("filing", url, Filings.metadata)
        migrations.apply(self.store)
        self.consumer = Consumer(self.service, self.store, self.consumer.handlers, lambda: None)

    def hear(self, *said):
        self.batches = [[self.message(one) for one in said]]
        self.consumer.run(self, most=400)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("liaison")
    with available(servers.postgres(folder, databases=["filing"])) as server:
        yield server.url("filing")


def test_processes_that_assign_at_the_same_time_lose_no_enterprise(database, tmp_path):
    """Three processes, ninety enterprises of two grids, in batches that overlap."""
    processes = [Process(tmp_path, database) for _ in range(3)]
    names = shops(90)
    processes[0].hear(
        *(register(shop, n, grid=(GRID, OTHER)[n % 2]) for n, shop in enumerate(names, start=1))
    )

    def uow(number):
        for start in range(number * 30, number * 30 + 30, 5):
            processes[number].hear(*(reopened(shop) for shop in names[start : start + 5]))
            eventlet.sleep(0)

    pool = eventlet.GreenPool(3)
    list(pool.imap(uow, range(3)))
    found = loads(processes[0])
    for process in processes:
        process.store.close()
    assert sum(found.values()) == 90
    assert sorted(found.values()) == [3] * 6 + [4] * 18, "and each grid shares its 45 evenly"
