"""How texts become what is looked for, and where a page of a timeline ends."""

from types import SimpleNamespace as Row

import pytest

from services.gateway.read_models.queries import _parted, causes_first
from services.gateway.resources.columns import LONGEST, column_text
from services.gateway.resources.search import bigrams, plain


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("閉環小館", "閉環 環小 小館"),
        ("Tea 茶", "te ea a茶"),
        ("ＡＢ（1）", "ab b1"),
        ("館", ""),
        ("", ""),
        ('"%_*', ""),
    ],
)
def test_a_text_becomes_the_pairs_of_its_characters(said, kept):
    assert bigrams(said) == kept


def test_case_width_and_punctuation_do_not_count():
    assert plain(" Ｑuan-ZHOU １２ 號。") == "quanzhou12號"


def test_a_long_text_keeps_how_it_begins_and_differs_from_others():
    one, other = column_text("甲" * 99 + "乙"), column_text("甲" * 100)
    assert one != other
    assert len(one) == len(other) == LONGEST
    assert one[:32] == other[:32] == "甲" * 32
    assert column_text("乙" * LONGEST) == "乙" * LONGEST


def entry(identity, cause=None, source="filing"):
    return Row(id=identity, causationid=cause, source=source, partitionkey="E-1")


def test_a_page_ends_before_an_effect_whose_cause_is_to_come():
    rows = [entry("a"), entry("b", "a"), entry("d", "late"), entry("e")]
    assert [row.id for row in _parted(rows, {"x"})] == ["a", "b", "d", "e"]
    assert [row.id for row in _parted(rows, {"late"})] == ["a", "b"]
    early = [entry("a"), entry("c", "f"), entry("d", "late"), entry("f")]
    assert [row.id for row in _parted(early, {"late"})] == ["a"], "what is cut off is to come, too"
    assert [row.id for row in _parted(rows[2:], {"late"})] == ["d", "e"], "a page is never empty"


def ids(rows):
    return [row.id for row in causes_first(rows)]


def test_causes_stand_first_on_a_page():
    cause = entry("cause", source="inspection")
    rows = [entry("effect", "cause"), entry("other", source="insurance"), cause]
    assert ids(rows) == ["cause", "effect", "other"]


def test_a_cause_does_not_pass_what_its_own_service_said_before_it():
    suspended = entry("enterprise-suspended", "closure-ordered")
    visit, issue, closure, notice = (
        entry(kind, cause, "inspection")
        for kind, cause in [
            ("visit-recorded", None),
            ("issue-found", "visit-recorded"),
            ("closure-ordered", "visit-recorded"),
            ("notice-issued", "issue-found"),
        ]
    )
    said = [visit, issue, closure]
    assert ids([suspended, *said, notice]) == [
        *[row.id for row in said],
        "enterprise-suspended",
        "notice-issued",
    ]


def test_nothing_is_left_out_where_two_streams_contradict_each_other():
    rows = [entry("a", "d"), entry("c"), entry("b", "c", "x"), entry("d", source="x")]
    assert sorted(ids(rows)) == ["a", "b", "c", "d"]
