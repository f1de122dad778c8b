"""The rulebook: what it says of Fengze, and how it tells what is wrong with a district's files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rulebook
from contracts.shapes import Point, Words
from rulebook import Entry, Rulebook, RulebookError, Unknown, book
from rulebook.texts import Texts
from rulebook.working_days import SHANGHAI, end_of

FENGZE = Path(rulebook.__file__).parent / "fengze"
COMMON = FENGZE.parent / "national"
CATALOGUE = FENGZE.parent / "locale" / "zh_Hant.po"
BOOK = Rulebook.load()

days = st.dates(min_value=date(2019, 12, 1), max_value=date(2027, 12, 31))
few = st.integers(min_value=0, max_value=60)


def entries() -> list[Entry]:
    """Return every entry of the tables that services see."""
    tables = [
        BOOK.grids,
        BOOK.premises,
        BOOK.rules,
        BOOK.notices,
        BOOK.levels,
        BOOK.papers,
        BOOK.addressees,
        BOOK.clocks,
        BOOK.pause_grounds,
        BOOK.refusal_grounds,
        BOOK.laws,
        BOOK.articles,
        BOOK.channels,
        BOOK.sizes,
        BOOK.schemes,
        BOOK.casualties,
        BOOK.claim_documents,
        BOOK.claim_rejections,
        BOOK.sections,
        BOOK.checklist.items,
        BOOK.checklist.must_nots,
        BOOK.checklist.units,
        BOOK.checklist.choices,
        BOOK.risk.exponents,
        BOOK.risk.premises,
        BOOK.risk.sizes,
    ]
    single: list[Entry] = [BOOK.checklist.name, BOOK.extension, BOOK.issuer, BOOK.reopening]
    single += [BOOK.claim_handling, *BOOK.complaint_rungs]
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


NOON = datetime(2020, 2, 14, 12, tzinfo=SHANGHAI)


def test_every_severity_has_its_time() -> None:
    assert {rule.severity for rule in BOOK.rules.values()} <= BOOK.notices.keys()
    ordinary, grave = (BOOK.notice_until(one, NOON) for one in ("ordinary", "grave"))
    assert (ordinary.on, ordinary.at) == (date(2020, 2, 17), end_of(date(2020, 2, 17)))
    assert (grave.on, grave.at) == (date(2020, 2, 15), NOON + timedelta(hours=24))
    assert [until.words.zh for until in (ordinary, grave)] == ["2020-02-17", "2020-02-15 12:00"]


def test_a_time_in_working_days_knows_by_which_calendar_it_was_counted() -> None:
    until = BOOK.until(replace(BOOK.notices["ordinary"], days=None, working_days=2), NOON)
    assert (until.on, until.since, until.working_days) == (date(2020, 2, 18), NOON.date(), 2)
    assert until.calendar == BOOK.calendar.code


def test_the_ladder_climbs_from_the_grid_to_the_district() -> None:
    offices = [BOOK.level(n).addressee for n in (1, 2, 3)]  # type: ignore[union-attr]
    assert offices == ["grid-office", "subdistrict-office", "district-office"]
    assert BOOK.level(4) is None
    assert BOOK.last_level == BOOK.level(3)


def test_papers_are_numbered_as_the_district_writes_it() -> None:
    assert BOOK.number("notice", 2020, 1) == "豐整〔2020〕0001號"
    assert BOOK.number("prompt", 2021, 12345) == "豐提〔2021〕12345號"


def test_the_grids_are_the_eight_subdistricts_seen() -> None:
    assert list(BOOK.grids) == [f"35050300{number}" for number in range(1, 9)]
    names = "東湖 豐澤 泉秀 清源 華大 城東 東海 北峰"
    assert [grid.zh.removesuffix("街道") for grid in BOOK.grids.values()] == names.split()


def test_an_officer_has_one_grid_and_no_name() -> None:
    officers = [officer for grid in BOOK.grids.values() for officer in grid.officers]
    assert len(set(officers)) == len(officers)
    for grid in BOOK.grids.values():
        assert all(re.fullmatch(rf"FZ-{grid.code[-3:]}-\d\d", one) for one in grid.officers)


COMMUNITY = """
[[grid]]
code = "350503003001"
zh = "某社區"
en = "A community"
parent = "350503003"
source = "article"
from = 2020-02-10

