"""Every story, in every way of delivery; and the drawing of the loop that they cause."""

from pathlib import Path

import pytest

import tests.loop.complaints
import tests.loop.enterprises
import tests.loop.insurance
import tests.loop.visits  # noqa: F401  (each adds its stories)
from tests.loop.drawing import drawn
from tests.loop.telling import MODES, STORIES, outcome_of, outcome_on

LOOP = Path(__file__).parents[2] / "docs" / "loop.md"


def pytest_generate_tests(metafunc):
    if "deliver" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--deliver")
        metafunc.parametrize("deliver", [chosen] if chosen else MODES)


@pytest.mark.parametrize("name", STORIES)
def test_story(name, deliver):
    told = outcome_of(name, deliver)
    assert not told.parked
    if deliver != "once":
        assert told.state == outcome_of(name, "once").state


@pytest.mark.parametrize("name", STORIES)
def test_story_on_rabbitmq_and_postgresql(distributed_in, name, deliver):
    told = outcome_on(distributed_in(deliver), name)
    assert told == outcome_of(name, "once")


def test_only_in_disorder_one_publisher_overtakes_another_about_the_same_thing(deliver):
    overtaken = [name for name in STORIES if outcome_of(name, deliver).overtaken]
    assert (len(overtaken) > len(STORIES) / 2) is (deliver == "shuffled")


def test_the_loop_is_drawn_as_the_stories_cause_it(request):
    edges = frozenset().union(*(outcome_of(name, "once").edges for name in STORIES))
    if request.config.getoption("--redraw"):
        LOOP.write_text(drawn(edges), encoding="utf-8")
    assert LOOP.read_text(encoding="utf-8") == drawn(edges), "run make docs"
