"""The rulebook: what it says of Fengze, and how it tells what is wrong with a district's files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rulebook
from contracts.shapes import Point, Words
from rulebook import Entry, Rulebook, RulebookError, Unknown
from rulebook.texts import Texts

FENGZE = Path(rulebook.__file__).parent / "fengze"
CATALOGUE = FENGZE.parent / "locale" / "zh_Hant.po"
BOOK = Rulebook.load()

days = st.dates(min_value=date(2019, 12, 1), max_value=date(2027, 12, 31))
few = st.integers(min_value=0, max_value=60)


def entries() -> list[Entry]:
    """Give every entry of the tables that services see."""
    tables = [
        BOOK.grids,
        BOOK.premises,
        BOOK.rules,
        BOOK.notices,
        BOOK.tracks,
        BOOK.channels,
        BOOK.sizes,
        BOOK.schemes,
        BOOK.sections,
    ]
    single: list[Entry] = [BOOK.checklist, BOOK.supervision, BOOK.acceptance, BOOK.law]
    return single + [entry for table in tables for entry in table.values()]


# Fengze


def test_every_entry_has_a_source_and_words_in_both_languages() -> None:
    for entry in entries():
        assert entry.source in BOOK.sources
        assert isinstance(entry.since, date)
        assert re.search("[\u4e00-\u9fff]", entry.zh)
        assert entry.en.isascii()


def test_every_entry_is_found_under_its_code() -> None:
    for table in (BOOK.grids, BOOK.premises, BOOK.rules, BOOK.schemes, BOOK.sections):
        assert all(code == entry.code for code, entry in table.items())


def test_every_code_fits_into_a_message() -> None:
    points = [entry.point for entry in entries()]
    points += [point for one in BOOK.premises for point in BOOK.key_points(one)]
    points += [point for one in BOOK.premises for point in BOOK.required_measures(one)]
    for point in points:
        assert Point.schema().load(point.to_data()) == point


def test_the_five_small_are_those_of_the_article() -> None:
    five = {entry.zh for entry in BOOK.premises.values() if BOOK.five_small(entry.code)}
    assert five == {"小餐館", "小食品店", "小超市", "小理髮店", "小藥店"}


def test_the_must_nots_of_the_article_are_told_to_the_five_small() -> None:
    for code, entry in BOOK.premises.items():
        told = {point.words.zh for point in BOOK.key_points(code)}
        assert ("未經現場審核不得擅自營業" in told) is entry.five_small
        assert ("雇主、營業員未達到健康管理要求不得上崗" in told) is entry.five_small
        assert ("小餐館不得聚餐、堂食" in told) is (code == "restaurant")


def test_every_premises_has_key_points_and_measures() -> None:
    for code in BOOK.premises:
        assert "masks" in {point.code for point in BOOK.key_points(code)}
        asked = {point.code for point in BOOK.required_measures(code)}
        assert asked >= {"thermometer", "masks", "disinfectant"}
        assert ("isolation_room" in asked) is (code in {"factory", "construction_site"})


def test_a_list_that_was_given_away_is_the_callers_own() -> None:
    BOOK.key_points("mall").clear()
    BOOK.required_measures("mall").clear()
    assert BOOK.key_points("mall")
    assert BOOK.required_measures("mall")


def test_patrols_by_risk_come_soonest_to_malls() -> None:
    within = {code: BOOK.patrol_within(code) for code in BOOK.premises}
    planned = {code: days for code, days in within.items() if days is not None}
    assert planned == {"mall": 3, "supermarket": 5, "restaurant": 5, "hotel": 5}


def test_the_faults_and_must_nots_of_the_article_are_rules() -> None:
    assert BOOK.rules.keys() >= {
        "mask_worn_improperly",
        "no_disinfection_ledger",
        "dine_in",
        "gathering",
        "crowding_at_till",
        "unfit_staff_on_duty",
        "opened_without_approval",
    }


def test_only_opening_without_approval_is_grave() -> None:
    grave = [code for code, rule in BOOK.rules.items() if rule.severity == "grave"]
    assert grave == ["opened_without_approval"]


def test_every_severity_has_its_days() -> None:
    assert {rule.severity for rule in BOOK.rules.values()} <= BOOK.notices.keys()
    assert (BOOK.notice_days("ordinary"), BOOK.notice_days("grave")) == (3, 1)
    assert (BOOK.supervision_days, BOOK.presses) == (2, 1)


def test_the_grids_are_the_eight_subdistricts_seen() -> None:
    assert list(BOOK.grids) == [f"35050300{number}" for number in range(1, 9)]
    names = "東湖 豐澤 泉秀 清源 華大 城東 東海 北峰"
    assert [grid.zh.removesuffix("街道") for grid in BOOK.grids.values()] == names.split()


def test_an_officer_has_one_grid_and_no_name() -> None:
    officers = [officer for grid in BOOK.grids.values() for officer in grid.officers]
    assert len(set(officers)) == len(officers)
    for grid in BOOK.grids.values():
        assert all(re.fullmatch(rf"FZ-{grid.code[-3:]}-\d\d", one) for one in grid.officers)


@given(st.text(min_size=1), st.sampled_from(sorted(BOOK.grids)))
def test_an_enterprise_keeps_its_liaison_officer(enterprise: str, grid: str) -> None:
    officer = BOOK.liaison_for(enterprise, grid)
    assert officer in BOOK.grids[grid].officers
    assert officer == BOOK.liaison_for(enterprise, grid)


def test_every_officer_has_enterprises() -> None:
    chosen = {BOOK.liaison_for(f"enterprise-{number}", "350503003") for number in range(1000)}
    assert chosen == set(BOOK.grids["350503003"].officers)


def test_complaints_are_accepted_and_answered_by_their_track() -> None:
    assert BOOK.accept_days == 7
    assert (BOOK.answer_days("dispute"), BOOK.answer_days("report")) == (45, 15)
    assert set(BOOK.channels) == {"12315", "mini_program", "visit", "letter"}
    assert "傳染病防治法" in BOOK.penalty_law.words.zh


def test_free_cover_is_for_small_and_micro_enterprises() -> None:
    for size in BOOK.sizes:
        scheme = BOOK.scheme_for_size(size)
        assert (scheme is not None) is (size in {"small", "micro"})
    cover = BOOK.schemes["enterprise-epidemic"]
    assert BOOK.scheme_for_size("micro") is cover
    assert (cover.holder, cover.sum_insured, cover.years) == ("enterprise", None, 1)
    assert BOOK.sources[cover.years_source].known == "practice"


def test_a_medic_is_covered_for_a_year_with_300000_yuan_on_death() -> None:
    cover = BOOK.medic_scheme
    assert (cover.code, cover.holder, cover.sum_insured) == ("medic-covid-19", "medic", 300_000)
    assert cover.casualties == frozenset({"death"})
    assert (cover.years, cover.source) == (1, "article")


def test_divisions_01_to_97_belong_to_one_section_each() -> None:
    for division in range(100):
        owners = [
            letter for letter in BOOK.sections if BOOK.is_industry(f"{letter}{division:02}10")
        ]
        assert len(owners) == (1 if 1 <= division <= 97 else 0)
    assert "".join(BOOK.sections) == "ABCDEFGHIJKLMNOPQRST"


@pytest.mark.parametrize("code", ["C1810", "H6210", "A0111", "T9700", "F5211"])
def test_an_industry_is_its_sections_letter_and_four_digits(code: str) -> None:
    assert BOOK.is_industry(code)


@pytest.mark.parametrize(
    "code",
    ["", "C", "H1810", "C181", "C18100", "c1810", "1810", "U9800", "C18x0", "C1٨10", "C 181"],
)
def test_another_code_is_no_industry(code: str) -> None:
    assert not BOOK.is_industry(code)


# working days


@pytest.mark.parametrize(
    ("start", "count", "end"),
    [
        ("2020-02-28", 7, "2020-03-10"),
        ("2020-04-24", 7, "2020-05-07"),
        ("2020-04-28", 15, "2020-05-21"),
        ("2020-03-02", 45, "2020-05-07"),
    ],
)
def test_a_clock_counts_working_days_from_the_next_day(start: str, count: int, end: str) -> None:
    assert BOOK.working_days_after(date.fromisoformat(start), count) == date.fromisoformat(end)


@pytest.mark.parametrize("day", ["2020-01-31", "2020-02-01", "2020-02-02", "2020-05-04"])
def test_a_holiday_is_off(day: str) -> None:
    assert not BOOK.is_working_day(date.fromisoformat(day))


@pytest.mark.parametrize("day", ["2020-01-19", "2020-04-26", "2020-05-09", "2020-02-03"])
def test_a_make_up_day_is_worked(day: str) -> None:
    assert BOOK.is_working_day(date.fromisoformat(day))


@pytest.mark.parametrize(
    ("year", "worked"),
    [(2020, 249), (2021, 250), (2022, 249), (2023, 249), (2024, 251), (2025, 248), (2026, 248)],
)
def test_a_year_has_its_working_days(year: int, worked: int) -> None:
    assert BOOK.working_days_between(date(year - 1, 12, 31), date(year, 12, 31)) == worked


@given(st.dates(min_value=date(2028, 1, 1), max_value=date(2060, 12, 31)))
def test_years_without_a_notice_follow_the_week(day: date) -> None:
    assert BOOK.is_working_day(day) is (day.weekday() < 5)


@given(days, few)
def test_counting_back_gives_what_was_counted_forward(day: date, count: int) -> None:
    assert BOOK.working_days_between(day, BOOK.working_days_after(day, count)) == count


@given(days, st.integers(min_value=1, max_value=60))
def test_a_clock_ends_on_a_working_day(day: date, count: int) -> None:
    assert BOOK.is_working_day(BOOK.working_days_after(day, count))


@given(days, days, days)
def test_working_days_add_up(one: date, two: date, three: date) -> None:
    first, middle, last = sorted([one, two, three])
    count = BOOK.working_days_between
    assert count(first, middle) + count(middle, last) == count(first, last)
    assert count(last, first) == 0


def test_days_are_not_counted_forward_by_less_than_none() -> None:
    with pytest.raises(ValueError, match="cannot be counted forward"):
        BOOK.working_days_after(date(2020, 3, 2), -1)


# texts


def test_a_text_is_said_in_both_languages() -> None:
    said = BOOK.say(
        "The notice was not met by %(day)s: put it right by %(next)s.",
        day=date(2020, 3, 2),
        next=date(2020, 3, 4),
    )
    assert said.en == "The notice was not met by 2020-03-02: put it right by 2020-03-04."
    assert said.zh.startswith("整改通知至2020-03-02仍未落實")
    assert "2020-03-04" in said.zh


def test_words_and_points_are_said_in_each_language() -> None:
    dine_in = BOOK.rules["dine_in"].point
    told = Words(zh="當場整改\N{FULLWIDTH COLON}堂食", en="Put right on the spot: Dine-in")
    assert BOOK.say("Put right on the spot: %(point)s", point=dine_in) == told
    assert BOOK.say("Put right on the spot: %(point)s", point=dine_in.words) == told


def test_a_list_is_joined_in_each_language() -> None:
    points = [BOOK.rules["dine_in"].point, BOOK.rules["gathering"].point.words]
    said = BOOK.say(
        "The complaint was looked into on %(day)s and found true: %(points)s.",
        day=date(2020, 3, 2),
        points=points,
    )
    assert said.en.endswith("true: Dine-in; Gathering for a meal.")
    assert "堂食\N{FULLWIDTH SEMICOLON}聚餐" in said.zh


def test_a_value_is_never_taken_for_a_place() -> None:
    assert BOOK.say("Answered: %(answer)s", answer="100 %(day)s").en == "Answered: 100 %(day)s"


def test_the_four_slips_have_the_articles_names() -> None:
    slips = ["Prompt slip", "Problem slip", "Supervision slip", "Feedback slip"]
    assert [BOOK.say(slip).zh for slip in slips] == ["提示單", "問題單", "督辦單", "反饋單"]


def test_a_text_that_the_catalogue_lacks_is_an_error() -> None:
    with pytest.raises(KeyError) as raised:
        BOOK.say("Prompt slop")
    assert str(raised.value) == 'The catalogue has no text "Prompt slop".'


def test_a_value_that_a_text_lacks_is_an_error() -> None:
    with pytest.raises(Unknown) as raised:
        BOOK.say("Put right: %(point)s", pont="dine-in")
    assert str(raised.value) == "The text \"Put right: %(point)s\" needs a value for 'point'."


@pytest.mark.parametrize(
    ("translated", "sentence"),
    [
        ('""', 'text "Put right: %(point)s" has no translation.'),
        ('"整改到位 %(pint)s"', 'text "Put right: %(point)s" has other places translated.'),
        ('"整改到位 100% %(point)s"', 'text "Put right: %(point)s" has other places translated.'),
    ],
)
def test_a_broken_translation_is_one_clear_sentence(
    tmp_path: Path, translated: str, sentence: str
) -> None:
    broken = tmp_path / "zh_Hant.po"
    text = CATALOGUE.read_text(encoding="utf-8")
    found = re.search(r'msgid "Put right: .*\nmsgstr (".*")', text)
    assert found
    broken.write_text(text.replace(found[1], translated), encoding="utf-8")
    with pytest.raises(RulebookError) as raised:
        Texts.read(broken)
    assert str(raised.value) == f"zh_Hant.po: {sentence}"


# what is wrong with a district's files

Change = Callable[[str, str, str], Path]


@pytest.fixture
def changed(tmp_path: Path) -> Change:
    """Give a copy of Fengze in which one file says something else."""

    def change(file: str, old: str, new: str) -> Path:
        folder = tmp_path / "district"
        shutil.copytree(FENGZE, folder)
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return folder

    return change


BROKEN = [
    (
        "premises.toml",
        "five_small = true",
        "five_small = 1",
        'premises.toml: premises "restaurant", field "five_small": is neither true nor false.',
    ),
    (
        "premises.toml",
        'zh = "小餐館"\n',
        "",
        'premises.toml: premises "restaurant", field "zh": missing data for required field.',
    ),
    (
        "premises.toml",
        'zh = "小餐館"',
        'zh = " "',
        'premises.toml: premises "restaurant", field "zh": is empty.',
    ),
    (
        "premises.toml",
        "five_small = true",
        "five_small = true\ncolour = 3",
        'premises.toml: premises "restaurant", field "colour": unknown field.',
    ),
    (
        "premises.toml",
        'code = "food_shop"',
        'code = "restaurant"',
        'premises.toml: premises "restaurant", field "code": stands there twice.',
    ),
    (
        "premises.toml",
        'code = "restaurant"\n',
        "",
        'premises.toml: premises no. 1, field "code": missing data for required field.',
    ),
    (
        "premises.toml",
        'source = "article"',
        'source = "hearsay"',
        'premises.toml: premises "restaurant", field "source": "hearsay" is not in sources.toml.',
    ),
    (
        "premises.toml",
        "from = 2020-02-10",
        'from = "2020-02-10"',
        'premises.toml: premises "restaurant", field "from": is not a date.',
    ),
    (
        "key_points.toml",
        '"restaurant"',
        '"restaurent"',
        (
            'key_points.toml: key_point "onsite_review", field "premises": '
            '"restaurent" is not in premises.toml.'
        ),
    ),
    (
        "measures.toml",
        '["factory", "construction_site"]',
        '["factory", "factory"]',
        'measures.toml: measure "isolation_room", field "premises": says a thing twice.',
    ),
    (
        "patrols.toml",
        "within_days = 3",
        "within_days = -3",
        'patrols.toml: patrol "large_crowds", field "within_days": is not a whole number.',
    ),
    (
        "checklist.toml",
        'severity = "grave"',
        'severity = "dire"',
        (
            'checklist.toml: rule "opened_without_approval", field "severity": '
            '"dire" is not in deadlines.toml.'
        ),
    ),
    (
        "checklist.toml",
        "[checklist]",
        "[check_list]",
        "checklist.toml: there is no table [[checklist]].",
    ),
    (
        "deadlines.toml",
        "days = 3",
        "days = true",
        'deadlines.toml: notice "ordinary", field "days": is not a whole number.',
    ),
    (
        "grids.toml",
        '"FZ-001-01"',
        '"Chen Wei"',
        'grids.toml: grid "350503001", field "officers": is not a staff number.',
    ),
    (
        "grids.toml",
        '"FZ-002-01"',
        '"FZ-001-01"',
        'grids.toml: grid "350503001", field "officers": FZ-001-01 is in two grids.',
    ),
    (
        "schemes.toml",
        '"micro"',
        '"tiny"',
        'schemes.toml: scheme "enterprise-epidemic", field "sizes": "tiny" is not in sizes.toml.',
    ),
    (
        "schemes.toml",
        'holder = "medic"',
        'holder = "enterprise"',
        'schemes.toml: scheme, field "holder": none is for medics.',
    ),
    (
        "schemes.toml",
        'holder = "enterprise"',
        'holder = "medic"',
        'schemes.toml: scheme "medic-covid-19", field "sizes": medic has another cover already.',
    ),
    (
        "industries.toml",
        "first = 6",
        "first = 5",
        'industries.toml: section "B", field "first": does not follow on division 5 of section A.',
    ),
    (
        "calendar.toml",
        "2020-01-19",
        "2020-01-20",
        (
            'calendar.toml: notice "2019-16", field "workdays": '
            "2020-01-20 is no weekend day, and worked anyway."
        ),
    ),
    (
        "calendar.toml",
        "[2020-01-24, 2020-01-30]",
        "[2020-01-30, 2020-01-24]",
        'calendar.toml: notice "2019-16", field "holidays": is not a first and a last day.',
    ),
    (
        "sizes.toml",
        "[[size]]",
        "[[seize]]",
        'sizes.toml: the rulebook has no table "seize".',
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "sentence"), BROKEN)
def test_a_broken_entry_is_one_clear_sentence(
    changed: Change, file: str, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(RulebookError) as raised:
        Rulebook.load(changed(file, old, new))
    assert str(raised.value) == sentence


def test_a_file_that_is_not_toml_is_named(changed: Change) -> None:
    with pytest.raises(RulebookError, match=r"^grids\.toml cannot be read: "):
        Rulebook.load(changed("grids.toml", "[[grid]]", "[[grid"))


@pytest.mark.parametrize("file", sorted(path.name for path in FENGZE.iterdir()))
def test_no_file_can_be_left_out(changed: Change, file: str) -> None:
    folder = changed(file, "", "")
    (folder / file).unlink()
    with pytest.raises(RulebookError, match=rf"^{re.escape(file)}: "):
        Rulebook.load(folder)


def test_a_folder_without_files_is_no_rulebook(tmp_path: Path) -> None:
    with pytest.raises(RulebookError, match=r"holds no TOML files\.$"):
        Rulebook.load(tmp_path)


def test_a_later_notice_moves_the_clocks(changed: Change) -> None:
    """The notice of January 2020 moved working days at short notice."""
    extension = "[2020-01-31, 2020-02-02]"
    before = Rulebook.load(changed("calendar.toml", extension, "[2020-01-30, 2020-01-30]"))
    assert before.is_working_day(date(2020, 2, 1))
    assert before.working_days_after(date(2020, 1, 23), 2) == date(2020, 2, 1)
    assert BOOK.working_days_after(date(2020, 1, 23), 2) == date(2020, 2, 4)


def test_a_district_may_have_other_five_small_premises(changed: Change) -> None:
    other = Rulebook.load(changed("premises.toml", "five_small = true", "five_small = false"))
    assert not other.five_small("restaurant")
    assert BOOK.five_small("restaurant")


# the whole


@pytest.mark.parametrize(
    "ask",
    [
        lambda: BOOK.five_small("castle"),
        lambda: BOOK.key_points("castle"),
        lambda: BOOK.required_measures("castle"),
        lambda: BOOK.patrol_within("castle"),
        lambda: BOOK.liaison_for("e", "castle"),
        lambda: BOOK.notice_days("castle"),
        lambda: BOOK.answer_days("castle"),
    ],
)
def test_an_unknown_code_is_named(ask: Callable[[], object]) -> None:
    with pytest.raises(Unknown, match=r'^The rulebook has no [a-z]+ "castle"\.$'):
        ask()


def test_nothing_can_be_changed_after_loading() -> None:
    with pytest.raises(AttributeError):
        BOOK.presses = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        BOOK.supervision = BOOK.supervision  # type: ignore[misc]
    with pytest.raises(TypeError):
        BOOK.premises["castle"] = BOOK.premises["mall"]  # type: ignore[index]


def test_the_shipped_rulebook_is_read_once() -> None:
    assert Rulebook.load() is BOOK


def test_a_month_holds_its_working_days() -> None:
    first, last = date(2020, 2, 10), date(2020, 3, 6)
    month = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    assert sum(map(BOOK.is_working_day, month)) == 20