[[grid]]
code = "350503003001-01"
zh = "某網格"
en = "A grid of it"
parent = "350503003001"
officers = ["FZ-003-91"]
source = "article"
from = 2020-02-10
"""


def test_a_district_may_go_down_to_communities_and_their_grids(folder: Path) -> None:
    book = appended(folder, "grids.toml", COMMUNITY)
    way = ["350503003001-01", "350503003001", "350503003"]
    assert book.way_up("350503003001-01") == way
    assert book.subdistrict_of("350503003001-01") == "350503003" == book.subdistrict_of("350503003")


def test_the_officers_of_a_node_are_its_own_or_those_of_the_nearest_above(folder: Path) -> None:
    book = appended(folder, "grids.toml", COMMUNITY)
    assert book.officers_of("350503003001-01") == ("FZ-003-91",)
    assert book.officers_of("350503003001") == book.officers_of("350503003")
    assert len(book.officers_of("350503003")) == 12


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'parent = "350503003"',
            'parent = "350503099"',
            (
                'grids.toml: grid "350503003001", field "parent": '
                "has no subdistrict within 3 levels."
            ),
        ),
        (
            'parent = "350503003"',
            'parent = "350503003001-01"',
            (
                'grids.toml: grid "350503003001", field "parent": '
                "has no subdistrict within 3 levels."
            ),
        ),
        (
            'code = "350503003001-01"',
            'code = "350503003001-0001"',
            'grids.toml: grid "350503003001-0001", field "code": has more than 16 characters.',
        ),
        (
            'parent = "350503003"\n',
            "",
            'grids.toml: grid "350503003001", field "officers": is empty.',
        ),
    ],
    ids=["nowhere", "a circle", "too long", "no officers"],
)
def test_a_grid_that_hangs_in_the_air_is_one_clear_sentence(
    folder: Path, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(RulebookError) as raised:
        appended(folder, "grids.toml", COMMUNITY.replace(old, new, 1))
    assert str(raised.value) == sentence


def test_a_measure_may_depend_on_premises_industry_and_headcount(folder: Path) -> None:
    book = appended(
        folder,
        "measures.toml",
        """
