"""The protocol keeps its promises in every order of its steps, and the model notices where not."""

from collections import defaultdict

import pytest

from tests.model.checking import MODELS, SEARCHES, search
from tests.servers import Unavailable

SHORT = [one for one in SEARCHES if not one.is_long]
found = {}


def searched(wanted, folder):
    if wanted not in found:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            found[wanted] = search(wanted, folder)
        except Unavailable as error:
            pytest.fail(str(error), pytrace=False)
    return found[wanted]


def steps_of(text):
    """Return the lines of the processes by their numbers; what is an inline stands in many
    places."""
    within, steps = False, {}
    for number, line in enumerate(text.splitlines(), 1):
        within = within or line.startswith("inline ")
        if not within:
            steps[number] = line.strip()
        within = within and line != "}"
    return steps


@pytest.mark.parametrize("wanted", [one for one in SHORT if not one.breaks], ids=str)
def test_every_order_of_the_steps_keeps_every_promise(wanted, tmp_path):
    came = searched(wanted, tmp_path)
    assert (came.broken, came.is_complete) == ("", True)


@pytest.mark.parametrize("wanted", [one for one in SHORT if one.breaks], ids=str)
def test_a_protocol_with_a_hole_breaks_its_promise(wanted, tmp_path):
    came = searched(wanted, tmp_path)
    assert wanted.breaks in came.broken


def test_each_step_of_the_models_is_taken(tmp_path):
    """A step that no search of the whole protocol takes would be no part of what is shown."""
    unreached = defaultdict(list)
    for number, wanted in enumerate(one for one in SHORT if not one.breaks):
        came = searched(wanted, tmp_path / str(number))
        unreached[wanted.model].append(came.unreached)
    for model, lines in unreached.items():
        steps = steps_of((MODELS / f"{model}.pml").read_text())
        assert [steps[line] for line in frozenset.intersection(*lines) if line in steps] == []


def test_each_model_is_searched():
    assert {one.model for one in SHORT} == {path.stem for path in MODELS.glob("*.pml")}
