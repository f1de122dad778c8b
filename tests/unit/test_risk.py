"""The checklist's items and the risk of premises, by themselves."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rulebook
from rulebook import Rulebook, RulebookError
from rulebook.chapters.risk import Record
from tests.unit.sayings import TODAY, day

BOOK = Rulebook.load()
FENGZE = Path(rulebook.__file__).parent / "fengze"
numbers = st.lists(st.tuples(st.integers(-2500, 0).map(day), st.integers(0, 5)), max_size=15)


def record(visits=(), complaints=(), premises="restaurant", size="micro", staff=8, others=0):
    latest = sorted(visits, key=lambda visit: visit[0], reverse=True)
    return Record(premises, size, staff, others, latest, list(complaints))


def points(*violations):
    return BOOK.risk.points_of(record([(day(-n), v) for n, v in enumerate(violations)]), TODAY)


def test_the_last_visits_count_each_a_tenth_less_than_the_one_after_it():
    assert points() == 0
    assert points(0) == -1
    assert points(0, 0) == -1.9
    assert points(2, 0, 1) == 20 - 0.9 + 8
    assert points(*[0] * 10) == points(*[0] * 10, 9) == -5.5


def test_visits_and_complaints_of_more_than_five_years_ago_are_forgotten():
    old = TODAY - timedelta(days=5 * 366)
    assert BOOK.risk.points_of(record([(old, 3)], [old]), TODAY) == 0
    assert BOOK.risk.points_of(record([], [day(-1)]), TODAY) == 10


@pytest.mark.parametrize(
    ("violations", "level"), [((0,), 1), ((), 2), ((1, 0), 2), ((1, 1), 3), ((3,), 4)]
)
def test_probability_goes_by_steps(violations, level):
    seen = record([(day(-n), v) for n, v in enumerate(violations)])
    assert BOOK.risk.assess(seen, TODAY).probability == level


@pytest.mark.parametrize(("days", "level"), [(0, 1), (6, 1), (7, 2), (14, 3), (20, 3), (21, 4)])
def test_who_has_not_been_seen_for_long_is_harder_to_detect(days, level):
    assert BOOK.risk.assess(record([(day(-days), 0)]), TODAY).detectability == level


def test_who_was_never_seen_is_hardest_to_detect():
    assert BOOK.risk.assess(record(), TODAY).detectability == 4


@pytest.mark.parametrize(
    ("more", "impact"),
    [
        ({"premises": "office"}, 1.0),
        ({"premises": "mall", "size": "large", "others": 8}, 4.0),
        ({"others": 1}, 2.0),
        ({"others": 2}, 2.33),
        ({"staff": 0, "others": 3}, 1.67),
        ({"size": "unknown"}, 1.67),
    ],
)
def test_impact_is_the_mean_of_premises_size_and_the_share_from_other_provinces(more, impact):
    assert BOOK.risk.impact_of(record(**more)) == impact


def test_the_risk_is_the_product_of_the_factors_with_their_exponents():
    assessed = BOOK.risk.assess(
        record([(day(-8), 1)], premises="mall", size="large", others=8), TODAY
    )
    assert assessed.risk == round(4**0.2 * 2**0.3 * 2**0.5, 4)


@given(numbers, st.integers(0, 9), st.integers(0, 9))
def test_the_risk_lies_from_one_to_four_and_one_violation_more_never_lowers_it(
    visits, staff, others
):
    before = BOOK.risk.assess(record(visits, staff=staff, others=others), TODAY)
    more = [(on, violations + 1) for on, violations in visits]
    after = BOOK.risk.assess(record(more, staff=staff, others=others), TODAY)
    assert 1 <= before.risk <= after.risk <= 4


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("at_most = 37.2", "at_most = 99", '"at_most": cannot be an answer'),
        ("at_most = 37.2\n", "", '"rule": goes with answers that fail'),
        ('fails = ["one_only", "neither"]', 'fails = ["both", "some_without"]', '"fails": is not'),
        ('unit = "celsius"', 'unit = "kelvin"', '"unit": "kelvin" is not in checklist.toml'),
        ('answer = "temperature"', 'answer = "feeling"', '"answer"'),
        ('answer = "temperature"', 'answer = "text"', '"highest": is for what is measured'),
    ],
)  # fmt: skip
def test_an_item_that_cannot_be_asked_is_told_as_the_rulebook_is_read(
    tmp_path, before, after, what
):
    folder = tmp_path / "district"
    shutil.copytree(FENGZE, folder)
    text = (folder / "checklist.toml").read_text(encoding="utf-8")
    assert before in text
    (folder / "checklist.toml").write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(RulebookError, match=r"checklist\.toml: item") as error:
        Rulebook.load(folder)
    assert what in str(error.value)


def test_a_district_may_do_without_items(tmp_path):
    folder = tmp_path / "district"
    shutil.copytree(FENGZE, folder)
    text = (folder / "checklist.toml").read_text(encoding="utf-8")
    bare = text[: text.index("# The must-nots")]
    (folder / "checklist.toml").write_text(bare, encoding="utf-8")
    assert Rulebook.load(folder).checklist.items_for("restaurant") == {}