[[measure]]
code = "cold_chain_ledger"
zh = "冷鏈臺賬"
en = "Ledger of the cold chain"
industries = ["F51", "G59"]
from_headcount = 20
source = "article"
from = 2020-02-10
""",
    )

    def asked(industry: str, headcount: int) -> bool:
        points = book.required_measures("shop", industry, headcount)
        return "cold_chain_ledger" in {point.code for point in points}

    assert asked("F5121", 20)
    assert asked("G5990", 20)
    assert not asked("F5121", 19)
    assert not asked("F5211", 20)


def test_a_large_staff_needs_an_isolation_room_whatever_its_premises() -> None:
    def asked(headcount: int) -> int:
        points = BOOK.required_measures("factory", "C1810", headcount)
        return [point.code for point in points].count("isolation_room")

    assert (asked(1), asked(200)) == (1, 1), "and is told of it once"
    office = [point.code for point in BOOK.required_measures("office", "L7211", 200)]
    assert "isolation_room" in office
    assert "isolation_room" not in [p.code for p in BOOK.required_measures("office", "L7211", 199)]


@given(st.sampled_from(sorted(BOOK.branches)), st.data())
def test_a_size_class_grows_with_the_figures(branch: str, data: st.DataObject) -> None:
    """Who has more of everything is never of a smaller class."""
    order = list(BOOK.sizes)
    needed = BOOK.figures_for(branch)
    amounts = st.integers(0, 250_000)
    few = {name: data.draw(amounts) for name in needed}
    many = {name: few[name] + data.draw(amounts) for name in needed}
    smaller, larger = BOOK.size_of(branch, few), BOOK.size_of(branch, many)
    assert smaller is not None
    assert larger is not None
    assert order.index(larger) <= order.index(smaller)


@pytest.mark.parametrize("limit", BOOK.limits.values(), ids=lambda limit: limit.code)
def test_every_limit_is_reached_by_its_own_figures_and_missed_by_one_less(limit: Any) -> None:
    exact = {name: getattr(limit, name) for name in limit.needs}
    assert BOOK.size_of(limit.branch, exact) == limit.size
    for name in limit.needs:
        missed = BOOK.size_of(limit.branch, exact | {name: exact[name] - 1})
        order = list(BOOK.sizes)
        assert order.index(str(missed)) == order.index(limit.size) + 1


@pytest.mark.parametrize(
    ("branch", "figures", "size"),
    [
        ("industry", {"staff": 20, "revenue": 300}, "small"),
        ("industry", {"staff": 20, "revenue": 299}, "micro"),
        ("construction", {"revenue": 300, "assets": 300}, "small"),
        ("wholesale", {"staff": 5, "revenue": 1000}, "small"),
        ("retail", {"staff": 10, "revenue": 100}, "small"),
        ("transport", {"staff": 20, "revenue": 200}, "small"),
        ("storage", {"staff": 20, "revenue": 100}, "small"),
        ("post", {"staff": 20, "revenue": 100}, "small"),
        ("hotels", {"staff": 10, "revenue": 100}, "small"),
        ("catering", {"staff": 10, "revenue": 100}, "small"),
        ("information", {"staff": 10, "revenue": 100}, "small"),
        ("software", {"staff": 10, "revenue": 50}, "small"),
        ("real_estate", {"revenue": 100, "assets": 2000}, "small"),
        ("property", {"staff": 100, "revenue": 500}, "small"),
        ("leasing", {"staff": 10, "assets": 100}, "small"),
        ("farming", {"revenue": 50}, "small"),
        ("other", {"staff": 10}, "small"),
        ("industry", {"staff": 300, "revenue": 2000}, "medium"),
        ("retail", {"staff": 50, "revenue": 500}, "medium"),
        ("catering", {"staff": 100, "revenue": 2000}, "medium"),
        ("wholesale", {"staff": 20, "revenue": 5000}, "medium"),
        ("construction", {"revenue": 6000, "assets": 5000}, "medium"),
        ("industry", {"staff": 1000, "revenue": 40_000}, "large"),
    ],
)
def test_the_limits_are_those_of_2011_300(branch: str, figures: dict[str, int], size: str) -> None:
    assert BOOK.size_of(branch, figures) == size


def test_a_class_is_not_known_without_every_figure_that_counts() -> None:
    assert BOOK.size_of("industry", {"staff": 5}) is None
    assert BOOK.size_of("industry", {"staff": 5, "revenue": 0}) == "micro"


@pytest.mark.parametrize(
    ("industry", "branch"),
    [
        ("A0111", "farming"),
        ("C1810", "industry"),
        ("F5121", "wholesale"),
        ("F5211", "retail"),
        ("G5990", "storage"),
        ("H6110", "hotels"),
        ("H6210", "catering"),
        ("I6510", "software"),
        ("K7010", "real_estate"),
        ("K7020", "property"),
        ("K7030", "other"),
        ("L7211", "leasing"),
        ("O8040", "other"),
        ("J6620", None),
    ],
)
def test_an_industry_belongs_to_one_trade_of_2011_300_or_to_none(
    industry: str, branch: str | None
) -> None:
    assert BOOK.branch_of(industry) == branch


def test_limits_that_facts_do_not_list_say_how_well_they_are_known() -> None:
    known = {limit.code: BOOK.sources[limit.source].known for limit in BOOK.limits.values()}
    assert known["industry.small"] == "seen"
    assert known["industry.large"] == "secondary"
    assert {known[f"{branch}.small"] for branch in ("property", "leasing", "other")} == {"memory"}


def test_complaints_are_accepted_and_answered_by_their_track() -> None:
    clocks = {code: (clock.days, clock.extension) for code, clock in BOOK.clocks.items()}
    assert clocks == {
        "dispute-acceptance": (7, 0),
        "dispute-mediation": (45, 0),
        "dispute-telling": (7, 0),
        "report-acceptance": (7, 0),
        "report-case": (15, 15),
        "report-decision": (90, 30),
        "report-telling": (5, 0),
    }
    in_calendar_days = {code for code, one in BOOK.clocks.items() if one.unit == "calendar_days"}
    assert in_calendar_days == {"report-decision"}
    assert set(BOOK.channels) == {"12315", "mini_program", "visit", "letter"}


def test_a_penalty_cites_articles_by_finding_and_the_general_law_for_the_rest() -> None:
    cited = BOOK.citations(["dine_in", "mask_worn_improperly", "prices_not_marked", "dine_in"])
    assert [(c.law, c.version.isoformat(), c.article, c.findings) for c in cited] == [
        ("infectious-disease-law", "2013-06-29", None, ["mask_worn_improperly"]),
        ("infectious-disease-law", "2013-06-29", "infectious-disease-law-42", ["dine_in"]),
        ("price-law", "1998-05-01", "price-law-42", ["prices_not_marked"]),
    ]
    assert cited[1].words.zh == "《中華人民共和國傳染病防治法》第四十二條"
    for article in BOOK.articles.values():
        assert BOOK.rules.keys() >= {*article.findings}


def test_a_track_has_a_clock_for_each_stage(changed: Change) -> None:
    gone = changed("complaints.toml", 'code = "report-telling"', 'code = "report-dancing"')
    with pytest.raises(RulebookError, match=r'clock "report-dancing", .* is no clock'):
        Rulebook.load(gone)
    with pytest.raises(Unknown, match='no clock "report-mediation"'):
        BOOK.clock("report", "mediation")


def test_free_cover_is_for_small_and_micro_enterprises() -> None:
    for size in BOOK.sizes:
        scheme = BOOK.scheme_for_size(size)
        assert (scheme is not None) is (size in {"small", "micro"})
    cover = BOOK.schemes["enterprise-epidemic"]
    assert BOOK.scheme_for_size("micro") is cover
    assert (cover.holder, cover.sum_insured, cover.years) == ("enterprise", None, 1)
    assert BOOK.sources[cover.years_source].known == "practice"


def test_a_medic_is_covered_for_a_year_with_300000_yuan_on_death() -> None:
    cover = BOOK.scheme_for_medic("豐澤區醫院")
    assert cover is not None
    assert (cover.code, cover.holder, cover.sum_insured) == ("medic-covid-19", "medic", 300_000)
    assert {code: one.amount for code, one in cover.benefits.items()} == {"death": 300_000}
    assert (cover.years, cover.source) == (1, "article")


def test_divisions_01_to_97_belong_to_one_section_each() -> None:
    for division in range(100):
        owners = [
            letter for letter in BOOK.sections if BOOK.is_industry(f"{letter}{division:02}10")
        ]
        assert len(owners) == (1 if 1 <= division <= 97 else 0)
    assert "".join(BOOK.sections) == "ABCDEFGHIJKLMNOPQRST"


@pytest.mark.parametrize("code", ["C1810", "H6210", "A0111", "T9700", "F5211"])
def test_an_industry_is_its_sections_parked_message_and_four_digits(code: str) -> None:
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
        "Notice %(number)s was not met by %(day)s: put it right by %(next)s.",
        number="1",
        day=date(2020, 3, 2),
        next=date(2020, 3, 4),
    )
    assert said.en == "Notice 1 was not met by 2020-03-02: put it right by 2020-03-04."
    assert said.zh.startswith("整改通知書1至2020-03-02仍未落實")
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
        (
            '"整改到位 %(pint)s"',
            'text "Put right: %(point)s" has other placeholders in its translation.',
        ),
        (
            '"整改到位 100% %(point)s"',
            'text "Put right: %(point)s" has other placeholders in its translation.',
        ),
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


# editions


def appended(folder: Path, file: str, text: str) -> Rulebook:
    """Return the rulebook of a folder after a text was added to one of its files."""
    with (folder / file).open("a", encoding="utf-8") as open_file:
        open_file.write(text)
    return Rulebook.load(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of Fengze's rulebook."""
    return Path(shutil.copytree(FENGZE, tmp_path / "district"))


