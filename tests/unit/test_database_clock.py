"""How a process learns what time it is by the database's clock, and what it believes of it."""

import time
from types import SimpleNamespace

import pytest

from chassis.settings import Misconfigured
from chassis.storage.clock import FURTHEST, DatabaseClock

DAY = 86_400.0
TRUTH = 1_800_000_000.0


class World:
    """A database and a machine, each with a clock that can be set; time passes by itself."""

    def __init__(self, monkeypatch):
        self.passed = 0.0
        self.database = self.machine = 0.0
        self.there, self.back = 0.01, 0.01
        self.dialect = SimpleNamespace(name="postgresql")
        monkeypatch.setattr(time, "time", lambda: TRUTH + self.passed + self.machine)
        monkeypatch.setattr(time, "monotonic", lambda: 100.0 + self.passed)

    @property
    def says(self):
        """What the database's clock says now."""
        return TRUTH + self.passed + self.database

    def connect(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def scalar(self, _query):
        self.passed += self.there
        said = self.says
        self.passed += self.back
        return said


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


@pytest.fixture
def clock(world):
    made = DatabaseClock("filing", world)
    made.look()
    return made


def test_a_clock_that_is_set_on_the_machine_moves_nothing(world, clock):
    world.passed += 1000.0
    for ahead in (10 * DAY, -10 * DAY, 3600.0):
        world.machine = ahead
        assert clock.now() == pytest.approx(world.says, abs=0.1)
        clock.look()
        assert clock.now() == pytest.approx(world.says, abs=0.1)
        assert not clock.agrees
        assert clock.ahead == pytest.approx(ahead, abs=0.1)
    world.machine = 0.0
    clock.look()
    assert clock.agrees
    assert clock.ahead == 0.0


def test_a_clock_that_is_set_at_the_database_is_believed_when_the_machine_says_so_too(world, clock):
    world.database = 10 * DAY
    clock.look()
    assert not clock.agrees
    assert clock.now() == pytest.approx(TRUTH + world.passed, abs=0.1), "it keeps its course"
    world.machine = 10 * DAY
    clock.look()
    assert clock.agrees
    assert clock.now() == pytest.approx(world.says, abs=0.1)


def test_a_slow_answer_neither_moves_the_time_nor_makes_the_clocks_differ(world, clock):
    for world.there, world.back in ((500.0, 0.0), (0.0, 500.0), (250.0, 250.0)):
        clock.look()
        assert clock.now() == pytest.approx(world.says, abs=0.1)
        assert clock.agrees


def test_the_time_is_never_later_than_the_truth_and_better_answers_make_it_better(world):
    world.there, world.back = 0.0, 30.0
    clock = DatabaseClock("filing", world)
    assert clock.now() == world.says - 30.0
    world.back = 1.0
    clock.look()
    assert clock.now() == world.says - 1.0


def test_a_clock_that_runs_too_fast_is_followed_while_the_machine_is_wrong(world, clock):
    world.machine = 3600.0
    for _ in range(1000):
        world.passed += 1.0
        world.database += 0.0005
        clock.look()
    assert clock.now() == pytest.approx(world.says, abs=0.1)


@pytest.mark.parametrize(("ahead", "way"), [(3 * FURTHEST, "ahead of"), (-10 * DAY, "behind")])
def test_who_begins_with_a_wrong_clock_is_told_which_and_by_how_much(world, ahead, way):
    world.machine = ahead
    with pytest.raises(Misconfigured) as refused:
        DatabaseClock("filing", world).refuse()
    said = str(refused.value)
    assert f"is {abs(ahead):.0f} s {way} that of the database of filing" in said
    assert "Set right the one that is wrong" in said


def test_who_begins_with_a_clock_that_is_a_little_wrong_begins(world):
    world.machine = FURTHEST - 1.0
    clock = DatabaseClock("filing", world)
    clock.refuse()
    assert clock.agrees


def test_clocks_that_were_never_compared_do_not_agree(world):
    assert not DatabaseClock("filing", world).agrees


def test_sqlite_has_the_clock_of_its_only_process(world):
    world.dialect.name = "sqlite"
    clock = DatabaseClock("filing", world)
    clock.refuse()
    assert clock.agrees
    assert clock.now() == time.time()