STRICTER = """
[[notice]]
code = "ordinary"
zh = "一般問題"
en = "Ordinary issue"
days = 1
source = "article"
from = 2020-03-01
"""
A_WHILE = """
[[premises]]
code = "cinema"
zh = "電影院"
en = "Cinema"
five_small = false
source = "article"
from = 2020-03-01
until = 2020-03-09
"""


def test_an_entry_takes_the_place_of_an_earlier_one_from_its_day_on(folder: Path) -> None:
    book = appended(folder, "deadlines.toml", STRICTER)
    days = {day: book.on(date(2020, *day)).notices["ordinary"].days for day in [(2, 29), (3, 1)]}
    assert days == {(2, 29): 3, (3, 1): 1}
    assert book.notices["ordinary"].days == 1


def test_an_entry_holds_up_to_and_including_its_last_day(folder: Path) -> None:
    book = appended(folder, "premises.toml", A_WHILE)
    held = [day for day in range(1, 32) if "cinema" in book.on(date(2020, 3, day)).premises]
    assert held == list(range(1, 10))
    assert "cinema" not in book.on(date(2020, 2, 29)).premises


def test_the_first_edition_holds_for_the_days_before_it() -> None:
    assert BOOK.on(date(2019, 12, 31)) is BOOK.editions[0] is BOOK.on(date(2020, 2, 10))
    assert BOOK.on(date(2100, 1, 1)) is BOOK.editions[-1] is BOOK


def test_a_version_names_the_district_and_the_day_and_changes_with_what_is_said(
    folder: Path,
) -> None:
    book = appended(folder, "deadlines.toml", STRICTER)
    same, other = (book.on(date(2020, *day)) for day in [(2, 29), (3, 1)])
    assert same.version == BOOK.on(date(2020, 2, 29)).version
    assert other.version.startswith("350503-2020-03-01-")
    silently = (
        (folder / "deadlines.toml").read_text(encoding="utf-8").replace("days = 3", "days = 4")
    )
    (folder / "deadlines.toml").write_text(silently, encoding="utf-8")
    changed = Rulebook.load(folder).on(date(2020, 2, 29))
    assert changed.since == same.since
    assert changed.version != same.version


def test_a_notice_about_holidays_is_not_known_before_it_is_given() -> None:
    extended = date(2021, 2, 11)  # of Spring Festival 2021, by the notice of 25 November 2020
    assert BOOK.on(date(2020, 11, 24)).is_working_day(extended)
    assert not BOOK.on(date(2020, 11, 25)).is_working_day(extended)
    assert BOOK.on(date(2020, 11, 25)).calendar.code == "2020-27"


# what is wrong with a district's files


def read(file: Path) -> str:
    """Read a file; one that is not there says nothing."""
    return file.read_text(encoding="utf-8") if file.exists() else ""


Change = Callable[[str, str, str], Path]


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Return a copy of Fengze in which one file, its own or a common one, says something else."""

    def change(file: str, old: str, new: str) -> Path:
        folders = [tmp_path / "district", tmp_path / "common"]
        for source, folder in zip((FENGZE, COMMON), folders, strict=True):
            shutil.copytree(source, folder)
        monkeypatch.setattr(book, "COMMON", folders[1])
        (path,) = (f / file for f in folders if old in read(f / file))
        path.write_text(path.read_text().replace(old, new, 1))
        return folders[0]

    return change


BROKEN = [
    (
        "district.toml",
        "from = 2020-02-10",
        'from = "today"',
        "district.toml: the first day of the district is missing.",
    ),
    (
        "premises.toml",
        "from = 2020-02-10",
        "from = 2020-02-10\nuntil = 3",
        'premises.toml: premises "restaurant", field "until": is not a date.',
    ),
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
        'premises.toml: premises "restaurant", field "code": is repeated.',
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
        'measures.toml: measure "isolation_room", field "premises": has a repetition.',
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
        "deadlines.toml",
        "hours = 24",
        "hours = 24\ndays = 1",
        (
            'deadlines.toml: notice "grave", field "days": '
            "exactly one of hours, days and working_days is needed."
        ),
    ),
    (
        "deadlines.toml",
        "level = 2",
        "level = 4",
        "deadlines.toml: the levels are not numbered 1, 2, 3 and so on.",
    ),
    (
        "papers.toml",
        "豐整〔{year}〕",
        "豐整",
        ('papers.toml: paper "notice", field "pattern": does not distinguish years and numbers.'),
    ),
    (
        "papers.toml",
        'code = "closure"',
        'code = "closing"',
        'papers.toml: there is no paper "closure".',
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
        "amount = 300000",
        "amount = 300001",
        (
            'schemes.toml: benefit "medic-covid-19-death", field "amount": '
            "exceeds the scheme's sum."
        ),
    ),
    (
        "schemes.toml",
        'scheme = "medic-covid-19"',
        'scheme = "another"',
        'schemes.toml: scheme "medic-covid-19", field "sum_insured": needs a benefit.',
    ),
    (
        "schemes.toml",
        'casualty = "death"',
        'casualty = "infection"',
        (
            'schemes.toml: benefit "medic-covid-19-death", field "casualty": '
            '"infection" is not in schemes.toml.'
        ),
    ),
    (
        "schemes.toml",
        'holder = "enterprise"',
        'holder = "medic"',
        (
            'schemes.toml: scheme "medic-covid-19", field "institutions": '
            "medic already has another cover."
        ),
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
            "2020-01-20 is a weekday, which is worked anyway."
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
        ('sizes.toml: limit "farming.large", field "size": "large" is not in sizes.toml.'),
    ),
    (
        "sizes.toml",
        'industries = ["B", "C", "D"]',
        'industries = ["B", "A", "D"]',
        (
            'sizes.toml: branch "industry", field "industries": '
            '"A" is no prefix of an industry code, or belongs to another trade too.'
        ),
    ),
    (
        "sizes.toml",
        "staff = 300\nsource",
        "source",
        'sizes.toml: limit "other.large", field "staff": or another figure is needed.',
    ),
    (
        "filings.toml",
        "key_project = true",
        "key_project = true\ndays = 3",
        (
            'filings.toml: referral "key_project", field "key_project": '
            "exactly one of it, percent and days is needed."
        ),
    ),
    (
        "measures.toml",
        'of = "masks"',
        'of = "mask"',
        'measures.toml: measure "mask_stock", field "of": "mask" is not a measure.',
    ),
    (
        "industries.toml",
        'code = "B"',
        'code = "A"',
        'industries.toml: section "A", field "code": is repeated.',
    ),
    (
        "key_points.toml",
        "[[key_point]]",
        "[[key_paint]]",
        'key_points.toml: the rulebook has no table "key_paint".',
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


@pytest.mark.parametrize(
    "file", sorted(path.name for folder in (FENGZE, COMMON) for path in folder.iterdir())
)
def test_no_file_can_be_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    common = Path(shutil.copytree(COMMON, tmp_path / "common"))
    monkeypatch.setattr(book, "COMMON", common)
    place = folder if (folder / file).exists() else common
    (place / file).unlink()
    what = "sources.toml" if file == "sources.toml" else re.escape(file)
    with pytest.raises(RulebookError, match=rf"^{what}: |is not in {what}\.$"):
        Rulebook.load(folder)


def test_a_district_takes_the_place_of_a_common_rule_by_one_of_its_own(folder: Path) -> None:
    own = """
[[clock]]
code = "report-case"
zh = "舉報核查"
en = "Check of a report"
days = 10
unit = "working_days"
source = "district practice, to be confirmed"
from = 2020-03-01
"""
    (folder / "complaints.toml").write_text(own, encoding="utf-8")
    ours = Rulebook.load(folder)
    days = [ours.on(date(2020, *day)).clock("report", "case").days for day in [(2, 29), (3, 1)]]
    assert days == [15, 10]
    assert ours.clock("dispute", "mediation") == BOOK.clock("dispute", "mediation")


def test_a_folder_without_files_is_no_rulebook(tmp_path: Path) -> None:
    with pytest.raises(RulebookError, match=r"contains no TOML files\.$"):
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


def test_the_cover_of_an_institution_goes_before_that_of_all(folder: Path) -> None:
    own = """
[[scheme]]
code = "first-hospital"
zh = "第一醫院醫護險"
en = "Cover for the first hospital"
holder = "medic"
institutions = ["第一醫院"]
years = 2
report_days = 30
source = "article"
from = 2020-03-01
"""
    book = appended(folder, "schemes.toml", own)
    for at, code in (("第一醫院", "first-hospital"), ("豐澤區醫院", "medic-covid-19")):
        cover = book.scheme_for_medic(at)
        assert cover is not None
        assert cover.code == code
    before = book.on(date(2020, 2, 29)).scheme_for_medic("第一醫院")
    assert before is not None
    assert before.code == "medic-covid-19"


def test_before_any_scheme_has_begun_nobody_is_covered(folder: Path) -> None:
    file = folder / "schemes.toml"
    file.write_text(file.read_text().replace("from = 2020-02-10", "from = 2020-03-01"))
    book = Rulebook.load(folder)
    first = book.on(date(2020, 2, 10))
    assert (first.scheme_for_size("micro"), first.scheme_for_medic("豐澤區醫院")) == (None, None)
    assert book.on(date(2020, 3, 1)).scheme_for_size("micro") is not None


# the whole


@pytest.mark.parametrize(
    "ask",
    [
        lambda: BOOK.five_small("castle"),
        lambda: BOOK.key_points("castle"),
        lambda: BOOK.required_measures("castle"),
        lambda: BOOK.patrol_within("castle"),
        lambda: BOOK.officers_of("castle"),
        lambda: BOOK.notice_until("castle", NOON),
    ],
)
def test_an_unknown_code_is_named(ask: Callable[[], object]) -> None:
    with pytest.raises(Unknown, match=r'^The rulebook has no [a-z]+ "castle"\.$'):
        ask()


def test_nothing_can_be_changed_after_loading() -> None:
    with pytest.raises(AttributeError):
        BOOK.levels = {}  # type: ignore[misc]
    with pytest.raises(AttributeError):
        BOOK.extension = BOOK.extension  # type: ignore[misc]
    with pytest.raises(TypeError):
        BOOK.premises["castle"] = BOOK.premises["mall"]  # type: ignore[index]


def test_the_shipped_rulebook_is_read_once() -> None:
    assert Rulebook.load() is BOOK


def test_a_month_holds_its_working_days() -> None:
    first, last = date(2020, 2, 10), date(2020, 3, 6)
    month = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    assert sum(map(BOOK.is_working_day, month)) == 20
